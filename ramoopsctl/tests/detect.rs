// SPDX-License-Identifier: GPL-2.0

//! Where a region lies and how it is divided is found out, whatever else there is in the file.

use std::{
    process::Output,
    time::Duration, //
};

use crate::{
    common::{
        store::{
            self,
            mainline, //
        },
        *, //
    },
    hostile::cpu_time, //
};
use ramoopsctl::{
    detect::{
        detect,
        Hints,
        Layout, //
    },
    image::Image, //
};
use ringbuf::{
    classify,
    layout::SEAL_LEN,
    Geometry,
    Kind,
    Params,
    Seal, //
};
use serde_json::Value;

/// Parameters without zones other than those of records.
pub(crate) fn dmesg_only(mem_size: usize, record_size: usize) -> Params {
    Params {
        console_size: 0,
        ftrace_size: 0,
        pmsg_size: 0,
        ..params(mem_size, record_size)
    }
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The states of the records that `list` prints, if the layout is that of `geometry`.
pub(crate) fn states(image: &[u8], geometry: &Geometry) -> Vec<String> {
    let list = Files::new(image).json(0, &["list", "--json"]);
    assert_eq!(list["layout"]["stride"], geometry.stride(), "{list}");
    assert_eq!(list["layout"]["slots"], geometry.slots(), "{list}");
    assert_eq!(list["layout"]["ecc"], geometry.ecc_size(), "{list}");
    assert_eq!(list["layout"]["certain"], true);
    records(&list)
        .iter()
        .map(|record| record["state"].as_str().unwrap().to_owned())
        .collect()
}

pub(crate) fn records(list: &Value) -> &Vec<Value> {
    list["records"].as_array().unwrap()
}

/// As if power had been cut when there was no more than the intent of a record.
pub(crate) fn tear(image: &mut [u8], geometry: &Geometry, slot: usize) {
    let seal_end = geometry.seal_offset(slot).unwrap() + SEAL_LEN;
    image[seal_end - 1] = b'W';
    let data = geometry.data_offset(slot).unwrap();
    image[geometry.slot_offset(slot).unwrap()..data + 60].fill(0);
}

#[test]
fn without_other_zones() {
    let region = Region::new(dmesg_only(1 << 20, 1 << 16));
    assert_eq!(region.geometry.slots(), 16);
    for n in 1..=4 {
        region.dump(&info(1, n), &[&log(10)]);
    }
    assert_eq!(states(&region.image(), &region.geometry), ["complete"; 4]);
}

#[test]
fn usual_zones_of_records_that_are_as_large() {
    for used in [1, 2, 40] {
        let region = Region::new(params(1 << 20, 4096));
        for n in 1..=used {
            region.dump(&info(1, n), &["one line\n"]);
        }
        let used = usize::try_from(used).unwrap();
        let states = states(&region.image(), &region.geometry);
        assert_eq!(states, vec!["complete"; used]);
    }
}

#[test]
fn torn_record_is_listed_wherever_it_lies() {
    for newest in [1, 8, 16] {
        let region = Region::new(dmesg_only(1 << 20, 1 << 16));
        let mut slot = 0;
        for n in 1..=newest {
            slot = region.dump(&info(1, n), &[&log(10)])[0];
        }
        region.edit(|image| tear(image, &region.geometry, slot));
        let states = states(&region.image(), &region.geometry);
        let (torn, whole): (Vec<_>, Vec<_>) = states.iter().partition(|state| *state == "torn");
        assert_eq!((torn.len(), whole.len() as u32), (1, newest - 1));
    }
}

#[test]
fn intents_alone_are_enough() {
    let region = three_crashes();
    region.edit(|image| {
        for slot in 0..3 {
            tear(image, &region.geometry, slot);
        }
    });
    assert_eq!(states(&region.image(), &region.geometry), ["torn"; 3]);
}

#[test]
fn anywhere_in_a_memory_image() {
    let image = three_crashes().image();
    for offset in [0x12_3000, 0x12_3457, (4 << 20) - image.len()] {
        let mut memory = vec![7; 4 << 20];
        memory[offset..][..image.len()].copy_from_slice(&image);
        let files = Files::new(&memory);
        let output = files.run(&["list"]);
        assert!(output.status.success());
        assert!(stderr(&output).contains(&format!("begins at {offset:#x}")));
        let list = files.json(0, &["list", "--json"]);
        assert_eq!(list["size"], image.len());
        assert_eq!(records(&list).len(), 3);
        // Only the region is written.
        files.text(0, &["clear", "all", "-y"]);
        let after = std::fs::read(files.image()).unwrap();
        memory[offset..][..image.len()].fill(0xff);
        assert!(after == memory);
    }
}

#[test]
#[ignore = "a limit of CPU time, which a busy machine may exceed"]
fn as_fast_as_memory_is_searched() {
    let image = three_crashes().image();
    let mut memory = vec![0x53; 256 << 20];
    memory[200 << 20..][..image.len()].copy_from_slice(&image);
    let start = cpu_time();
    let found = detect(&memory, &Hints::default()).unwrap();
    let time = cpu_time() - start;
    assert_eq!(found.place.offset, 200 << 20);
    assert!(time < Duration::from_secs(1), "{time:?}");
}

#[test]
fn place_that_the_user_names_counts() {
    // Two regions, one of which begins in the other, and is older.
    let outer = Region::new(dmesg_only(1 << 20, 1 << 16));
    for n in 1..=12 {
        outer.dump(&info(1, n), &["outer\n"]);
    }
    let inner = Region::new(dmesg_only(1 << 18, 1 << 14));
    inner.dump(&info(0, 1), &["inner\n"]);
    let mut image = outer.image();
    image[1 << 19..][..1 << 14].copy_from_slice(&inner.image()[..1 << 14]);
    let files = Files::new(&image);
    let list = files.json(0, &["list", "--json"]);
    assert_eq!(list["layout"]["stride"], 1 << 16, "{list}");
    let args = ["list", "--json", "--offset", "512k", "--length", "256k"];
    let list = files.json(0, &args);
    assert_eq!(list["layout"]["stride"], 1 << 14, "{list}");
}

#[test]
fn cut_off_at_its_beginning() {
    let region = three_crashes();
    let files = Files::new(&region.image()[100_000..]);
    let list = files.json(0, &["list", "--json"]);
    assert_eq!(list["layout"]["slots"], region.geometry.slots());
    let states: Vec<_> = records(&list)
        .iter()
        .map(|record| record["state"].as_str())
        .collect();
    assert_eq!(states, [Some("damaged"), Some("complete")]);
    assert_eq!(list["records"][1]["parts"][0]["slot"], 2);
    let shown = files.run(&["show", "2"]);
    assert!(String::from_utf8_lossy(&shown.stdout).ends_with("Call Trace:\n"));
    assert!(stderr(&shown).contains("only 0xe7960 of 0x100000 bytes"));
    let cleared = files.run(&["clear", "all", "-y"]);
    assert_eq!(cleared.status.code(), Some(2));
}

/// Names that tell of headers where none are.
#[test]
fn names_of_a_program_hide_nothing() {
    let name = "DBGCAAAABBBB".repeat(21);
    // At even offsets at least once.
    for (first, second) in [("", ""), ("", "x"), ("x", ""), ("x", "x")] {
        let line = |start: &str| {
            format!("<6>[    5.000000] {start}{name}[321]: segfault at 0 ip 0 sp 0 error 4\n")
        };
        let region = Region::usual();
        for n in 1..=15 {
            let text = match n {
                7 => format!("{}{}{}", line(first), line(second), log(10)),
                n => format!("{n}\n{}", log(10)),
            };
            region.dump(&info(1, n), &[&text]);
        }
        let image = region.image();
        assert_eq!(states(&image, &region.geometry), ["complete"; 15]);
        let files = Files::new(&image);
        let shown = files.text(0, &["show", "all"]);
        assert_eq!(shown.matches("Call Trace:").count(), 15);
        let dir = files.dir.path().join("out");
        files.text(0, &["export", dir.to_str().unwrap()]);
        assert_eq!(std::fs::read_dir(dir).unwrap().count(), 15);
    }
}

/// A text with all that may be taken for structure, at every alignment. It has no zero bytes.
pub(crate) fn hostile_text(seal: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    let without_zeros: Vec<u8> = seal.iter().map(|byte| (*byte).max(1)).collect();
    let shorter: Vec<u8> = seal.iter().copied().filter(|byte| *byte != 0).collect();
    let pieces: [&[u8]; 9] = [
        b"DBGCAAAABBBB",
        b"DBGC\x01\x01\x01\x01\x01\x01\x01\x01====1700000000.000000-D\nPanic#1 Part1\nx\n",
        b"DBGC\n",
        b"====1900000000.000000-D\nPanic#9 Part1\nforged\n",
        b"SEAL",
        b"SEAW",
        b"\x01\x5e\x01\x5d\x01\x5d\x01\x5d",
        &without_zeros,
        &shorter,
    ];
    for alignment in 0..16 {
        for piece in pieces {
            text.extend_from_slice(&b"xxxxxxxxxxxxxxxx"[..alignment]);
            text.extend_from_slice(piece);
        }
        text.push(b'\n');
    }
    text
}

/// Stores a record of any bytes.
fn dump_bytes(region: &Region, n: u32, text: &[u8]) {
    let (store, _) = store::open(&region.ram, &region.geometry);
    store.begin(&info(1, n)).append(text, true).unwrap();
}

#[test]
fn no_text_steers() {
    for ecc_size in [0, 16] {
        let region = Region::new(Params {
            ecc_size,
            ..params(1 << 20, 1 << 16)
        });
        region.dump(&info(1, 1), &[&log(10)]);
        let seal = store::seal(&region.ram, &region.geometry, 0).encode::<Image<'_>>();
        for n in 2..=5 {
            dump_bytes(&region, n, &hostile_text(&seal));
        }
        assert_eq!(states(&region.image(), &region.geometry), ["complete"; 5]);
        // Beside records of mainline, with the same text.
        region.edit(|image| {
            let text = [b"Oops#1 Part1\n".as_slice(), &hostile_text(&seal)].concat();
            for slot in 6..9 {
                let secs = 1_600_000_000 + slot as u64;
                mainline::write(image, &region.geometry, slot, secs, &text);
            }
        });
        let mut states = states(&region.image(), &region.geometry);
        states.sort();
        assert_eq!(
            states,
            [["complete"; 5].as_slice(), &["foreign"; 3]].concat()
        );
    }
}

/// A whole seal in a payload that a seal vouches for is no evidence.
#[test]
fn no_seal_in_a_record_steers() {
    for ecc_size in [0, 16] {
        let region = Region::new(Params {
            ecc_size,
            ..params(1 << 20, 1 << 16)
        });
        region.dump(&info(1, 1), &[&log(10)]);
        let forged = Seal {
            seq: 1 << 40,
            dump: 1 << 40,
            params: params(1 << 19, 1 << 12),
            ..store::seal(&region.ram, &region.geometry, 0)
        };
        dump_bytes(&region, 2, &forged.encode::<Image<'_>>());
        let image = region.image();
        assert_eq!(states(&image, &region.geometry), ["complete"; 2]);
        assert_eq!(stderr(&Files::new(&image).run(&["list"])), "");
    }
}

/// Flips each bit of an image with a probability of 1 : 1000.
fn flip(image: &mut [u8], seed: u64) {
    let mut state = seed * 2 + 1;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u32
    };
    for byte in image {
        for bit in 0..8 {
            *byte ^= u8::from(next() % 1000 == 0) << bit;
        }
    }
}

#[test]
fn seals_are_corrected() {
    let region = Region::new(Params {
        ecc_size: 16,
        ..params(1 << 18, 1 << 15)
    });
    for n in 1..=4 {
        region.dump(&info(1, n), &[&log(10)]);
    }
    for seed in 0..24 {
        let mut image = region.image();
        flip(&mut image, seed);
        let sealed = (0..4).filter(|slot| {
            let content = classify(&Image::new(&image), &region.geometry, *slot).unwrap();
            matches!(content.kind, Kind::Sealed(_))
        });
        let sealed = sealed.count();
        let states = states(&image, &region.geometry);
        let complete = states.iter().filter(|state| *state == "complete").count();
        assert_eq!(complete, sealed, "seed {seed}");
        assert!(sealed >= 3, "seed {seed}: {sealed}");
    }
}

#[test]
fn any_bit_of_the_only_seal_may_be_wrong() {
    let region = Region::new(Params {
        ecc_size: 4,
        ..params(1 << 16, 1 << 12)
    });
    region.dump(&info(1, 1), &["one line\n"]);
    // Where no guess finds it.
    let mut memory = vec![7; 1 << 17];
    memory[0x1001..][..1 << 16].copy_from_slice(&region.image());
    let at = 0x1001 + region.geometry.seal_offset(0).unwrap();
    for bit in 0..SEAL_LEN * 8 {
        memory[at + bit / 8] ^= 1 << (bit % 8);
        let found = detect(&memory, &Hints::default()).unwrap();
        assert_eq!(found.layout, Layout::Ramoops(region.geometry), "bit {bit}");
        assert_eq!(found.place.offset, 0x1001, "bit {bit}");
        memory[at + bit / 8] ^= 1 << (bit % 8);
    }
}

/// A seal may claim to be that of a region of any length.
#[test]
fn absurd_length_takes_no_memory() {
    let region = three_crashes();
    let geometry = Geometry::new(Params {
        mem_size: 1 << 58,
        ..params(1 << 20, 4096)
    })
    .unwrap();
    store::forge(&region.ram, &geometry, 70, (1 << 40, 1 << 40, 0, 1));
    let files = Files::new(&region.image());
    files.json(0, &["list", "--json"]);
    let output = files.run(&["list"]);
    assert!(stderr(&output).contains("3 records"), "{}", stderr(&output));
}
