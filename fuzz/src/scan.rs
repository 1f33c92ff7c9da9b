// SPDX-License-Identifier: GPL-2.0

//! The whole reader, over any image and any hints: it ends, its output is bounded and safe to print,
//! and what it calls complete was stored so. And over logs that are made of what means something to a
//! reader: none of it counts.

use crate::{
    fill,
    open,
    small_geometry,
    Bytes,
    Ram,
    INFO,
    OPTIONS, //
};
use ramoopsctl::{
    detect::{
        detect,
        Format,
        Hints,
        Layout, //
    },
    json,
    record::{
        Region,
        State, //
    },
    report, //
};

/// A size that may be right, or none.
fn hint(input: &mut Bytes<'_>) -> Option<usize> {
    match input.u8() {
        0..=127 => None,
        shift @ 128..=191 => Some(1 << (shift % 20)),
        _ => Some(input.u16()),
    }
}

/// A log of magic numbers, stamps, and pieces of the seals that are there. As all text, it has no zero
/// bytes, and ends in a newline.
fn hostile_log(input: &mut Bytes<'_>, image: &[u8], room: usize) -> Vec<u8> {
    let mut log = Vec::new();
    while log.len() < room && !input.0.is_empty() {
        match input.u8() % 8 {
            0 => log.extend(b"DBGC"),
            1 => log.extend(b"SEAL"),
            2 => log.extend(b"SEAW"),
            3 => log.extend(b"====1999999999.000000-D\nPanic#9 Part1\n"),
            4 => log.extend(b"====1999999999.000000-C\n"),
            5 => {
                let (at, len) = (input.u16() % image.len(), input.u8());
                log.extend(image.iter().skip(at).take(len.into()));
            }
            _ => {
                let len = input.u8() % 64;
                log.extend((0..len).map(|_| input.u8()));
            }
        }
    }
    log.truncate(room.saturating_sub(1));
    log.iter_mut()
        .filter(|byte| **byte == 0)
        .for_each(|byte| *byte = 1);
    log.push(b'\n');
    log
}

/// Whatever a log says: all records are found where they are, and are whole.
fn read_hostile_logs(input: &mut Bytes<'_>) {
    let Some(geometry) = small_geometry(input) else {
        return;
    };
    let ram = Ram::new(vec![0; geometry.mem_size()]);
    let (store, _) = open(&ram, &geometry, OPTIONS);
    let dumps = 1 + usize::from(input.u8()) % 8;
    for _ in 0..dumps {
        let image = ram.bytes.borrow().clone();
        let mut dump = store.begin(&INFO);
        let log = hostile_log(input, &image, dump.room());
        if dump.append(&log, true).is_err() {
            return;
        }
    }
    let image = ram.bytes.borrow();
    let found = detect(&image, &Hints::default()).unwrap();
    assert_eq!(found.layout, Layout::Ramoops(geometry));
    let region = Region {
        bytes: &found.region(&image),
        layout: found.layout,
    };
    let states: Vec<State> = region
        .records(false)
        .iter()
        .map(|record| record.state)
        .collect();
    assert_eq!(states, vec![State::Complete; dumps.min(geometry.slots())]);
}

/// Run the target on one input.
pub fn run(data: &[u8]) {
    let mut input = Bytes(data);
    let mode = input.u8();
    if mode & 16 != 0 {
        return read_hostile_logs(&mut input);
    }
    let hints = Hints {
        format: match mode & 3 {
            0 => Some(Format::Ramoops),
            1 => Some(Format::Mtdoops),
            _ => None,
        },
        is_placed: mode & 8 != 0,
        record_size: hint(&mut input),
        console_size: hint(&mut input),
        ftrace_size: hint(&mut input),
        pmsg_size: hint(&mut input),
        ecc: hint(&mut input),
    };
    let image = if mode & 4 == 0 {
        // As it comes.
        input.0.to_vec()
    } else {
        // A store, with pieces of the input in it.
        let Some(geometry) = small_geometry(&mut input) else {
            return;
        };
        let ram = Ram::new(vec![0; geometry.mem_size()]);
        fill(&ram, &geometry, &mut input);
        let (store, _) = open(&ram, &geometry, OPTIONS);
        let mut dump = store.begin(&INFO);
        let _ = dump
            .append(b"newest\n", false)
            .and_then(|_| dump.append(b"older\n", true));
        let mut bytes = ram.bytes.borrow().clone();
        while !input.0.is_empty() {
            let (at, len) = (input.u16() % bytes.len(), input.u8() % 32);
            for to in bytes.iter_mut().skip(at).take(len.into()) {
                *to = input.u8();
            }
        }
        bytes
    };
    let Ok(found) = detect(&image, &hints) else {
        return;
    };
    let image = found.region(&image);
    let region = Region {
        bytes: &image,
        layout: found.layout,
    };
    let _ = region.contents();
    let mut total = 0;
    for record in region.records(true) {
        let text = region.text(&record);
        total += text.bytes.len();
        assert!(region.raw(&record).len() <= image.len());
        if record.state == State::Complete {
            assert!(
                text.problems.is_empty() || record.parts.iter().any(|part| part.bad_blocks > 0)
            );
        }
        let report = report::Record::new(&region, &record, true);
        let mut json = Vec::new();
        json::write(&mut json, &report).unwrap();
        let json = String::from_utf8(json).unwrap();
        assert!(!json.contains(|c: char| c.is_control() && c != '\n'));
    }
    // Each slot unpacks to at most three times its size; a call in an ftrace zone has 60 characters.
    assert!(total <= 4 * image.len() + 4096, "{total} bytes of text");
}
