// SPDX-License-Identifier: GPL-2.0

//! What is found in a region, and why there is no record.

use super::store::{
    kind,
    ram, //
};
use crate::common::{
    append,
    geometry,
    kernel_crc32c,
    look,
    mainline,
    open,
    params,
    strip_prefix,
    Ram, //
};
use ringbuf::{
    layout::{
        SEAL_LEN,
        SEAL_MAGIC, //
    },
    Census,
    Diagnosis,
    Geometry,
    Kind,
    Params, //
};

#[test]
fn damage_is_told_apart() {
    let (ram, geometry) = ram(8);
    let (store, _) = open(&ram, &geometry);
    for i in 0..8 {
        append(&store, format!("text {i}").as_bytes()).unwrap();
    }
    let seal_at = |slot| geometry.seal_offset(slot).unwrap();
    let zone = |slot| geometry.slot_offset(slot).unwrap();
    {
        let mut image = ram.bytes.borrow_mut();
        image[zone(0) + 12 + 30] ^= 1; // payload
        image[seal_at(1)] ^= 1; // seal
        image[zone(2)] ^= 1; // sig
        image[zone(3) + 8] ^= 0xff; // size
        image[seal_at(4) + 187] = b'W'; // being written
        image[zone(4)] = 0;
        image[zone(5)..zone(6)].fill(0);
        image[zone(6)..zone(7)].fill(0xff);
        image[zone(7)..zone(7) + 512].fill(0x5a);
    }
    let kinds: Vec<Kind> = (0..8).map(|slot| kind(&ram, &geometry, slot)).collect();
    assert!(matches!(kinds[0], Kind::Damaged(seal) if seal.seq == 1));
    assert_eq!(kinds[0].extent(), None);
    assert!(matches!(kinds[1], Kind::Foreign(_)));
    assert!(matches!(kinds[2], Kind::Sealed(seal) if seal.seq == 3));
    assert!(matches!(kinds[3], Kind::Sealed(seal) if seal.seq == 4));
    assert_eq!(
        kinds[4..],
        [Kind::Torn(None), Kind::Zero, Kind::Erased, Kind::Garbage]
    );

    let (_, census) = open(&ram, &geometry);
    assert_eq!(
        census,
        Census {
            slots: 8,
            sealed: 2,
            foreign: 1,
            damaged: 1,
            torn: 1,
            blank: 2,
            garbage: 1,
            next: Some(5),
            newest_seq: Some(4),
            ..Census::default()
        }
    );
}

#[test]
fn header_without_a_stamp_is_no_record() {
    let (ram, geometry) = ram(3);
    let (store, _) = open(&ram, &geometry);
    append(&store, b"a").unwrap();
    {
        let mut image = ram.bytes.borrow_mut();
        for slot in [0, 1] {
            mainline::write(&mut image, &geometry, slot, 1, b"x");
            image[slot * 512 + 12] = b'-';
        }
        // Mainline calls this one invalid.
        mainline::write(&mut image, &geometry, 2, 1, b"x");
        let start = 512 * 2 + 4;
        image[start..start + 4].copy_from_slice(&19u32.to_ne_bytes());
    }
    assert!(matches!(kind(&ram, &geometry, 0), Kind::Damaged(_)));
    assert_eq!(kind(&ram, &geometry, 1), Kind::Garbage);
    assert_eq!(kind(&ram, &geometry, 2), Kind::Garbage);
    for slot in 0..3 {
        assert_eq!(mainline::record(&ram.image(), &geometry, slot), None);
    }
}

#[test]
fn seal_of_a_later_version() {
    let (ram, geometry) = ram(3);
    let (store, _) = open(&ram, &geometry);
    append(&store, b"a").unwrap();
    append(&store, b"b").unwrap();
    drop(store);
    {
        // Version 2 has 16 more bytes in front.
        let mut image = ram.bytes.borrow_mut();
        let seal_at = geometry.seal_offset(0).unwrap();
        let end = seal_at + SEAL_LEN;
        image[end - 236..seal_at].fill(0x77);
        image[end - 12..end - 10].copy_from_slice(&236u16.to_le_bytes());
        image[end - 10..end - 8].copy_from_slice(&2u16.to_le_bytes());
        let crc = !kernel_crc32c(!0, &image[end - 236..end - 8]);
        image[end - 8..end - 4].copy_from_slice(&crc.to_le_bytes());
    }
    let (found, text) = look(&&ram, &geometry, 0);
    assert!(
        matches!(
            found,
            Kind::Newer {
                version: 2,
                seq: 1,
                text: Some(_)
            }
        ),
        "{found:?}"
    );
    assert_eq!(strip_prefix(&text), b"a");
    // It is kept as long as there is something else.
    let (store, census) = open(&ram, &geometry);
    assert_eq!((census.newer, census.sealed, census.next), (1, 1, Some(2)));
    append(&store, b"c").unwrap();
    assert_eq!(store.next_slot(), Some(0));

    let image = ram.image();
    let header = geometry.slot_offset(0).unwrap();
    // Without a header the text cannot be found, but the record is not taken for rubbish.
    ram.bytes.borrow_mut()[header] = 0;
    let found = kind(&ram, &geometry, 0);
    assert_eq!(
        found,
        Kind::Newer {
            version: 2,
            seq: 1,
            text: None
        }
    );
    *ram.bytes.borrow_mut() = image.clone();
    mainline::erase(&mut ram.bytes.borrow_mut(), &geometry, 0);
    assert_eq!(kind(&ram, &geometry, 0), Kind::Cleared(None));
    // With a wrong CRC it is none, but mainline's record is still there.
    *ram.bytes.borrow_mut() = image;
    ram.bytes.borrow_mut()[512 - 236 + 4] ^= 1;
    assert!(matches!(kind(&ram, &geometry, 0), Kind::Foreign(_)));
}

#[test]
fn length_of_a_later_version_is_checked() {
    let (ram, geometry) = ram(1);
    for length in 0..=u16::MAX {
        let mut image = ram.bytes.borrow_mut();
        image[492..500].copy_from_slice(&1u64.to_le_bytes());
        image[500..502].copy_from_slice(&length.to_le_bytes());
        image[502..504].copy_from_slice(&9u16.to_le_bytes());
        let begin = 512usize.saturating_sub(usize::from(length));
        let crc = match image.get(begin..504) {
            Some(covered) => !kernel_crc32c(!0, covered),
            None => 0,
        };
        image[504..508].copy_from_slice(&crc.to_le_bytes());
        image[508..].copy_from_slice(&SEAL_MAGIC.to_le_bytes());
        drop(image);
        let expected = match length {
            // Beyond it there is the header, and below it not even the tail.
            20..=500 => Kind::Newer {
                version: 9,
                seq: 1,
                text: None,
            },
            _ => Kind::Torn(None),
        };
        assert_eq!(kind(&ram, &geometry, 0), expected, "{length}");
    }
}

#[test]
fn diagnosis() {
    let geometry = geometry(4);
    let diagnose = |fill: &dyn Fn(&mut [u8])| {
        let ram = Ram::new(vec![0; 2048]);
        fill(&mut ram.bytes.borrow_mut());
        let (_, census) = open(&ram, &geometry);
        census.diagnosis
    };
    assert_eq!(diagnose(&|_| ()), Some(Diagnosis::ZeroFilled));
    let erased = diagnose(&|image| image.fill(0xff));
    assert_eq!(erased, Some(Diagnosis::Erased));
    let garbage = diagnose(&|image| image.fill(0x5a));
    assert_eq!(garbage, Some(Diagnosis::Garbage));
    let cleared = diagnose(&|image| mainline::load(image, &geometry));
    assert_eq!(cleared, Some(Diagnosis::Cleared));
    let one_cleared = diagnose(&|image| {
        image.fill(0xff);
        mainline::erase(image, &geometry, 3);
    });
    assert_eq!(one_cleared, Some(Diagnosis::Cleared));
    let record = diagnose(&|image| mainline::write(image, &geometry, 3, 1, b"x"));
    assert_eq!(record, None);
}

#[test]
fn diagnosis_of_another_geometry() {
    let with = |record_size| {
        Geometry::new(Params {
            console_size: 4096,
            ftrace_size: 4096,
            pmsg_size: 4096,
            ..params(1 << 20, record_size)
        })
        .unwrap()
    };
    let sizes = [1024, 4096, 0x2000, 0x4000, 1 << 16];
    for written in sizes {
        for opened in sizes {
            for (records, long) in [(2, true), (4, false), (12, true), (12, false)] {
                let (was, is) = (with(written), with(opened));
                let ram = Ram::new(vec![0x5a; 1 << 20]);
                {
                    let mut image = ram.bytes.borrow_mut();
                    mainline::load(&mut image, &was);
                    // Long ones fit no smaller zone, but short ones do.
                    let text = "x".repeat(if long { written * 3 / 4 } else { 100 });
                    for slot in 0..records {
                        mainline::write(&mut image, &was, slot, 1, text.as_bytes());
                    }
                    // The first zone lies at the same place always; see below.
                    mainline::erase(&mut image, &was, 0);
                    image[0] = 0;
                }
                let (_, census) = open(&ram, &is);
                let name = format!("{records} of {written} as {opened}: {census:?}");
                if written == opened {
                    assert_eq!(census.diagnosis, None, "{name}");
                } else if census.foreign == 0 {
                    let record_size = written;
                    let other = Diagnosis::OtherGeometry { record_size };
                    assert_eq!(census.diagnosis, Some(other), "{name}");
                }
            }
        }
    }

    // Mainline does not accept such a header.
    let (was, is) = (with(4096), with(0x4000));
    let ram = Ram::new(vec![0x5a; 1 << 20]);
    for slot in 1..9 {
        let mut image = ram.bytes.borrow_mut();
        mainline::write(&mut image, &was, slot, 1, b"x");
        image[slot * 4096 + 4..slot * 4096 + 8].fill(0x7f);
    }
    let (_, census) = open(&ram, &is);
    assert_eq!(census.diagnosis, Some(Diagnosis::Garbage));

    // A single record in the first zone, too long for ours.
    let (was, is) = (with(0x4000), with(4096));
    let ram = Ram::new(vec![0; 1 << 20]);
    let text = "x".repeat(0x3000);
    mainline::write(&mut ram.bytes.borrow_mut(), &was, 0, 1, text.as_bytes());
    let (_, census) = open(&ram, &is);
    let record_size = 0x4000;
    let other = Diagnosis::OtherGeometry { record_size };
    assert_eq!(census.diagnosis, Some(other));
}
