// SPDX-License-Identifier: GPL-2.0

//! What must be in each slot.

use crate::common::DEFAULT;

/// What is in a slot.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Cell {
    pub(super) record: Option<Record>,
    /// A whole seal is there, though perhaps of a record that is gone.
    pub(super) seal: Option<Sealed>,
    /// Whether it is gone because it was damaged.
    pub(super) damaged: bool,
    /// There is a trace of a seal.
    pub(super) broken: bool,
    pub(super) sig_spoilt: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sealed {
    pub(super) seq: u64,
    pub(super) dump: u64,
    pub(super) part: u32,
    pub(super) loop_start: u64,
    pub(super) boot: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Record {
    Sealed(Vec<u8>),
    Foreign { secs: u64, payload: Vec<u8> },
}

/// What a slot is worth: the class, the age, and within a dump the part. Among those that are alike the
/// first one in the ring is worth least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Known {
    pub(super) class: Class,
    pub(super) age: u64,
    pub(super) part: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    Free,
    Undated,
    Foreign,
    Ours,
    /// Stored since the store was opened.
    New,
    /// A loop began with it.
    First,
    Newest,
}

pub(super) const FREE: Known = Known {
    class: Class::Free,
    age: 0,
    part: 0,
};

/// In place of a part, for a record that is just younger than another one.
pub(super) const BEHIND: u32 = u32::MAX;

/// When a record says that it was written whose seal is lost: see `INFO`.
pub(super) const OUR_SECS: u64 = 1_700_000_000;

/// The newest dump when the store was opened.
#[derive(Clone)]
pub(super) struct Previous {
    pub(super) boot: u64,
    pub(super) loop_start: u64,
}

pub(super) struct Model {
    pub(super) cells: Vec<Cell>,
    pub(super) known: Vec<Known>,
    /// The slot with the newest record.
    pub(super) newest: Option<usize>,
    /// Where the ring begins.
    pub(super) start: usize,
    pub(super) seq: u64,
    pub(super) previous: Option<Previous>,
    /// The number of this boot, and the age of the machine.
    pub(super) boot: u64,
    pub(super) boottime_ns: u64,
}

impl Model {
    /// What a scan finds.
    pub(super) fn reopen(&mut self) {
        let slots = self.cells.len();
        let known = |class, age, part| Known { class, age, part };
        let is_ours = |cell: &Cell| matches!(cell.record, Some(Record::Sealed(_))) || cell.damaged;
        let has_ours = self.cells.iter().any(is_ours);
        let dated = |slot: usize| match &self.cells[slot] {
            cell if is_ours(cell) => {
                let seal = cell.seal.unwrap();
                Some(known(Class::Ours, seal.dump, u32::MAX - seal.part))
            }
            Cell {
                record: Some(Record::Foreign { secs, .. }),
                ..
            } if *secs != OUR_SECS || !has_ours => Some(known(Class::Foreign, *secs, 0)),
            _ => None,
        };
        let mut before = (0..slots).rev().find_map(dated);
        let worth = |slot: usize| {
            let cell = &self.cells[slot];
            before = dated(slot).or(before);
            match (dated(slot), before) {
                (Some(worth), _) => worth,
                (None, _) if cell.record.is_none() && (!cell.broken || cell.seal.is_some()) => FREE,
                (None, Some(before)) => Known {
                    part: BEHIND,
                    ..before
                },
                (None, None) => known(Class::Undated, 0, 0),
            }
        };
        self.known = (0..slots).map(worth).collect();

        let secs = |slot: &usize| match self.cells[*slot].record {
            Some(Record::Foreign { secs, .. }) => Some((secs, usize::MAX - slot)),
            _ => None,
        };
        let seq = |slot: &usize| self.cells[*slot].seal.map(|seal| seal.seq);
        let last = (0..slots)
            .filter(|slot| seq(slot).is_some())
            .max_by_key(seq);
        let foreign = (0..slots)
            .filter(|slot| secs(slot).is_some())
            .max_by_key(secs);
        self.start = last.or(foreign).map_or(0, |slot| (slot + 1) % slots);
        self.newest = (0..slots)
            .map(|i| (self.start + i) % slots)
            .filter(|slot| dated(*slot).is_some())
            .max_by_key(|slot| self.known[*slot]);
        // The newest dump tells its age itself: what would be just younger goes before it.
        if let Some(slot) = self.newest {
            let newest = self.known[slot];
            self.known[slot].part = newest.part.max(2);
            for known in &mut self.known {
                if (known.class, known.age, known.part) == (newest.class, newest.age, BEHIND) {
                    known.part = 1;
                }
            }
        }
        self.seq = last.and_then(|slot| seq(&slot)).unwrap_or(0) + 1;

        // Deleting the newest one ends a loop.
        let last = last.map(|slot| &self.cells[slot]);
        self.previous = last.filter(|cell| is_ours(cell)).map(|cell| {
            let seal = cell.seal.unwrap();
            let loop_start = match seal.loop_start {
                0 => seal.dump,
                start => start,
            };
            Previous {
                boot: seal.boot,
                loop_start,
            }
        });
        for slot in 0..slots {
            if let (true, Some(seal)) = (is_ours(&self.cells[slot]), self.cells[slot].seal) {
                self.mark(seal.loop_start);
            }
        }
    }

    /// A loop began with the dump `start`.
    pub(super) fn mark(&mut self, start: u64) {
        for known in &mut self.known {
            if (known.class, known.age) == (Class::Ours, start)
                && known.part > 1
                && known.part != BEHIND
            {
                known.class = Class::First;
            }
        }
    }

    /// The loop that a dump continues.
    pub(super) fn loop_start(&self) -> u64 {
        match &self.previous {
            Some(previous) if previous.boot != self.boot && self.boottime_ns < DEFAULT.loop_ns => {
                previous.loop_start
            }
            _ => 0,
        }
    }

    /// Which slot the next part goes to.
    pub(super) fn choose(&self, used: &[usize], newest: Option<usize>) -> Option<usize> {
        let slots = self.cells.len();
        let ring = (0..slots).map(|i| (self.start + i) % slots);
        let single = slots == 1 && used.is_empty();
        let allowed = |slot: &usize| single || (!used.contains(slot) && newest != Some(*slot));
        let newest = newest.map(|slot| self.known[slot]);
        let worth = |slot: &usize| {
            let known = self.known[*slot];
            let is_newest = |newest: Known| {
                known.part > 1
                    && known.part != BEHIND
                    && known.class >= Class::Ours
                    && (known.class, known.age) == (newest.class, newest.age)
            };
            match newest.is_some_and(is_newest) {
                true => Known {
                    class: Class::Newest,
                    ..known
                },
                false => known,
            }
        };
        // The first of those that are equal.
        ring.filter(allowed).min_by_key(worth)
    }
}
