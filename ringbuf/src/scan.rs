// SPDX-License-Identifier: GPL-2.0

//! Reads the region when a store is opened: what is there, and how each slot ranks.

use super::{
    census::{
        diagnose,
        Census, //
    },
    geometry::Geometry,
    kind::{
        Foreign,
        Kind, //
    },
    layout::Seal,
    loops::Previous,
    memory::Memory,
    rank::{
        self,
        Rank,
        Ranked, //
    },
    read::{
        classify,
        header, //
    }, //
};

/// What a scan found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) census: Census,
    /// The last crash, for the next one.
    pub(super) previous: Option<Previous>,
    /// Our newest record and its time.
    newest: Option<(Rank, u64)>,
    /// The highest number in a seal, and its slot.
    newest_seal: Option<(u64, usize)>,
    /// The latest time of a record without a seal, and its slot.
    newest_stock: Option<(u64, usize)>,
    /// How many zones are filled with 0x00.
    zero: usize,
}

impl Found {
    /// Reads all slots, counts what is there, and sorts the slots by rank. `ranked` has one entry
    /// for each slot.
    #[inline(never)]
    pub(super) fn scan<M: Memory>(&mut self, mem: &M, geometry: &Geometry, ranked: &mut [Ranked]) {
        self.census.slots = geometry.slots();
        for (slot, entry) in ranked.iter_mut().enumerate() {
            entry.rank = self.rank(mem, geometry, slot);
        }
        let last = self.newest_seal.or(self.newest_stock);
        let start = last.map_or(0, |(_, slot)| slot.wrapping_add(1));
        rank::sort(ranked, self.newest.map(|(_, time)| time), start);
        self.census.newest_seq = self.newest_seal.map(|(seq, _)| seq);
        self.census.diagnosis = diagnose(mem, geometry, &self.census, self.zero);
    }

    /// Reads one slot, and returns the rank that it has by itself.
    #[inline(never)]
    fn rank<M: Memory>(&mut self, mem: &M, geometry: &Geometry, slot: usize) -> Rank {
        let Some(content) = classify(mem, geometry, slot) else {
            return Rank::NOTHING;
        };
        self.census.count(&content);
        match &content.kind {
            Kind::Sealed(seal) | Kind::Torn(Some(seal)) => self.ours(seal, slot),
            Kind::Damaged(seal) if agrees(mem, geometry, slot, seal) => self.ours(seal, slot),
            Kind::Damaged(seal) => {
                self.number(seal.seq, slot, Some(seal));
                Rank::AGELESS
            }
            Kind::Cleared(Some(seal)) => {
                self.number(seal.seq, slot, None);
                Rank::NOTHING
            }
            Kind::Foreign(stock) => self.stock(geometry, stock, slot),
            Kind::Newer { seq, .. } => {
                self.number(*seq, slot, None);
                Rank::ours(*seq, 1)
            }
            Kind::Torn(None) => Rank::AGELESS,
            Kind::Salvaged { .. } => Rank::SALVAGED,
            Kind::Zero => {
                self.zero = self.zero.saturating_add(1);
                Rank::NOTHING
            }
            Kind::Cleared(None) | Kind::Empty | Kind::Erased | Kind::Garbage => Rank::NOTHING,
        }
    }

    /// Takes in a record of ours with a number.
    fn ours(&mut self, seal: &Seal, slot: usize) -> Rank {
        self.number(seal.seq, slot, Some(seal));
        let rank = Rank::ours(seal.dump, seal.part);
        if self.newest.is_none_or(|(newest, _)| rank > newest) {
            self.newest = Some((rank, ordered(seal.micros())));
        }
        rank
    }

    /// Takes in a record without a seal.
    fn stock(&mut self, geometry: &Geometry, stock: &Foreign, slot: usize) -> Rank {
        if let Some(seq) = stock.covered_seq {
            self.number(seq, slot, None);
        }
        let time = ordered(stock.stamp.micros());
        if self.newest_stock.is_none_or(|(newest, _)| time > newest) {
            self.newest_stock = Some((time, slot));
        }
        if has_lost_seal(geometry, stock) {
            Rank::AGELESS
        } else {
            Rank::stock(time)
        }
    }

    /// Takes in a number. Any seal counts: no number is given twice while one has it.
    fn number(&mut self, seq: u64, slot: usize, seal: Option<&Seal>) {
        if self.newest_seal.is_none_or(|(newest, _)| seq > newest) {
            self.newest_seal = Some((seq, slot));
            // If the newest record was deleted, someone was there, and a loop is over.
            self.previous = seal.map(Previous::new);
        }
    }
}

/// Whether the header is that of the record that the seal is about. If not, and the payload is
/// another one, too, the seal may be what somebody else has left of an older record.
fn agrees<M: Memory>(mem: &M, geometry: &Geometry, slot: usize, seal: &Seal) -> bool {
    header(mem, geometry, slot).is_some_and(|header| (header.start, header.size) == (0, seal.size))
}

/// Whether a record without a seal is one of ours that has lost it: its header is not one of
/// mainline's.
fn has_lost_seal(geometry: &Geometry, stock: &Foreign) -> bool {
    stock.extent.start == 0
        && usize::try_from(stock.extent.size).is_ok_and(|size| size <= geometry.payload_capacity())
}

/// Maps a time in microseconds to a number that is in the same order. A stamp has no more digits.
fn ordered(micros: i64) -> u64 {
    (micros as u64) ^ (1 << 63)
}
