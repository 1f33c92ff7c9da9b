// SPDX-License-Identifier: GPL-2.0

//! Several CPUs dump at once: each record is whole or reported as dropped, never mixed.

use std::{
    cell::Cell,
    collections::HashMap,
    ops::Deref,
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

use crate::common::{
    geometry,
    kernel_crc32c,
    look,
    mainline,
    strip_prefix,
    table,
    Ram,
    DEFAULT,
    INFO, //
};
use ringbuf::{
    Dropped,
    DumpInfo,
    Geometry,
    Kind,
    Memory,
    Slot,
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

    fn encode(&self, _block: &[u8], _parity: &mut [u8]) {
        unreachable!("there is no parity");
    }

    fn decode(&self, _block: &mut [u8], _parity: &mut [u8]) -> Option<usize> {
        unreachable!("there is no parity");
    }
}

/// What `thread` writes as part `part` of its dump `dump`.
fn text(thread: usize, dump: usize, part: usize) -> Vec<u8> {
    let unit = format!("[{thread}:{dump}:{part}]");
    let len = 20 + (thread * 31 + dump * 17 + part * 7) % 220;
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
    let (store, _) = Store::open(ram, *geometry, table(geometry), DEFAULT).unwrap();
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

/// A crash of the boot before, with which a loop begins.
fn crash_before(ram: &SharedRam, geometry: &Geometry) {
    let (store, _) = Store::open(ram, *geometry, table(geometry), DEFAULT).unwrap();
    let info = DumpInfo {
        boot_id: [1; 16],
        ..INFO
    };
    let appended = store.begin(&info).append(&text(BEFORE, 0, 1), true);
    assert_eq!(appended, Ok(0));
}

/// The number of no thread.
const BEFORE: usize = 99;

#[test]
fn all_records_fit() {
    for _ in 0..30 {
        let geometry = geometry(8 * 8 * 2 + 1);
        let ram = SharedRam::new(geometry.mem_size(), b"");
        crash_before(&ram, &geometry);
        let (appended, dropped) = storm(&ram, &geometry, 8, 8, 2);
        assert_eq!((appended.len(), dropped), (128, 0));
        let mut seqs = Vec::new();
        for ((thread, dump, part), slot) in appended {
            let (kind, payload) = look(&&ram, &geometry, slot);
            let Kind::Sealed(seal) = kind else {
                panic!("{kind:?}");
            };
            assert_eq!(author(&payload), (thread, dump, part));
            assert_eq!((seal.part as usize, seal.loop_start), (part, 1));
            seqs.push(seal.seq);
        }
        seqs.sort_unstable();
        assert_eq!(seqs, (2..=129).collect::<Vec<u64>>());
    }
}

#[test]
fn overwriting() {
    let mut drops = 0;
    for slots in [1, 2, 3, 5, 16] {
        for _ in 0..10 {
            let geometry = geometry(slots);
            let ram = SharedRam::new(geometry.mem_size(), b"");
            crash_before(&ram, &geometry);
            let (mut appended, dropped) = storm(&ram, &geometry, 6, 40, 2);
            // It is kept as long as there is another slot to take.
            appended.insert((BEFORE, 0, 1), 0);
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
    let (store, _) = Store::open(&ram, geometry, table(&geometry), DEFAULT).unwrap();
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
        let torn = look(&&ram, &geometry, 0).0;
        *ram.go.lock().unwrap() = true;
        ram.wake.notify_all();
        assert_eq!(late.join().unwrap(), Ok(0));
        assert!(
            matches!(torn, Kind::Torn(Some(seal)) if seal.seq == 1),
            "{torn:?}"
        );
    });
    let (kind, payload) = look(&&ram, &geometry, 0);
    assert!(matches!(kind, Kind::Sealed(seal) if seal.seq == 1));
    assert_eq!(strip_prefix(&payload), b"late text");
    // It is the newest one, because a dump is as old as its first part is complete.
    assert_eq!(store.next_slot(), Some(1));
}

/// A slot table which stores a second dump when the first one looks at it for the n-th time.
struct Table(Vec<Slot>);

type Nested = Store<&'static Ram, Table>;

thread_local! {
    /// Accesses to the table to go, and the store for the second dump.
    static NEXT: Cell<(usize, Option<&'static Nested>)> = const { Cell::new((0, None)) };
    static RESULT: Cell<Option<Result<usize, Dropped>>> = const { Cell::new(None) };
    /// Whether the first dump was whole when the second one began.
    static WHOLE: Cell<bool> = const { Cell::new(false) };
}

impl Deref for Table {
    type Target = [Slot];

    fn deref(&self) -> &[Slot] {
        match NEXT.get() {
            (0, Some(store)) => {
                NEXT.set((0, None));
                let whole = |slot| {
                    let (kind, payload) = look(store.memory(), store.geometry(), slot);
                    matches!(kind, Kind::Sealed(_)) && payload.ends_with(b"first")
                };
                WHOLE.set((0..store.geometry().slots()).any(whole));
                let mut dump = store.begin(&INFO);
                RESULT.set(Some(dump.append(b"second", true)));
            }
            (n, store) => NEXT.set((n.saturating_sub(1), store)),
        }
        &self.0
    }
}

/// Interrupts a dump at each access to the slot table by another one, as an NMI does, or another
/// CPU that is faster.
#[test]
fn interrupted_anywhere() {
    let mut both = 0;
    for slots in 1..5 {
        for (filled, foreign) in (0..2 * slots + 1).map(|n| (n, false)).chain([(0, true)]) {
            for n in 0.. {
                let geometry = geometry(slots);
                let mut image = vec![0; geometry.mem_size()];
                if foreign {
                    for slot in 0..slots {
                        mainline::write(&mut image, &geometry, slot, slot as u64, b"x");
                    }
                }
                // Leaked, because the table needs the store that it is a part of.
                let ram: &Ram = Box::leak(Box::new(Ram::new(image)));
                let table = table(&geometry).map(Table);
                // A loop of crashes, which these two dumps continue.
                for i in 0..filled {
                    let (store, _) = crate::common::open(ram, &geometry);
                    let info = DumpInfo {
                        boot_id: [i as u8; 16],
                        ..INFO
                    };
                    store.begin(&info).append(b"filled", true).unwrap();
                }
                let (store, _) = Store::open(ram, geometry, table, DEFAULT).unwrap();
                let store: &Nested = Box::leak(Box::new(store));
                let seq = |slot: &usize| match look(&ram, &geometry, *slot).0 {
                    Kind::Sealed(seal) => seal.seq,
                    _ => 0,
                };
                let newest = match (filled, foreign) {
                    (0, false) => None,
                    (0, true) => Some(slots - 1),
                    _ => (0..slots).max_by_key(seq),
                };
                let before = newest.map(|slot| look(&ram, &geometry, slot));

                RESULT.set(None);
                let mut dump = store.begin(&INFO);
                NEXT.set((n, Some(store)));
                let first = dump.append(b"first", true);
                NEXT.set((0, None));
                // The first dump was over before its n-th access.
                let Some(second) = RESULT.take() else {
                    break;
                };

                let name = format!("{filled} in {slots}, access {n}: {first:?}, {second:?}");
                let text = |slot| strip_prefix(&look(&ram, &geometry, slot).1).to_vec();
                if slots == 1 {
                    let stored = text(0);
                    assert!(stored == b"first" || stored == b"second", "{name}");
                    continue;
                }
                if let (Ok(first), Ok(second)) = (first, second) {
                    both += 1;
                    // If the first one was complete before, the second one may not take it.
                    assert_ne!(first, second, "{name}");
                }
                assert!(first.is_ok() || second.is_ok(), "{name}");
                for (result, expected) in [(first, b"first".as_slice()), (second, b"second")] {
                    match result {
                        Ok(slot) => assert_eq!(text(slot), expected, "{name}"),
                        // There is no room for both but for the newest.
                        Err(err) => assert_eq!((err, slots), (Dropped::NoSlot, 2), "{name}"),
                    }
                }
                // There is something else to take than the dump with which the loop began.
                if filled > 0 && slots > 3 {
                    assert_eq!(seq(&0), 1, "{name}");
                }
                // If the first dump was whole, it was the newest, and what was before is fair game.
                if !WHOLE.get() {
                    let after = newest.map(|slot| look(&ram, &geometry, slot));
                    assert_eq!(before, after, "{name}");
                }
            }
        }
    }
    println!("both stored in {both} cases");
    assert!(both > 50);
}
