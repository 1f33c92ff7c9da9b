// SPDX-License-Identifier: GPL-2.0

//! Whatever the region holds, reading it ends, and changes nothing that is right.

use std::time::Duration;

use crate::common::{
    store::{
        self,
        mainline, //
    },
    *, //
};
use proptest::prelude::*;
use ramoopsctl::{
    detect::{
        detect,
        Hints, //
    },
    image::Image,
    json,
    record::{
        Region as Reading,
        State, //
    },
    report,
    text::escape, //
};

/// Does all that a command does with an image, but print.
fn read_all(image: &[u8], hints: &Hints) -> Vec<(State, Vec<u8>)> {
    let Ok(found) = detect(image, hints) else {
        return Vec::new();
    };
    let image = &found.region(image)[..];
    let region = Reading {
        bytes: image,
        layout: found.layout,
    };
    let records = region.records(true);
    let texts = records.iter().map(|record| {
        let raw = region.raw(record);
        let text = region.text(record);
        // What deflate can make of it.
        assert!(text.bytes.len() <= 3 * image.len() + 1024 || text.bytes.len() <= 4 * raw.len());
        let report = report::Record::new(&region, record, true);
        let mut json = Vec::new();
        json::write(&mut json, &report).unwrap();
        let json = String::from_utf8(json).unwrap();
        assert!(!json.contains(|c: char| c.is_control() && c != '\n'));
        (record.state, text.bytes)
    });
    texts.collect()
}

/// An image with records of all kinds.
fn mixed() -> Vec<u8> {
    let region = Region::new(params(128 << 10, 4096));
    region.dump(&info(1, 1), &["c\n", "b\n", "a\n"]);
    region.dump(&info(2, 1), &[&log(5)]);
    region.edit(|image| {
        mainline::write(
            image,
            &region.geometry,
            7,
            1_700_000_000,
            b"Oops#1 Part1\nx\n",
        );
        let packed = miniz_oxide::deflate::compress_to_vec(log(20).as_bytes(), 6);
        let text = [b"====1700000001.000000-C\n", packed.as_slice()].concat();
        let zone = &mut image[8 * region.geometry.stride()..];
        zone[..4].copy_from_slice(&0x4347_4244u32.to_ne_bytes());
        zone[4..8].copy_from_slice(&(text.len() as u32).to_ne_bytes());
        zone[8..12].copy_from_slice(&(text.len() as u32).to_ne_bytes());
        zone[12..12 + text.len()].copy_from_slice(&text);
    });
    region.image()
}

fn hints() -> impl Strategy<Value = Hints> {
    let size = proptest::option::of(prop_oneof![0usize..20_000, Just(4096), Just(usize::MAX)]);
    let ecc = proptest::option::of(0usize..=127);
    (size.clone(), size.clone(), size.clone(), size, ecc).prop_map(
        |(record_size, console_size, ftrace_size, pmsg_size, ecc)| Hints {
            format: None,
            is_placed: false,
            record_size,
            console_size,
            ftrace_size,
            pmsg_size,
            ecc,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn noise(image in proptest::collection::vec(any::<u8>(), 1..40_000), hints in hints()) {
        read_all(&image, &hints);
    }

    #[test]
    fn flipped(flips in proptest::collection::vec((0usize..128 << 10, any::<u8>()), 0..200)) {
        let mut image = mixed();
        for (at, value) in flips {
            image[at] ^= value;
        }
        let allowed = ["a\nb\nc\n".to_owned(), log(5)];
        for (state, text) in read_all(&image, &Hints::default()) {
            if state == State::Complete {
                prop_assert!(allowed.iter().any(|allowed| allowed.as_bytes() == text));
            }
        }
    }

    #[test]
    fn moved(from in 0usize..100_000, to in 0usize..100_000, len in 0usize..20_000) {
        let mut image = mixed();
        image.copy_within(from..from + len, to);
        read_all(&image, &Hints::default());
    }

    #[test]
    fn terminal_is_safe(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let text = escape(&bytes);
        prop_assert!(text.chars().all(|c| c == '\t' || !c.is_control()));
    }
}

/// A seal whose number is out of range is none, be its CRC right or not.
#[test]
fn number_out_of_range() {
    let region = three_crashes();
    let number = ringbuf::layout::SEQ_END;
    store::forge(&region.ram, &region.geometry, 3, (number, number, 0, 1));
    let files = Files::new(&region.image());
    let list = files.json(0, &["list", "--deleted", "--json"]);
    let numbers: Vec<_> = crate::detect::records(&list)
        .iter()
        .filter_map(|record| record["dump"].as_u64())
        .collect();
    assert_eq!(numbers, [1, 2, 3]);
    let map = files.json(0, &["map", "--json"]);
    assert!(map["zones"][3]["seq"].is_null(), "{map}");
}

/// The time that this thread has had a CPU for. Load does not change it.
pub(crate) fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.try_into().unwrap()
}

/// Reads an image of such a pattern, and returns how long that took.
fn time_to_read(pattern: &[u8], len: usize) -> Duration {
    let image: Vec<u8> = pattern.iter().copied().cycle().take(len).collect();
    let start = cpu_time();
    for record_size in [None, Some(512)] {
        read_all(
            &image,
            &Hints {
                record_size,
                ..Hints::default()
            },
        );
    }
    cpu_time() - start
}

/// Four times the image takes four times as long, or what stays below the resolution of the clock and of caches: were
/// it quadratic, it would take 16 times.
#[test]
#[ignore = "compares CPU times, which a busy machine may spoil"]
fn worst_cases_end_soon() {
    let region = Region::new(ringbuf::Params {
        ecc_size: 16,
        ..params(1 << 20, 1 << 16)
    });
    region.dump(&info(1, 1), &[&log(900)]);
    let seal = store::seal(&region.ram, &region.geometry, 0).encode::<Image<'_>>();
    let mut broken = seal;
    broken[0] ^= 1;
    for pattern in [
        b"DBGC".as_slice(),
        b"SEAL",
        b"====1.1-D\n",
        b"DBGC\0\0\0\0\x10\0\0\0====1.1-C\n\0\0",
        b"\0\x5e\0\x5d",
        b"DBGC\0\0\0\0\0\0\0\0\0\0\0\0",
        b"\xdc\0\x01\0",
        &seal,
        &broken,
    ] {
        let quarter = time_to_read(pattern, 4 << 20);
        let whole = time_to_read(pattern, 16 << 20);
        let limit = 8 * quarter + Duration::from_millis(50);
        assert!(whole < limit, "{pattern:?}: {quarter:?}, then {whole:?}");
    }
}
