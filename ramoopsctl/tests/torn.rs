// SPDX-License-Identifier: GPL-2.0

//! Records of which not everything is there: what is said about them is theirs.

use crate::common::*;
use ringbuf::DumpInfo;

/// A ring full of long records of one crash, and then a short one of another.
fn overwritten(parts: &[&str]) -> (Region, Vec<u8>, Vec<usize>) {
    let region = Region::small();
    let old = format!("{}<1>[ 1.0] BUG: old trouble\n", "old line\n".repeat(60));
    for n in 1..=13 {
        let info = DumpInfo {
            description: b"",
            ..calm(1, n)
        };
        region.dump(&info, &[&old]);
    }
    let before = region.image();
    let info = DumpInfo {
        description: b"new trouble",
        ..calm(2, 1)
    };
    let slots = region.dump(&info, parts);
    (region, before, slots)
}

const NEW: &str = "new line 1\nnew line 2\nnew line 3\n";

#[test]
fn torn_tells_what_it_was_going_to_be() {
    let (region, before, slots) = overwritten(&[NEW]);
    // The stamp, the title and one line.
    region.tear(slots[0], 50, &before);
    let files = Files::new(&region.image());
    let show = files.json(0, &["show", "13", "--json"]);
    let record = &show["records"][0];
    assert_eq!(record["state"], "torn");
    assert_eq!(record["reason"], "Panic");
    assert_eq!(record["count"], 1);
    assert_eq!(record["kernel"], "7.3.4+deb13-amd64");
    assert_eq!(record["description"], "new trouble");
    assert_eq!(record["cause"], "new trouble");
    assert_eq!(record["boot"], 2);
    assert_eq!(record["boottime_ns"], 3_600_000_000_000u64);
    assert_eq!(record["parts_total"], 1);
    assert_eq!(record["dump"], 14);
    assert!(record["time"]
        .as_str()
        .unwrap()
        .starts_with("2026-11-21T21:15:38"));
    // Not a byte more than its own length.
    assert_eq!(record["bytes"], NEW.len());
    assert!(record["text"].as_str().unwrap().starts_with("new line 1\n"));
    assert!(record["problems"][0]
        .as_str()
        .unwrap()
        .contains("did not end"));
    let shown = files.text(0, &["show", "13"]);
    assert!(
        shown.contains("part 1 of 1, boot 2, new trouble"),
        "{shown}"
    );
    assert!(shown.contains("3600.000000 s after boot"), "{shown}");
}

#[test]
fn torn_without_its_text() {
    let (region, before, slots) = overwritten(&[NEW]);
    region.tear(slots[0], 0, &before);
    let files = Files::new(&region.image());
    let map = files.json(0, &["map", "--json"]);
    assert_eq!(map["zones"][slots[0]]["state"], "torn");
    assert_eq!(map["zones"][slots[0]]["newest"], true);
    let show = files.json(0, &["show", "13", "--json"]);
    let record = &show["records"][0];
    assert_eq!(record["text"], "");
    assert_eq!(record["cause"], "new trouble");
    assert!(record["problems"][0]
        .as_str()
        .unwrap()
        .contains("nothing of its text"));

    // Nothing of the old record becomes its own by deleting it.
    files.text(0, &["clear", "13", "--yes"]);
    let list = files.json(0, &["list", "--deleted", "--json"]);
    let record = &list["records"][12];
    assert_eq!(record["state"], "deleted");
    assert_eq!(record["cause"], "new trouble");
    assert!(record["count"].is_null(), "{record}");
    assert!(record["problems"][0]
        .as_str()
        .unwrap()
        .contains("it may be older"));
}

#[test]
fn torn_part_is_part_of_its_dump() {
    let (region, before, slots) = overwritten(&["newest\n", "older\n", "oldest\n"]);
    region.tear(slots[1], 40, &before);
    let files = Files::new(&region.image());
    let list = files.json(0, &["list", "--json"]);
    let record = list["records"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(record["state"], "torn");
    let states: Vec<&str> = record["parts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| part["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["complete", "torn", "complete"]);
    let problems = record["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].as_str().unwrap().starts_with("part 2: "));
}

#[test]
fn causes_are_not_taken_from_others() {
    // Without a seal: the text is the old record's, and so are its time and reason.
    let (region, before, slots) = overwritten(&[NEW]);
    region.tear_seal(slots[0], &before);
    let files = Files::new(&region.image());
    let show = files.json(0, &["show", "13", "--json"]);
    let record = &show["records"][0];
    assert_eq!(record["state"], "torn");
    assert!(record["text"].as_str().unwrap().contains("old trouble"));
    for field in ["cause", "time", "reason", "count", "kernel"] {
        assert!(record[field].is_null(), "{field}: {record}");
    }
    assert!(record["problems"][0]
        .as_str()
        .unwrap()
        .contains("of an earlier one"));

    // Damaged and deleted, without a description: the old text is no cause.
    for deleted in [false, true] {
        let region = Region::new(params(64 << 10, 8192));
        let info = DumpInfo {
            description: b"",
            ..info(1, 1)
        };
        let text = "<1>[ 1.0] BUG: trouble\nlast\n";
        region.dump(&info, &[text]);
        let mut files = Files::new(&region.image());
        if deleted {
            files.text(0, &["clear", "1", "--yes"]);
            let list = files.json(0, &["list", "--deleted", "--json"]);
            // Its checksum is right: this is its text.
            assert_eq!(list["records"][0]["cause"], "BUG: trouble");
        }
        let mut image = std::fs::read(files.image()).unwrap();
        image[12 + 60] ^= 1;
        files = Files::new(&image);
        let list = files.json(0, &["list", "--deleted", "--json"]);
        let record = &list["records"][0];
        assert_eq!(record["state"], if deleted { "deleted" } else { "damaged" });
        assert!(record["cause"].is_null(), "{record}");
        assert!(record["problems"][0].as_str().unwrap().contains("checksum"));
    }
}
