// SPDX-License-Identifier: GPL-2.0

//! Text without a header and a seal: found, told apart from records, and never passed off as one.

use crate::common::{
    append,
    geometry,
    geometry_with_ecc,
    look,
    mainline,
    open,
    Ram,
    INFO, //
};
use ringbuf::{
    classify,
    layout::SEAL_LEN,
    read_text,
    salvage_extent,
    Diagnosis,
    DumpInfo,
    Geometry,
    Kind, //
};

const TEXT: &[u8] = b"Oops#1 Part1\n<6>[    1.0] a line\n<4>[    2.0] caf\xc3\xa9\tx\x1b[m\n";

/// The text that is offered for a slot.
fn offered(ram: &Ram, geometry: &Geometry, slot: usize) -> Option<Vec<u8>> {
    let content = classify(&ram, geometry, slot).unwrap();
    let extent = salvage_extent(&ram, geometry, slot, &content.kind)?;
    // Only who asks for it finds it.
    assert_eq!(content.kind.extent(), None);
    let mut text = vec![0; extent.size as usize];
    let len = read_text(&ram, geometry, slot, extent, 0, &mut text);
    assert_eq!(len, text.len());
    Some(text)
}

fn kind(ram: &Ram, geometry: &Geometry, slot: usize) -> Kind {
    look(&ram, geometry, slot).0
}

/// What mainline wrote, in a zone that was zero before.
fn payload() -> Vec<u8> {
    [b"====77.000042-D\n", TEXT].concat()
}

/// Slot 1 has a record of mainline's, slots 0 and 2 are blank.
fn foreign(geometry: &Geometry) -> Ram {
    let mut image = vec![0; geometry.mem_size()];
    mainline::write(&mut image, geometry, 1, 77, TEXT);
    Ram::new(image)
}

#[test]
fn header_of_a_foreign_record_is_lost() {
    for geometry in [geometry(3), geometry_with_ecc(3, 602, 16)] {
        let good = foreign(&geometry);
        assert!(matches!(kind(&good, &geometry, 1), Kind::Foreign(_)));
        assert_eq!(offered(&good, &geometry, 1), None);
        for header in [[0xff; 12], [0; 12], *b"DBGC\0\0\0\0\xff\xff\xff\xff"] {
            let ram = Ram::new(good.image());
            let zone = geometry.stride();
            ram.bytes.borrow_mut()[zone..zone + 12].copy_from_slice(&header);
            // Parity must not bring it back.
            if geometry.ecc_size() != 0 {
                ram.bytes.borrow_mut()[zone + 602 - 16..zone + 602].fill(0xee);
            }
            let found = kind(&ram, &geometry, 1);
            let Kind::Salvaged { stamp, .. } = found else {
                panic!("{found:?}");
            };
            assert_eq!((stamp.secs, stamp.compressed), (77, false));
            assert_eq!(offered(&ram, &geometry, 1).unwrap(), payload());
            assert_eq!(mainline::record(&ram.image(), &geometry, 1), None);

            let (store, census) = open(&ram, &geometry);
            assert_eq!((census.salvaged, census.foreign, census.blank), (1, 0, 2));
            assert_eq!(census.diagnosis, None);
            // Taken after free slots, and before any record.
            assert_eq!(append(&store, b"a"), Ok(0));
            assert_eq!(append(&store, b"b"), Ok(2));
            assert_eq!(offered(&ram, &geometry, 1).unwrap(), payload());
            assert_eq!(append(&store, b"c"), Ok(1));
        }
    }
}

#[test]
fn salvaged_goes_before_foreign() {
    let geometry = geometry(3);
    let mut image = vec![0; geometry.mem_size()];
    for slot in 0..3 {
        mainline::write(&mut image, &geometry, slot, 77 + slot as u64, TEXT);
    }
    image[512..524].fill(0x33);
    let ram = Ram::new(image);
    let (store, census) = open(&ram, &geometry);
    assert_eq!((census.foreign, census.salvaged), (2, 1));
    assert_eq!(append(&store, b"a"), Ok(1));
    assert_eq!(append(&store, b"b"), Ok(0));
}

#[test]
fn what_is_no_record() {
    let geometry = geometry(3);
    let stamp = b"====77.000042-D\n".as_slice();
    let compressed = b"====77.000042-C\n".as_slice();
    let line = b"Oops#1 Part1\n".as_slice();
    for (parts, size) in [
        (vec![stamp, line, b"a line\n"], Some(36)),
        (vec![stamp, line, b"a line\nhalf a li"], Some(45)),
        (vec![stamp, line, b"a line\nhalf\0line\n"], Some(40)),
        (vec![stamp, line, b"a line\nhalf\x07line\n"], Some(40)),
        (vec![stamp, line, b"a line\nhalf\xff\xffline\n"], Some(40)),
        (vec![stamp, line, b"\n"], Some(30)),
        (vec![stamp, line, b"half a line"], None),
        (vec![stamp, line, b"\0a line\n"], None),
        (vec![stamp, line], None),
        (vec![stamp], None),
        (vec![stamp, b"Oops#1 Part\na line\n"], None),
        (vec![stamp, b"Oops#x Part1\na line\n"], None),
        (vec![stamp, b"#1 Part1\na line\n"], None),
        (vec![stamp, b"a line\na line\n"], None),
        (vec![compressed, line, b"a line\n"], None),
        (vec![b"x", stamp, line, b"a line\n"], None),
    ] {
        let text = parts.concat();
        let mut image = vec![0; geometry.mem_size()];
        image[512..524].fill(0x33);
        image[524..524 + text.len()].copy_from_slice(&text);
        let ram = Ram::new(image);
        let name = String::from_utf8_lossy(&text);
        match (kind(&ram, &geometry, 1), size) {
            (Kind::Salvaged { extent, .. }, Some(size)) => {
                assert_eq!((extent.start, extent.size), (0, size), "{name}");
            }
            (Kind::Garbage, None) => (),
            (kind, _) => panic!("{name}: {kind:?}"),
        }
    }

    // To the last byte of the data area.
    let mut image = vec![b'x'; geometry.mem_size()];
    let text = [stamp, line, b"a line\n"].concat();
    image[524..524 + text.len()].copy_from_slice(&text);
    let ram = Ram::new(image);
    assert_eq!(offered(&ram, &geometry, 1).unwrap().len(), 500);
    assert_eq!(kind(&ram, &geometry, 0), Kind::Garbage);
}

#[test]
fn header_and_seal_of_our_record_are_lost() {
    for geometry in [geometry(3), geometry_with_ecc(3, 602, 4)] {
        let ram = Ram::new(vec![0; geometry.mem_size()]);
        let (store, _) = open(&ram, &geometry);
        append(&store, b"a line\nanother one\n").unwrap();
        let whole = look(&&ram, &geometry, 0).1;
        let seal = geometry.seal_offset(0).unwrap();
        {
            let mut image = ram.bytes.borrow_mut();
            image[..8].fill(0x33);
            image[seal..seal + 8].fill(0x44);
        }
        assert!(matches!(kind(&ram, &geometry, 0), Kind::Salvaged { .. }));
        assert_eq!(offered(&ram, &geometry, 0).unwrap(), whole);
        // Without a trace of the seal as well.
        ram.bytes.borrow_mut()[seal..seal + SEAL_LEN].fill(0);
        assert!(matches!(kind(&ram, &geometry, 0), Kind::Salvaged { .. }));
        assert_eq!(offered(&ram, &geometry, 0).unwrap(), whole);
    }
}

#[test]
fn torn_damaged_and_deleted_ones_remain_so() {
    for geometry in [geometry(3), geometry_with_ecc(3, 602, 4)] {
        let ram = Ram::new(vec![0; geometry.mem_size()]);
        let (store, _) = open(&ram, &geometry);
        for _ in 0..3 {
            append(&store, b"a line\nanother one\n").unwrap();
        }
        let whole = look(&&ram, &geometry, 0).1;
        let image = ram.image();

        // The writer broke the seal.
        ram.bytes.borrow_mut()[..4].fill(0);
        let magic = geometry.seal_offset(0).unwrap() + 184;
        ram.bytes.borrow_mut()[magic..magic + 8].copy_from_slice(b"SEAW\0\0\0\0");
        assert_eq!(kind(&ram, &geometry, 0), Kind::Torn(None));
        assert_eq!(offered(&ram, &geometry, 0).unwrap(), whole);

        // The payload is damaged beyond repair.
        let at = geometry.data_offset(1).unwrap() + 40;
        ram.bytes.borrow_mut()[at..at + 8].fill(b'?');
        assert!(matches!(kind(&ram, &geometry, 1), Kind::Damaged(_)));
        let text = offered(&ram, &geometry, 1).unwrap();
        assert_eq!(
            (text.len(), &text[40..48]),
            (whole.len(), b"????????".as_slice())
        );

        // Mainline deleted it.
        mainline::erase(&mut ram.bytes.borrow_mut(), &geometry, 2);
        assert!(matches!(kind(&ram, &geometry, 2), Kind::Cleared(Some(_))));
        assert_eq!(offered(&ram, &geometry, 2).unwrap(), whole);

        let (_, census) = open(&ram, &geometry);
        assert_eq!(census.salvaged, 0);
        assert_eq!((census.torn, census.damaged, census.cleared), (1, 1, 1));
        *ram.bytes.borrow_mut() = image;
    }
}

#[test]
fn deleted_foreign_record_is_a_free_slot() {
    let geometry = geometry(3);
    let ram = foreign(&geometry);
    mainline::load(&mut ram.bytes.borrow_mut(), &geometry);
    mainline::erase(&mut ram.bytes.borrow_mut(), &geometry, 1);
    assert_eq!(kind(&ram, &geometry, 1), Kind::Empty);
    assert_eq!(offered(&ram, &geometry, 1).unwrap(), payload());
    assert_eq!(offered(&ram, &geometry, 0), None);
    let (store, census) = open(&ram, &geometry);
    assert_eq!((census.empty, census.salvaged), (3, 0));
    assert_eq!(census.diagnosis, Some(Diagnosis::Cleared));
    for slot in 0..3 {
        assert_eq!(append(&store, b"x"), Ok(slot));
    }
}

/// A cut that leaves the new text, but neither seal nor header.
#[test]
fn cut_before_the_seal() {
    let geometry = geometry(1);
    let ram = Ram::new(vec![0; geometry.mem_size()]);
    let (store, _) = open(&ram, &geometry);
    let info = DumpInfo {
        reason_name: b"Emergency Restart",
        ..INFO
    };
    store
        .begin(&info)
        .append(b"the last words\n", true)
        .unwrap();
    let whole = look(&&ram, &geometry, 0).1;
    let seal = geometry.seal_offset(0).unwrap();
    ram.bytes.borrow_mut()[seal..].fill(0);
    ram.bytes.borrow_mut()[..4].fill(0);
    ram.bytes.borrow_mut()[seal + SEAL_LEN - 4..].copy_from_slice(b"SEAW");
    assert_eq!(kind(&ram, &geometry, 0), Kind::Torn(None));
    assert_eq!(offered(&ram, &geometry, 0).unwrap(), whole);
}
