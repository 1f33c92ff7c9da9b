// SPDX-License-Identifier: GPL-2.0

//! Seals that somebody forged: what is stored next to them is found again and not taken.

use crate::common::{
    append,
    cache::Random,
    forge,
    geometry,
    look,
    mainline,
    open,
    strip_prefix,
    Ram,
    INFO, //
};
use ringbuf::{DumpInfo, Geometry};

/// Boots with a dump each: each is found by the next boot, which does not take it.
fn boots(ram: &Ram, geometry: &Geometry, name: &str) {
    let mut last = None;
    for boot in 0..20u8 {
        let (store, _) = open(ram, geometry);
        let info = DumpInfo {
            boot_id: [boot; 16],
            boottime_ns: [1, u64::MAX][usize::from(boot % 2)],
            ..INFO
        };
        let slot = store.begin(&info).append(&[b'a' + boot], true);
        let slot = slot.unwrap_or_else(|err| panic!("{name}: {err:?}"));
        if geometry.slots() > 1 {
            assert_ne!(Some(slot), last, "{name}: boot {boot} takes the last dump");
        }
        let (_, text) = look(&ram, geometry, slot);
        assert_eq!(strip_prefix(&text), [b'a' + boot], "{name}");
        last = Some(slot);
    }
}

/// One number in some of the slots, be there others or not.
#[test]
fn high_numbers() {
    for slots in 1..=4 {
        let geometry = geometry(slots);
        for end in [1 << 30, 1 << 62, 1 << 63, 3 << 62, 1u128 << 64] {
            for below in [1, 2, 3, 5, 9] {
                for (count, is_full) in (1..=slots).flat_map(|n| [(n, false), (n, true)]) {
                    let ram = Ram::new(vec![0; geometry.mem_size()]);
                    for _ in 0..if is_full { slots } else { 0 } {
                        append(&open(&ram, &geometry).0, b"x").unwrap();
                    }
                    let number = (end - below) as u64;
                    for slot in 0..count {
                        forge(&ram, &geometry, slot, (number, number, 0, 1));
                    }
                    let name = format!("{count} of {slots} slots, {end:#x} - {below}, {is_full}");
                    boots(&ram, &geometry, &name);
                }
            }
        }
    }
}

/// Numbers, dumps, parts and loops that contradict each other, garbage, damage, and mainline's records.
#[test]
fn contradictions() {
    let mut random = Random(5);
    for round in 0..10_000 {
        let slots = 1 + random.below(6);
        let geometry = geometry(slots);
        let ram = Ram::new(vec![0; geometry.mem_size()]);
        // Around the places where the order changes.
        let bases = [0, 0, 1 << 61, 1 << 62, 1 << 63, 3 << 62, u64::MAX];
        let base: u64 = bases[random.below(bases.len())];
        for slot in 0..slots {
            let zone = slot * 512;
            match random.below(6) {
                0 => (),
                1 => {
                    let filler = random.next() as u8;
                    ram.bytes.borrow_mut()[zone..][..512].fill(filler);
                }
                2 => mainline::write(&mut ram.bytes.borrow_mut(), &geometry, slot, 5, b"text"),
                _ => {
                    let top = [20, 1 << 40, 1 << 61][random.below(3)];
                    let low = 2 + random.below(top);
                    let dump = [low, 1 + random.below(low)][random.below(2)];
                    let start = [0, random.below(dump)][random.below(2)];
                    let part = 1 + random.below(5) as u32;
                    let number = |low: usize| base.wrapping_add(low as u64).wrapping_sub(20).max(1);
                    let seq = number(low);
                    let start = [0, number(start)][usize::from(start != 0)];
                    let numbers = (seq, number(dump), start, part);
                    forge(&ram, &geometry, slot, numbers);
                    match random.below(5) {
                        0 => ram.bytes.borrow_mut()[zone + 40] ^= 1,
                        1 => ram.bytes.borrow_mut()[zone + 504 + random.below(8)] ^= 7,
                        _ => (),
                    }
                }
            }
        }
        boots(&ram, &geometry, &format!("round {round}, {slots} slots"));
    }
}
