// SPDX-License-Identifier: GPL-2.0

//! Deleting records.

use crate::common::*;
use ringbuf::{
    classify,
    clear,
    Kind, //
};

fn kind(ram: &Ram, geometry: &ringbuf::Geometry, slot: usize) -> Kind {
    classify(&ram, geometry, slot).unwrap().kind
}

#[test]
fn sealed_record_keeps_its_number() {
    for ecc in [0, 4, 16] {
        let geometry = match ecc {
            0 => geometry(4),
            ecc => geometry_with_ecc(4, 1024, ecc),
        };
        let ram = Ram::new(vec![0; geometry.mem_size()]);
        let (store, _) = open(&ram, &geometry);
        for _ in 0..3 {
            append(&store, b"text\n").unwrap();
        }
        clear(&&ram, &geometry, 1).unwrap();
        assert!(matches!(kind(&ram, &geometry, 0), Kind::Sealed(_)));
        assert!(matches!(kind(&ram, &geometry, 1), Kind::Cleared(Some(seal)) if seal.seq == 2));
        assert!(matches!(kind(&ram, &geometry, 2), Kind::Sealed(_)));
        assert!(mainline::record(&ram.image(), &geometry, 0).is_some());
        assert!(mainline::record(&ram.image(), &geometry, 1).is_none());
        let (_, census) = open(&ram, &geometry);
        assert_eq!((census.cleared, census.newest_seq), (1, Some(3)));
    }
}

#[test]
fn any_slot_holds_no_record_afterwards() {
    let geometry = geometry(6);
    let ram = Ram::new(vec![0; geometry.mem_size()]);
    let (store, _) = open(&ram, &geometry);
    for _ in 0..4 {
        append(&store, b"text\n").unwrap();
    }
    {
        let mut bytes = ram.bytes.borrow_mut();
        mainline::write(
            &mut bytes,
            &geometry,
            5,
            1_700_000_000,
            b"Panic#1 Part1\ntext\n",
        );
        // Damaged, torn and salvaged.
        bytes[12 + 60] ^= 1;
        bytes[2 * 512 - 5] = b'W';
        bytes[2 * 512..2 * 512 + 12].fill(0x55);
        bytes[3 * 512 - 20] ^= 1;
        bytes[4 * 512 + 100] = 7;
    }
    for slot in 0..geometry.slots() {
        clear(&&ram, &geometry, slot).unwrap();
        assert!(
            matches!(
                kind(&ram, &geometry, slot),
                Kind::Cleared(_) | Kind::Empty | Kind::Erased
            ),
            "{slot}: {:?}",
            kind(&ram, &geometry, slot)
        );
        assert!(mainline::record(&ram.image(), &geometry, slot).is_none());
    }
    assert_eq!(clear(&&ram, &geometry, geometry.slots()), None);
}

#[test]
fn interrupted_anywhere_it_is_the_old_record_or_none() {
    for ecc in [0, 4, 16] {
        let geometry = geometry_with_ecc(1, 1024, ecc);
        let ram = Ram::new(vec![0; geometry.mem_size()]);
        let (store, _) = open(&ram, &geometry);
        append(&store, b"text\n").unwrap();
        let before = ram.image();
        let shown = mainline::record(&before, &geometry, 0);
        ram.log.borrow_mut().clear();
        clear(&&ram, &geometry, 0).unwrap();

        let mut image = before;
        for op in ram.log.take() {
            let Op::Write { offset, data } = op else {
                continue;
            };
            for (at, byte) in (offset..).zip(data) {
                image[at] = byte;
                let cut = Ram::new(image.clone());
                let kind = kind(&cut, &geometry, 0);
                assert!(
                    matches!(kind, Kind::Sealed(_) | Kind::Cleared(_)),
                    "ecc {ecc}: {kind:?}"
                );
                let seen = mainline::record(&image, &geometry, 0);
                assert!(seen.is_none() || seen == shown, "ecc {ecc}: {seen:?}");
            }
        }
    }
}
