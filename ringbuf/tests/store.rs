// SPDX-License-Identifier: GPL-2.0

//! Choice of slots, and what is found after a reboot.

use crate::common::{
    append,
    geometry,
    kernel_crc32c,
    look,
    mainline,
    open,
    order,
    payload,
    scratch,
    seal,
    sealed_text,
    strip_prefix,
    Op,
    Ram,
    TestStore,
    INFO, //
};
use ringbuf::{
    Census,
    Diagnosis,
    Dropped,
    DumpInfo,
    Geometry,
    Kind,
    Memory,
    OpenError,
    Options,
    Seal,
    Store, //
};

pub(super) fn ram(slots: usize) -> (Ram, Geometry) {
    let geometry = geometry(slots);
    (Ram::new(vec![0; geometry.mem_size()]), geometry)
}

/// Stores one dump of several parts, returns their slots.
pub(super) fn dump(store: &TestStore<'_>, texts: &[&[u8]]) -> Result<Vec<usize>, Dropped> {
    let mut dump = store.begin(&INFO);
    let last = texts.len() - 1;
    texts
        .iter()
        .enumerate()
        .map(|(i, text)| dump.append(text, i == last))
        .collect()
}

pub(super) fn kind(ram: &Ram, geometry: &Geometry, slot: usize) -> Kind {
    look(&ram, geometry, slot).0
}

pub(super) fn texts(ram: &Ram, geometry: &Geometry) -> Vec<String> {
    (0..geometry.slots())
        .map(|slot| match look(&ram, geometry, slot) {
            (Kind::Sealed(_), p) => String::from_utf8(strip_prefix(&p).to_vec()).unwrap(),
            (Kind::Foreign(f), p) => {
                format!("F:{}", String::from_utf8_lossy(&p[f.stamp.len..]))
            }

            (kind, _) => format!("{kind:?}").chars().take(4).collect(),
        })
        .collect()
}

/// Lets mainline do something while our module is not loaded.
pub(super) fn as_mainline(ram: &Ram, geometry: &Geometry, f: impl FnOnce(&mut [u8])) {
    let mut image = ram.bytes.borrow_mut();
    mainline::load(&mut image, geometry);
    f(&mut image);
}

#[test]
fn ring_order_and_what_a_record_says() {
    let (ram, geometry) = ram(4);
    let (store, census) = open(&ram, &geometry);
    assert_eq!(
        census,
        Census {
            slots: 4,
            blank: 4,
            next: Some(0),
            diagnosis: Some(Diagnosis::ZeroFilled),
            ..Census::default()
        }
    );
    // The first quarter is used once, the rest goes round.
    for (i, slot) in [0, 1, 2, 3, 1, 2, 3, 1, 2, 3].into_iter().enumerate() {
        assert_eq!(store.next_slot(), Some(slot));
        assert_eq!(append(&store, format!("text {i}").as_bytes()), Ok(slot));
    }
    assert_eq!(
        texts(&ram, &geometry),
        ["text 0", "text 7", "text 8", "text 9"]
    );

    let seal = seal(&ram, &geometry, 3);
    assert_eq!((seal.seq, seal.dump, seal.part, seal.parts), (10, 10, 1, 1));
    assert_eq!(seal.realtime_ns, INFO.realtime_ns);
    assert_eq!(seal.boottime_ns, INFO.boottime_ns);
    assert_eq!(seal.boot_id, INFO.boot_id);
    assert_eq!(seal.reason, 1);
    assert_eq!(seal.description(), INFO.description);
    assert_eq!(seal.release(), INFO.release);

    let payload = b"====1700000000.123456-D\nPanic#1 Part1\ntext 9";
    assert_eq!(look(&&ram, &geometry, 3).1, payload);
    assert_eq!(
        mainline::record(&ram.image(), &geometry, 3).unwrap(),
        payload
    );
}

#[test]
fn long_description_and_release_are_cut() {
    let (ram, geometry) = ram(2);
    let (store, _) = open(&ram, &geometry);
    let long = [b'x'; 300];
    let info = DumpInfo {
        description: &long,
        release: &long,
        ..INFO
    };
    assert_eq!(store.begin(&info).append(b"text", true), Ok(0));
    let seal = seal(&ram, &geometry, 0);
    assert_eq!((seal.description().len(), seal.release().len()), (60, 40));
}

#[test]
fn room_is_exact() {
    let (ram, geometry) = ram(2);
    let (store, _) = open(&ram, &geometry);
    let mut dump = store.begin(&INFO);
    let room = dump.room();
    assert_eq!(room, 512 - 12 - 220 - 24 - 14);
    let text = vec![b'x'; room + 1];
    assert_eq!(dump.append(&text, true), Err(Dropped::TextTooLong));
    assert!(ram.log.borrow().is_empty());
    assert_eq!(dump.append(&text[..room], true), Ok(0));
    assert_eq!(dump.append(&text[..room], true), Err(Dropped::NoMoreParts));
    assert_eq!(sealed_text(&ram, &geometry, 0), &text[..room]);
    assert_eq!(append(&store, b""), Ok(1));
    assert_eq!(sealed_text(&ram, &geometry, 1), b"");
}

#[test]
fn continues_after_reboot() {
    let (ram, geometry) = ram(4);
    for i in 0..9u64 {
        let (store, census) = open(&ram, &geometry);
        assert_eq!(census.newest_seq, (i > 0).then_some(i));
        assert_eq!(census.next, Some(i as usize % 4));
        assert_eq!(census.sealed, 4.min(i as usize));
        assert_eq!(
            append(&store, format!("boot {i}").as_bytes()),
            Ok(i as usize % 4)
        );
    }
    assert_eq!(
        texts(&ram, &geometry),
        ["boot 8", "boot 5", "boot 6", "boot 7"]
    );
}

#[test]
fn parts_span_slots() {
    let (ram, geometry) = ram(8);
    let (store, _) = open(&ram, &geometry);
    append(&store, b"old").unwrap();
    assert_eq!(
        dump(&store, &[b"new 1", b"new 2", b"new 3"]),
        Ok(vec![1, 2, 3])
    );
    for part in 1..=3 {
        let seal = seal(&ram, &geometry, part);
        let parts = if part == 3 { 3 } else { 0 };
        assert_eq!((seal.seq, seal.dump), (part as u64 + 1, 2));
        assert_eq!((seal.part, seal.parts), (part as u32, parts));
        let payload = look(&&ram, &geometry, part).1;
        let line = format!("Panic#1 Part{part}\n");
        assert!(String::from_utf8(payload).unwrap().contains(&line));
    }

    // After a load, the oldest crash goes first; of one with three parts, the one with the oldest
    // text. Part 1 of the newest crash is kept.
    let (store, _) = open(&ram, &geometry);
    let slots: Vec<usize> = (0..8).map(|_| append(&store, b"x").unwrap()).collect();
    assert_eq!(slots, [4, 5, 6, 7, 0, 3, 2, 5]);
    assert_eq!(texts(&ram, &geometry)[1], "new 1");
}

/// A crash takes neither a slot of its own nor part 1 of the crash before it.
#[test]
fn as_many_parts_as_there_is_room_for() {
    let panic = DumpInfo {
        urgent: true,
        ..INFO
    };
    // Slots, and how many parts a panic may have, and another crash.
    for (slots, most) in [
        (1, (1, 1)),
        (2, (1, 1)),
        (3, (2, 1)),
        (8, (5, 4)),
        (15, (11, 10)),
    ] {
        let (ram, geometry) = ram(slots);
        let (store, _) = open(&ram, &geometry);
        assert_eq!((store.parts_max(true), store.parts_max(false)), most);
        for (info, most) in [(&panic, most.0), (&INFO, most.1), (&panic, most.0)] {
            append(&store, b"before").unwrap();
            let mut dump = store.begin(info);
            let stored = (0..20).map_while(|_| dump.append(b"part", false).ok());
            assert_eq!(stored.count() as u64, most, "{slots}");
            assert_eq!(dump.append(b"part", true), Err(Dropped::NoSlot));
            let before = texts(&ram, &geometry).contains(&"before".to_owned());
            assert_eq!(before, slots > 1);
        }
    }
}

#[test]
fn never_the_newest() {
    let (ram, geometry) = ram(2);
    let (store, _) = open(&ram, &geometry);
    append(&store, b"a").unwrap();
    append(&store, b"b").unwrap();
    // Two parts: there is a slot for the first only.
    let mut dump = store.begin(&INFO);
    assert_eq!(dump.append(b"c1", false), Ok(0));
    assert_eq!(dump.append(b"c2", true), Err(Dropped::NoSlot));
    assert_eq!(texts(&ram, &geometry), ["c1", "b"]);
    // "c1" is the newest now, though its dump never ended.
    assert_eq!(store.next_slot(), Some(1));
    let (_, census) = open(&ram, &geometry);
    assert_eq!(census.next, Some(1));
}

#[test]
fn one_slot_is_overwritten() {
    let (ram, geometry) = ram(1);
    let (store, _) = open(&ram, &geometry);
    for text in [b"a", b"b", b"c"] {
        assert_eq!(append(&store, text), Ok(0));
        assert_eq!(sealed_text(&ram, &geometry, 0), text);
    }
    let (store, census) = open(&ram, &geometry);
    assert_eq!((census.sealed, census.next), (1, Some(0)));
    let mut dump = store.begin(&INFO);
    assert_eq!(dump.append(b"d1", false), Ok(0));
    assert_eq!(dump.append(b"d2", true), Err(Dropped::NoSlot));
    assert_eq!(texts(&ram, &geometry), ["d1"]);
}

#[test]
fn free_before_overwriting() {
    let (ram, geometry) = ram(4);
    let (store, _) = open(&ram, &geometry);
    for i in 0..6 {
        append(&store, format!("{i}").as_bytes()).unwrap();
    }
    assert_eq!(store.next_slot(), Some(3));
    as_mainline(&ram, &geometry, |image| {
        mainline::erase(image, &geometry, 0)
    });
    let (store, census) = open(&ram, &geometry);
    assert_eq!((census.sealed, census.cleared), (3, 1));
    assert_eq!(census.next, Some(0));
    append(&store, b"6").unwrap();
    assert_eq!(texts(&ram, &geometry), ["6", "4", "5", "3"]);
}

#[test]
fn deleted_newest_record_keeps_the_ring_going() {
    let (ram, geometry) = ram(4);
    let (store, _) = open(&ram, &geometry);
    for i in 0..3 {
        append(&store, format!("{i}").as_bytes()).unwrap();
    }
    as_mainline(&ram, &geometry, |image| {
        for slot in 0..3 {
            mainline::erase(image, &geometry, slot);
        }
    });
    let (store, census) = open(&ram, &geometry);
    assert_eq!((census.cleared, census.empty), (3, 1));
    assert_eq!(census.newest_seq, Some(3));
    assert_eq!(census.diagnosis, Some(Diagnosis::Cleared));
    assert_eq!(append(&store, b"3"), Ok(3));
    assert_eq!(seal(&ram, &geometry, 3).seq, 4);
}

#[test]
fn mainline_overwrites_our_record() {
    let (ram, geometry) = ram(4);
    for i in 0..5 {
        let text = format!("{i}").repeat(200);
        append(&open(&ram, &geometry).0, text.as_bytes()).unwrap();
    }
    // A short one leaves our seal, a long one does not, and a full one makes `start` wrap to 0.
    let long = "y".repeat(450);
    let full = "z".repeat(600);
    as_mainline(&ram, &geometry, |image| {
        mainline::write(image, &geometry, 0, 1000, b"Oops#1 Part1\nshort");
        mainline::write(image, &geometry, 1, 1001, long.as_bytes());
        mainline::write(image, &geometry, 2, 1002, full.as_bytes());
    });
    let (store, census) = open(&ram, &geometry);
    assert_eq!((census.sealed, census.foreign), (1, 3));
    assert_eq!(texts(&ram, &geometry)[0], "F:Oops#1 Part1\nshort");
    assert_eq!(texts(&ram, &geometry)[1], format!("F:{long}"));
    assert_eq!(texts(&ram, &geometry)[2], format!("F:{}", &full[..482]));
    for slot in 0..3 {
        let (kind, payload) = look(&&ram, &geometry, slot);
        let Kind::Foreign(foreign) = kind else {
            unreachable!()
        };
        assert_eq!(foreign.stamp.secs, 1000 + slot as i64);
        assert_eq!(foreign.stamp.nanos, 42_000);
        let seen = mainline::record(&ram.image(), &geometry, slot);
        assert_eq!(seen, Some(payload));
    }

    // Foreign records that are older than our newest one go first, by their stamps. The seal with
    // the highest number is the one behind the short record.
    assert_eq!(census.newest_seq, Some(5));
    for slot in 0..3 {
        assert_eq!(append(&store, b"new"), Ok(slot));
    }
    assert_eq!(seal(&ram, &geometry, 0).seq, 6);
}

#[test]
fn foreign_records_only() {
    let (ram, geometry) = ram(4);
    as_mainline(&ram, &geometry, |image| {
        for (slot, secs) in [300, 400, 100, 200].into_iter().enumerate() {
            mainline::write(image, &geometry, slot, secs, b"text");
        }
    });
    let (store, census) = open(&ram, &geometry);
    assert_eq!((census.foreign, census.diagnosis), (4, None));
    assert_eq!(census.newest_seq, None);
    // The newest one, in slot 1, is kept.
    for slot in [2, 3, 0, 2] {
        assert_eq!(append(&store, b"new"), Ok(slot));
    }
}

#[test]
fn foreign_text_that_wraps() {
    let (ram, geometry) = ram(1);
    as_mainline(&ram, &geometry, |image| {
        mainline::write(image, &geometry, 0, 7, b"0123456789abcdefghij");
        // Turn the text by 9 bytes, as if it had been a ring.
        image[12..12 + 35].rotate_right(9);
        image[4..8].copy_from_slice(&9u32.to_ne_bytes());
    });
    let (kind, payload) = look(&&ram, &geometry, 0);
    assert!(matches!(kind, Kind::Foreign(_)), "{kind:?}");
    assert_eq!(payload, b"====7.000042-D\n0123456789abcdefghij");

    // In pieces of any length, from any position, the text is the same.
    let extent = kind.extent().unwrap();
    for pos in 0..payload.len() + 3 {
        for len in 0..payload.len() + 3 {
            let mut buf = vec![0xee; len];
            let n = ringbuf::read_text(&&ram, &geometry, 0, extent, pos, &mut buf);
            let expected = &payload[pos.min(payload.len())..];
            let expected = &expected[..len.min(expected.len())];
            assert_eq!(&buf[..n], expected);
        }
    }
}

#[test]
fn open_checks_its_arguments() {
    let (ram, geometry) = ram(4);
    for (list, room) in [(3, 4), (4, 3)] {
        let (mut order, mut scratch) = (order(&geometry), scratch(&geometry));
        order.truncate(list);
        scratch.truncate(room);
        let opened = Store::open(&ram, geometry, order, &mut scratch, Options::default());
        let err = opened.map(|_| ()).unwrap_err();
        assert_eq!(err, OpenError::ListLength { needed: 4 });
    }
    let ram = Ram::new(vec![0; 2047]);
    let (order, mut scratch) = (order(&geometry), scratch(&geometry));
    let opened = Store::open(&ram, geometry, order, &mut scratch, Options::default());
    let err = opened.map(|_| ()).unwrap_err();
    assert_eq!(err, OpenError::MemoryTooShort { needed: 2048 });
}

/// Nothing is stored where the memory refuses a write, and the next dump takes another slot.
#[test]
fn refused_write() {
    let (ram, geometry) = ram(3);
    let (store, _) = open(&ram, &geometry);
    append(&store, b"a").unwrap();
    let bytes = ram.bytes.take();
    assert_eq!(append(&store, b"b"), Err(Dropped::Memory));
    ram.bytes.replace(bytes);
    assert_eq!(append(&store, b"c"), Ok(2));
    assert_eq!(texts(&ram, &geometry), ["a", "Zero", "c"]);
}

#[test]
fn writes_stay_in_their_zone() {
    let (ram, geometry) = ram(4);
    let (store, _) = open(&ram, &geometry);
    for _ in 0..6 {
        ram.log.borrow_mut().clear();
        let slot = append(&store, &[b'x'; 200]).unwrap();
        let zone = slot * 512..slot * 512 + 512;
        for op in ram.log.borrow().iter() {
            let (Op::Write { offset, .. } | Op::Barrier { offset, .. }) = op;
            let len = match op {
                Op::Write { data, .. } => data.len(),
                Op::Barrier { len, .. } => *len,
            };
            assert!(zone.contains(offset) && offset + len <= zone.end, "{op:?}");
        }
    }
}

#[test]
fn rubbish_written_while_loaded_does_not_matter() {
    let (ram, geometry) = ram(4);
    let (store, _) = open(&ram, &geometry);
    append(&store, b"a").unwrap();
    ram.bytes.borrow_mut().fill(0xa5);
    assert_eq!(append(&store, b"b"), Ok(1));
    assert_eq!(sealed_text(&ram, &geometry, 1), b"b");
    assert_eq!(mainline::record(&ram.image(), &geometry, 1).unwrap(), {
        let (kind, _) = look(&&ram, &geometry, 1);
        payload(&&ram, &geometry, 1, &kind)
    });
}

#[test]
fn forged_sequence_numbers() {
    let (ram, geometry) = ram(4);
    let forge = |slot: usize, seq: u64, dump: u64| {
        let (store, _) = open(&ram, &geometry);
        let payload = b"====1.000000-D\nPanic#1 Part1\nforged";
        let seal = Seal {
            seq,
            dump,
            size: payload.len() as u32,
            payload_crc: !kernel_crc32c(!0, payload),
            slot,
            ..seal_template()
        };
        let raw = seal.encode::<&Ram>();
        let memory = store.memory();
        assert!(memory.write(slot * 512, &[1; 12]));
        assert!(memory.write(geometry.data_offset(slot).unwrap(), payload));
        assert!(memory.write(geometry.seal_offset(slot).unwrap(), &raw));
    };
    // A number that nobody reaches is none.
    forge(0, 1 << 63, 1);
    let (store, census) = open(&ram, &geometry);
    assert_eq!((census.sealed, census.newest_seq), (0, None));
    assert_eq!(append(&store, b"a"), Ok(1));
    assert_eq!(seal(&ram, &geometry, 1).seq, 1);
    forge(0, (1 << 63) - 2, 1);
    let (store, _) = open(&ram, &geometry);
    append(&store, b"b").unwrap();
    assert_eq!(open(&ram, &geometry).1.sealed, 3);
    // All slots claim to be the newest record.
    for slot in 0..4 {
        forge(slot, 77, 77);
    }
    let (store, census) = open(&ram, &geometry);
    assert_eq!((census.sealed, census.newest_seq), (4, Some(77)));
    for slot in 1..4 {
        assert_eq!(append(&store, b"new"), Ok(slot));
    }
}

pub(super) fn seal_template() -> Seal {
    Seal {
        seq: 1,
        dump: 1,
        realtime_ns: 0,
        boottime_ns: 0,
        boot_id: [0; 16],
        part: 1,
        parts: 1,
        size: 0,
        payload_crc: 0,
        reason: 1,
        description: [b' '; 60],
        release: [b' '; 40],
        loop_start: 0,
        params: *geometry(4).params(),
        slot: 0,
    }
}
