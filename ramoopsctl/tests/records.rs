// SPDX-License-Identifier: GPL-2.0

//! Records of ours: what `list` and `show` say about them.

use crate::common::*;
use serde_json::json;

#[test]
fn table() {
    let region = three_crashes();
    keep("three", &region.image());
    let files = Files::new(&region.image());
    let table = files.text(0, &["list"]);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 4, "{table}");
    assert!(lines[0].starts_with("#"), "{table}");
    let words: Vec<&str> = lines[3].split_whitespace().collect();
    assert_eq!(
        words,
        [
            "3",
            "2026-11-21",
            "21:15:38",
            "Panic#1",
            "complete",
            "2",
            "7.3.4+deb13-amd64",
            "42",
            &files.json(0, &["list", "--json"])["records"][2]["bytes"].to_string(),
            "sysrq",
            "triggered",
            "crash"
        ]
    );
    assert!(!table.contains('\x1b'));
}

#[test]
fn geometry_is_found() {
    for (mem_size, record_size, ecc) in [
        (1 << 20, 1 << 16, 0),
        (1 << 20, 4096, 0),
        (1 << 20, 8192, 16),
        (3 << 20, 1 << 17, 4),
        (64 << 10, 512, 0),
        (5_000_000, 1 << 18, 32),
        (16 << 10, 4096, 0),
    ] {
        let region = Region::new(ringbuf::Params {
            ecc_size: ecc,
            ..params(mem_size, record_size)
        });
        region.dump(&info(1, 1), &["one line\n"]);
        let files = Files::new(&region.image());
        let list = files.json(0, &["list", "--json"]);
        let layout = &list["layout"];
        assert_eq!(layout["stride"], region.geometry.stride(), "{layout}");
        assert_eq!(layout["slots"], region.geometry.slots(), "{layout}");
        assert_eq!(layout["ecc"], ecc, "{layout}");
        assert_eq!(layout["certain"], true);
        assert_eq!(list["records"][0]["state"], "complete");
    }
}

#[test]
fn geometry_of_a_part_of_a_region() {
    let region = three_crashes();
    let image = region.image();
    let list = Files::new(&image[..300_000]).json(0, &["list", "--json"]);
    assert_eq!(list["records"].as_array().unwrap().len(), 3);
    // Named within something larger.
    let mut memory = vec![7; 4 << 20];
    memory[0x12_3000..][..image.len()].copy_from_slice(&image);
    let files = Files::new(&memory);
    keep("memory", &memory);
    let list = files.text(0, &["list", "--offset", "0x123000", "--length", "1M"]);
    assert_eq!(list.lines().count(), 4);
    let output = piped(&["list", "--offset", "0x123000", "--length", "1M"], &memory);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), list);
}

#[test]
fn parts_are_joined() {
    let region = Region::usual();
    let slots = region.dump(&info(1, 1), &["third\n", "second\n", "first\n"]);
    let files = Files::new(&region.image());
    let text = files.text(0, &["show"]);
    assert!(text.ends_with("<==\nfirst\nsecond\nthird\n"), "{text}");
    let raw = files.run(&["show", "--raw"]).stdout;
    let raw = String::from_utf8(raw).unwrap();
    assert!(raw.starts_with("====1795295678.549897-D\nPanic#1 Part3\nfirst\n===="));

    // The part with the oldest text is gone.
    region.edit(|image| image[slots[2] * region.geometry.stride()..][..70_000].fill(0));
    let files = Files::new(&region.image());
    let show = files.json(0, &["show", "--json"]);
    assert_eq!(show["records"][0]["state"], "partial");
    assert_eq!(show["records"][0]["text"], "second\nthird\n");
    assert_eq!(
        files.text(1, &["verify"]).lines().last(),
        Some("there are problems")
    );
}

#[test]
fn lines_are_taken_apart() {
    let region = Region::usual();
    region.dump(
        &info(1, 1),
        &["<12>[    2.830951][   T42] demo: all is well\nplain\n<4>[    3.0] \x1b[2J\u{9b}2J\u{202e}\n"],
    );
    let files = Files::new(&region.image());
    let show = files.json(0, &["show", "--json"]);
    let log = &show["records"][0]["log"];
    assert_eq!(
        log[0],
        json!({"level": 4, "facility": 1, "time": "2.830951", "caller": "T42", "message": "demo: all is well"})
    );
    assert_eq!(log[1]["message"], "plain");
    for args in [
        ["show", "--color=always"],
        ["show", "--json"],
        ["list", "--color=never"],
    ] {
        let text = files.text(0, &args);
        assert!(
            !text.contains("\x1b[2J") && !text.contains('\u{9b}') && !text.contains('\u{202e}')
        );
    }
    assert!(files
        .text(0, &["show"])
        .contains("[         3.0] \\x1b[2J\\xc2\\x9b2J\\xe2\\x80\\xae\n"));
}

#[test]
fn damage_is_told() {
    let region = three_crashes();
    let stride = region.geometry.stride();
    region.edit(|image| image[stride + 12 + 500] ^= 1);
    region.tear(2, 500, &[0; 1 << 20]);
    let files = Files::new(&region.image());
    let list = files.json(0, &["list", "--json"]);
    let states: Vec<_> = list["records"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| record["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["complete", "damaged", "torn"]);
    assert!(files.text(0, &["show"]).contains("record 1, Panic#1"));
    assert!(files
        .text(0, &["show", "2"])
        .contains("does not match its checksum"));
    let verify = files.json(1, &["verify", "--json"]);
    assert_eq!(verify["ok"], false);
    assert_eq!(verify["slots"]["damaged"], 1);
}

#[test]
fn ecc_corrects() {
    let region = Region::new(ringbuf::Params {
        ecc_size: 16,
        ..params(1 << 20, 1 << 16)
    });
    region.dump(&info(1, 1), &[&log(50)]);
    region.edit(|image| {
        for at in [0, 3, 20, 21, 22, 300, 900] {
            image[at] ^= 0x55;
        }
    });
    let files = Files::new(&region.image());
    let show = files.json(0, &["show", "--json"]);
    assert_eq!(show["records"][0]["state"], "complete");
    assert_eq!(show["records"][0]["text"], log(50));
    assert_eq!(show["records"][0]["parts"][0]["corrected"], 7);
    assert!(files
        .text(0, &["verify"])
        .contains("7 wrong bytes were corrected"));
}

#[test]
fn nothing_to_find() {
    for (image, reason) in [
        (vec![0; 1 << 20], "all zeros"),
        (vec![0xff; 1 << 20], "erased"),
        (vec![0x5a; 1 << 20], "something else"),
        (vec![1, 2, 3], "something else"),
    ] {
        let files = Files::new(&image);
        for command in ["list", "show"] {
            let output = files.run(&[command]);
            assert_eq!(output.status.code(), Some(1));
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(stderr.contains(reason), "{stderr}");
        }
    }
}

#[test]
fn wrong_usage() {
    let files = Files::new(&three_crashes().image());
    for (args, reason) in [
        (
            &["show", "9"] as &[&str],
            "there is no record \"9\"; there are 1, 2, 3.",
        ),
        (
            &["list", "--record-size", "0"],
            "--record-size must not be 0",
        ),
        (&["list", "--record-size", "16M"], "no room"),
        (&["list", "--offset", "2M"], "beyond its end"),
        (&["list", "--length", "2M"], "before the end"),
        (&["clear", "9", "--yes"], "there is no record"),
        (&["clear", "1"], "--yes"),
        (&["frobnicate"], "unrecognized"),
    ] {
        let output = files.run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(stderr.contains(reason), "{args:?}: {stderr}");
    }
    let output = program()
        .args(["--file", "/nonexistent", "list"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn deleted_records_on_request() {
    let region = three_crashes();
    region.edit(|image| store::mainline::erase(image, &region.geometry, 1));
    let files = Files::new(&region.image());
    assert_eq!(files.text(0, &["list"]).lines().count(), 3);
    let list = files.json(0, &["list", "--deleted", "--json"]);
    assert_eq!(list["records"][1]["state"], "deleted");
    assert!(files
        .text(0, &["show", "2", "--deleted"])
        .contains("was deleted"));
}
