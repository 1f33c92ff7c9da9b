// SPDX-License-Identifier: GPL-2.0

//! The slot table: which slot a record takes.
//!
//! It knows neither the region nor what is in it.

use core::ops::{
    Deref,
    Range, //
};

use super::sync::{
    AtomicU64,
    AtomicUsize,
    Ordering, //
};

/// What the table knows of one slot. The default is a free slot.
///
/// The values sort by what is to be overwritten first:
///
/// - [`FREE`]: there is nothing worth keeping.
/// - [`SALVAGED`]: text that may have been a record.
/// - [`FOREIGN`], [`FOREIGN_NEWEST`]: a record without a seal of ours.
/// - A rank, see [`rank`]: a record of ours.
/// - A rank with [`FIRST`]: a record of a dump with which a loop of crashes began.
/// - [`BUSY`]: being written.
#[derive(Debug, Default)]
pub struct Slot(AtomicU64);

pub(super) const FREE: u64 = 0;
pub(super) const SALVAGED: u64 = 1;
pub(super) const FOREIGN: u64 = 2;
pub(super) const FOREIGN_NEWEST: u64 = 3;
const FIRST: u64 = 1 << 63;
const BUSY: u64 = u64::MAX;

/// The rank of a record: older dumps first, and within a dump the part with the oldest text first,
/// so that the part with the panic itself lives longest. It is above `FOREIGN_NEWEST` and below
/// `FIRST`, since `dump` is not 0 and less than 2^47.
pub(super) fn rank(dump: u64, part: u32) -> u64 {
    dump.wrapping_shl(16) | u64::from(u32::from(u16::MAX).saturating_sub(part))
}

/// The dump that the record belongs to; 0 if the value is no rank.
fn dump_of(value: u64) -> u64 {
    match value {
        BUSY => 0,
        value => (value & !FIRST).wrapping_shr(16),
    }
}

/// Whether the values are the same rank, be it that of a first dump or not.
fn is_same(a: u64, b: u64) -> bool {
    a != BUSY && b != BUSY && a & !FIRST == b & !FIRST
}

/// How often a slot that another CPU took first is replaced by the next best one.
const CLAIM_TRIES: usize = 64;

/// The table. `T` is its storage, which belongs to the caller.
#[derive(Debug)]
pub(super) struct Table<T> {
    slots: T,
    /// Where the search for a slot begins.
    cursor: AtomicUsize,
    /// The table value of the newest record, which is never overwritten.
    newest: AtomicU64,
}

impl<T: Deref<Target = [Slot]>> Table<T> {
    /// Makes one without records.
    pub(super) fn new(slots: T) -> Self {
        Self {
            slots,
            cursor: AtomicUsize::new(0),
            newest: AtomicU64::new(FREE),
        }
    }

    /// Returns the number of slots.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Lets the search for a slot begin behind this one.
    pub(super) fn start_behind(&self, slot: usize) {
        self.cursor.store(self.after(slot), Ordering::Relaxed);
    }

    /// Sets the value of the newest record, before there is any dump.
    pub(super) fn set_newest(&self, value: u64) {
        self.newest.store(value, Ordering::Relaxed);
    }

    /// Returns the value of the newest record.
    pub(super) fn newest(&self) -> u64 {
        self.newest.load(Ordering::Acquire)
    }

    /// Puts a record into the table that is complete now.
    pub(super) fn publish(&self, slot: usize, dump: u64, part: u32) {
        let rank = rank(dump, part);
        // The record is protected before anyone else can choose its slot.
        self.newest.fetch_max(rank, Ordering::AcqRel);
        self.set(slot, rank);
    }

    /// Walks the slots with records of ours backwards from the cursor: from the newest to the oldest
    /// one, if the ring is in order.
    pub(super) fn newest_first(&self) -> impl Iterator<Item = usize> + '_ {
        let cursor = self.cursor.load(Ordering::Relaxed);
        let slots = (0..cursor).rev().chain((cursor..self.slots.len()).rev());
        slots.filter(|index| {
            let slot = self.slots.get(*index);
            slot.is_some_and(|slot| dump_of(slot.0.load(Ordering::Relaxed)) != 0)
        })
    }

    /// The slot that follows `slot` in the ring.
    fn after(&self, slot: usize) -> usize {
        match slot.saturating_add(1) {
            next if next < self.slots.len() => next,
            _ => 0,
        }
    }

    /// Returns the slots from the first to the last one with a record of `dump`.
    pub(super) fn slots_of(&self, dump: u64) -> Range<usize> {
        let mut range = 0..0;
        for (index, slot) in (0..self.slots.len()).zip(self.slots.iter()) {
            if dump_of(slot.0.load(Ordering::Relaxed)) == dump {
                if range.is_empty() {
                    range.start = index;
                }
                range.end = index.saturating_add(1);
            }
        }
        range
    }

    /// Marks a dump, whose records are all in these slots, as one with which a loop began.
    pub(super) fn mark_first(&self, dump: u64, slots: Range<usize>) {
        for slot in self.slots.get(slots).unwrap_or_default() {
            let value = slot.0.load(Ordering::Relaxed);
            if dump_of(value) == dump {
                // If it fails, the slot is about to be overwritten.
                let _ = slot.0.compare_exchange(
                    value,
                    value | FIRST,
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                );
            }
        }
    }

    /// Sets the table value of a slot.
    pub(super) fn set(&self, slot: usize, value: u64) {
        if let Some(slot) = self.slots.get(slot) {
            slot.0.store(value, Ordering::Release);
        }
    }

    /// Walks the slots once, in ring order from the cursor on.
    fn ring(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        let start = self.cursor.load(Ordering::Relaxed);
        (start..self.slots.len())
            .chain(0..start)
            .filter_map(|index| Some((index, self.slots.get(index)?.0.load(Ordering::Acquire))))
    }

    /// Chooses a slot for the next part of `dump`, or for part 1 of a new one if that is 0.
    /// Returns its table value as well.
    ///
    /// The first free slot is taken at once: usually that is the first one looked at.
    pub(super) fn pick(&self, dump: u64, protected: u64) -> Option<(usize, u64)> {
        let single = self.slots.len() == 1;
        let mut best: Option<(usize, u64)> = None;
        for (index, value) in self.ring() {
            if value == FREE {
                return Some((index, value));
            }
            // Loaded after `value`, so that a record completed just now is known to be the newest.
            let newest = self.newest.load(Ordering::Acquire);
            // A store of one slot would store nothing if it kept to the second rule.
            if value == BUSY
                || (!single && (is_same(value, newest) || is_same(value, protected)))
                || (dump != 0 && dump_of(value) == dump)
            {
                continue;
            }
            if best.is_none_or(|(_, lowest)| value < lowest) {
                best = Some((index, value));
            }
        }
        best
    }

    /// Marks a slot for the next part of `dump` as busy and returns it.
    ///
    /// There is no waiting: if another CPU takes the chosen slot first, the next best one will do.
    pub(super) fn claim(&self, dump: u64, protected: u64, urgent: bool) -> Option<usize> {
        for _ in 0..CLAIM_TRIES {
            let Some((index, value)) = self.pick(dump, protected) else {
                break;
            };
            let slot = self.slots.get(index)?;
            let claimed =
                slot.0
                    .compare_exchange(value, BUSY, Ordering::Acquire, Ordering::Relaxed);
            if claimed.is_ok() {
                self.cursor.store(self.after(index), Ordering::Relaxed);
                return Some(index);
            }
        }
        if !urgent {
            return None;
        }
        // Whoever was writing there is stopped and will not come back.
        let (index, _) = self.ring().find(|(_, value)| *value == BUSY)?;
        self.cursor.store(self.after(index), Ordering::Relaxed);
        Some(index)
    }
}
