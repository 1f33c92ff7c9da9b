// SPDX-License-Identifier: GPL-2.0

//! Records that were stored with other parameters: they are found, said, kept by their age, and there
//! again when the parameters are.

use crate::common::{
    append,
    forge,
    mainline,
    open,
    params,
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
    classify,
    clear,
    Census,
    DumpInfo,
    Geometry,
    Kind,
    Params,
    Store, //
};

const MEM_SIZE: usize = 64 << 10;

fn with(record_size: usize, console_size: usize, ecc_size: usize) -> Params {
    Params {
        console_size,
        ecc_size,
        ..params(MEM_SIZE, record_size)
    }
}

fn geometry(params: Params) -> Geometry {
    Geometry::new(params).unwrap()
}

/// A boot with so many dumps, the n-th of which has the text of that number.
fn boot(ram: &Ram, params: Params, texts: std::ops::Range<usize>) -> (Vec<usize>, Census) {
    let geometry = geometry(params);
    let (store, census) = open(ram, &geometry);
    let slots = texts.map(|n| append(&store, &text(n)).unwrap());
    (slots.collect(), census)
}

/// Parity cannot make one of these out of another one.
fn text(n: usize) -> Vec<u8> {
    let letter = char::from(b'a' + n as u8);
    format!("text {n}\n{}\n", letter.to_string().repeat(60)).into_bytes()
}

/// Which texts are there, for who has these parameters.
fn texts(ram: &Ram, params: Params) -> Vec<usize> {
    let geometry = geometry(params);
    let mut texts = Vec::new();
    for slot in 0..geometry.slots() {
        if let Kind::Sealed(_) = classify(&ram, &geometry, slot).unwrap().kind {
            let text = sealed_text(ram, &geometry, slot);
            let line = text.split(|byte| *byte == b'\n').next().unwrap();
            texts.push(std::str::from_utf8(&line[5..]).unwrap().parse().unwrap());
        }
    }
    texts.sort_unstable();
    texts
}

fn matrix() -> Vec<Params> {
    let mut all = Vec::new();
    for record_size in [4096, 8192, 16 << 10] {
        for console_size in [0, 4096] {
            for ecc_size in [0, 4, 16] {
                for mem_size in [MEM_SIZE, MEM_SIZE - 12 * 1024] {
                    all.push(Params {
                        mem_size,
                        ..with(record_size, console_size, ecc_size)
                    });
                }
            }
        }
    }
    all
}

/// From each set of parameters to each other one: what was stored is found, and as long as there is
/// room beside it nothing of it is lost.
#[test]
fn every_change_of_parameters() {
    for before in matrix() {
        for after in matrix() {
            let ram = Ram::new(vec![0; MEM_SIZE]);
            boot(&ram, before, 0..2);
            let (first, second) = (geometry(before), geometry(after));
            let is_same = first.stride() == second.stride() && before.ecc_size == after.ecc_size;
            let image = ram.image();
            let mut zones = image[..second.slots() * second.stride()].chunks(second.stride());
            let has_room = zones.any(|zone| zone.iter().all(|byte| *byte == 0));
            let (slots, census) = boot(&ram, after, 2..3);
            let name = || format!("{before:?} {after:?} {census:?}");
            if is_same {
                assert_eq!((census.sealed, census.others), (2, 0), "{}", name());
            } else {
                let params = [census.other_params[0], census.other_params[1]];
                assert_eq!((census.sealed, census.others), (0, 2), "{}", name());
                assert_eq!(params, [Some(*first.params()), None], "{}", name());
            }
            assert_eq!(census.newest_seq, Some(2), "{}", name());
            assert_eq!(slots.len(), 1);
            let count = match (is_same, has_room) {
                (true, _) => 3,
                (false, true) => 2,
                // The oldest is gone.
                (false, false) => 1,
            };
            assert_eq!(texts(&ram, before).len(), count, "{}", name());
            let (_, census) = boot(&ram, before, 3..3);
            // A seal behind the end of a smaller region is out of sight.
            let seen = first.mem_size() >= second.mem_size();
            let newest = census.newest_seq;
            assert!(
                newest == Some(3) || (!seen && newest == Some(2)),
                "{}",
                name()
            );
        }
    }
}

/// The oldest goes first, whatever it was stored with: of all there is only the newest part is out of
/// reach.
#[test]
fn by_age() {
    let (large, small) = (with(16 << 10, 0, 0), with(4096, 0, 0));
    let ram = Ram::new(vec![0; MEM_SIZE]);
    // Four slots of 16 KiB, the last two are the oldest: 2, 3, 4, 5 lie in 2, 3, 0, 1.
    let (slots, _) = boot(&ram, large, 0..6);
    assert_eq!(slots, [0, 1, 2, 3, 0, 1]);
    // Header and text, and the seal, lie in the first and the last of the four slots of 4 KiB. The others
    // are free.
    let (slots, census) = boot(&ram, small, 6..18);
    assert_eq!((census.sealed, census.others), (0, 4));
    assert_eq!(slots[..8], [5, 6, 9, 10, 13, 14, 1, 2]);
    // Then the oldest record.
    assert_eq!(slots[8..], [8, 11, 12, 15]);
    assert_eq!(texts(&ram, large), [4, 5]);
    // Back again: the newest ones are those of the other size, and are kept longer than the old ones.
    let (slots, census) = boot(&ram, large, 18..18);
    assert!(slots.is_empty());
    assert_eq!((census.sealed, census.others), (2, 12));
    assert_eq!((census.newest_seq, census.next), (Some(18), Some(1)));
}

/// The newest crash was stored with other parameters; a panic under way takes it last.
#[test]
fn newest_of_others_is_kept() {
    let (large, small) = (with(16 << 10, 0, 0), with(4096, 0, 0));
    let ram = Ram::new(vec![0; MEM_SIZE]);
    boot(&ram, large, 0..4);
    boot(&ram, small, 4..5);
    let newest = texts(&ram, small);
    assert_eq!(newest, [4]);
    let geometry = geometry(large);
    let (store, _) = open(&ram, &geometry);
    let mut dump = store.begin(&INFO);
    while dump.append(b"part\n", false).is_ok() {}
    assert_eq!(texts(&ram, small), [4]);
}

/// A loop of crashes goes on across a change of parameters.
#[test]
fn loops_of_others() {
    let (large, small) = (with(16 << 10, 0, 0), with(4096, 0, 0));
    let ram = Ram::new(vec![0; MEM_SIZE]);
    for (boot, params) in [large, small, large].into_iter().enumerate() {
        let geometry = geometry(params);
        let (store, _) = Store::open(&ram, geometry, table(&geometry), DEFAULT).unwrap();
        let info = DumpInfo {
            boot_id: [boot as u8; 16],
            ..INFO
        };
        let slot = store.begin(&info).append(b"text", true).unwrap();
        let seal = crate::common::seal(&ram, &geometry, slot);
        assert_eq!(seal.loop_start, if boot == 0 { 0 } else { 1 });
    }
}

/// What a record holds is text, whatever it looks like; and what is no longer at its place is nothing.
#[test]
fn text_is_no_seal() {
    let (large, small) = (with(16 << 10, 0, 0), with(4096, 0, 0));
    let other = Ram::new(vec![0; MEM_SIZE]);
    boot(&other, small, 0..3);
    let small = self::geometry(small);
    // The very bytes of other records, in the text of a record, where they were.
    let geometry = geometry(large);
    let ram = Ram::new(vec![0; MEM_SIZE]);
    let (store, _) = open(&ram, &geometry);
    let room = store.begin(&INFO).room();
    let begin = geometry.payload_capacity() - room + 12;
    append(&store, &other.image()[begin..begin + room]).unwrap();
    let (_, census) = open(&ram, &geometry);
    assert_eq!((census.sealed, census.others), (1, 0));
    // Neither is it if there is a record of such parameters elsewhere.
    let beside = geometry.stride() / small.stride() + 1;
    forge(&ram, &small, beside, (9, 9, 0, 1));
    let (_, census) = open(&ram, &geometry);
    assert_eq!((census.sealed, census.others), (1, 1));
    let zone = beside * small.stride()..(beside + 1) * small.stride();
    ram.bytes.borrow_mut()[zone].fill(0);
    // The same without a record around it is what it was.
    ram.bytes.borrow_mut()[geometry.seal_offset(0).unwrap()..geometry.stride()].fill(0);
    let (_, census) = open(&ram, &geometry);
    assert_eq!((census.sealed, census.others), (0, 3));
    // Elsewhere it is nothing.
    ram.bytes
        .borrow_mut()
        .copy_within(0..3 * 4096, 4 * 4096 + 2);
    ram.bytes.borrow_mut()[..4 * 4096].fill(0);
    let (_, census) = open(&ram, &geometry);
    assert_eq!(census.others, 0);
}

/// Many sets of parameters: the two latest are told apart, and nothing breaks.
#[test]
fn too_many() {
    let ram = Ram::new(vec![0; MEM_SIZE]);
    for slot in 0..6 {
        let geometry = geometry(with(512 << slot, 0, 0));
        let seq = slot as u64 + 1;
        forge(&ram, &geometry, slot.min(3), (seq, seq, 0, 1));
    }
    let geometry = geometry(with(32 << 10, 0, 0));
    let (store, census) = open(&ram, &geometry);
    let mut sizes = census
        .other_params
        .map(|params| params.unwrap().record_size);
    sizes.sort_unstable();
    assert_eq!((sizes, census.newest_seq), ([8192, 16 << 10], Some(6)));
    append(&store, b"text").unwrap();
    // Stock ramoops has its own view of it.
    mainline::load(&mut ram.bytes.borrow_mut(), &geometry);
    open(&ram, &geometry);
}

proptest! {
    /// Wherever a seal lies, and whatever is around it.
    #[test]
    fn seals_are_found_anywhere(
        place in 0..4096usize,
        ecc_size in 0..20usize,
        fill in prop_oneof![Just(0u8), Just(0xff), any::<u8>()],
        noise in vec((0..MEM_SIZE, any::<u8>()), 0..100),
    ) {
        let ram = Ram::new(vec![fill; MEM_SIZE]);
        for (at, byte) in noise {
            ram.bytes.borrow_mut()[at] = byte;
        }
        // A zone that ends anywhere.
        let other = geometry(Params {
            mem_size: MEM_SIZE - 2 * place,
            ..with(MEM_SIZE / 2, 0, ecc_size)
        });
        let (store, _) = open(&ram, &other);
        append(&store, b"text").unwrap();
        let ours = geometry(with(512, 0, 0));
        let (_, census) = open(&ram, &ours);
        prop_assert_eq!(census.other_params[0], Some(*other.params()));
        prop_assert_eq!(census.others, 1);
    }
}

/// The number of a record is not given again, be it deleted and of other parameters.
#[test]
fn numbers_of_deleted_others() {
    let (large, small) = (with(16 << 10, 0, 0), with(4096, 0, 0));
    let ram = Ram::new(vec![0; MEM_SIZE]);
    boot(&ram, small, 0..3);
    clear(&&ram, &geometry(small), 2).unwrap();
    let (_, census) = boot(&ram, large, 3..3);
    assert_eq!((census.others, census.newest_seq), (2, Some(3)));
}

/// What a program writes to pmsg is no record, not even if it is a whole seal.
#[test]
fn pmsg_is_no_seal() {
    let ours = geometry(Params {
        pmsg_size: 4096,
        ..with(4096, 0, 0)
    });
    let other = geometry(with(MEM_SIZE / 2, 0, 0));
    for has_header in [false, true] {
        let ram = Ram::new(vec![0; MEM_SIZE]);
        forge(&ram, &other, 1, (1 << 61, 1 << 61, 0, 1));
        let (pmsg, _) = ours.pmsg();
        assert!(other.seal_offset(1).unwrap() > pmsg);
        if has_header {
            ram.bytes.borrow_mut()[pmsg..pmsg + 4].copy_from_slice(b"DBGC");
        }
        let (_, census) = open(&ram, &ours);
        assert_eq!(census.others, usize::from(!has_header));
    }
}

/// Parameters that give the same zones are one set.
#[test]
fn same_zones_are_one_set() {
    let ram = Ram::new(vec![0; MEM_SIZE]);
    boot(&ram, with(4096, 0, 0), 0..1);
    boot(&ram, with(4096, 4096, 0), 1..2);
    boot(&ram, with(32 << 10, 0, 0), 2..3);
    let (_, census) = boot(&ram, with(16 << 10, 0, 0), 3..3);
    assert_eq!((census.others, census.newest_seq), (3, Some(3)));
    let mut sizes = census
        .other_params
        .map(|params| params.unwrap().record_size);
    sizes.sort_unstable();
    assert_eq!(sizes, [4096, 32 << 10]);
}

/// The newest crash lies in several slots of ours: none of them is taken, unless nothing else is there.
#[test]
fn newest_of_others_over_several_slots() {
    for (before, is_all) in [(with(16 << 10, 0, 0), false), (with(MEM_SIZE, 0, 0), true)] {
        let ram = Ram::new(vec![0; MEM_SIZE]);
        let was = geometry(before);
        let (store, _) = open(&ram, &was);
        for n in 0..was.slots() {
            let mut text = text(n);
            text.resize(store.begin(&INFO).room(), b'x');
            append(&store, &text).unwrap();
        }
        let now = geometry(with(4096, 0, 0));
        let (store, _) = open(&ram, &now);
        let mut dump = store.begin(&INFO);
        let parts = (0..).take_while(|_| dump.append(b"part\n", false).is_ok());
        let count = parts.count();
        drop(dump);
        if is_all {
            assert!(count >= 1, "nothing was stored");
        } else {
            assert_eq!((count, texts(&ram, before)), (12, vec![3]));
        }
        // Once there is a newer one it is like any other.
        let mut slots: Vec<usize> = (0..16).map(|_| append(&store, b"x").unwrap()).collect();
        slots.sort_unstable();
        assert_eq!(slots, (0..16).collect::<Vec<_>>());
    }
}

/// A record of mainline that is younger than all of ours keeps its rank beside one of other parameters.
#[test]
fn younger_foreign_record_beside_another() {
    let ram = Ram::new(vec![0; MEM_SIZE]);
    boot(&ram, with(16 << 10, 0, 0), 0..4);
    // Behind the text of the second oldest, and in front of its seal.
    let small = geometry(with(4096, 0, 0));
    let text = b"Panic#1 Part1\nx";
    mainline::write(&mut ram.bytes.borrow_mut(), &small, 7, 3_000_000_000, text);
    let (store, census) = open(&ram, &small);
    assert_eq!(census.others, 4);
    let slots: Vec<usize> = (0..16).map(|_| append(&store, b"x").unwrap()).collect();
    assert!(!slots[..14].contains(&7), "{slots:?}");
}

/// The first dump of a loop keeps its rank beside a later dump of other parameters.
#[test]
fn first_of_a_loop_beside_another() {
    let (ours, small) = (geometry(with(16 << 10, 0, 0)), geometry(with(4096, 0, 0)));
    for has_other in [false, true] {
        let ram = Ram::new(vec![0; MEM_SIZE]);
        for (slot, loop_start) in [0, 1, 1, 1].into_iter().enumerate() {
            let seq = slot as u64 + 1 + u64::from(slot > 1);
            forge(&ram, &ours, slot, (seq, seq, loop_start, 1));
        }
        if has_other {
            // Behind the text of the first one.
            forge(&ram, &small, 1, (3, 3, 0, 1));
        }
        let (store, census) = open(&ram, &ours);
        assert_eq!(census.others, usize::from(has_other));
        let slots = [0; 4].map(|_| append(&store, b"x").unwrap());
        assert_eq!(slots, [1, 2, 3, 1], "{has_other}");
    }
}

/// Only what the latest record takes is spared, if that is of other parameters, and each slot counts once.
#[test]
fn spared_slots_are_those_of_the_latest() {
    let ram = Ram::new(vec![0; MEM_SIZE]);
    // A record that takes four slots of ours, then a later one: its text is in one, its seal in another.
    let large = geometry(with(16 << 10, 0, 0));
    let (store, _) = open(&ram, &large);
    let mut long = text(0);
    long.resize(store.begin(&INFO).room(), b'x');
    append(&store, &long).unwrap();
    boot(&ram, with(8192, 0, 0), 1..2);
    let ours = geometry(with(4096, 0, 0));
    let (store, census) = open(&ram, &ours);
    assert_eq!(census.others, 2);
    let mut dump = store.begin(&INFO);
    let parts = (0..).take_while(|_| dump.append(b"part\n", false).is_ok());
    assert_eq!(parts.count(), 14);
    drop(dump);
    assert_eq!(texts(&ram, with(8192, 0, 0)), [1]);
    // The same in a single slot of ours.
    let ram = Ram::new(vec![0; MEM_SIZE]);
    boot(&ram, with(4096, 0, 0), 0..1);
    let (store, census) = open(&ram, &large);
    assert_eq!(census.others, 1);
    let mut dump = store.begin(&INFO);
    let parts = (0..).take_while(|_| dump.append(b"part\n", false).is_ok());
    assert_eq!(parts.count(), 3);
}

/// A record that lies behind our slots names the newest of ours as the first of its loop.
#[test]
fn newest_is_the_first_of_a_loop() {
    let ours = geometry(with(4096, 16 << 10, 0));
    let (slots, other) = (ours.slots(), geometry(with(16 << 10, 0, 0)));
    let ram = Ram::new(vec![0; MEM_SIZE]);
    let (store, _) = open(&ram, &ours);
    for _ in 0..slots {
        append(&store, b"x").unwrap();
    }
    let newest = slots as u64;
    forge(&ram, &other, 3, (newest + 1, newest + 1, newest, 1));
    let (store, census) = open(&ram, &ours);
    assert_eq!((census.sealed, census.others), (slots, 1));
    // These continue no loop.
    let info = DumpInfo {
        boottime_ns: DEFAULT.loop_ns,
        ..INFO
    };
    let dump = |_| store.begin(&info).append(b"y", true).unwrap();
    let taken: Vec<usize> = (0..2 * slots).map(dump).collect();
    assert!(!taken.contains(&(slots - 1)), "{taken:?}");
}
