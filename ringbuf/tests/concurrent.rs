// SPDX-License-Identifier: GPL-2.0

//! Several CPUs dump at once: each record is whole or reported as dropped, never mixed.

mod common;

use std::{
    collections::HashMap,
    sync::{
        atomic::{
            AtomicU8,
            AtomicUsize,
            Ordering::*, //
        },
        Condvar,
        Mutex, //
    },
    thread, //
};

use common::{
    geometry,
    kernel_crc32c,
    look,
    strip_prefix,
    table,
    INFO, //
};
use ringbuf::{
    Dropped,
    DumpInfo,
    Geometry,
    Kind,
    Memory,
    Store, //
};

struct SharedRam {
    bytes: Vec<AtomicU8>,
    /// A write of data that begins so waits until `go` is set.
    stop_at: &'static [u8],
    stopped: AtomicUsize,
    go: Mutex<bool>,
    wake: Condvar,
}

impl SharedRam {
    fn new(len: usize, stop_at: &'static [u8]) -> Self {
        Self {
            bytes: (0..len).map(|_| AtomicU8::new(0)).collect(),
            stop_at,
            stopped: AtomicUsize::new(0),
            go: Mutex::new(false),
            wake: Condvar::new(),
        }
    }
}

impl Memory for &SharedRam {
    fn len(&self) -> usize {
        self.bytes.len()
    }

    fn read(&self, offset: usize, buf: &mut [u8]) -> bool {
        let Some(bytes) = self.bytes.get(offset..offset + buf.len()) else {
            return false;
        };
        for (to, from) in buf.iter_mut().zip(bytes) {
            *to = from.load(Relaxed);
        }
        true
    }

    fn write(&self, offset: usize, data: &[u8]) -> bool {
        let Some(bytes) = self.bytes.get(offset..offset + data.len()) else {
            return false;
        };
        for (i, (to, from)) in bytes.iter().zip(data).enumerate() {
            to.store(*from, Relaxed);
            // Give the others a chance to do harm.
            if i % 64 == 63 {
                thread::yield_now();
            }
            if i == 0 && !self.stop_at.is_empty() && data.starts_with(self.stop_at) {
                self.stopped.fetch_add(1, SeqCst);
                let go = self.go.lock().unwrap();
                drop(self.wake.wait_while(go, |go| !*go).unwrap());
            }
        }
        true
    }

    fn barrier(&self, _offset: usize, _len: usize) {
        std::sync::atomic::fence(SeqCst);
    }

    fn crc32c(crc: u32, data: &[u8]) -> u32 {
        kernel_crc32c(crc, data)
    }
}

/// What `thread` writes as part `part` of its dump `dump`.
fn text(thread: usize, dump: usize, part: usize) -> Vec<u8> {
    let unit = format!("[{thread}:{dump}:{part}]");
    let len = 20 + (thread * 31 + dump * 17 + part * 7) % 240;
    unit.bytes().cycle().take(len).collect()
}

/// Which text that is; fails if it is none.
fn author(payload: &[u8]) -> (usize, usize, usize) {
    let found = strip_prefix(payload);
    let unit = found.split(|byte| *byte == b']').next().unwrap();
    let numbers: Vec<usize> = std::str::from_utf8(&unit[1..])
        .unwrap()
        .split(':')
        .map(|number| number.parse().unwrap())
        .collect();
    let [thread, dump, part] = numbers[..] else {
        panic!("{unit:?}");
    };
    assert_eq!(found, text(thread, dump, part), "mixed records");
    (thread, dump, part)
}

type Appended = HashMap<(usize, usize, usize), usize>;

/// Lets `threads` threads store `dumps` dumps each. Returns where what was stored, and how many
/// parts were dropped.
fn storm(
    ram: &SharedRam,
    geometry: &Geometry,
    threads: usize,
    dumps: usize,
    parts: usize,
) -> (Appended, usize) {
    let (store, _) = Store::open(ram, *geometry, table(geometry)).unwrap();
    let store = &store;
    thread::scope(|scope| {
        let run = |thread| {
            let mut stored = Vec::new();
            let mut dropped = 0;
            for n in 0..dumps {
                let mut dump = store.begin(&INFO);
                for part in 1..=parts {
                    match dump.append(&text(thread, n, part), part == parts) {
                        Ok(slot) => stored.push(((thread, n, part), slot)),
                        Err(Dropped::NoSlot) => {
                            dropped += 1;
                            break;
                        }
                        Err(err) => panic!("{err:?}"),
                    }
                }
            }
            (stored, dropped)
        };
        let handles: Vec<_> = (0..threads)
            .map(|thread| scope.spawn(move || run(thread)))
            .collect();
        let mut appended = Appended::new();
        let mut dropped = 0;
        for handle in handles {
            let (stored, not_stored) = handle.join().unwrap();
            appended.extend(stored);
            dropped += not_stored;
        }
        (appended, dropped)
    })
}

#[test]
fn all_records_fit() {
    for _ in 0..30 {
        let geometry = geometry(8 * 8 * 2);
        let ram = SharedRam::new(geometry.mem_size(), b"");
        let (appended, dropped) = storm(&ram, &geometry, 8, 8, 2);
        assert_eq!((appended.len(), dropped), (128, 0));
        let mut seqs = Vec::new();
        for ((thread, dump, part), slot) in appended {
            let (kind, payload) = look(&&ram, &geometry, slot);
            let Kind::Sealed(seal) = kind else {
                panic!("{kind:?}");
            };
            assert_eq!(author(&payload), (thread, dump, part));
            assert_eq!(seal.part as usize, part);
            seqs.push(seal.seq);
        }
        seqs.sort_unstable();
        assert_eq!(seqs, (1..=128).collect::<Vec<u64>>());
    }
}

#[test]
fn overwriting() {
    let mut drops = 0;
    for slots in [1, 2, 3, 5, 16] {
        for _ in 0..10 {
            let geometry = geometry(slots);
            let ram = SharedRam::new(geometry.mem_size(), b"");
            let (appended, dropped) = storm(&ram, &geometry, 6, 40, 2);
            drops += dropped;
            for slot in 0..slots {
                let (kind, payload) = look(&&ram, &geometry, slot);
                // Slots may stay unused if all but one dump were dropped.
                if kind == Kind::Zero {
                    continue;
                }
                assert!(matches!(kind, Kind::Sealed(_)), "slot {slot}: {kind:?}");
                assert_eq!(appended[&author(&payload)], slot);
            }
        }
    }
    println!("{drops} dropped");
}

#[test]
fn writer_that_is_late() {
    // A CPU stops in the middle of its text, the others go round several times, it continues.
    let geometry = geometry(3);
    let ram = SharedRam::new(geometry.mem_size(), b"late");
    let (store, _) = Store::open(&ram, geometry, table(&geometry)).unwrap();
    thread::scope(|scope| {
        let late = scope.spawn(|| store.begin(&INFO).append(b"late text", true));
        while ram.stopped.load(SeqCst) == 0 {
            thread::yield_now();
        }
        let panic = DumpInfo {
            urgent: true,
            ..INFO
        };
        for i in 0..20 {
            let info = if i % 2 == 0 { &INFO } else { &panic };
            let slot = store.begin(info).append(&text(1, i, 1), true).unwrap();
            assert_eq!(slot, 1 + i % 2);
            assert_eq!(author(&look(&&ram, &geometry, slot).1), (1, i, 1));
        }
        assert_eq!(look(&&ram, &geometry, 0).0, Kind::Torn);
        *ram.go.lock().unwrap() = true;
        ram.wake.notify_all();
        assert_eq!(late.join().unwrap(), Ok(0));
    });
    let (kind, payload) = look(&&ram, &geometry, 0);
    assert!(matches!(kind, Kind::Sealed(seal) if seal.seq == 1));
    assert_eq!(strip_prefix(&payload), b"late text");
    // It is the oldest, however late it was written.
    assert_eq!(store.next_slot(), Some(0));
}
