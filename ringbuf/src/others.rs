// SPDX-License-Identifier: GPL-2.0

//! Finds records that were stored with other parameters: their seals tell which.
//!
//! Nothing is searched that a whole seal vouches for: the text of a log may contain anything.

use super::{
    geometry::Geometry,
    layout::{
        self,
        Params,
        Seal,
        SEAL_KIND,
        SEAL_KIND_OFFSET,
        SEAL_LEN,
        SEAL_MAGIC,
        SEAL_MAGIC_OFFSET,
        SEAL_MAGIC_WRITING,
        SEAL_TEXT, //
    },
    memory::Memory,
    seq::Order, //
};

/// So many other zone maps are told apart. Whoever needs more has lost count.
pub(super) const OTHERS_MAX: usize = 2;

/// How much is looked at to tell what may be the text of a seal.
const SAMPLE: usize = 8;

/// How far the samples are apart. One of them lies in the texts of a seal.
const STEP: usize = 88;
const _: () = assert!(STEP + SAMPLE - 1 <= SEAL_TEXT.1 && STEP % SAMPLE == 0);

/// If a sample lies in the texts of a seal, the magic number begins so many bytes behind its start,
/// or less than [`WINDOW`] bytes later.
const MAGIC_MIN: usize = SEAL_MAGIC_OFFSET - SEAL_TEXT.0 - SEAL_TEXT.1 + SAMPLE;
const WINDOW: usize = SEAL_TEXT.1 - SAMPLE + 1;

/// The parameters of other zone maps that have whole seals in the region: those of the latest ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Others {
    /// Each with the latest number of a seal, as a rank.
    sets: [Option<(u64, Params)>; OTHERS_MAX],
    order: Order,
    /// The latest of all, be its parameters kept or not.
    latest: Option<u64>,
}

impl Others {
    /// Numbers have that order.
    pub(super) fn new(order: Order) -> Self {
        Self {
            order,
            ..Self::default()
        }
    }

    pub(super) fn params(&self) -> [Option<Params>; OTHERS_MAX] {
        self.sets.map(|set| set.map(|(_, params)| params))
    }

    /// Returns the latest number of all seals that were found.
    pub(super) fn latest(&self) -> Option<u64> {
        self.latest.map(|rank| self.order.rank(rank))
    }

    /// Searches a range of the region.
    #[inline(never)]
    pub(super) fn search<M: Memory>(
        &mut self,
        mem: &M,
        geometry: &Geometry,
        range: core::ops::Range<usize>,
    ) -> Option<()> {
        let mut at = range.start.checked_next_multiple_of(SAMPLE)?;
        loop {
            let end = at.checked_add(SAMPLE)?;
            if end > range.end {
                return None;
            }
            if is_text(mem.sample(at)?) {
                self.look_behind(mem, geometry, at.checked_add(MAGIC_MIN)?, range.end);
            }
            at = at.checked_add(STEP)?;
        }
    }

    /// Looks for magic numbers that begin in the window at `at`.
    fn look_behind<M: Memory>(
        &mut self,
        mem: &M,
        geometry: &Geometry,
        at: usize,
        limit: usize,
    ) -> Option<()> {
        let mut buf = [0; WINDOW + 3];
        let len = limit.checked_sub(at)?.min(buf.len());
        let buf = buf.get_mut(..len)?;
        if !mem.read(at, buf) {
            return None;
        }
        let mut begin = 0usize;
        for word in buf.chunks(8) {
            let end = begin.checked_add(word.len())?;
            if has_first_byte(&layout::get(word, 0)) {
                for pos in begin..end {
                    let magic = u32::from_le_bytes(layout::get(buf, pos));
                    if matches!(magic, SEAL_MAGIC | SEAL_MAGIC_WRITING) {
                        self.look_at(mem, geometry, at.checked_add(pos)?);
                    }
                }
            }
            begin = end;
        }
        Some(())
    }

    /// Takes note of a seal, if there is one with its magic number at `magic_at`, where its own
    /// parameters put it.
    #[inline(never)]
    fn look_at<M: Memory>(&mut self, mem: &M, geometry: &Geometry, magic_at: usize) -> Option<()> {
        let at = magic_at.checked_sub(SEAL_MAGIC_OFFSET)?;
        // Memory may be full of magic numbers.
        let mut kind = SEAL_KIND;
        if !mem.read(at.checked_add(SEAL_KIND_OFFSET)?, &mut kind) || kind != SEAL_KIND {
            return None;
        }
        let mut raw = [0; SEAL_LEN];
        if !mem.read(at, &mut raw) {
            return None;
        }
        let seal = Seal::decode::<M>(&raw)?;
        let other = Geometry::new(seal.params).ok()?;
        let is_ours = at
            .checked_div(geometry.stride())
            .is_some_and(|slot| geometry.is_place_of(&seal, slot));
        let is_there = other.seal_offset(seal.slot) == Some(at)
            && other.is_place_of(&seal, seal.slot)
            && *other.params() == seal.params;
        if is_ours || !is_there {
            return None;
        }
        let rank = self.order.rank(seal.seq);
        self.latest = self.latest.max(Some(rank));
        // Other parameters may give the same zone.
        let is_known = |params: &Params| {
            Geometry::new(*params).is_ok_and(|known| known.is_place_of(&seal, seal.slot))
        };
        for set in self.sets.iter_mut().flatten() {
            if is_known(&set.1) {
                set.0 = set.0.max(rank);
                return Some(());
            }
        }
        // `None` is less than all.
        let set = self
            .sets
            .iter_mut()
            .min_by_key(|set| set.map(|(rank, _)| rank))?;
        if set.is_none_or(|(latest, _)| latest < rank) {
            *set = Some((rank, seal.params));
        }
        Some(())
    }
}

/// Whether all of these bytes are ASCII, and not control characters.
fn is_text(bytes: u64) -> bool {
    const SPACES: u64 = u64::from_ne_bytes([b' '; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    (bytes | bytes.wrapping_sub(SPACES)) & HIGH == 0
}

/// Whether one of these bytes is the first one of a magic number. Now and then it says so of
/// others.
fn has_first_byte(bytes: &[u8; 8]) -> bool {
    const LOW: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    let [first, ..] = SEAL_MAGIC.to_le_bytes();
    let differences = u64::from_ne_bytes(*bytes) ^ LOW.wrapping_mul(first.into());
    differences.wrapping_sub(LOW) & !differences & HIGH != 0
}
