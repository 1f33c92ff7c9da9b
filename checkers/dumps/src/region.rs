// SPDX-License-Identifier: GPL-2.0

//! A region that looks who writes where.

use std::{
    cmp::Reverse,
    collections::HashMap,
    mem,
    sync::{
        Arc,
        Mutex, //
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
    /// For each slot: who has begun to write a record, and has not ended.
    writers: Mutex<Vec<Option<ThreadId>>>,
    /// The last record of each CPU.
    last: Mutex<HashMap<ThreadId, Rank>>,
    /// For each slot: there may be a record that its dump was not told of, since it was stopped.
    untold: Mutex<Vec<bool>>,
}

impl Region {
    pub(crate) fn new(geometry: Geometry) -> Arc<Self> {
        Arc::new(Self {
            geometry,
            bytes: Mutex::new(vec![0; geometry.mem_size()]),
            writers: Mutex::new(vec![None; geometry.slots()]),
            last: Mutex::default(),
            untold: Mutex::new(vec![false; geometry.slots()]),
        })
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
        self.untold.lock().unwrap()[slot] = false;
        self.last.lock().unwrap()[&thread::current().id()]
    }

    /// The first write of a record.
    fn begin(self: &Arc<Self>, slot: usize) {
        let whole = self.whole();
        let me = thread::current().id();
        let before = self.writers.lock().unwrap()[slot].replace(me);
        let untold = mem::replace(&mut self.untold.lock().unwrap()[slot], true);
        // A panic may take what belonged to one who is stopped.
        if is_alone() && untold {
            return;
        }
        assert_eq!(before, None, "two owners of slot {slot}");
        assert!(
            whole[slot].is_none() || whole.iter().max() != Some(&whole[slot]),
            "the newest was taken"
        );
    }

    /// Any write.
    fn check_writer(&self, slot: usize) {
        let me = thread::current().id();
        let writer = self.writers.lock().unwrap()[slot];
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
            let record = self.record(slot).expect("the record is whole");
            let me = thread::current().id();
            self.last.lock().unwrap().insert(me, record);
            self.writers.lock().unwrap()[slot] = None;
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
