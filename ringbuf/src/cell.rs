// SPDX-License-Identifier: GPL-2.0

//! The values in the slot table.
//!
//! A cell has the stack of one position of the queue: the slot on top, a count of changes, and a
//! phase. A position is the index of its cell and, from [`ROUND`] on, a round. It only grows.

use core::cmp::Ordering;

/// The number plus 1 of the slot on top of a stack, or below another one; 0 if there is none.
pub(super) const TOP: u64 = 0xffff_ffff;
/// Counts the changes of a stack, so that it is never taken for what it was before.
const CHANGE: u64 = 1 << 32;
const CHANGES: u64 = 0xffff * CHANGE;
/// The phase of a cell: the position of round `n` is filled by the step from 2n to 2n + 1, and the
/// one to 2n + 2 makes the cell ready for the next round.
const PHASE: u32 = 48;
/// The phase of the stacks beside the queue.
pub(super) const OPEN: u64 = 1;
/// Of a slot's `place`: which cell its stack has.
pub(super) const STACK: u32 = 32;
/// The same position of the next round is so far away.
pub(super) const ROUND: u64 = 1 << 32;

// The stacks beside the queue.

/// Parts of a dump whose part 1 was overwritten before they were complete: older than the queue.
pub(super) const OVERTAKEN: usize = 0;
/// Slots where the memory refused a write: there is no record, but another slot is the better
/// choice.
pub(super) const REFUSED: usize = 1;
/// Dumps with which loops of crashes began, oldest first.
pub(super) const FIRSTS: usize = 2;
/// How many of them there may be.
pub(super) const FIRSTS_MAX: usize = 16;
/// The dump that `Table::keep_candidate` is about. It also has a position in the queue, with a cell
/// that stays empty.
pub(super) const CANDIDATE: usize = FIRSTS + FIRSTS_MAX;
/// How many stacks there are.
pub(super) const KEPT: usize = CANDIDATE + 1;

/// Makes a cell with one position filled.
pub(super) fn filled(phase: u64, slot: usize) -> u64 {
    empty(phase) | number(slot)
}

/// Makes a cell without a slot.
pub(super) const fn empty(phase: u64) -> u64 {
    phase << PHASE
}

/// The number of a slot plus 1.
pub(super) fn number(slot: usize) -> u64 {
    u64::try_from(slot).map_or(0, |slot| slot.wrapping_add(1) & TOP)
}

/// A cell whose stack has another top.
pub(super) fn with_top(cell: u64, top: u64) -> u64 {
    (cell & !(CHANGES | TOP)) | (cell.wrapping_add(CHANGE) & CHANGES) | (top & TOP)
}

/// A cell that waits for the next round.
pub(super) fn ready(cell: u64) -> u64 {
    ((cell >> PHASE) | 1).wrapping_add(1) << PHASE
}

/// Compares the phase of a cell.
pub(super) fn progress(cell: u64, phase: u64) -> Ordering {
    match (cell >> PHASE).wrapping_sub(phase) & 0xffff {
        0 => Ordering::Equal,
        1..0x8000 => Ordering::Greater,
        _ => Ordering::Less,
    }
}

/// Returns which cell a position has, and in which phase.
pub(super) fn cell_of(position: u64) -> (usize, u64) {
    let index = usize::try_from(position % ROUND).unwrap_or(usize::MAX);
    (index, ((position / ROUND) << 1) | OPEN)
}

/// The position after another one. `last` is the last index.
pub(super) fn after(position: u64, last: u64) -> u64 {
    match position % ROUND < last {
        true => position.wrapping_add(1),
        false => (position / ROUND).wrapping_add(1).wrapping_mul(ROUND),
    }
}

/// The position before another one.
pub(super) fn before(position: u64, last: u64) -> u64 {
    match position % ROUND {
        0 => position.wrapping_sub(ROUND).wrapping_add(last),
        _ => position.wrapping_sub(1),
    }
}

/// The slot on top of a stack.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) slot: usize,
    /// Which cell it is, and its value.
    pub(super) index: usize,
    pub(super) cell: u64,
}

/// What there is at a position of the queue.
pub(super) enum Look {
    Filled(Choice),
    /// Nothing any more. Which cell it is, and its value.
    Drained(usize, u64),
    /// The cell is ready for the next round, or serves it already.
    Passed,
    /// Nothing yet.
    Ahead,
}

/// Returns what is on top of a stack.
pub(super) fn top(index: usize, cell: u64) -> Option<Choice> {
    let slot = slot_of(cell & TOP)?;
    Some(Choice { slot, index, cell })
}

/// The slot of a number plus 1.
pub(super) fn slot_of(number: u64) -> Option<usize> {
    usize::try_from(number.checked_sub(1)?).ok()
}
