// SPDX-License-Identifier: GPL-2.0

//! `export`, `map`, `verify`, `clear`, `retention`, and what all commands have in common.

use std::{
    fs,
    io::Read,
    process::Stdio, //
};

use crate::common::*;

#[test]
fn export_is_idempotent() {
    let files = Files::new(&three_crashes().image());
    let dir = files.dir.path().join("deep/er");
    let dir = dir.to_str().unwrap();
    let names = files.text(0, &["export", dir]);
    let paths: Vec<&str> = names.lines().collect();
    assert_eq!(paths.len(), 3, "{names}");
    assert!(
        paths[0].contains("20261121T211438Z-panic-complete-"),
        "{names}"
    );
    assert_eq!(fs::read_to_string(paths[2]).unwrap(), log(40));
    let modified = fs::metadata(paths[2]).unwrap().modified().unwrap();
    let modified = modified.duration_since(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(modified.as_secs(), 1_795_295_738);

    assert_eq!(files.text(0, &["export", dir]), "");
    // The oldest goes: the names of the others stay.
    files.text(0, &["clear", "1", "--yes"]);
    assert_eq!(files.text(0, &["export", dir]), "");
    assert_eq!(files.text(0, &["export", "--json", dir]).lines().count(), 2);
    assert_eq!(files.text(0, &["export", "--json", dir]), "");

    fs::write(paths[2], "mine").unwrap();
    assert_eq!(files.text(1, &["export", dir]), "");
    assert_eq!(fs::read_to_string(paths[2]).unwrap(), "mine");
    assert_eq!(fs::read_dir(dir).unwrap().count(), 5);
}

#[test]
fn map_shows_zones() {
    let region = three_crashes();
    region.edit(|image| image[region.geometry.stride() + 100] ^= 1);
    let files = Files::new(&region.image());
    let map = files.text(0, &["map"]);
    let lines: Vec<&str> = map.lines().collect();
    assert_eq!(lines.len(), 9, "{map}");
    assert!(
        lines[1].contains("dmesg 0      [#.......................] sealed"),
        "{map}"
    );
    assert!(
        lines[2].contains("[!.......................] damaged"),
        "{map}"
    );
    assert!(lines[3].ends_with("seq 3, newest"), "{map}");
    assert!(
        lines[4].ends_with("dmesg 3      [........................] zero     next"),
        "{map}"
    );
    assert!(
        lines[5].ends_with("dmesg 4-14   [........................] zero"),
        "{map}"
    );
    assert!(lines[8].contains("ftrace"), "{map}");
    let map = files.json(0, &["map", "--json"]);
    assert_eq!(map["zones"].as_array().unwrap().len(), 18);
    assert_eq!(map["zones"][2]["newest"], true);
    let zones = map["zones"].as_array().unwrap().iter();
    let next = zones.map(|zone| zone["next"].as_bool().unwrap());
    assert_eq!(
        next.collect::<Vec<_>>(),
        (0..18).map(|zone| zone == 3).collect::<Vec<_>>()
    );
}

#[test]
fn clear_one_and_all() {
    let region = three_crashes();
    region.edit(|image| image[2 * region.geometry.stride() + 100] ^= 1);
    let files = Files::new(&region.image());
    for ecc in ["0", "1"] {
        // Whoever is wrong about the layout changes nothing.
        let output = files.run(&["clear", "all", "--yes", "--record-size", "8k", "--ecc", ecc]);
        assert_eq!(output.status.code(), Some(2));
    }
    assert_eq!(fs::read(files.image()).unwrap(), region.image());

    files.text(0, &["clear", "2", "--yes"]);
    let list = files.json(0, &["list", "--json"]);
    assert_eq!(list["records"][0]["dump"], 1);
    assert_eq!(list["records"][1]["dump"], 3);
    // Nobody has to look at the list again between two commands.
    files.text(2, &["clear", "2", "--yes"]);
    files.text(0, &["clear", "3", "--yes"]);
    assert_eq!(
        files.text(0, &["verify"]).lines().last(),
        Some("all is well")
    );

    // The module sees it the same way, and goes on counting.
    let ram = store::Ram::new(fs::read(files.image()).unwrap());
    let (_, census) = store::open(&ram, &region.geometry);
    assert_eq!(
        (census.sealed, census.cleared, census.newest_seq),
        (1, 2, Some(3))
    );

    files.text(0, &["clear", "all", "--yes"]);
    assert!(fs::read(files.image())
        .unwrap()
        .iter()
        .all(|byte| *byte == 0xff));
    assert_eq!(files.run(&["list"]).status.code(), Some(1));
    let output = piped(&["clear", "all", "--yes"], &region.image());
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn clear_within_a_larger_file() {
    let mut memory = vec![7; 4 << 20];
    memory[0x12_3000..][..1 << 20].copy_from_slice(&three_crashes().image());
    let files = Files::new(&memory);
    let place = ["--offset", "0x123000", "--length", "1M"];
    files.text(0, &[&["clear", "all", "-y"], &place[..]].concat());
    let after = fs::read(files.image()).unwrap();
    memory[0x12_3000..][..1 << 20].fill(0xff);
    assert!(after == memory);
}

#[test]
fn retention() {
    let files = Files::new(&vec![0; 1 << 20]);
    assert!(files
        .text(1, &["retention", "check"])
        .contains("no pattern"));
    assert_eq!(files.run(&["retention", "write"]).status.code(), Some(2));
    files.text(0, &["retention", "write", "--yes"]);
    assert!(files
        .text(0, &["retention", "check"])
        .contains("100.00 % intact (1048576 of"));
    let mut image = fs::read(files.image()).unwrap();
    // From the mark of one block into that of another: no byte of a mark is 0, but others may be.
    image[0x2_0000..0x3_0004].fill(0);
    image[0x5_0000] ^= 3;
    fs::write(files.image(), &image).unwrap();
    let check = files.text(1, &["retention", "check"]);
    assert!(check.contains("93.7"), "{check}");
    assert!(
        check.contains("lost: 0x00020000-0x00030004, 65540 bytes, zeros now"),
        "{check}"
    );
    assert!(
        check.contains("lost: 0x00050000-0x00050001, 1 bytes, changed"),
        "{check}"
    );
    let check = files.json(1, &["retention", "check", "--json"]);
    assert_eq!(check["lost"].as_array().unwrap().len(), 2);
    // Over an old pattern, but not over records.
    files.text(0, &["retention", "write", "--yes"]);
    fs::write(files.image(), three_crashes().image()).unwrap();
    assert_eq!(
        files.run(&["retention", "write", "--yes"]).status.code(),
        Some(2)
    );
    files.text(0, &["retention", "write", "--yes", "--force"]);
}

#[test]
fn closed_pipe_is_no_error() {
    let region = Region::usual();
    region.dump(&info(1, 1), &[&log(1000)]);
    let files = Files::new(&region.image());
    for args in [
        &["show"] as &[&str],
        &["show", "--json"],
        &["show", "--raw"],
    ] {
        let mut child = program()
            .arg("--file")
            .arg(files.image())
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let mut stderr = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut stderr)
            .unwrap();
        assert_eq!(
            (child.wait().unwrap().code(), stderr.as_str()),
            (Some(0), "")
        );
    }
}

#[test]
fn completions_and_man_pages() {
    for shell in ["bash", "zsh", "fish"] {
        let output = program().args(["completions", shell]).output().unwrap();
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && script.contains("retention"));
    }
    let output = program().arg("man").output().unwrap();
    let page = String::from_utf8(output.stdout).unwrap();
    assert!(
        page.contains(".TH ramoopsctl 8") && page.contains("EXIT STATUS"),
        "{page}"
    );
    let dir = tempfile::tempdir().unwrap();
    program().arg("man").arg(dir.path()).output().unwrap();
    assert!(fs::metadata(dir.path().join("ramoopsctl-retention-write.8")).is_ok());
}
