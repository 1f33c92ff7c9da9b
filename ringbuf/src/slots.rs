// SPDX-License-Identifier: GPL-2.0

//! Which slot is next: a sorted list and one counter.
//!
//! When a store is opened, the slots are sorted by rank. At most two are kept out of the list for
//! this boot: part 1 of the newest crash, and part 1 of the first crash of its loop. Claims are
//! counted, and the count is a position in the list. The first quarter of the list is used once,
//! the rest goes round: of a storm of crashes the first ones, which tell the cause, and the newest
//! ones stay, and those in between are overwritten. A slot comes again a round later, or never.
//!
//! # Who may call
//!
//! At most one ordinary dump and one of a panic are under way, and after a panic nothing else
//! follows. [`Slots::free`] is called while no ordinary dump is under way.
//!
//! # Progress when a CPU is stopped
//!
//! A claim is one compare-and-exchange. Whoever has to try again has to because another CPU has
//! claimed a position meanwhile. A CPU that stops in the middle of a record keeps that slot: the
//! limits keep a panic off it.
//!
//! # Memory ordering
//!
//! - `next` is changed with AcqRel: whoever claims a slot sees what was done before the claims before
//!   it.
//! - `newest` is changed with Release, when the record of part 1 is complete, and read with Acquire.
//! - The entries of the list are written with Release and read with Acquire: whoever sees a step of
//!   [`Slots::free`] sees those before it.

use core::{
    ops::Deref,
    sync::atomic::{
        AtomicU32,
        AtomicU64,
        Ordering, //
    }, //
};

use super::rank::Ranked;

/// With so many slots, the newest crash and the first of its loop are kept out of the list.
const KEEP_BOTH: usize = 5;
/// With so many slots, one of the two is.
const KEEP_ONE: usize = 4;

/// The slots, in the order in which they are reused. `T` is the storage of the list, with one entry
/// for each slot, which belongs to the caller.
///
/// # Invariants
///
/// `order` has each slot once, but for the time that [`Slots::free`] takes. `len` is not 0 and not
/// more than its length.
#[derive(Debug)]
pub(super) struct Slots<T> {
    /// The list, and behind it the slots that are kept out of it.
    order: T,
    /// Length of the list.
    len: u64,
    /// Number of claims so far: the position of the next one.
    next: AtomicU64,
    /// Position after that of part 1 of the last complete crash; 0 if there was none.
    newest: AtomicU64,
}

/// A claim of a slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    pub(super) slot: usize,
    position: u64,
}

impl<T: Deref<Target = [AtomicU32]>> Slots<T> {
    /// Fills the list from slots that are sorted by rank. `loop_start` is the number of the first
    /// crash of the loop that the newest crash belongs to.
    pub(super) fn new(order: T, ranked: &[Ranked], loop_start: Option<u64>) -> Self {
        let newest = ranked.last().filter(|entry| entry.rank.has_age());
        let first = loop_start.and_then(|start| {
            let is_first = |entry: &&Ranked| entry.rank.crash() == Some(start);
            ranked.iter().rev().find(is_first)
        });
        let kept = match ranked.len() {
            KEEP_BOTH.. => [first, newest],
            KEEP_ONE => [first.or(newest), None],
            _ => [None; 2],
        };
        let is_kept = |entry: &&Ranked| kept.contains(&Some(*entry));
        let listed = ranked.iter().filter(|entry| !is_kept(entry));
        let mut len = 0u64;
        for (place, entry) in order.iter().zip(listed) {
            place.store(entry.slot, Ordering::Relaxed);
            len = len.saturating_add(1);
        }
        let behind = order.iter().rev().zip(ranked.iter().filter(is_kept));
        for (place, entry) in behind {
            place.store(entry.slot, Ordering::Relaxed);
        }
        // INVARIANT: At most one of four slots is kept, and two of five or more.
        Self {
            order,
            len,
            next: AtomicU64::new(0),
            newest: AtomicU64::new(0),
        }
    }

    /// Length of the first quarter of the list, which is used once.
    fn once(&self) -> u64 {
        self.len / 4
    }

    /// Length of the rest of the list, which goes round.
    fn round(&self) -> u64 {
        self.len.saturating_sub(self.once())
    }

    /// Returns the entry of the list for a position.
    fn entry(&self, position: u64) -> Option<&AtomicU32> {
        let index = match position.checked_sub(self.once()) {
            None => position,
            Some(beyond) => self
                .once()
                .saturating_add(beyond.checked_rem(self.round())?),
        };
        self.order.get(usize::try_from(index).ok()?)
    }

    fn slot_at(&self, position: u64) -> Option<usize> {
        usize::try_from(self.entry(position)?.load(Ordering::Acquire)).ok()
    }

    /// Returns the slot that the next claim takes.
    pub(super) fn next(&self) -> Option<usize> {
        self.slot_at(self.next.load(Ordering::Acquire))
    }

    /// Returns how many parts a crash may have at most: that of a panic, or another one.
    pub(super) fn parts_max(&self, is_panic: bool) -> u64 {
        let spared = if is_panic { 1 } else { 2 };
        self.round().saturating_sub(spared).max(1)
    }

    /// Returns the position from which on a dump that begins now may claim nothing.
    ///
    /// Up to there it reaches neither part 1 of the crash before it nor its own part 1. A panic may
    /// take one more, so that one which stops another dump in its part 1 finds a slot for itself.
    pub(super) fn limit(&self, is_panic: bool) -> u64 {
        let spared = if is_panic { 1 } else { 2 };
        let newest = self.newest.load(Ordering::Acquire);
        newest.saturating_add(self.round().saturating_sub(spared))
    }

    /// Claims a slot for the next part of a dump. Part 1 has no limit.
    pub(super) fn claim(&self, limit: Option<u64>) -> Option<Claim> {
        let mut is_repeated = false;
        loop {
            let position = self.next.load(Ordering::Acquire);
            if limit.is_some_and(|limit| position >= limit) {
                return None;
            }
            let claimed = self.next.compare_exchange(
                position,
                position.saturating_add(1),
                Ordering::AcqRel,
                Ordering::Relaxed,
            );
            if claimed.is_err() {
                continue;
            }
            let slot = self.slot_at(position)?;
            // A panic has interrupted `free`, which has this slot twice in the list at this moment.
            let before = position
                .checked_sub(1)
                .and_then(|before| self.slot_at(before));
            if before == Some(slot) && self.round() > 1 && !is_repeated {
                is_repeated = true;
                continue;
            }
            return Some(Claim { slot, position });
        }
    }

    /// Says that part 1 of a crash is complete.
    pub(super) fn complete(&self, part_1: Claim) {
        let newest = part_1.position.saturating_add(1);
        self.newest.fetch_max(newest, Ordering::Release);
    }

    /// Has the next claim take `slot`, whose record was deleted. What would have come before it comes
    /// one claim later. A slot that is kept out of the list remains so.
    pub(super) fn free(&self, slot: usize) {
        let next = self.next.load(Ordering::Acquire);
        let end = next.max(self.once()).saturating_add(self.round());
        let holds_slot = |position: &u64| self.slot_at(*position) == Some(slot);
        let Some(position) = (next..end).chain(0..self.once()).find(holds_slot) else {
            return;
        };
        // From the back: at each step one slot is there twice, side by side.
        let (Some(mut hole), Ok(number)) = (self.entry(position), u32::try_from(slot)) else {
            return;
        };
        let moved = next..if position < next { end } else { position };
        for place in moved.rev().filter_map(|position| self.entry(position)) {
            hole.store(place.load(Ordering::Relaxed), Ordering::Release);
            hole = place;
        }
        hole.store(number, Ordering::Release);
    }
}
