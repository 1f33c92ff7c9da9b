// SPDX-License-Identifier: GPL-2.0

//! Which record is newer, which number it has, and what `show` shows.

use crate::common::{
    store::mainline,
    *, //
};
use ringbuf::{
    layout::{
        SEAL_CRC_OFFSET,
        SEAL_LEN, //
    },
    DumpInfo, //
};
use serde_json::Value;

/// The time of a crash in seconds.
fn seconds(info: &DumpInfo<'_>) -> u64 {
    info.realtime_ns / 1_000_000_000
}

/// Each record as number, state and slots.
fn summary(list: &Value) -> Vec<String> {
    let records = list["records"].as_array().unwrap();
    let one = |record: &Value| {
        let parts = record["parts"].as_array().unwrap();
        let slots: Vec<String> = parts.iter().map(|part| part["slot"].to_string()).collect();
        format!(
            "{} {} {}",
            record["number"],
            record["state"].as_str().unwrap(),
            slots.join("+")
        )
    };
    records.iter().map(one).collect()
}

fn listed(files: &Files, args: &[&str]) -> Vec<String> {
    summary(&files.json(0, &[&["list", "--json"], args].concat()))
}

fn stderr(files: &Files, args: &[&str]) -> String {
    String::from_utf8(files.run(args).stderr).unwrap()
}

#[test]
fn stock_ramoops_after_us() {
    let region = Region::small();
    for boot in 1..=3 {
        region.dump(&calm(boot, 1), &["ours\n"]);
    }
    // Slot 0 is where stock ramoops begins.
    region.edit(|image| {
        let text = b"Oops#1 Part1\nstock\n";
        mainline::write(image, &region.geometry, 0, seconds(&info(9, 1)), text);
    });
    let files = Files::new(&region.image());
    assert_eq!(
        listed(&files, &[]),
        ["1 complete 1", "2 complete 2", "3 foreign 0"]
    );
    assert!(files.text(0, &["show"]).ends_with("stock\n"));

    // And between two of ours.
    region.edit(|image| {
        let text = b"Oops#1 Part1\nstock\n";
        mainline::write(image, &region.geometry, 0, seconds(&info(2, 1)) + 10, text);
    });
    let files = Files::new(&region.image());
    assert_eq!(
        listed(&files, &[]),
        ["1 complete 1", "2 foreign 0", "3 complete 2"]
    );
    assert!(files.text(0, &["show"]).ends_with("ours\n"));
}

/// The clock of stock ramoops was wrong once: its record does not hide the newer ones of ours for ever.
#[test]
fn stock_ramoops_with_a_clock_in_the_future() {
    let region = Region::small();
    region.edit(|image| {
        let text = b"Oops#1 Part1\nstock\n";
        mainline::write(image, &region.geometry, 9, seconds(&info(200, 1)), text);
    });
    region.dump(&calm(1, 1), &["ours\n"]);
    let before = region.image();
    let slots = region.dump(&calm(2, 1), &["ours\n"]);
    let files = Files::new(&region.image());
    assert!(files.text(0, &["show"]).ends_with("stock\n"));
    let said = stderr(&files, &["show"]);
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(
        said.contains("the newest of rust_ramoops: record 2, Panic#1, ")
            && said.ends_with("ramoopsctl show 2\n"),
        "{said}"
    );
    assert_eq!(stderr(&files, &["show", "3"]), "");
    // What is newer than that is not passed over either.
    region.tear(slots[0], 2, &before);
    let said = stderr(&Files::new(&region.image()), &["show"]);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 2, "{said}");
    assert!(lines[0].ends_with("ramoopsctl show 1"), "{said}");
    assert!(
        lines[1].contains("newer than that, but not whole: record 2, "),
        "{said}"
    );
}

#[test]
fn torn_without_a_number_follows_the_slot_before() {
    for dumps in [2, 4, 13, 14, 20] {
        let region = Region::small();
        let mut before = Vec::new();
        let mut last = Vec::new();
        for boot in 1..=dumps {
            before = region.image();
            last = region.dump(&calm(boot, 1), &[&log(20)]);
        }
        region.tear_seal(last[0], &before);
        let files = Files::new(&region.image());
        // The older ones follow it in the ring.
        let dumps = usize::from(dumps);
        let whole = dumps.min(13) - 1;
        let mut expected: Vec<String> = (1..=whole)
            .map(|number| format!("{number} complete {}", (dumps + number - 2 - whole) % 13))
            .collect();
        expected.push(format!("{} torn {}", whole + 1, last[0]));
        assert_eq!(listed(&files, &[]), expected);
        let said = stderr(&files, &["show"]);
        let number = expected.len();
        assert!(
            said.contains(&format!("newer, but not whole: record {number}, torn"))
                && said.contains(&format!("ramoopsctl show {number}\n")),
            "{said}"
        );
    }
}

#[test]
fn what_show_leaves_out_is_said() {
    let region = Region::small();
    region.dump(&info(1, 1), &["whole\n"]);
    let before = region.image();
    let damaged = region.dump(&info(2, 1), &[&log(20)]);
    let torn = region.dump(&info(3, 1), &[&log(20)]);
    region.tear(torn[0], 300, &before);
    let at = region.geometry.data_offset(damaged[0]).unwrap();
    region.edit(|image| image[at + 200] ^= 1);
    let files = Files::new(&region.image());
    let output = files.run(&["show"]);
    assert!(String::from_utf8_lossy(&output.stdout).ends_with("whole\n"));
    let said = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 2, "{said}");
    assert!(
        lines[0].contains("record 2, Panic#1, ") && lines[0].contains("damaged"),
        "{said}"
    );
    assert!(lines[0].ends_with("ramoopsctl show 2"), "{said}");
    assert!(
        lines[1].contains("torn") && lines[1].ends_with("ramoopsctl show 3"),
        "{said}"
    );
    for command in ["list", "show"] {
        let json = files.json(0, &[command, "--json"]);
        assert_eq!(json["left_out"], serde_json::json!(["2", "3"]));
    }
    // Who names a record wants that one.
    assert_eq!(stderr(&files, &["show", "1"]), "");
    // Nothing whole at all.
    region.edit(|image| image[12 + 40] ^= 1);
    let files = Files::new(&region.image());
    let output = files.run(&["show"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stderr).lines().count(), 4);
}

#[test]
fn numbers_stay() {
    let region = Region::small();
    for boot in 1..=4 {
        region.dump(&calm(boot, 1), &[&log(20)]);
    }
    region.tear(2, 300, &[0; 64 << 10]);
    region.edit(|image| {
        let text = b"Oops#1 Part1\nstock\n";
        mainline::write(image, &region.geometry, 9, seconds(&info(2, 1)) + 10, text);
    });
    region.dump(&info(5, 1), &["b\n", "a\n"]);
    let files = Files::new(&region.image());
    let all = [
        "1 complete 0",
        "2 complete 1",
        "3 foreign 9",
        "4 torn 2",
        "5 complete 3",
    ];
    let found = listed(&files, &[]);
    assert_eq!(found[..5], all, "{found:?}");
    assert_eq!(found.len(), 6);
    for number in ["2", "4", "3", "6"] {
        files.text(0, &["clear", number, "--yes"]);
        // Each that is still there is called what it was called.
        let gone: Vec<&str> = ["2", "4", "3", "6"]
            .into_iter()
            .take_while(|gone| *gone != number)
            .chain([number])
            .collect();
        let left: Vec<String> = found
            .iter()
            .filter(|record| !gone.contains(&record.split(' ').next().unwrap()))
            .cloned()
            .collect();
        assert_eq!(listed(&files, &[]), left);
        let deleted = listed(&files, &["--deleted"]);
        assert_eq!(deleted.len(), 6, "{deleted:?}");
        for (deleted, was) in deleted.iter().zip(&found) {
            let place = |record: &str| {
                let words: Vec<&str> = record.split(' ').collect();
                (words[0].to_owned(), words[2].to_owned())
            };
            assert_eq!(place(deleted), place(was));
        }
    }
    assert_eq!(listed(&files, &[]), ["1 complete 0", "5 complete 3"]);
}

#[test]
fn newer_and_salvaged() {
    let region = Region::small();
    for boot in 1..=4 {
        region.dump(&calm(boot, 1), &[&log(20)]);
    }
    let place = region.geometry;
    region.edit(|image| {
        // The seal of the third is one of version 2.
        let seal = &mut image[place.seal_offset(2).unwrap()..][..SEAL_LEN];
        seal[210] = 2;
        let crc = crc32c::crc32c(&seal[..SEAL_CRC_OFFSET]);
        seal[SEAL_CRC_OFFSET..][..4].copy_from_slice(&crc.to_le_bytes());
        // Neither header nor seal are left of a later one.
        let text = format!(
            "===={}.000000-D\nOops#1 Part1\n<1>[ 1.0] BUG: y\n",
            seconds(&calm(9, 1))
        );
        image[place.data_offset(8).unwrap()..][..text.len()].copy_from_slice(text.as_bytes());
    });
    let files = Files::new(&region.image());
    assert_eq!(
        listed(&files, &[]),
        [
            "1 complete 0",
            "2 complete 1",
            "3 newer 2",
            "4 complete 3",
            "5 salvaged 8"
        ]
    );
    let list = files.json(0, &["list", "--json"]);
    assert!(list["records"][4]["cause"].is_null());
    assert_eq!(list["left_out"], serde_json::json!(["5"]));
    assert!(files.text(0, &["show"]).starts_with("==> record 4, "));
}

/// Of text without a seal nobody knows when it came there: what is behind it need not be as old.
#[test]
fn torn_behind_salvaged() {
    let region = Region::small();
    for boot in 1..=3 {
        region.dump(&calm(boot, 1), &[&log(20)]);
    }
    region.tear_seal(2, &[0; 64 << 10]);
    let (zone, len) = (
        region.geometry.slot_offset(1).unwrap(),
        region.geometry.stride(),
    );
    region.edit(|image| {
        image[zone..][..len].fill(0);
        let text = b"====1000000000.000000-D\nOops#1 Part1\nold\n";
        image[zone + 12..][..text.len()].copy_from_slice(text);
    });
    let files = Files::new(&region.image());
    assert_eq!(
        listed(&files, &[]),
        ["1 salvaged 1", "2 complete 0", "3 torn 2"]
    );
}

/// A deleted record of stock ramoops is not taken for the older one of ours whose seal is behind it.
#[test]
fn numbers_stay_when_a_foreign_one_is_deleted() {
    let region = Region::small();
    for boot in 1..=5 {
        region.dump(&calm(boot, 1), &["ours\n"]);
    }
    region.edit(|image| {
        for slot in 0..2 {
            let seconds = seconds(&info(9, 1)) + 100 * slot as u64;
            let text = b"Oops#1 Part1\nstock\n";
            mainline::write(image, &region.geometry, slot, seconds, text);
        }
    });
    let files = Files::new(&region.image());
    let mut before = listed(&files, &[]);
    assert_eq!(before[3], "4 foreign 0");
    assert!(files.run(&["clear", "4", "--yes"]).status.success());
    before.remove(3);
    assert_eq!(listed(&files, &[]), before);
}
