// SPDX-License-Identifier: GPL-2.0

//! What mainline's ramoops and mtdoops wrote.

use crate::{
    common::{
        store::{
            mainline,
            parity, //
        },
        *, //
    },
    detect::hostile_text, //
};
use ringbuf::{
    layout::{
        Header,
        SIG, //
    },
    Geometry,
    Params, //
};

/// A region that mainline's ramoops was loaded on.
pub(crate) fn loaded(params: Params) -> (Geometry, Vec<u8>) {
    let geometry = Geometry::new(params).unwrap();
    let mut image = vec![0; params.mem_size];
    mainline::load(&mut image, &geometry);
    for (offset, len) in [geometry.console(), geometry.pmsg()] {
        if len != 0 {
            let zone = &mut image[offset..][..len];
            ring(zone, SIG, b"");
            if params.ecc_size != 0 {
                let (header, rest) = zone.split_at_mut(12);
                let at = rest.len() - params.ecc_size;
                parity::encode(header, &mut rest[at..]);
            }
        }
    }
    (geometry, image)
}

/// Writes into a zone as into a ring.
pub(crate) fn ring(zone: &mut [u8], sig: u32, text: &[u8]) {
    let capacity = zone.len() - 12;
    let header = Header {
        sig,
        start: (text.len() % capacity) as u32,
        size: text.len().min(capacity) as u32,
    };
    zone[..12].copy_from_slice(&header.encode());
    for (at, byte) in text.iter().enumerate() {
        zone[12 + at % capacity] = *byte;
    }
}

/// Writes a compressed record.
fn write_packed(image: &mut [u8], geometry: &Geometry, slot: usize, text: &[u8]) {
    let packed = miniz_oxide::deflate::compress_to_vec(text, 6);
    let mut payload = b"====1700000000.000042-C\n".to_vec();
    payload.extend(packed);
    let zone = &mut image[slot * geometry.stride()..][..geometry.stride()];
    ring(zone, SIG, &payload);
}

#[test]
fn usual_stock_region() {
    for (mem_size, record_size, ecc_size) in [
        (1 << 20, 1 << 16, 0),
        (1 << 20, 4096, 0),
        (1 << 20, 1 << 16, 16),
        (2_000_000, 8192, 8),
    ] {
        let (geometry, mut image) = loaded(Params {
            ecc_size,
            ..params(mem_size, record_size)
        });
        mainline::write(
            &mut image,
            &geometry,
            0,
            1_700_000_000,
            b"Panic#1 Part1\n<0>[ 1.0] Kernel panic - not syncing: x\n",
        );
        mainline::write(
            &mut image,
            &geometry,
            1,
            1_600_000_000,
            b"Oops#1 Part1\n<1>[ 1.0] BUG: y\nlast\n",
        );
        keep("stock", &image);
        let files = Files::new(&image);
        let list = files.json(0, &["list", "--json"]);
        let layout = &list["layout"];
        assert_eq!(layout["stride"], geometry.stride(), "{layout}");
        assert_eq!(layout["slots"], geometry.slots(), "{layout}");
        assert_eq!(layout["ecc"], ecc_size, "{layout}");
        let records = list["records"].as_array().unwrap();
        assert_eq!(records.len(), 2);
        assert_eq!(records[0]["cause"], "BUG: y");
        assert_eq!(records[1]["cause"], "x");
        assert_eq!(records[1]["time"], "2023-11-14T22:13:20.000042Z");
        assert_eq!(records[1]["state"], "foreign");
        assert_eq!(records[1]["reason"], "Panic");
        files.text(0, &["verify"]);
    }
}

/// What unprivileged users can write into the log tells nothing.
#[test]
fn no_text_steers() {
    for (record_size, ecc_size) in [(1 << 16, 0), (1 << 16, 16), (1 << 15, 0)] {
        let (geometry, mut image) = loaded(Params {
            ecc_size,
            ..params(1 << 20, record_size)
        });
        let text = hostile_text(&[7; 220]);
        let text = [b"Oops#1 Part1\n".as_slice(), &text.repeat(3)].concat();
        for slot in 0..9 {
            let secs = 1_700_000_000 + slot as u64;
            mainline::write(&mut image, &geometry, slot, secs, &text);
        }
        let list = Files::new(&image).json(0, &["list", "--json"]);
        let layout = &list["layout"];
        assert_eq!(layout["stride"], geometry.stride(), "{layout}");
        assert_eq!(layout["ecc"], ecc_size, "{layout}");
        assert_eq!(layout["console_size"], 4096, "{layout}");
        assert_eq!(list["records"].as_array().unwrap().len(), 9);
    }
}

#[test]
fn other_zone_sizes() {
    for others in [
        [0, 0, 0],
        [1 << 16, 0, 0],
        [8192, 16384, 0],
        [4096, 0, 1 << 17],
    ] {
        let [console_size, pmsg_size, ftrace_size] = others;
        let (geometry, mut image) = loaded(Params {
            console_size,
            pmsg_size,
            ftrace_size,
            ..params(1 << 20, 1 << 15)
        });
        let (console, len) = geometry.console();
        if len != 0 {
            ring(&mut image[console..][..len], SIG, b"booting\n");
        }
        let (pmsg, len) = geometry.pmsg();
        if len != 0 {
            ring(&mut image[pmsg..][..len], SIG, b"hello\n");
        }
        let (ftrace, len) = geometry.ftrace();
        if len != 0 {
            ring(&mut image[ftrace..][..len], SIG ^ 0x07_0304, &[1; 48]);
        }
        mainline::write(
            &mut image,
            &geometry,
            0,
            1_700_000_000,
            b"Panic#1 Part1\ntext\n",
        );
        let list = Files::new(&image).json(0, &["list", "--json"]);
        let layout = &list["layout"];
        let stride = geometry.stride();
        assert_eq!(layout["stride"], stride, "{layout}");
        assert_eq!(layout["console_size"], console_size, "{others:?} {layout}");
        assert_eq!(layout["pmsg_size"], pmsg_size, "{others:?} {layout}");
    }
}

#[test]
fn a_single_record_and_nothing_else() {
    let geometry = Geometry::new(params(1 << 20, 1 << 16)).unwrap();
    let mut image = vec![0; 1 << 20];
    let text = format!("Panic#1 Part1\n{}", log(1000));
    mainline::write(&mut image, &geometry, 0, 1_700_000_000, text.as_bytes());
    let files = Files::new(&image);
    let show = files.json(0, &["show", "--json"]);
    assert_eq!(show["records"][0]["text"], log(1000));
    let shown = files.json(0, &["list", "--json", "--record-size", "0x10000"]);
    assert_eq!(shown["layout"]["slots"], 15);
}

#[test]
fn compressed() {
    let (geometry, mut image) = loaded(params(1 << 20, 1 << 14));
    let text = log(400);
    write_packed(
        &mut image,
        &geometry,
        0,
        format!("Panic#1 Part1\n{text}").as_bytes(),
    );
    // A bomb: much more than mainline would unpack.
    write_packed(&mut image, &geometry, 1, &vec![b'x'; 10 << 20]);
    // Damaged in the middle.
    write_packed(
        &mut image,
        &geometry,
        2,
        format!("Oops#1 Part1\n{text}").as_bytes(),
    );
    image[2 * geometry.stride() + 500..][..20].fill(0xff);
    let files = Files::new(&image);
    let show = files.json(0, &["show", "all", "--json"]);
    let records = show["records"].as_array().unwrap();
    assert_eq!(records.len(), 3);
    let find = |reason: &str| {
        records
            .iter()
            .find(|record| record["reason"] == reason)
            .unwrap()
    };
    assert_eq!(find("Panic")["text"], text);
    assert_eq!(find("Panic")["parts"][0]["compressed"], true);
    let bomb = records
        .iter()
        .find(|record| record["reason"].is_null())
        .unwrap();
    assert_eq!(bomb["bytes"], 3 * geometry.data_capacity());
    assert_eq!(find("Oops")["problems"].as_array().unwrap().len(), 1);
    files.text(1, &["verify"]);
}

#[test]
fn parts_of_one_dump() {
    let (geometry, mut image) = loaded(params(1 << 20, 1 << 16));
    for (slot, part, text) in [(0, 1, "new"), (1, 2, "older"), (2, 3, "oldest")] {
        let text = format!("Panic#1 Part{part}\n{text}\n");
        mainline::write(&mut image, &geometry, slot, 1_700_000_000, text.as_bytes());
    }
    let show = Files::new(&image).json(0, &["show", "--json"]);
    assert_eq!(show["records"][0]["text"], "oldest\nolder\nnew\n");
    assert_eq!(show["records"].as_array().unwrap().len(), 1);
}

#[test]
fn other_front_ends() {
    let (geometry, mut image) = loaded(Params {
        ftrace_size: 8192,
        ..params(1 << 20, 1 << 16)
    });
    let (console, len) = geometry.console();
    let text = log(200);
    ring(&mut image[console..][..len], SIG, text.as_bytes());
    let (pmsg, len) = geometry.pmsg();
    ring(&mut image[pmsg..][..len], SIG, b"hello\n");
    // Two CPUs, the second of which began earlier.
    let (ftrace, len) = geometry.ftrace();
    for cpu in 0..2u64 {
        let mut calls = Vec::new();
        for call in 0..5u64 {
            calls.extend(0xffff_8000_0000_1000u64.to_ne_bytes());
            calls.extend(0xffff_8000_0000_2000u64.to_ne_bytes());
            calls.extend((((call * 10 + 5 - cpu) << 8) | cpu).to_ne_bytes());
        }
        let zone = &mut image[ftrace + cpu as usize * len / 2..][..len / 2];
        ring(zone, SIG ^ 0x07_0304, &calls);
    }
    let files = Files::new(&image);
    let shown = files.text(0, &["show", "console"]);
    assert!(shown.starts_with("==> console, foreign <==\n"), "{shown}");
    assert!(shown.ends_with("Call Trace:\n"));
    // The oldest lines were overwritten.
    assert!(shown.len() > 3500 && shown.len() < 4200);
    assert_eq!(
        files.text(0, &["show", "pmsg"]),
        "==> pmsg, foreign <==\nhello\n"
    );
    let shown = files.text(0, &["show", "ftrace"]);
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 11);
    assert_eq!(lines[1], "CPU:1 ts:4 ffff800000001000  ffff800000002000");
    assert_eq!(lines[2], "CPU:0 ts:5 ffff800000001000  ffff800000002000");
    assert_eq!(files.run(&["show"]).status.code(), Some(1));
    let list = files.text(0, &["list"]);
    assert!(
        list.lines()
            .any(|line| line.trim_start().starts_with("console")),
        "{list}"
    );
}

#[test]
fn mtdoops_pages() {
    for page_size in [4096, 1 << 16] {
        let mut image = vec![0xff; 1 << 20];
        for (page, seq, text) in [(5, 6u32, "older\n"), (6, 7, "newer\n"), (9, 5, "oldest\n")] {
            let page = &mut image[page * page_size..][..page_size];
            page[..4].copy_from_slice(&seq.to_ne_bytes());
            page[4..8].copy_from_slice(&0x5d00_5e00u32.to_ne_bytes());
            page[8..16].copy_from_slice(&1_700_000_000_000_000_000i64.to_ne_bytes());
            page[16..16 + text.len()].copy_from_slice(text.as_bytes());
        }
        let files = Files::new(&image);
        let list = files.json(0, &["list", "--json"]);
        assert_eq!(list["layout"]["format"], "mtdoops");
        assert_eq!(list["layout"]["record_size"], page_size);
        let shown = files.text(0, &["show"]);
        assert_eq!(
            shown,
            "==> record 3, 2023-11-14 22:13:20, foreign <==\nnewer\n"
        );
        assert!(files.text(0, &["map"]).contains("newest"));
        files.text(0, &["verify"]);
        assert_eq!(files.run(&["clear", "1", "-y"]).status.code(), Some(2));
        files.text(0, &["clear", "all", "-y"]);
        assert!(std::fs::read(files.image())
            .unwrap()
            .iter()
            .all(|byte| *byte == 0xff));
    }
}

#[test]
fn ours_after_theirs() {
    let region = Region::usual();
    region.edit(|image| {
        mainline::load(image, &region.geometry);
        mainline::write(
            image,
            &region.geometry,
            0,
            1_700_000_000,
            b"Panic#1 Part1\nstock\n",
        );
    });
    region.dump(&info(1, 1), &["ours\n"]);
    let files = Files::new(&region.image());
    let show = files.json(0, &["show", "all", "--json"]);
    assert_eq!(show["records"][0]["state"], "foreign");
    assert_eq!(show["records"][1]["state"], "complete");
    assert!(files.text(0, &["show"]).ends_with("ours\n"));
}
