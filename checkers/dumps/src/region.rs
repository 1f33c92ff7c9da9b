// SPDX-License-Identifier: GPL-2.0

//! A region that looks who writes where.

use std::{
    cmp::Reverse,
    collections::HashMap,
    sync::{
        Arc,
        Mutex,
        MutexGuard, //
    }, //
};

use scheduler::thread::{
    self,
    ThreadId, //
};

use crate::{
    cpu::{
        is_alone,
        point, //
    },
    ringbuf::{
        classify,
        layout::SIG,
        Geometry,
        Kind,
        Memory, //
    }, //
};

/// The order of records: of one dump, part 1 is the newest.
pub(crate) type Rank = (u64, Reverse<u32>);

pub(crate) struct Region {
    pub(crate) geometry: Geometry,
    bytes: Mutex<Vec<u8>>,
    truth: Mutex<Truth>,
}

/// What an onlooker knows, who sees everything at once.
struct Truth {
    now: u64,
    slots: Vec<Slot>,
    /// The last record of each CPU.
    last: HashMap<ThreadId, Record>,
    /// All first parts of dumps that were told of.
    told: Vec<Record>,
}

#[derive(Clone, Default)]
struct Slot {
    /// Who has begun to write a record, and has not ended.
    writer: Option<ThreadId>,
    record: Option<Record>,
}

#[derive(Clone, Copy, Debug)]
struct Record {
    rank: Rank,
    /// The store made it the newest after this moment,
    complete: u64,
    /// and before this one, at which the dump was told.
    told: u64,
}

const NEVER: u64 = u64::MAX;

impl Record {
    fn is_part_1(&self) -> bool {
        self.rank.1 == Reverse(1)
    }
}

impl Region {
    pub(crate) fn new(geometry: Geometry) -> Arc<Self> {
        Arc::new(Self {
            geometry,
            bytes: Mutex::new(vec![0; geometry.mem_size()]),
            truth: Mutex::new(Truth {
                now: 0,
                slots: vec![Slot::default(); geometry.slots()],
                last: HashMap::new(),
                told: Vec::new(),
            }),
        })
    }

    fn truth(&self) -> MutexGuard<'_, Truth> {
        self.truth.lock().unwrap()
    }

    /// The records that are whole, by slot.
    pub(crate) fn whole(self: &Arc<Self>) -> Vec<Option<Rank>> {
        (0..self.geometry.slots())
            .map(|slot| self.record(slot))
            .collect()
    }

    fn record(self: &Arc<Self>, slot: usize) -> Option<Rank> {
        match classify(self, &self.geometry, slot)?.kind {
            Kind::Sealed(seal) => Some((seal.dump, Reverse(seal.part))),
            _ => None,
        }
    }

    /// This CPU was told that its record is stored, and here. Returns what it was.
    pub(crate) fn told(&self, slot: usize) -> Rank {
        let mut truth = self.truth();
        truth.now += 1;
        let now = truth.now;
        let last = truth.last[&thread::current().id()];
        let record = Record { told: now, ..last };
        if record.is_part_1() {
            truth.told.push(record);
        }
        if let Some(there) = &mut truth.slots[slot].record {
            if there.rank == record.rank {
                *there = record;
            }
        }
        record.rank
    }

    /// The dumps of which each may be the last one that became the newest.
    pub(crate) fn newest(&self) -> Vec<Rank> {
        let truth = self.truth();
        let last = truth.told.iter().map(|record| record.complete).max();
        let mut newest = truth.told.clone();
        newest.retain(|record| Some(record.told) > last);
        newest.iter().map(|record| record.rank).collect()
    }

    /// The first write of a record.
    fn begin(&self, slot: usize) {
        let mut truth = self.truth();
        let me = thread::current().id();
        let writer = truth.slots[slot].writer.replace(me);
        let old = truth.slots[slot].record.take();
        // A panic may take what belonged to one who is stopped.
        if is_alone() && (writer.is_some() || old.is_some_and(|old| old.told == NEVER)) {
            return;
        }
        assert_eq!(writer, None, "two owners of slot {slot}");
        let Some(old) = old.filter(Record::is_part_1) else {
            return;
        };
        let mut others = truth.slots.iter().filter_map(|slot| slot.record);
        assert!(
            others.any(|other| other.is_part_1() && other.told > old.complete),
            "the newest was taken"
        );
    }

    /// The last write of a record.
    fn end(self: &Arc<Self>, slot: usize) {
        let rank = self.record(slot).expect("the record is whole");
        let mut truth = self.truth();
        truth.now += 1;
        let record = Record {
            rank,
            complete: truth.now,
            told: NEVER,
        };
        truth.last.insert(thread::current().id(), record);
        truth.slots[slot] = Slot {
            writer: None,
            record: Some(record),
        };
    }

    /// Any write.
    fn check_writer(&self, slot: usize) {
        let me = thread::current().id();
        let writer = self.truth().slots[slot].writer;
        assert_eq!(writer, Some(me), "two owners of slot {slot}");
    }

    fn copy_in(&self, offset: usize, data: &[u8]) {
        self.bytes.lock().unwrap()[offset..offset + data.len()].copy_from_slice(data);
    }
}

impl Memory for Arc<Region> {
    fn len(&self) -> usize {
        self.geometry.mem_size()
    }

    fn read(&self, offset: usize, buf: &mut [u8]) -> bool {
        buf.copy_from_slice(&self.bytes.lock().unwrap()[offset..offset + buf.len()]);
        true
    }

    fn write(&self, offset: usize, data: &[u8]) -> bool {
        point();
        let slot = offset / self.geometry.stride();
        let at_header = self.geometry.slot_offset(slot) == Some(offset);
        if at_header && data == [0; 4] {
            self.begin(slot);
        }
        self.check_writer(slot);
        let (first, second) = data.split_at(data.len() / 2);
        self.copy_in(offset, first);
        point();
        self.check_writer(slot);
        self.copy_in(offset + first.len(), second);
        if at_header && data == SIG.to_ne_bytes() {
            self.end(slot);
        }
        true
    }

    fn barrier(&self, _offset: usize, _len: usize) {
        point();
    }

    fn crc32c(crc: u32, data: &[u8]) -> u32 {
        !crc32c::crc32c_append(!crc, data)
    }

    fn encode(&self, _block: &[u8], _parity: &mut [u8]) {
        unreachable!("there is no parity");
    }

    fn decode(&self, _block: &mut [u8], _parity: &mut [u8]) -> Option<usize> {
        unreachable!("there is no parity");
    }
}
