// SPDX-License-Identifier: GPL-2.0

//! CPUs that stop in the middle of a dump, and memory that refuses a write.

use std::panic::{
    catch_unwind,
    AssertUnwindSafe, //
};

use super::store::{
    ram,
    texts, //
};
use crate::common::{
    kernel_crc32c,
    sealed_text,
    table,
    Ram,
    INFO, //
};
use ringbuf::{
    Dropped,
    DumpInfo,
    Memory,
    Options,
    Store, //
};

/// Memory whose user stops for ever at one of the writes, or to which a write fails.
struct Stop<'a> {
    ram: &'a Ram,
    /// The number of writes to go.
    stop: std::cell::Cell<usize>,
    fail: bool,
}

impl Memory for Stop<'_> {
    fn len(&self) -> usize {
        self.ram.len()
    }

    fn read(&self, offset: usize, buf: &mut [u8]) -> bool {
        self.ram.read(offset, buf)
    }

    fn write(&self, offset: usize, data: &[u8]) -> bool {
        let stop = self.stop.get();
        self.stop.set(stop.wrapping_sub(1));
        if stop == 0 {
            if self.fail {
                return false;
            }
            // Does not print a message.
            std::panic::resume_unwind(Box::new("stopped"));
        }
        self.ram.write(offset, data)
    }

    fn barrier(&self, offset: usize, len: usize) {
        self.ram.barrier(offset, len);
    }

    fn crc32c(crc: u32, data: &[u8]) -> u32 {
        kernel_crc32c(crc, data)
    }

    fn encode(&self, _block: &[u8], _parity: &mut [u8]) {
        unreachable!("there is no parity");
    }

    fn decode(&self, _block: &mut [u8], _parity: &mut [u8]) -> Option<usize> {
        unreachable!("there is no parity");
    }
}

#[test]
fn stopped_cpus() {
    for stop in 0..6 {
        let (ram, geometry) = ram(3);
        let memory = Stop {
            ram: &ram,
            stop: usize::MAX.into(),
            fail: false,
        };
        let (store, _) =
            Store::open(memory, geometry, table(&geometry), Options::default()).unwrap();
        let append = |info, text: &[u8]| store.begin(info).append(text, true);
        let stopped = || {
            store.memory().stop.set(stop);
            let result = catch_unwind(AssertUnwindSafe(|| append(&INFO, b"stopped")));
            assert!(result.is_err());
        };
        let panic = DumpInfo {
            urgent: true,
            ..INFO
        };

        append(&INFO, b"a").unwrap();
        // A CPU stops for ever at slot 1; others go on around it.
        stopped();
        assert_eq!(append(&INFO, b"b"), Ok(2));
        assert_eq!(append(&INFO, b"c"), Ok(0));
        assert_eq!(append(&INFO, b"d"), Ok(2));
        // An urgent dump prefers other slots, too.
        assert_eq!(append(&panic, b"e"), Ok(0));
        // Another CPU stops. "e" is the newest, and no slot is left but for a panic.
        stopped();
        assert_eq!(append(&INFO, b"f"), Err(Dropped::NoSlot));
        assert_eq!(append(&panic, b"g"), Ok(1));
        assert_eq!(sealed_text(&ram, &geometry, 0), b"e");
        assert_eq!(sealed_text(&ram, &geometry, 1), b"g");

        // The only slot.
        let geometry = crate::common::geometry(1);
        let ram = Ram::new(vec![0; 512]);
        let memory = Stop {
            ram: &ram,
            stop: stop.into(),
            fail: false,
        };
        let (store, _) =
            Store::open(memory, geometry, table(&geometry), Options::default()).unwrap();
        let result = catch_unwind(AssertUnwindSafe(|| store.begin(&INFO).append(b"a", true)));
        assert!(result.is_err());
        assert_eq!(store.begin(&INFO).append(b"b", true), Err(Dropped::NoSlot));
        assert_eq!(store.begin(&panic).append(b"c", true), Ok(0));
        assert_eq!(sealed_text(&ram, &geometry, 0), b"c");
    }
}

#[test]
fn refused_writes() {
    for stop in 0..6 {
        let (ram, geometry) = ram(2);
        let memory = Stop {
            ram: &ram,
            stop: stop.into(),
            fail: true,
        };
        let (store, _) =
            Store::open(memory, geometry, table(&geometry), Options::default()).unwrap();
        let append = |text: &[u8]| store.begin(&INFO).append(text, true);
        assert_eq!(append(b"a"), Err(Dropped::Memory));
        assert_eq!(append(b"b"), Ok(1));
        // The slot is not lost.
        assert_eq!(append(b"c"), Ok(0));
        assert_eq!(texts(&ram, &geometry), ["c", "b"]);
    }
}
