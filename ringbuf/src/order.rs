// SPDX-License-Identifier: GPL-2.0

//! Puts the slots in the order of worth when a store is opened: there is no dump yet.

use core::ops::Deref;

use super::{
    cell::{
        after,
        filled,
        number,
        CANDIDATE,
        FIRSTS,
        OPEN,
        STACK, //
    },
    sync::Ordering,
    table::{
        Slot,
        Table, //
    },
    worth::{
        Class,
        Worth, //
    }, //
};

/// What is known when all slots are noted.
#[derive(Debug, Default)]
pub(super) struct Known<'a> {
    /// The slot behind which the ring begins.
    pub(super) last: Option<usize>,
    /// The time of our newest record.
    pub(super) newest_time: Option<u64>,
    /// The dumps with which loops of crashes began.
    pub(super) firsts: &'a [u64],
    /// The latest record of other parameters, and in how many slots it lies.
    pub(super) newest_other: Option<(Worth, u64)>,
    /// The dump that is to be kept from [`Table::keep_candidate`] on; 0 if there is none.
    pub(super) candidate: u64,
}

/// In sorted entries: the slot, and what it needs to know of its worth.
const SLOT: u64 = 0xffff_ffff;
/// The next slot belongs to the same dump.
const JOINED: u64 = 1 << 32;
const IS_FIRST: u64 = 1 << 33;
const IS_CANDIDATE: u64 = 1 << 34;
const IS_NEWEST: u64 = 1 << 35;

/// What a cell holds as long as there is nothing to be found.
const EMPTY: u64 = 0;

impl<T: Deref<Target = [Slot]>> Table<T> {
    /// Notes what a slot is worth, as far as can be told from this slot alone.
    pub(super) fn note(&self, slot: usize, worth: Worth) {
        let number = u64::try_from(slot).unwrap_or(SLOT);
        self.set_entry(slot, worth, number & SLOT);
    }

    /// Notes that something else lies in a slot, too. `settled` tells what will be made of a worth.
    pub(super) fn raise(&self, slot: usize, worth: Worth, settled: impl Fn(Worth) -> Worth) {
        if slot < self.len() && settled(self.entry(slot).0) < settled(worth) {
            self.note(slot, worth);
        }
    }

    /// Puts the slots in order.
    pub(super) fn arrange(&self, known: &Known<'_>) {
        let start = known.last.map_or(0, |last| last.wrapping_add(1));
        self.settle(known, start);
        self.sort(start);
        self.count_newest(known.newest_other);
        self.join(known);
        self.build();
    }

    /// Finds out what depends on other slots.
    fn settle(&self, known: &Known<'_>, start: usize) {
        let time = known.newest_time;
        let dated = |slot| self.entry(slot).0.placed(time, None).dated();
        let mut before = (0..self.len()).rev().find_map(dated);
        let mut newest = None;
        for slot in 0..self.len() {
            let worth = self.entry(slot).0.placed(time, before);
            before = worth.dated().or(before);
            if worth.dated().is_some() {
                newest = newest.max(Some((worth, self.distance(start, slot), slot)));
            }
            self.note(slot, worth);
        }
        let newest_dump = newest.map_or(0, |(worth, ..)| worth.dump());
        let newest_slot = newest.map(|(.., slot)| slot);
        for slot in 0..self.len() {
            let worth = self.entry(slot).0;
            let worth = match newest_slot == Some(slot) {
                true => worth.moved_to(Class::Newest),
                false => worth.among(newest_dump, known.firsts),
            };
            self.note(slot, worth);
        }
    }

    /// Sorts the entries with a heap, because there is no memory, and the sort of `core` can panic.
    fn sort(&self, start: usize) {
        let len = self.len();
        for root in (0..len / 2).rev() {
            self.sift(start, root, len);
        }
        for end in (1..len).rev() {
            self.swap(0, end);
            self.sift(start, 0, end);
        }
    }

    fn sift(&self, start: usize, mut root: usize, end: usize) {
        let key = |at| {
            let (worth, slot) = self.entry(at);
            (worth, self.distance(start, slot))
        };
        loop {
            let left = root.saturating_mul(2).saturating_add(1);
            let right = left.saturating_add(1);
            if left >= end {
                break;
            }
            let child = match right < end && key(left) < key(right) {
                true => right,
                false => left,
            };
            if key(root) >= key(child) {
                break;
            }
            self.swap(root, child);
            root = child;
        }
    }

    /// Takes note of the slots in which part 1 of the newest dump lies, if that is the latest
    /// record of other parameters.
    fn count_newest(&self, newest_other: Option<(Worth, u64)>) {
        let Some((worth, slots)) = newest_other else {
            return;
        };
        let most = worth.moved_to(Class::Newest);
        let count = (0..self.len())
            .rev()
            .take_while(|at| self.entry(*at).0 == most)
            .fold(0u64, |count, _| count.wrapping_add(1));
        let slots = count.min(slots).max(1);
        self.found.newest_slots.store(slots, Ordering::Relaxed);
    }

    /// Leaves of the entries what [`Self::build`] needs, so that it can use the places of slots.
    fn join(&self, known: &Known<'_>) {
        let is_first = known.firsts.contains(&known.candidate);
        for at in 0..self.len() {
            let (worth, slot) = self.entry(at);
            let dump = worth.dump();
            let next = at.saturating_add(1);
            let mut entry = u64::try_from(slot).unwrap_or(SLOT);
            if dump != 0 && next < self.len() && self.entry(next).0.dump() == dump {
                entry |= JOINED;
            }
            let is_candidate = dump != 0 && dump == known.candidate;
            match worth.class() {
                Class::First => entry |= IS_FIRST,
                Class::Newest => {
                    entry |= IS_NEWEST;
                    // What names it does not lie in a slot. It is kept when there is a newer one.
                    if is_candidate && is_first {
                        self.keep_candidate();
                    }
                }
                _ => (),
            }
            if is_candidate && entry & IS_FIRST == 0 {
                entry |= IS_CANDIDATE;
            }
            self.set_cell(at, entry);
        }
    }

    /// Makes the queue and the stacks beside it. The cells that it fills held entries that it has
    /// read before: there are no more positions than entries.
    fn build(&self) {
        let mut position = 0usize;
        let mut first = FIRSTS;
        let mut stack = 0;
        let mut joins = false;
        let mut has_newest = false;
        for at in 0..self.len() {
            let entry = self.cell_at(at);
            let slot = usize::try_from(entry & SLOT).unwrap_or(usize::MAX);
            if !joins {
                let kept = match entry & (IS_FIRST | IS_CANDIDATE) {
                    0 => None,
                    IS_FIRST => Some(first).filter(|first| *first < CANDIDATE),
                    _ => Some(CANDIDATE),
                };
                stack = match kept {
                    Some(kept) => kept.saturating_add(self.len()),
                    None => position,
                };
                if kept.is_some() {
                    self.set_cell(stack, filled(OPEN, slot));
                }
                match kept {
                    Some(CANDIDATE) => {
                        let candidate = u64::try_from(position).unwrap_or(u64::MAX);
                        self.found.candidate.store(candidate, Ordering::Relaxed);
                        self.set_cell(position, EMPTY);
                        position = position.saturating_add(1);
                    }
                    Some(_) => first = first.saturating_add(1),
                    None => {
                        self.set_cell(position, filled(OPEN, slot));
                        position = position.saturating_add(1);
                    }
                }
            }
            joins = entry & JOINED != 0;
            let below = match joins {
                true => {
                    let next = self.cell_at(at.saturating_add(1)) & SLOT;
                    next.wrapping_add(1)
                }
                false => 0,
            };
            self.set_place(slot, stack, below);
            has_newest |= entry & IS_NEWEST != 0;
        }
        for at in position..self.len() {
            self.set_cell(at, EMPTY);
        }
        let last = number(position).wrapping_sub(2);
        let tail = match position {
            0 => 0,
            _ => after(last, self.last_index()),
        };
        self.tail.store(tail, Ordering::Relaxed);
        match has_newest {
            true => self.found.newest.store(last, Ordering::Relaxed),
            false => self.found.unprotected.store(tail, Ordering::Relaxed),
        }
    }

    /// How far a slot is from the start of the ring.
    fn distance(&self, start: usize, slot: usize) -> usize {
        match slot.checked_sub(start) {
            Some(distance) => distance,
            None => slot.wrapping_add(self.len()).wrapping_sub(start),
        }
    }

    fn entry(&self, at: usize) -> (Worth, usize) {
        let Some(slot) = self.slots.get(at) else {
            return (Worth::NOTHING, at);
        };
        let age = slot.cell.load(Ordering::Relaxed);
        let place = slot.place.load(Ordering::Relaxed);
        let rest = u32::try_from(place >> STACK).unwrap_or(0);
        let number = usize::try_from(place & SLOT).unwrap_or(usize::MAX);
        (Worth::unpack(age, rest), number)
    }

    fn set_entry(&self, at: usize, worth: Worth, number: u64) {
        if let Some(slot) = self.slots.get(at) {
            let (age, rest) = worth.pack();
            slot.cell.store(age, Ordering::Relaxed);
            let place = (u64::from(rest) << STACK) | number;
            slot.place.store(place, Ordering::Relaxed);
        }
    }

    fn swap(&self, a: usize, b: usize) {
        if let (Some(a), Some(b)) = (self.slots.get(a), self.slots.get(b)) {
            for (a, b) in [(&a.cell, &b.cell), (&a.place, &b.place)] {
                let value = a.load(Ordering::Relaxed);
                a.store(b.load(Ordering::Relaxed), Ordering::Relaxed);
                b.store(value, Ordering::Relaxed);
            }
        }
    }

    fn cell_at(&self, at: usize) -> u64 {
        self.slots
            .get(at)
            .map_or(EMPTY, |slot| slot.cell.load(Ordering::Relaxed))
    }

    fn set_cell(&self, at: usize, value: u64) {
        if let Some(slot) = self.slots.get(at) {
            slot.cell.store(value, Ordering::Relaxed);
        }
    }
}
