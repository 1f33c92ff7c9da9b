// SPDX-License-Identifier: GPL-2.0

//! The slot table of ringbuf under loom: every interleaving of a few threads, and every old value
//! that a load may see by the rules of the memory model.
//!
//! `LOOM_MAX_PREEMPTIONS` sets how often a thread is interrupted where it need not be (default: 2).

#![cfg(test)]

#[path = "../../../ringbuf/src/cell.rs"]
mod cell;
#[path = "../../../ringbuf/src/current.rs"]
mod current;
#[path = "../../../ringbuf/src/order.rs"]
#[allow(dead_code, reason = "here are records of ours only")]
mod order;
#[path = "../../../ringbuf/src/sync.rs"]
mod sync;
#[path = "../../../ringbuf/src/table.rs"]
#[allow(dead_code, reason = "here it is arranged once")]
mod table;
#[path = "../../../ringbuf/src/turn.rs"]
mod turn;
#[path = "../../../ringbuf/src/worth.rs"]
#[allow(dead_code, reason = "here are records of ours only")]
mod worth;

mod rescan;

use std::{
    collections::HashSet,
    mem,
    sync::{
        Arc,
        Mutex, //
    }, //
};

use loom::{
    sync::atomic::{
        AtomicU64,
        Ordering::Relaxed, //
    },
    thread, //
};
use order::Known;
use table::{
    table_len,
    Slot,
    Table, //
};
use turn::Turn;
use worth::Worth;

/// How often a thread is interrupted, if the environment does not say.
const PREEMPTIONS: usize = 2;

/// The dumps of this boot have numbers from here on.
const OURS: u64 = 10;

/// A table, and the region that it stands for.
struct Model {
    table: Table<Vec<Slot>>,
    /// The bytes of each slot. Between the CPUs there is nothing but the table: whoever owns a slot
    /// must see what the last owner wrote, and nothing older.
    region: Vec<AtomicU64>,
    /// What an onlooker knows, who sees everything at once.
    truth: Mutex<Truth>,
}

#[derive(Default)]
struct Truth {
    now: u64,
    /// For each slot: the dump that writes there.
    writers: Vec<Option<u64>>,
    /// For each slot: what the last owner wrote.
    bytes: Vec<u64>,
    /// For each slot: the record that is whole.
    records: Vec<Option<Record>>,
}

#[derive(Clone, Copy, Debug)]
struct Record {
    dump: u64,
    part: u32,
    /// It was put into the table after this moment,
    complete: u64,
    /// and before this one.
    told: u64,
}

impl Truth {
    fn tick(&mut self) -> u64 {
        self.now += 1;
        self.now
    }

    /// A dump has been given a slot.
    fn taken(&mut self, slot: usize, dump: u64, urgent: bool) {
        let writer = self.writers[slot].replace(dump);
        assert!(writer.is_none() || urgent, "two owners of slot {slot}");
        let Some(old) = self.records[slot].take() else {
            return;
        };
        assert_ne!(old.dump, dump, "a part of the same dump was taken");
        assert!(
            old.part > 1 || self.may_be_older(old),
            "the newest was taken"
        );
    }

    /// Whether another dump may have been put into the table after this one.
    fn may_be_older(&self, record: Record) -> bool {
        let mut records = self.records.iter().flatten();
        records.any(|other| other.part == 1 && other.told > record.complete)
    }
}

impl Model {
    /// A table in whose slots there are records of these dumps; 0 for none. `candidate` is the one
    /// with which a loop began.
    fn new(dumps: &[u64], candidate: u64) -> Arc<Self> {
        let entries = (0..table_len(dumps.len())).map(|_| Slot::default());
        let table = Table::new(entries.collect::<Vec<_>>());
        for (slot, dump) in dumps.iter().enumerate() {
            let worth = match dump {
                0 => Worth::NOTHING,
                dump => Worth::ours(*dump, 1),
            };
            table.note(slot, worth);
        }
        table.arrange(&Known {
            candidate,
            ..Known::default()
        });
        let record = |dump: &u64| {
            (*dump != 0).then_some(Record {
                dump: *dump,
                part: 1,
                complete: *dump,
                told: *dump,
            })
        };
        Arc::new(Self {
            table,
            region: dumps.iter().map(|_| Default::default()).collect(),
            truth: Mutex::new(Truth {
                now: OURS,
                writers: vec![None; dumps.len()],
                bytes: vec![0; dumps.len()],
                records: dumps.iter().map(record).collect(),
            }),
        })
    }

    /// What [`Dump::append`] does up to the moment when the record is whole.
    fn write(&self, turn: &Turn, dump: u64, part: u32, urgent: bool) -> Option<usize> {
        let slot = self.table.claim(turn, urgent)?;
        self.own(slot, dump, part, urgent);
        let mut truth = self.truth.lock().unwrap();
        let writer = truth.writers[slot].take();
        assert_eq!(writer, Some(dump), "two owners of slot {slot}");
        let complete = truth.tick();
        truth.records[slot] = Some(Record {
            dump,
            part,
            complete,
            told: u64::MAX,
        });
        Some(slot)
    }

    /// Fills a slot that this dump has been given.
    fn own(&self, slot: usize, dump: u64, part: u32, urgent: bool) {
        let bytes = (dump << 16) | u64::from(part);
        let old = {
            let mut truth = self.truth.lock().unwrap();
            truth.taken(slot, dump, urgent);
            mem::replace(&mut truth.bytes[slot], bytes)
        };
        let seen = self.region[slot].load(Relaxed);
        assert_eq!(seen, old, "slot {slot} before its last owner was done");
        self.region[slot].store(bytes, Relaxed);
    }

    /// A dump that takes a slot, and no more.
    fn take(&self, dump: u64) -> Option<usize> {
        let slot = self.table.claim(&self.table.begin(), false)?;
        self.own(slot, dump, 1, false);
        Some(slot)
    }

    /// Puts back a slot that this dump could not fill.
    fn refuse(&self, slot: usize, dump: u64) {
        let writer = self.truth.lock().unwrap().writers[slot].take();
        assert_eq!(writer, Some(dump));
        self.table.refuse(slot);
    }

    /// A dump of so many parts. Returns how many found a slot.
    fn dump(&self, dump: u64, parts: u32, urgent: bool) -> u32 {
        let mut turn = self.table.begin();
        for part in 1..=parts {
            let Some(slot) = self.write(&turn, dump, part, urgent) else {
                return part - 1;
            };
            self.table.publish(&mut turn, slot);
            let mut truth = self.truth.lock().unwrap();
            let now = truth.tick();
            if let Some(record) = &mut truth.records[slot] {
                if (record.dump, record.part) == (dump, part) {
                    record.told = now;
                }
            }
        }
        parts
    }

    /// What must be true when all threads have ended: there are so many records, and all slots but
    /// those that `lost` CPUs have and the newest can be taken once.
    fn check(&self, records: usize, lost: usize) {
        let whole: Vec<_> = {
            let truth = self.truth.lock().unwrap();
            truth.records.iter().flatten().copied().collect()
        };
        assert_eq!(whole.len(), records);
        let turn = self.table.begin();
        let mut taken = HashSet::new();
        assert_eq!(self.table.next().is_some(), self.region.len() - 1 > lost);
        while let Some(slot) = self.table.claim(&turn, false) {
            assert!(taken.insert(slot), "slot {slot} is there twice");
            self.own(slot, OURS - 1, 1, false);
        }
        assert_eq!(taken.len(), self.region.len() - 1 - lost, "a slot is lost");
    }

    fn has(&self, dump: u64, part: u32) -> bool {
        let truth = self.truth.lock().unwrap();
        let mut records = truth.records.iter().flatten();
        records.any(|record| (record.dump, record.part) == (dump, part))
    }
}

/// Runs `test` in all ways.
fn explore(test: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(PREEMPTIONS));
    builder.check(test);
}

/// Runs both at the same time.
fn both<R: 'static>(model: &Arc<Model>, other: fn(&Model) -> R, this: fn(&Model) -> R) -> (R, R) {
    let other = thread::spawn({
        let model = Arc::clone(model);
        move || other(&model)
    });
    let this = this(model);
    (other.join().unwrap(), this)
}

#[test]
fn two_dumps_find_two_free_slots() {
    explore(|| {
        let model = Model::new(&[1, 0, 0], 0);
        let other = |model: &Model| model.dump(10, 1, false);
        let stored = both(&model, other, |model| model.dump(11, 1, false));
        assert_eq!(stored, (1, 1));
        assert!(model.has(1, 1) && model.has(10, 1) && model.has(11, 1));
        model.check(3, 0);
    });
}

#[test]
fn two_dumps_take_the_two_oldest_records() {
    explore(|| {
        let model = Model::new(&[2, 3, 1, 4], 0);
        let other = |model: &Model| model.dump(10, 1, false);
        let stored = both(&model, other, |model| model.dump(11, 1, false));
        assert_eq!(stored, (1, 1));
        assert!(model.has(4, 1) && model.has(10, 1) && model.has(11, 1));
        model.check(4, 0);
    });
}

#[test]
fn the_newest_stays_if_there_is_one_slot_beside_it() {
    explore(|| {
        let model = Model::new(&[2, 1], 0);
        let other = |model: &Model| model.dump(10, 1, false);
        let stored = both(&model, other, |model| {
            model.dump(11, 1, false) + model.dump(12, 1, false)
        });
        assert_ne!(stored, (0, 0));
        model.check(2, 0);
    });
}

#[test]
fn parts_of_a_dump_take_no_part_of_their_own() {
    explore(|| {
        let model = Model::new(&[2, 1, 3], 0);
        let other = |model: &Model| model.dump(10, 1, false);
        let (_, parts) = both(&model, other, |model| model.dump(11, 3, false));
        assert!((1..=2).contains(&parts));
        model.check(3, 0);
    });
}

#[test]
fn the_first_of_a_loop_stays_from_when_it_is_known() {
    explore(|| {
        let model = Model::new(&[1, 2, 3, 4], 1);
        let other = |model: &Model| {
            model.table.keep_candidate();
            model.dump(10, 1, false)
        };
        let stored = both(&model, other, |model| model.dump(11, 1, false));
        assert_eq!(stored, (1, 1));
        assert!(model.has(4, 1) && model.has(10, 1) && model.has(11, 1));
        model.check(4, 0);
    });
}

#[test]
fn a_slot_that_the_memory_refused_is_not_lost() {
    explore(|| {
        let model = Model::new(&[2, 1, 3], 0);
        let other = |model: &Model| {
            let slot = model.take(11).unwrap();
            model.refuse(slot, 11);
            1
        };
        let stored = both(&model, other, |model| model.dump(10, 1, false));
        assert_eq!(stored, (1, 1));
        assert!(model.has(3, 1) && model.has(10, 1));
        let records = model.truth.lock().unwrap().records.clone();
        model.check(records.iter().flatten().count(), 0);
    });
}

/// As above, several times, so that a stack has the same slot on top again.
#[test]
fn a_stack_that_looks_as_before_is_not_taken_for_it() {
    explore(|| {
        let model = Model::new(&[1, 2, 3], 0);
        let slots = [10, 11].map(|dump| (model.take(dump).unwrap(), dump));
        for (slot, dump) in slots {
            model.refuse(slot, dump);
        }
        let other = |model: &Model| {
            let top = model.take(12);
            let below = model.take(13);
            if let Some(top) = top {
                model.refuse(top, 12);
            }
            below.is_some()
        };
        let (below, this) = both(&model, other, |model| model.take(14).is_some());
        let taken = usize::from(below) + usize::from(this);
        assert!(taken > 0);
        model.check(1, taken);
    });
}

/// Wherever one CPU stands still: the slots of the others go round. One had a part of a dump before.
#[test]
fn nobody_waits_for_another() {
    explore(|| {
        let model = Model::new(&[1, 2, 3], 0);
        assert_eq!(model.dump(10, 2, false) + model.dump(11, 1, false), 3);
        let other = |model: &Model| (13..=15).map(|dump| model.dump(dump, 1, false)).sum();
        let (stored, _): (u32, _) = both(&model, other, |model| model.dump(12, 1, false));
        assert_eq!(stored, 3);
        model.check(3, 0);
    });
}

#[test]
fn a_part_of_a_dump_that_was_overtaken_is_not_lost() {
    explore(|| {
        let model = Model::new(&[1, 2, 3], 0);
        let other = |model: &Model| (11..=13).map(|dump| model.dump(dump, 1, false)).sum();
        let (stored, _): (u32, _) = both(&model, other, |model| model.dump(10, 2, false));
        assert!(stored >= 2);
        model.check(3, 0);
    });
}

#[test]
fn a_panic_finds_a_slot_if_another_cpu_takes_one_and_is_stopped() {
    explore(|| {
        let model = Model::new(&[2, 1], 0);
        let other = |model: &Model| {
            model.table.claim(&model.table.begin(), false);
            0
        };
        let (_, stored) = both(&model, other, |model| model.dump(10, 1, true));
        assert_eq!(stored, 1);
        assert!(model.has(10, 1));
    });
}
