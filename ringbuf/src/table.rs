// SPDX-License-Identifier: GPL-2.0

//! The slot table: which slot a record takes. It knows neither the region nor what is in it.
//!
//! # Structure
//!
//! The dumps stand in a queue, by age. Each position of it has a stack of slots: part 1 of the dump
//! is at the bottom, and the part with the oldest text, which is the first to go, on top. A slot
//! without a record has a position of its own. There are as many cells as there are slots, and each
//! serves one position of each round. Choosing a slot is a look at the head of the queue, however
//! long that is. What stands out has a stack beside the queue, with a cell behind those: see
//! [`OVERTAKEN`] and those after it.
//!
//! # A CPU may stop for ever anywhere
//!
//! A slot is taken by one change of one cell, and put back by one. In between it is in no stack and
//! belongs to its owner alone; if that one stops, a panic knows the slot by its absence. A position
//! is filled by one change, too, so that there is none that was allotted and is still empty. Head
//! and tail only follow the cells, and whoever finds them late moves them on. Nobody waits: who has
//! to try again has to because another CPU has taken or stored a record in the meantime.
//!
//! # Memory ordering
//!
//! - Cells are loaded with Acquire and changed with AcqRel. So all that the owner of a slot did,
//!   above all to the bytes of its record, happens before the next owner has it. All changes are
//!   read-modify-writes, which continue each other's release sequences: who takes the second slot
//!   of a stack sees what was done before it was put there.
//! - `place` of a slot is written by its owner only, before the change of the cell that publishes
//!   it: Relaxed. Who reads it when the slot has another owner already fails to change the cell.
//! - The tail is moved after its cell was filled, with Release: who sees the new one, with Acquire,
//!   sees a filled cell. Who sees an old one protects more than it has to.
//! - The head is moved after its cell was made ready for the next round. Who sees an old one is
//!   told by the phase in the cell. AcqRel and Acquire, as with the tail.
//! - `keeps_candidate` says nothing about anything else, and what was found when the table was
//!   arranged does not change while it is in use: Relaxed.

use core::{
    cmp,
    ops::Deref, //
};

use super::{
    cell::{
        after,
        cell_of,
        empty,
        filled,
        number,
        progress,
        ready,
        top,
        with_top,
        Choice,
        Look,
        CANDIDATE,
        KEPT,
        OPEN,
        OVERTAKEN,
        ROUND,
        STACK,
        TOP, //
    },
    sync::{
        AtomicBool,
        AtomicU64,
        Ordering, //
    }, //
};

/// An entry of the table: the cell of a stack, and the place of a slot. The two have nothing to do
/// with each other. Until the table is arranged they hold what was noted of the slots.
#[derive(Debug, Default)]
pub struct Slot {
    /// See [`with_top`].
    pub(super) cell: AtomicU64,
    /// The number plus 1 of the slot below it, or 0, and from [`STACK`] on which cell its stack
    /// has. What it says counts while the slot is in a stack.
    pub(super) place: AtomicU64,
}

/// Returns how many entries the table of so many slots has.
pub fn table_len(slots: usize) -> usize {
    slots.saturating_add(KEPT)
}

/// No position.
const NOWHERE: u64 = u64::MAX;

/// What an arranged table begins with.
#[derive(Debug)]
pub(super) struct Landmarks {
    /// The tail as long as there is no newest dump.
    pub(super) unprotected: AtomicU64,
    /// The position of the candidate.
    pub(super) candidate: AtomicU64,
    /// The position of the newest dump, and how many slots hold its part 1: with other parameters
    /// than ours it may lie in several.
    pub(super) newest: AtomicU64,
    pub(super) newest_slots: AtomicU64,
}

/// The table. `T` is its storage, which belongs to the caller.
///
/// # Invariants
///
/// Each slot is in one stack or has an owner. No position from the head to the tail is drained, but
/// for the one at the head: what a queue of so many slots has is never as long as a round.
#[derive(Debug)]
pub(super) struct Table<T> {
    /// An entry for each slot, and then for each stack beside the queue, of which only the cell
    /// counts.
    pub(super) slots: T,
    /// The first position that may have something.
    pub(super) head: AtomicU64,
    /// The position that the next dump gets.
    pub(super) tail: AtomicU64,
    /// What was found when the table was arranged.
    pub(super) found: Landmarks,
    keeps_candidate: AtomicBool,
}

impl<T: Deref<Target = [Slot]>> Table<T> {
    /// Makes one, to be filled by [`Table::note`] and [`Table::arrange`].
    pub(super) fn new(slots: T) -> Self {
        let table = Self {
            slots,
            head: AtomicU64::new(0),
            tail: AtomicU64::new(0),
            found: Landmarks {
                unprotected: AtomicU64::new(NOWHERE),
                candidate: AtomicU64::new(NOWHERE),
                newest: AtomicU64::new(NOWHERE),
                newest_slots: AtomicU64::new(1),
            },
            keeps_candidate: AtomicBool::new(false),
        };
        table.reset();
        table
    }

    /// Makes it as it was when it was made. The slots are still to be noted.
    pub(super) fn reset(&self) {
        for beside in self.slots.iter().skip(self.len()) {
            beside.cell.store(empty(OPEN), Ordering::Relaxed);
        }
        self.head.store(0, Ordering::Relaxed);
        self.tail.store(0, Ordering::Relaxed);
        let found = &self.found;
        for position in [&found.unprotected, &found.candidate, &found.newest] {
            position.store(NOWHERE, Ordering::Relaxed);
        }
        found.newest_slots.store(1, Ordering::Relaxed);
        self.keeps_candidate.store(false, Ordering::Relaxed);
    }

    /// Returns the number of slots.
    pub(super) fn len(&self) -> usize {
        self.slots.len().saturating_sub(KEPT)
    }

    /// Keeps the candidate as the first dump of a loop from now on.
    pub(super) fn keep_candidate(&self) {
        self.keeps_candidate.store(true, Ordering::Relaxed);
    }

    pub(super) fn keeps_candidate(&self) -> bool {
        self.keeps_candidate.load(Ordering::Relaxed)
    }

    /// Looks at a position.
    pub(super) fn look(&self, position: u64) -> Option<Look> {
        let (index, phase) = cell_of(position);
        let cell = self.cell(index)?.load(Ordering::Acquire);
        let is_candidate = self.is_candidate(position);
        Some(match progress(cell, phase) {
            cmp::Ordering::Greater => Look::Passed,
            cmp::Ordering::Less if !is_candidate => Look::Ahead,
            _ => {
                let choice = match is_candidate {
                    true if self.keeps_candidate() => None,
                    true => self.top_beside(CANDIDATE),
                    false => top(index, cell),
                };
                choice.map_or(Look::Drained(index, cell), Look::Filled)
            }
        })
    }

    pub(super) fn top_beside(&self, kept: usize) -> Option<Choice> {
        let index = self.len().checked_add(kept)?;
        top(index, self.cell(index)?.load(Ordering::Acquire))
    }

    pub(super) fn is_candidate(&self, position: u64) -> bool {
        position == self.found.candidate.load(Ordering::Relaxed)
    }

    /// Takes a slot off its stack.
    pub(super) fn take(&self, choice: &Choice) -> bool {
        self.below(choice.slot).is_some_and(|below| {
            self.change(choice.index, choice.cell, with_top(choice.cell, below))
                .is_ok()
        })
    }

    /// Puts a slot onto a stack, if that has still this phase.
    pub(super) fn push(&self, index: usize, phase: u64, slot: usize) -> bool {
        let Some(cell) = self.cell(index) else {
            return false;
        };
        let mut cell = cell.load(Ordering::Acquire);
        while progress(cell, phase).is_eq() {
            self.set_place(slot, index, cell & TOP);
            match self.change(index, cell, with_top(cell, number(slot))) {
                Ok(_) => return true,
                Err(now) => cell = now,
            }
        }
        false
    }

    pub(super) fn push_beside(&self, kept: usize, slot: usize) {
        self.push(self.len().saturating_add(kept), OPEN, slot);
    }

    /// Gives the slot of a new dump the next position.
    pub(super) fn append(&self, slot: usize) -> Option<u64> {
        let mut tail = self.tail.load(Ordering::Acquire);
        loop {
            let (index, phase) = cell_of(tail);
            // A change that changes nothing, because a load may see an old value.
            let cell = self.cell(index)?.fetch_or(0, Ordering::AcqRel);
            let waits = phase.wrapping_sub(1);
            match progress(cell, waits) {
                cmp::Ordering::Equal => {
                    self.set_place(slot, index, 0);
                    if self.change(index, cell, filled(phase, slot)).is_ok() {
                        let _ = self.move_on(&self.tail, tail);
                        return Some(tail);
                    }
                }
                // Somebody has filled it, but the tail is late.
                cmp::Ordering::Greater => {
                    tail = match self.move_on(&self.tail, tail) {
                        Ok(_) => after(tail, self.last_index()),
                        Err(now) => now,
                    }
                }
                // The head is late.
                cmp::Ordering::Less => match self.look(tail.wrapping_sub(ROUND))? {
                    Look::Drained(index, cell) => {
                        let _ = self.change(index, cell, ready(cell));
                    }
                    Look::Passed => (),
                    // See the invariants. But rather this than a loop.
                    Look::Filled(_) | Look::Ahead => {
                        self.push_beside(OVERTAKEN, slot);
                        return None;
                    }
                },
            }
        }
    }

    /// Whether a slot is in the stack where its place is.
    pub(super) fn is_stacked(&self, slot: usize) -> bool {
        let find = || {
            let place = self.slots.get(slot)?.place.load(Ordering::Relaxed);
            let index = usize::try_from(place >> STACK).ok()?;
            let mut choice = top(index, self.cell(index)?.load(Ordering::Acquire))?;
            // No stack is longer, whatever happened to it.
            for _ in 0..self.len() {
                if choice.slot == slot {
                    return Some(());
                }
                choice = top(index, self.below(choice.slot)?)?;
            }
            None
        };
        find().is_some()
    }

    /// Returns the number plus 1 of the slot below another one; 0 if that is the last one.
    pub(super) fn below(&self, slot: usize) -> Option<u64> {
        Some(self.slots.get(slot)?.place.load(Ordering::Relaxed) & TOP)
    }

    pub(super) fn set_place(&self, slot: usize, index: usize, below: u64) {
        if let (Some(slot), Ok(index)) = (self.slots.get(slot), u64::try_from(index)) {
            slot.place
                .store((index << STACK) | below, Ordering::Relaxed);
        }
    }

    fn cell(&self, index: usize) -> Option<&AtomicU64> {
        Some(&self.slots.get(index)?.cell)
    }

    pub(super) fn change(&self, index: usize, from: u64, to: u64) -> Result<u64, u64> {
        self.cell(index).ok_or(from)?.compare_exchange(
            from,
            to,
            Ordering::AcqRel,
            Ordering::Acquire,
        )
    }

    /// Moves head or tail to the next position.
    pub(super) fn move_on(&self, end: &AtomicU64, from: u64) -> Result<u64, u64> {
        end.compare_exchange(
            from,
            after(from, self.last_index()),
            Ordering::AcqRel,
            Ordering::Acquire,
        )
    }

    pub(super) fn last_index(&self) -> u64 {
        number(self.len()).wrapping_sub(2)
    }
}
