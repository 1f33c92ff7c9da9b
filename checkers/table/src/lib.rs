// SPDX-License-Identifier: GPL-2.0

//! The slot table of ringbuf under loom: every interleaving of a few threads, and every old value
//! that a load may see by the rules of the memory model.
//!
//! `LOOM_MAX_PREEMPTIONS` sets how often a thread is interrupted where it need not be (default: 2).

#![cfg(test)]

#[path = "../../../ringbuf/src/sync.rs"]
mod sync;
#[path = "../../../ringbuf/src/table.rs"]
#[expect(dead_code, reason = "opening a store needs more")]
mod table;

use std::sync::{
    Arc,
    Mutex, //
};

use loom::sync::atomic::{
    AtomicU64,
    Ordering::Relaxed, //
};
use table::{
    rank,
    Slot,
    Table, //
};

/// How often a thread is interrupted, if the environment does not say.
const PREEMPTIONS: usize = 2;

/// A table, and the region that it stands for.
struct Model {
    table: Table<Vec<Slot>>,
    /// A record is written in two halves, like a region's with nothing but the table between the
    /// CPUs: whoever owns a slot must see both of what was there before.
    region: Vec<[AtomicU64; 2]>,
    /// What an onlooker knows. He sees everything at once.
    truth: Mutex<Truth>,
}

#[derive(Default)]
struct Truth {
    /// Who writes there.
    owner: Vec<Option<u64>>,
    /// The rank of the record that is whole there; 0 for none.
    whole: Vec<u64>,
    /// How many records were overwritten.
    overwritten: usize,
}

impl Model {
    /// A table in whose slots there are records of these dumps; 0 for none.
    fn new(dumps: &[u64]) -> Arc<Self> {
        let table = Table::new(dumps.iter().map(|_| Slot::default()).collect::<Vec<_>>());
        let ranks: Vec<u64> = dumps
            .iter()
            .map(|dump| if *dump == 0 { 0 } else { rank(*dump, 1) })
            .collect();
        for (slot, dump) in dumps.iter().enumerate() {
            if *dump != 0 {
                table.publish(slot, *dump, 1);
            }
        }
        let half = |value: &u64| AtomicU64::new(*value);
        Arc::new(Self {
            table,
            region: ranks.iter().map(|rank| [half(rank), half(rank)]).collect(),
            truth: Mutex::new(Truth {
                owner: vec![None; dumps.len()],
                whole: ranks,
                overwritten: 0,
            }),
        })
    }

    /// The first half of what [`Dump::append`] does: takes a slot and writes the record.
    fn write(&self, dump: u64, part: u32, protected: u64, urgent: bool) -> Option<usize> {
        let table_dump = if part == 1 { 0 } else { dump };
        let slot = self.table.claim(table_dump, protected, urgent)?;
        let record = rank(dump, part);
        {
            let mut truth = self.truth.lock().unwrap();
            let owner = truth.owner[slot].replace(record);
            assert!(owner.is_none() || urgent, "two owners of slot {slot}");
            let old = std::mem::take(&mut truth.whole[slot]);
            assert!(
                old == 0 || truth.whole.iter().any(|other| *other > old),
                "the newest was taken"
            );
            assert_ne!(old >> 16, dump, "a part of the same dump was taken");
            truth.overwritten += usize::from(old != 0);
        }
        let [first, second] = &self.region[slot];
        // The owner before may have been stopped half-way.
        if !urgent {
            let old = first.load(Relaxed);
            assert_eq!(old, second.load(Relaxed), "half a record is seen");
        }
        first.store(record, Relaxed);
        second.store(record, Relaxed);
        Some(slot)
    }

    /// The second half.
    fn publish(&self, slot: usize, dump: u64, part: u32) {
        let record = rank(dump, part);
        for half in &self.region[slot] {
            assert_eq!(half.load(Relaxed), record, "someone else has written there");
        }
        {
            let mut truth = self.truth.lock().unwrap();
            assert_eq!(truth.owner[slot].take(), Some(record));
            truth.whole[slot] = record;
        }
        self.table.publish(slot, dump, part);
    }

    /// One part of a dump. Returns whether there was a slot.
    fn append(&self, dump: u64, part: u32, protected: u64) -> bool {
        let slot = self.write(dump, part, protected, false);
        slot.inspect(|slot| self.publish(*slot, dump, part))
            .is_some()
    }

    /// A dump of so many parts. Returns how many found a slot.
    fn dump(&self, dump: u64, parts: u32) -> usize {
        let protected = self.table.newest();
        (1..=parts)
            .filter(|part| self.append(dump, *part, protected))
            .count()
    }

    /// What must be true when all threads have ended: so many records, all whole and in the table.
    fn check(&self, records: usize) {
        let truth = self.truth.lock().unwrap();
        let whole = truth.whole.iter().filter(|whole| **whole != 0).count();
        assert_eq!(whole, records);
        let newest = *truth.whole.iter().max().unwrap();
        assert_eq!(self.table.newest(), newest);
        let next = self.table.pick(0, 0);
        assert!(next.is_none_or(|(slot, _)| truth.whole[slot] != newest));
    }
}

/// Runs `test` in all ways.
fn explore(test: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(PREEMPTIONS));
    builder.check(test);
}

/// Runs both at the same time.
fn both(model: &Arc<Model>, other: fn(&Model) -> usize, this: fn(&Model) -> usize) -> [usize; 2] {
    let other = loom::thread::spawn({
        let model = Arc::clone(model);
        move || other(&model)
    });
    let this = this(model);
    [other.join().unwrap(), this]
}

#[test]
fn two_dumps_find_two_free_slots() {
    explore(|| {
        let model = Model::new(&[1, 0, 0]);
        let stored = both(&model, |model| model.dump(2, 1), |model| model.dump(3, 1));
        assert_eq!(stored, [1, 1]);
        model.check(3);
        assert_eq!(model.truth.lock().unwrap().overwritten, 0);
    });
}

#[test]
fn two_dumps_take_the_two_oldest_records() {
    explore(|| {
        let model = Model::new(&[2, 3, 1, 4]);
        let stored = both(&model, |model| model.dump(5, 1), |model| model.dump(6, 1));
        assert_eq!(stored, [1, 1]);
        model.check(4);
        let truth = model.truth.lock().unwrap();
        assert!([4, 5, 6]
            .iter()
            .all(|dump| truth.whole.contains(&rank(*dump, 1))));
    });
}

#[test]
fn the_newest_stays_if_there_is_one_slot_beside_it() {
    explore(|| {
        let model = Model::new(&[2, 1]);
        let stored = both(&model, |model| model.dump(3, 1), |model| model.dump(4, 1));
        assert_ne!(stored, [0, 0]);
        model.check(2);
    });
}

#[test]
fn parts_of_a_dump_take_no_part_of_their_own() {
    explore(|| {
        let model = Model::new(&[2, 1, 3]);
        let [_, parts] = both(&model, |model| model.dump(4, 1), |model| model.dump(5, 3));
        assert!(parts >= 1);
        model.check(3);
        let truth = model.truth.lock().unwrap();
        assert!(truth.whole.contains(&rank(5, 1)));
    });
}

#[test]
fn a_panic_finds_a_slot_if_another_cpu_takes_one_and_is_stopped() {
    explore(|| {
        let model = Model::new(&[2, 1]);
        let other = loom::thread::spawn({
            let model = Arc::clone(&model);
            move || model.table.claim(0, model.table.newest(), false)
        });
        let slot = model.write(4, 1, model.table.newest(), true).unwrap();
        assert_eq!(slot, 1, "the newest was taken");
        model.publish(slot, 4, 1);
        model.check(2);
        other.join().unwrap();
    });
}
