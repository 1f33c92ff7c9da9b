// SPDX-License-Identifier: GPL-2.0

//! What a dump does with the slot table: it takes the slot that is worth least, and puts it back
//! with a record.

use core::ops::Deref;

use super::{
    cell::{
        before,
        cell_of,
        ready,
        slot_of,
        Choice,
        Look,
        CANDIDATE,
        OVERTAKEN,
        REFUSED, //
    },
    sync::Ordering,
    table::{
        Slot,
        Table, //
    }, //
};

/// What the table knows of a dump in progress.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    /// It takes nothing from here on, where the newest dump was when it began, but for older parts
    /// of that one.
    limit: u64,
    /// Whether there was one.
    has_newest: bool,
    /// Its position, when its first part is complete.
    own: Option<u64>,
}

impl<T: Deref<Target = [Slot]>> Table<T> {
    /// Begins a dump.
    pub(super) fn begin(&self) -> Turn {
        let tail = self.tail.load(Ordering::Acquire);
        let has_newest = tail != self.found.unprotected.load(Ordering::Relaxed);
        let limit = match has_newest {
            true => before(tail, self.last_index()),
            false => tail,
        };
        Turn {
            limit,
            has_newest,
            own: None,
        }
    }

    /// Returns the slot that a new dump would take now.
    pub(super) fn next(&self) -> Option<usize> {
        Some(self.choose(&self.begin())?.slot)
    }

    /// Takes a slot for the next part of a dump. An urgent dump may take one whose owner has not
    /// put it back, if there is no other: it is stopped and will not come back.
    pub(super) fn claim(&self, turn: &Turn, urgent: bool) -> Option<usize> {
        // What is left of a dump that is overwritten already is not worth a slot.
        if turn
            .own
            .is_some_and(|own| matches!(self.look(own), Some(Look::Passed)))
        {
            return None;
        }
        while let Some(choice) = self.choose(turn) {
            if self.take(&choice) {
                return Some(choice.slot);
            }
        }
        (0..self.len()).find(|slot| urgent && !self.is_stacked(*slot))
    }

    /// Puts a slot back, with the next part of the dump, which is complete.
    pub(super) fn publish(&self, turn: &mut Turn, slot: usize) {
        match turn.own {
            None => turn.own = self.append(slot),
            Some(own) => {
                let (index, phase) = cell_of(own);
                if !self.push(index, phase, slot) {
                    self.push_beside(OVERTAKEN, slot);
                }
            }
        }
    }

    /// Puts a slot back, without a record.
    pub(super) fn refuse(&self, slot: usize) {
        self.push_beside(REFUSED, slot);
    }

    /// Finds the slot that is worth least and may be taken.
    pub(super) fn choose(&self, turn: &Turn) -> Option<Choice> {
        if let Some(choice) = self.top_beside(OVERTAKEN) {
            return Some(choice);
        }
        loop {
            let head = self.head.load(Ordering::Acquire);
            if head >= turn.limit {
                break;
            }
            match self.look(head)? {
                Look::Filled(choice) => return Some(choice),
                // If it fails, another look tells.
                Look::Drained(index, cell) => {
                    let _ = self.change(index, cell, ready(cell));
                }
                Look::Passed => {
                    let _ = self.move_on(&self.head, head);
                }
                Look::Ahead => break,
            }
        }
        if let Some(choice) = (REFUSED..CANDIDATE).find_map(|kept| self.top_beside(kept)) {
            return Some(choice);
        }
        let candidate = self.top_beside(CANDIDATE);
        let choice = match (candidate, self.look(turn.limit)?) {
            (Some(candidate), _) if self.is_candidate(turn.limit) => candidate,
            (Some(candidate), _) if self.keeps_candidate() => return Some(candidate),
            (_, Look::Filled(choice)) => choice,
            _ => return None,
        };
        let spared = self.spared(turn);
        // A store would store nothing if it kept a record that takes all of it.
        let takes_all = spared >= self.len() && turn.own.is_none();
        let is_part = turn.has_newest && self.has_below(choice.slot, spared);
        (takes_all || is_part).then_some(choice)
    }

    /// Returns in how many slots part 1 of the newest dump lies.
    fn spared(&self, turn: &Turn) -> usize {
        let found = &self.found;
        match found.newest.load(Ordering::Relaxed) == turn.limit {
            true => usize::try_from(found.newest_slots.load(Ordering::Relaxed)).unwrap_or(1),
            false => 1,
        }
    }

    /// Whether there are so many slots below another one.
    fn has_below(&self, mut slot: usize, count: usize) -> bool {
        for _ in 0..count {
            match self.below(slot).and_then(slot_of) {
                Some(below) => slot = below,
                None => return false,
            }
        }
        true
    }
}
