// SPDX-License-Identifier: GPL-2.0

//! The region is read again while the store is in use.

use std::cell::{
    Cell,
    OnceCell, //
};

use crate::common::{
    append,
    forge,
    geometry,
    kernel_crc32c,
    open,
    open_with,
    sealed_text,
    table,
    Ram,
    DEFAULT,
    INFO, //
};
use proptest::{
    collection::vec,
    prelude::*, //
};
use ringbuf::{
    clear,
    Busy,
    DumpInfo,
    Kind,
    Memory,
    Options,
    Slot,
    Store, //
};

/// A record that was deleted meanwhile makes room, before any that is there.
#[test]
fn deleted_slots_are_free() {
    let geometry = geometry(4);
    let ram = Ram::new(vec![0; geometry.mem_size()]);
    let (store, _) = open(&ram, &geometry);
    for text in [b"0", b"1", b"2", b"3"] {
        append(&store, text).unwrap();
    }
    clear(&&ram, &geometry, 2).unwrap();
    assert_eq!(store.next_slot(), Some(0));
    let census = store.rescan().unwrap();
    assert_eq!((census.sealed, census.cleared), (3, 1));
    assert_eq!((census.next, store.next_slot()), (Some(2), Some(2)));
    assert_eq!(append(&store, b"4"), Ok(2));
    assert_eq!(append(&store, b"5"), Ok(0));
    assert_eq!(sealed_text(&ram, &geometry, 1), b"1");
    // No number is given again, not even if the newest is deleted.
    clear(&&ram, &geometry, 0).unwrap();
    store.rescan().unwrap();
    append(&store, b"6").unwrap();
    assert_eq!(crate::common::seal(&ram, &geometry, 0).seq, 7);
}

/// Who stores a dump knows best.
#[test]
fn not_while_a_dump_is_under_way() {
    let geometry = geometry(2);
    let ram = Ram::new(vec![0; geometry.mem_size()]);
    let (store, _) = open(&ram, &geometry);
    let mut dump = store.begin(&INFO);
    assert_eq!(store.rescan(), Err(Busy));
    dump.append(b"text", false).unwrap();
    assert_eq!(store.rescan(), Err(Busy));
    drop(dump);
    assert_eq!(store.rescan().map(|census| census.sealed), Ok(1));
}

/// A region in which somebody stores a dump at the n-th read, or reads it again.
struct Nested {
    bytes: Ram,
    reads_left: Cell<usize>,
    store: OnceCell<&'static Store<&'static Nested, Vec<Slot>>>,
}

impl Memory for &'static Nested {
    fn len(&self) -> usize {
        (&self.bytes).len()
    }

    fn read(&self, offset: usize, buf: &mut [u8]) -> bool {
        let left = self.reads_left.get();
        self.reads_left.set(left.wrapping_sub(1));
        if left == 0 {
            let store = self.store.get().unwrap();
            assert_eq!(store.rescan(), Err(Busy));
            store.begin(&INFO).append(b"between", true).unwrap();
        }
        (&self.bytes).read(offset, buf)
    }

    fn write(&self, offset: usize, data: &[u8]) -> bool {
        (&self.bytes).write(offset, data)
    }

    fn barrier(&self, offset: usize, len: usize) {
        (&self.bytes).barrier(offset, len)
    }

    fn crc32c(crc: u32, data: &[u8]) -> u32 {
        kernel_crc32c(crc, data)
    }

    fn encode(&self, block: &[u8], parity: &mut [u8]) {
        (&self.bytes).encode(block, parity)
    }

    fn decode(&self, block: &mut [u8], parity: &mut [u8]) -> Option<usize> {
        (&self.bytes).decode(block, parity)
    }
}

/// A dump that comes while the region is read wins, wherever it comes; and so does who reads first.
#[test]
fn a_dump_in_between() {
    let geometry = geometry(3);
    let mut reads = 0;
    loop {
        // Leaked, because the memory needs the store that it is a part of.
        let memory: &Nested = Box::leak(Box::new(Nested {
            bytes: Ram::new(vec![0; geometry.mem_size()]),
            reads_left: Cell::new(usize::MAX),
            store: OnceCell::new(),
        }));
        let (store, _) = Store::open(memory, geometry, table(&geometry), DEFAULT).unwrap();
        let store: &Store<&Nested, Vec<Slot>> = Box::leak(Box::new(store));
        memory.store.set(store).ok().unwrap();
        for text in [b"0", b"1", b"2"] {
            store.begin(&INFO).append(text, true).unwrap();
        }
        clear(&memory, &geometry, 1).unwrap();
        memory.reads_left.set(reads);
        let is_done = store.rescan().is_ok();
        if is_done {
            break;
        }
        // It took the oldest; the new order knows of it.
        assert_eq!(sealed_text(&memory.bytes, &geometry, 0), b"between");
        memory.reads_left.set(usize::MAX);
        store.rescan().unwrap();
        let slots = [0; 2].map(|_| store.begin(&INFO).append(b"x", true).unwrap());
        assert_eq!(slots, [1, 2]);
        reads += 1;
    }
    assert!(reads > 6, "{reads}");
}

proptest! {
    /// The order is that of a store which is opened then, whatever happened before.
    #[test]
    fn like_one_opened_now(
        slots in 1..6usize,
        steps in vec((0..4usize, 0..6usize), 1..30),
        loop_ns in prop_oneof![Just(0), Just(DEFAULT.loop_ns)],
    ) {
        let geometry = geometry(slots);
        let options = Options { loop_ns };
        let ram = Ram::new(vec![0; geometry.mem_size()]);
        let (store, _) = open_with(&ram, &geometry, options);
        for (what, slot) in steps {
            match what {
                0 => clear(&&ram, &geometry, slot % slots).unwrap(),
                1 => {
                    let census = store.rescan().unwrap();
                    let copy = Ram::new(ram.image());
                    let (other, expected) = open_with(&copy, &geometry, options);
                    prop_assert_eq!(census, expected);
                    // All that comes afterwards is the same, too.
                    for text in 0..2 * slots {
                        let parts = |store: &Store<_, _>| {
                            let mut dump = store.begin(&INFO);
                            let part = |n: usize| dump.append(&[n as u8], false);
                            [text, text + 1].map(part)
                        };
                        prop_assert_eq!(parts(&store), parts(&other));
                    }
                }
                _ => {
                    let mut dump = store.begin(&INFO);
                    for part in 0..=slot / 2 {
                        let _ = dump.append(&[part as u8], false);
                    }
                }
            }
        }
        for slot in 0..slots {
            let kind = ringbuf::classify(&&ram, &geometry, slot).unwrap().kind;
            prop_assert!(matches!(kind, Kind::Sealed(_) | Kind::Cleared(_) | Kind::Zero | Kind::Erased));
        }
    }
}

/// Somebody else puts later records there, an image that was saved, say: what comes is the newest.
#[test]
fn numbers_go_on_behind_what_is_found() {
    let geometry = geometry(4);
    let ram = Ram::new(vec![0; geometry.mem_size()]);
    let (store, _) = open(&ram, &geometry);
    append(&store, b"early").unwrap();
    for slot in 0..3 {
        let seq = 100 + slot as u64;
        forge(&ram, &geometry, slot, (seq, seq, 0, 1));
    }
    assert_eq!(store.rescan().unwrap().newest_seq, Some(102));
    let slot = append(&store, b"new").unwrap();
    assert_eq!(crate::common::seal(&ram, &geometry, slot).seq, 103);
    let (_, census) = open(&ram, &geometry);
    assert_ne!(census.next, Some(slot));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// If nothing was deleted, to read the region again changes nothing, in a loop of crashes neither.
    #[test]
    fn a_look_changes_nothing(
        slots in 1..7usize,
        boots in vec(vec((any::<bool>(), 1..4usize), 0..8), 1..5),
    ) {
        let geometry = geometry(slots);
        let [looked, other] = [(); 2].map(|()| Ram::new(vec![0; geometry.mem_size()]));
        let mut seconds = 1_700_000_000;
        for (boot, dumps) in boots.iter().enumerate() {
            let (looking, _) = open(&looked, &geometry);
            let (not_looking, _) = open(&other, &geometry);
            for (look, parts) in dumps {
                seconds += 10;
                let info = DumpInfo {
                    boot_id: [boot as u8; 16],
                    realtime_ns: seconds * 1_000_000_000,
                    boottime_ns: 5_000_000_000,
                    ..INFO
                };
                if *look {
                    looking.rescan().unwrap();
                }
                let stored = [&looking, &not_looking].map(|store| {
                    let mut dump = store.begin(&info);
                    let part = |part| dump.append(b"text", part == *parts);
                    (1..=*parts).map(part).collect::<Vec<_>>()
                });
                prop_assert_eq!(&stored[0], &stored[1]);
            }
        }
        prop_assert!(looked.image() == other.image());
    }
}
