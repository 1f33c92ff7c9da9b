// SPDX-License-Identifier: GPL-2.0

//! The whole reader, over any image and any hints: it ends, its output is bounded and safe to print,
//! and what it calls complete was stored so.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ramoopsctl::{
    detect::{
        detect,
        Format,
        Hints, //
    },
    json,
    record::{
        Region,
        State, //
    },
    report, //
};
use ringbuf_fuzz::{
    fill,
    open,
    small_geometry,
    Bytes,
    Ram,
    INFO,
    OPTIONS, //
};

/// A size that may be right, or none.
fn hint(input: &mut Bytes<'_>) -> Option<usize> {
    match input.u8() {
        0..=127 => None,
        shift @ 128..=191 => Some(1 << (shift % 20)),
        _ => Some(input.u16()),
    }
}

fuzz_target!(|data: &[u8]| {
    let mut input = Bytes(data);
    let mode = input.u8();
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
});
