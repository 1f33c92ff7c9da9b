// SPDX-License-Identifier: GPL-2.0

//! Whatever the region and the parameters are: nothing panics, the work is bounded, and what is
//! stored then is found.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringbuf::{
    Geometry,
    Kind,
    Options,
    Params, //
};
use ringbuf_fuzz::{
    fill,
    forge,
    look,
    open,
    small_geometry,
    Bytes,
    Ram,
    INFO, //
};

/// Parameters as they come: most of them make no zone map.
fn any_geometry(input: &mut Bytes<'_>) -> Option<Geometry> {
    let params = Params {
        mem_size: input.size(),
        record_size: input.size(),
        console_size: input.size(),
        ftrace_size: input.size(),
        pmsg_size: input.size(),
        ecc_size: input.size(),
    };
    let geometry = Geometry::new(params).ok()?;
    let last = geometry.slots() - 1;
    assert!(geometry.slot_offset(last).unwrap() + geometry.stride() <= geometry.console().0);
    let (ftrace, len) = geometry.ftrace();
    assert!(ftrace + len <= params.mem_size);
    assert_eq!(geometry.slot_offset(geometry.slots()), None);
    Some(geometry)
}

fuzz_target!(|data: &[u8]| {
    let mut input = Bytes(data);
    let mode = input.u8();
    let geometry = match mode & 1 {
        0 => small_geometry(&mut input),
        _ => any_geometry(&mut input),
    };
    let Some(geometry) = geometry.filter(|geometry| geometry.mem_size() <= 1 << 16) else {
        return;
    };
    let loop_ns = u64::from(mode & 2) * 30_000_000_000;

    let ram = Ram::new(vec![0; geometry.mem_size()]);
    if mode & 4 != 0 {
        fill(&ram, &geometry, &mut input);
    }
    if mode & 16 != 0 {
        for _ in 0..1 + input.u8() % 4 {
            forge(&ram, &geometry, &mut input);
        }
    }
    // Either from the start on, or pieces at any place.
    if mode & 8 != 0 {
        let mut bytes = ram.bytes.borrow_mut();
        for (to, from) in bytes.iter_mut().zip(input.0) {
            *to = *from;
        }
    } else {
        let mut bytes = ram.bytes.borrow_mut();
        while !input.0.is_empty() {
            let (at, len) = (input.u16() % bytes.len(), input.u8() % 32);
            for to in bytes.iter_mut().skip(at).take(len.into()) {
                *to = input.u8();
            }
        }
    }

    ram.read.set(0);
    for _ in 0..2 {
        let store = open(&ram, &geometry, Options { loop_ns });
        for slot in 0..geometry.slots() {
            look(&ram, &geometry, slot);
        }
        // The seal may be looked at several times, and blocks be read for each piece of text.
        let mem_size = geometry.mem_size();
        let guesses = usize::BITS as usize * 64 * 16;
        assert!(ram.read.get() <= 64 * mem_size + guesses, "too much work");

        let mut slots = Vec::new();
        for text in [b"first".as_slice(), b"second"] {
            let slot = store.begin(&INFO).append(text, true).unwrap();
            let (kind, payload) = look(&ram, &geometry, slot);
            assert!(matches!(kind, Kind::Sealed(_)), "{kind:?}");
            assert!(payload.ends_with(text));
            slots.push((slot, payload));
        }
        let _ = open(&ram, &geometry, Options { loop_ns });
        for (i, (slot, text)) in slots.iter().enumerate() {
            if geometry.slots() > 1 || i == 1 {
                let (kind, payload) = look(&ram, &geometry, *slot);
                assert!(matches!(kind, Kind::Sealed(_)), "{kind:?}");
                assert_eq!(payload, *text);
            }
        }
        ram.read.set(0);
    }
});
