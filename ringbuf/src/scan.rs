// SPDX-License-Identifier: GPL-2.0

//! Reads the region when a store is opened, and tells the table what each slot is worth.

use core::ops::{
    Deref,
    Range, //
};

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
    layout::{
        Header,
        Seal,
        HEADER_LEN,
        SEAL_LEN,
        SIG, //
    },
    loops::{
        Firsts,
        Previous, //
    },
    memory::Memory,
    order::Known,
    others::Others,
    read::{
        classify,
        header, //
    },
    seq::Order,
    table::{
        Slot,
        Table, //
    },
    worth::Worth, //
};

/// Which loop of crashes the next dump may continue.
#[derive(Clone, Copy)]
pub(super) enum Loops {
    /// None.
    Off,
    /// That of the newest record.
    AfterNewest,
    /// That of this one.
    After(Option<Previous>),
}

/// What a scan found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) census: Census,
    /// The last dump, for the next one.
    pub(super) previous: Option<Previous>,
    firsts: Firsts,
    ignores_loops: bool,
    /// The slot of the newest record of ours, as [`Worth`] has it, and its time.
    newest: Option<(Worth, u64)>,
    /// The latest record of other parameters, and in how many slots it lies.
    newest_other: Option<(Worth, u64)>,
    /// The slots with the latest number in a seal, as a rank, and with the latest time of a record
    /// without one.
    newest_seal: Option<(u64, usize)>,
    newest_foreign: Option<(u64, usize)>,
    /// The order of the numbers, and what was seen of them so far.
    order: Order,
    seen: Order,
    /// How many zones are filled with 0x00.
    zero: usize,
}

impl Found {
    /// Reads all slots, counts what is there, and puts the table in order.
    #[inline(never)]
    pub(super) fn scan<M: Memory, T: Deref<Target = [Slot]>>(
        &mut self,
        mem: &M,
        geometry: &Geometry,
        table: &Table<T>,
        loops: Loops,
    ) {
        self.ignores_loops = matches!(loops, Loops::Off);
        self.look_at_all(mem, geometry, table, Order::default());
        if self.seen.wraps() {
            self.look_at_all(mem, geometry, table, self.seen);
        }
        match loops {
            Loops::Off => self.previous = None,
            Loops::After(previous) => self.previous = previous,
            Loops::AfterNewest => (),
        }
        let candidate = self
            .previous
            .map_or(0, |previous| self.order.rank(previous.loop_start));
        table.arrange(&Known {
            last: self
                .newest_seal
                .or(self.newest_foreign)
                .map(|(_, slot)| slot),
            newest_time: self.newest.map(|(_, time)| time),
            newest_other: self.newest_other,
            firsts: self.firsts.dumps(),
            candidate,
        });
        self.census.next = table.next();
        self.census.newest_seq = self.newest_seal.map(|(rank, _)| self.order.rank(rank));
        self.census.diagnosis = diagnose(mem, geometry, &self.census, self.zero);
    }

    /// Reads all slots, whose numbers have that order, and what lies in zones of other parameters.
    #[inline(never)]
    fn look_at_all<M: Memory, T: Deref<Target = [Slot]>>(
        &mut self,
        mem: &M,
        geometry: &Geometry,
        table: &Table<T>,
        order: Order,
    ) {
        *self = Self {
            order,
            ignores_loops: self.ignores_loops,
            ..Self::default()
        };
        self.census.slots = table.len();
        let mut others = Others::new(order);
        let mut searched = 0;
        for index in 0..table.len() {
            let (worth, vouched) = self.look(mem, geometry, index);
            table.note(index, worth);
            if let Some(vouched) = vouched {
                others.search(mem, geometry, searched..vouched.start);
                searched = vouched.end;
            }
        }
        // What programs wrote to pmsg is hostile, and not text only.
        let (pmsg, len) = geometry.pmsg();
        let end = match len != 0 && has_header(mem, pmsg) {
            true => pmsg,
            false => geometry.mem_size(),
        };
        others.search(mem, geometry, searched..end);
        self.census.other_params = others.params();
        // What a slot is worth beside one of them depends on the newest one.
        for is_known in [false, true] {
            self.census.others = 0;
            for params in others.params().into_iter().flatten() {
                if let Ok(other) = Geometry::new(params) {
                    self.look_at_others(mem, geometry, table, &other, is_known);
                }
            }
        }
        if let Some(seq) = others.latest() {
            self.number(seq, 0, None);
        }
    }

    /// Reads the zones of other parameters. The slots in which their records lie are worth as much,
    /// if the newest record `is_known`.
    #[inline(never)]
    fn look_at_others<M: Memory, T: Deref<Target = [Slot]>>(
        &mut self,
        mem: &M,
        geometry: &Geometry,
        table: &Table<T>,
        other: &Geometry,
        is_known: bool,
    ) {
        for index in 0..other.slots() {
            // No zone behind this one is in the region.
            let zone = other.slot_offset(index).filter(|zone| {
                let end = zone.checked_add(other.stride());
                end.is_some_and(|end| end <= geometry.mem_size())
            });
            let Some(zone) = zone else {
                break;
            };
            let Some(content) = classify(mem, other, index) else {
                break;
            };
            let slot = slot_at(geometry, zone);
            let seal = match content.kind {
                Kind::Sealed(seal) | Kind::Torn(Some(seal)) => seal,
                Kind::Damaged(seal) if agrees(mem, other, index, &seal) => seal,
                Kind::Damaged(seal) | Kind::Cleared(Some(seal)) => {
                    self.number(seal.seq, slot, None);
                    continue;
                }
                _ => continue,
            };
            let is_ours = geometry.is_place_of(&seal, slot);
            if is_ours || is_in_text(mem, geometry, other.seal_offset(index)) {
                continue;
            }
            self.census.others = self.census.others.saturating_add(1);
            let worth = self.ours(&seal, slot);
            if !is_known {
                continue;
            }
            let record = vouched(other, index, &seal);
            let rest = other
                .seal_offset(index)
                .map(|at| at..zone.saturating_add(other.stride()));
            let mut slots = 0u64;
            let mut next = 0;
            for range in [record, rest].into_iter().flatten() {
                let last = slot_at(geometry, range.end.saturating_sub(1));
                for slot in slot_at(geometry, range.start).max(next)..=last {
                    table.raise(slot, worth, |worth| self.settled(worth));
                    slots = slots.saturating_add(1);
                    next = slot.saturating_add(1);
                }
            }
            if self.newest_other.is_none_or(|(newest, _)| worth > newest) {
                self.newest_other = Some((worth, slots));
            }
        }
    }

    /// Reads one slot. Returns what it is worth, and the range that a whole seal vouches for.
    #[inline(never)]
    fn look<M: Memory>(
        &mut self,
        mem: &M,
        geometry: &Geometry,
        index: usize,
    ) -> (Worth, Option<Range<usize>>) {
        let Some(content) = classify(mem, geometry, index) else {
            return (Worth::NOTHING, None);
        };
        self.census.count(&content);
        if let Kind::Zero = content.kind {
            self.zero = self.zero.saturating_add(1);
        }
        let worth = match &content.kind {
            Kind::Sealed(seal) => {
                let worth = self.ours(seal, index);
                return (worth, vouched(geometry, index, seal));
            }
            Kind::Torn(Some(seal)) => self.ours(seal, index),
            Kind::Damaged(seal) if agrees(mem, geometry, index, seal) => self.ours(seal, index),
            Kind::Damaged(seal) => {
                self.number(seal.seq, index, Some(seal));
                Worth::undated(None)
            }
            Kind::Cleared(Some(seal)) => {
                self.number(seal.seq, index, None);
                Worth::NOTHING
            }
            Kind::Foreign(foreign) => {
                if let Some(seq) = foreign.covered_seq {
                    self.number(seq, index, None);
                }
                let time = time(foreign.stamp.micros());
                if self.newest_foreign.is_none_or(|(newest, _)| time > newest) {
                    self.newest_foreign = Some((time, index));
                }
                match is_ours(geometry, foreign) {
                    true => Worth::undated(Some(time)),
                    false => Worth::foreign(time),
                }
            }
            Kind::Newer { seq, .. } => {
                self.number(*seq, index, None);
                Worth::ours(self.order.rank(*seq), 1)
            }
            Kind::Torn(None) => Worth::undated(None),
            Kind::Salvaged { .. } => Worth::SALVAGED,
            Kind::Cleared(None) | Kind::Empty | Kind::Zero | Kind::Erased | Kind::Garbage => {
                Worth::NOTHING
            }
        };
        (worth, None)
    }

    /// Takes note of a record of ours with a number, and returns what it is worth.
    fn ours(&mut self, seal: &Seal, index: usize) -> Worth {
        self.seen.note(seal.dump);
        self.number(seal.seq, index, Some(seal));
        if seal.loop_start != 0 && !self.ignores_loops {
            self.firsts.add(self.order.rank(seal.loop_start));
        }
        let worth = Worth::ours(self.order.rank(seal.dump), seal.part);
        if self.newest.is_none_or(|(newest, _)| worth > newest) {
            self.newest = Some((worth, time(seal.micros())));
        }
        worth
    }

    /// Returns what a slot will be worth when all are noted, but for its order within a class.
    fn settled(&self, worth: Worth) -> Worth {
        let newest = self.newest.map_or(0, |(worth, _)| worth.dump());
        worth
            .placed(self.newest.map(|(_, time)| time), None)
            .among(newest, self.firsts.dumps())
    }

    /// Whether one number is before another one, by those that were seen.
    pub(super) fn is_before(&self, one: u64, other: u64) -> bool {
        self.order.rank(one) < self.order.rank(other)
    }

    /// Notes a number. Any seal will do: numbers are not to be used again while one is there.
    fn number(&mut self, seq: u64, index: usize, seal: Option<&Seal>) {
        self.seen.note(seq);
        let rank = self.order.rank(seq);
        if self.newest_seal.is_none_or(|(newest, _)| rank > newest) {
            self.newest_seal = Some((rank, index));
            // A loop ends when its newest record was deleted: someone was there.
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
fn is_ours(geometry: &Geometry, foreign: &Foreign) -> bool {
    foreign.extent.start == 0
        && usize::try_from(foreign.extent.size)
            .is_ok_and(|size| size <= geometry.payload_capacity())
}

/// A time in microseconds, of which a stamp has no more digits, as a number that only grows.
fn time(micros: i64) -> u64 {
    (micros as u64) ^ (1 << 63)
}

/// Returns the slot in which an offset lies, or would lie.
fn slot_at(geometry: &Geometry, offset: usize) -> usize {
    offset.checked_div(geometry.stride()).unwrap_or(0)
}

/// Whether a whole seal of ours vouches for what lies there: it is text.
fn is_in_text<M: Memory>(mem: &M, geometry: &Geometry, at: Option<usize>) -> bool {
    at.is_some_and(|at| {
        let slot = slot_at(geometry, at);
        let is_in = |seal| vouched(geometry, slot, &seal).is_some_and(|range| range.contains(&at));
        // To check the payload takes time.
        let mut raw = [0; SEAL_LEN];
        let seal = geometry
            .seal_offset(slot)
            .filter(|at| mem.read(*at, &mut raw))
            .and_then(|_| Seal::decode::<M>(&raw));
        if !seal.map_or(geometry.ecc_size() != 0, is_in) {
            return false;
        }
        let content = classify(mem, geometry, slot);
        content.is_some_and(|content| match content.kind {
            Kind::Sealed(seal) => is_in(seal),
            _ => false,
        })
    })
}

/// Returns where header and payload of a record lie.
fn vouched(geometry: &Geometry, slot: usize, seal: &Seal) -> Option<Range<usize>> {
    let size = usize::try_from(seal.size).ok()?;
    let end = geometry.data_offset(slot)?.checked_add(size)?;
    Some(geometry.slot_offset(slot)?..end)
}

/// Whether mainline uses a zone.
fn has_header<M: Memory>(mem: &M, offset: usize) -> bool {
    let mut raw = [0; HEADER_LEN];
    mem.read(offset, &mut raw) && Header::decode(&raw).sig == SIG
}
