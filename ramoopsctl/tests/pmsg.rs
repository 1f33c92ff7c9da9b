// SPDX-License-Identifier: GPL-2.0

//! Whatever programs write to /dev/pmsg0, it hides no record of stock ramoops.

use crate::{
    common::{
        store::{
            self,
            mainline, //
        },
        *, //
    },
    detect::{
        dmesg_only,
        records,
        states,
        stderr, //
    },
    foreign::{
        loaded,
        ring, //
    },
};
use ringbuf::{
    layout::SIG,
    Geometry,
    Params, //
};

/// A region with three records, and with text in the console zone.
fn with_records(params: Params) -> (Geometry, Vec<u8>) {
    let (geometry, mut image) = loaded(params);
    for slot in 0..3 {
        let text = format!("Oops#1 Part1\nreal\n{}", log(40));
        let secs = 1_700_000_000 + slot as u64;
        mainline::write(&mut image, &geometry, slot, secs, text.as_bytes());
    }
    let (console, len) = geometry.console();
    if len != 0 {
        ring(&mut image[console..][..len], SIG, log(2000).as_bytes());
    }
    (geometry, image)
}

/// What a program writes to fill a pmsg zone: `piece` at each multiple of `step`.
fn fill(image: &mut [u8], geometry: &Geometry, step: usize, piece: &[u8]) {
    let (pmsg, len) = geometry.pmsg();
    ring(&mut image[pmsg..][..len], SIG, &vec![b'p'; len]);
    for at in (pmsg + 12..pmsg + len - 80).filter(|at| at % step == 0) {
        image[at..][..piece.len()].copy_from_slice(piece);
    }
}

fn header(text: &[u8]) -> Vec<u8> {
    let mut header = SIG.to_ne_bytes().to_vec();
    header.extend([0; 4]);
    header.extend((text.len() as u32).to_ne_bytes());
    [&header, text].concat()
}

#[test]
fn headers_steer_nothing() {
    const RECORD: &[u8] = b"====1900000000.000000-D\nPanic#1 Part1\nforged\n";
    for others in [
        [4096, 4096, 1 << 16],
        [1 << 16, 1 << 16, 1 << 16],
        [0, 0, 1 << 16],
        [1 << 15, 4096, 1 << 15],
    ] {
        let [console_size, ftrace_size, pmsg_size] = others;
        let (geometry, image) = with_records(Params {
            console_size,
            ftrace_size,
            pmsg_size,
            ..params(1 << 20, 1 << 16)
        });
        for (step, text) in [512, 576, 1024, 4096]
            .into_iter()
            .flat_map(|step| [b"".as_slice(), RECORD].map(|text| (step, text)))
        {
            let mut image = image.clone();
            fill(&mut image, &geometry, step, &header(text));
            let files = Files::new(&image);
            let list = files.json(0, &["list", "--json"]);
            assert_eq!(
                list["layout"]["stride"],
                geometry.stride(),
                "{others:?} {step}"
            );
            assert_eq!(
                list["layout"]["slots"],
                geometry.slots(),
                "{others:?} {step}"
            );
            let dmesg = records(&list)
                .iter()
                .filter(|record| record["origin"] == "dmesg");
            assert_eq!(dmesg.count(), 3, "{others:?} {step}");
            // It may be one of other parameters.
            let said = stderr(&files.run(&["list"]));
            assert_eq!(
                said.contains("records of stock ramoops"),
                !text.is_empty(),
                "{said}"
            );
        }
    }
}

/// A flipped bit makes the data of a header reach over others.
#[test]
fn flipped_size_hides_nothing() {
    let (geometry, image) = with_records(params(1 << 20, 1 << 16));
    for (slot, bit) in (0..12).flat_map(|slot| (0..8).map(move |bit| (slot, bit))) {
        let mut image = image.clone();
        image[slot * geometry.stride() + 10] ^= 1 << bit;
        states(&image, &geometry);
    }
}

/// Headers of larger records are left between those that matter.
#[test]
fn leftovers_hide_nothing() {
    let old = Geometry::new(params(1 << 20, 1 << 16)).unwrap();
    let geometry = Geometry::new(params(1 << 20, 1 << 15)).unwrap();
    let mut image = vec![0; 1 << 20];
    mainline::load(&mut image, &old);
    for slot in 0..old.slots() {
        let text = format!("Oops#1 Part1\n{}", log(1500));
        mainline::write(&mut image, &old, slot, 1_600_000_000, text.as_bytes());
    }
    mainline::load(&mut image, &geometry);
    for slot in 0..20 {
        mainline::write(
            &mut image,
            &geometry,
            slot,
            1_700_000_000,
            b"Oops#1 Part1\nx\n",
        );
    }
    assert!(states(&image, &geometry).len() >= 20);
}

/// A whole record among what programs write to it is no newer crash.
#[test]
fn seals_are_doubted() {
    for others in [
        [4096, 4096, 1 << 16],
        [1 << 16, 1 << 16, 1 << 16],
        [0, 0, 1 << 16],
    ] {
        let [console_size, ftrace_size, pmsg_size] = others;
        let (geometry, image) = with_records(Params {
            console_size,
            ftrace_size,
            pmsg_size,
            ..params(1 << 20, 1 << 16)
        });
        for (record_size, step) in [(512, 1024), (1024, 576), (4096, 4096)] {
            let mut image = image.clone();
            fill(&mut image, &geometry, step, &header(b""));
            let forged = Region::new(dmesg_only(1 << 20, record_size));
            let slot = geometry.pmsg().0 / forged.geometry.stride() + 1;
            store::forge(&forged.ram, &forged.geometry, slot, (9, 9, 0, 1));
            let zone = slot * forged.geometry.stride()..(slot + 1) * forged.geometry.stride();
            image[zone.clone()].copy_from_slice(&forged.image()[zone]);
            let files = Files::new(&image);
            let list = files.json(0, &["list", "--json"]);
            let dmesg = records(&list)
                .iter()
                .filter(|record| record["origin"] == "dmesg");
            let states: Vec<_> = dmesg.map(|record| &record["state"]).collect();
            assert_eq!(states, ["foreign"; 3], "{others:?} {record_size}");
            let said = stderr(&files.run(&["list"]));
            assert!(said.contains("(pmsg): it may be forged"), "{said}");
        }
    }
}
