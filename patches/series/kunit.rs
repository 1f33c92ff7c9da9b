// SPDX-License-Identifier: GPL-2.0

//! Tests of the record store in the kernel, over a region of ordinary memory.

#[kernel::macros::kunit_tests(rust_ramoops_ringbuf)]
mod tests {
    use crate::ringbuf::{
        classify,
        clear,
        layout::{
            Header,
            SIG, //
        },
        read_text,
        Census,
        DumpInfo,
        Geometry,
        Kind,
        Memory,
        Options,
        Params,
        Ranked,
        Store, //
    };
    use core::{
        cell::Cell,
        sync::atomic::AtomicU32, //
    };
    use kernel::{
        array::Array,
        crc32c, //
    };

    const SLOTS: usize = 4;
    const RECORD_SIZE: usize = 1024;

    /// A region, and how many writes it takes before the power fails.
    struct Ram {
        bytes: Array<Cell<u8>>,
        writes: Cell<usize>,
    }

    impl Ram {
        fn new() -> Self {
            Self {
                bytes: Array::new(SLOTS * RECORD_SIZE).unwrap(),
                writes: Cell::new(usize::MAX),
            }
        }

        fn flip(&self, offset: usize) {
            self.bytes[offset].set(self.bytes[offset].get() ^ 1);
        }
    }

    impl Memory for &Ram {
        fn len(&self) -> usize {
            self.bytes.len()
        }

        fn read(&self, offset: usize, buf: &mut [u8]) -> bool {
            let Some(bytes) = self.bytes.get(offset..offset + buf.len()) else {
                return false;
            };
            for (to, from) in buf.iter_mut().zip(bytes) {
                *to = from.get();
            }
            true
        }

        fn write(&self, offset: usize, data: &[u8]) -> bool {
            let Some(bytes) = self.bytes.get(offset..offset + data.len()) else {
                return false;
            };
            let left = self.writes.get();
            self.writes.set(left.saturating_sub(1));
            for (to, from) in bytes.iter().zip(data).filter(|_| left != 0) {
                to.set(*from);
            }
            true
        }

        fn barrier(&self, _offset: usize, _len: usize) {}

        fn crc32c(crc: u32, data: &[u8]) -> u32 {
            crc32c::crc32c(crc, data)
        }

        fn encode(&self, _block: &[u8], _parity: &mut [u8]) {}

        fn decode(&self, _block: &mut [u8], _parity: &mut [u8]) -> Option<usize> {
            None
        }
    }

    fn geometry() -> Geometry {
        Geometry::new(Params {
            mem_size: SLOTS * RECORD_SIZE,
            record_size: RECORD_SIZE,
            console_size: 0,
            ftrace_size: 0,
            pmsg_size: 0,
            ecc_size: 0,
        })
        .unwrap()
    }

    fn open(ram: &Ram) -> (Store<&Ram, Array<AtomicU32>>, Census) {
        let order = Array::new(SLOTS).unwrap();
        let mut scratch = [Ranked::default(); SLOTS];
        Store::open(ram, geometry(), order, &mut scratch, Options::default()).unwrap()
    }

    fn info() -> DumpInfo<'static> {
        DumpInfo {
            reason: 1,
            reason_name: b"Panic",
            count: 1,
            realtime_ns: 1_700_000_000_000_000_000,
            boottime_ns: 42_000_000_000,
            boot_id: [7; 16],
            description: b"for a test",
            release: b"7.3.0",
            urgent: true,
        }
    }

    /// The next boot crashes. Returns the slot of its record.
    fn crash(ram: &Ram, text: &[u8]) -> usize {
        let (store, _) = open(ram);
        let info = info();
        let slot = store.begin(&info).append(text, true).unwrap();
        slot
    }

    /// Whether a slot has a whole record that ends in this text.
    fn holds(ram: &Ram, slot: usize, text: &[u8]) -> bool {
        let Kind::Sealed(seal) = classify(&ram, &geometry(), slot).unwrap().kind else {
            return false;
        };
        let extent = Kind::Sealed(seal).extent().unwrap();
        let mut end = [0; 64];
        let end = &mut end[..text.len()];
        let pos = seal.size as usize - text.len();
        read_text(&ram, &geometry(), slot, extent, pos, end) == text.len() && *end == *text
    }

    #[test]
    fn records_are_found_by_the_next_boot() {
        let ram = Ram::new();
        assert_eq!(open(&ram).1.blank, SLOTS);
        let slots = [b"one", b"two"].map(|text| crash(&ram, text));
        assert_eq!(slots, [0, 1]);
        assert!(holds(&ram, 0, b"one") && holds(&ram, 1, b"two"));
        let (_, census) = open(&ram);
        assert_eq!((census.sealed, census.next), (2, Some(2)));
    }

    #[test]
    fn the_oldest_record_goes_first() {
        let ram = Ram::new();
        for text in [b"1", b"2", b"3", b"4", b"5", b"6"] {
            crash(&ram, text);
        }
        assert!(holds(&ram, 0, b"5") && holds(&ram, 1, b"6"));
        assert!(holds(&ram, 2, b"3") && holds(&ram, 3, b"4"));
    }

    #[test]
    fn a_storm_keeps_the_crash_of_the_boot_before() {
        let ram = Ram::new();
        crash(&ram, b"before");
        let (store, _) = open(&ram);
        let info = info();
        let slots =
            [b"1", b"2", b"3", b"4"].map(|text| store.begin(&info).append(text, true).unwrap());
        assert_eq!(slots, [1, 2, 3, 1]);
        assert!(holds(&ram, 0, b"before"));
    }

    #[test]
    fn a_power_cut_anywhere_spoils_no_other_record() {
        for writes in 0.. {
            let ram = Ram::new();
            for text in [b"1", b"2", b"3", b"4"] {
                crash(&ram, text);
            }
            ram.writes.set(writes);
            crash(&ram, b"5");
            let is_whole = ram.writes.get() != 0;
            ram.writes.set(usize::MAX);
            assert!(holds(&ram, 1, b"2") && holds(&ram, 2, b"3") && holds(&ram, 3, b"4"));
            // What is left of the fifth is taken for younger than the others.
            assert!(writes == 0 || open(&ram).1.next == Some(1) || holds(&ram, 0, b"1"));
            if is_whole {
                assert!(holds(&ram, 0, b"5"));
                return;
            }
        }
    }

    #[test]
    fn a_flipped_bit_makes_no_record_older() {
        let ram = Ram::new();
        for text in [b"1", b"2", b"3", b"4"] {
            crash(&ram, text);
        }
        let newest = geometry().data_offset(3).unwrap();
        ram.flip(newest + 30);
        let (_, census) = open(&ram);
        assert_eq!((census.sealed, census.damaged), (3, 1));
        assert_eq!(crash(&ram, b"5"), 0);
    }

    #[test]
    fn a_deleted_record_makes_room() {
        let ram = Ram::new();
        for text in [b"1", b"2", b"3", b"4"] {
            crash(&ram, text);
        }
        clear(&(&ram), &geometry(), 2).unwrap();
        assert_eq!(open(&ram).1.cleared, 1);
        assert_eq!(crash(&ram, b"5"), 2);
    }

    #[test]
    fn records_of_ramoops_are_kept() {
        let ram = Ram::new();
        let text = b"====1700000001.000000-D\nPanic#1 Part1\n<0>[    1.000000] Kernel panic\n";
        let header = Header {
            sig: SIG,
            start: text.len() as u32,
            size: text.len() as u32,
        };
        (&ram).write(0, &header.encode());
        (&ram).write(12, text);
        let (_, census) = open(&ram);
        assert_eq!((census.foreign, census.next), (1, Some(1)));
        let slots = [b"1", b"2", b"3"].map(|text| crash(&ram, text));
        assert_eq!(slots, [1, 2, 3]);
    }

    #[test]
    fn no_garbage_harms() {
        let ram = Ram::new();
        for seed in 1u32..=64 {
            let mut state = seed;
            for byte in ram.bytes.iter() {
                // xorshift32.
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                byte.set(state as u8);
            }
            let slot = crash(&ram, b"after garbage");
            assert!(holds(&ram, slot, b"after garbage"));
        }
    }
}
