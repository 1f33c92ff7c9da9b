// SPDX-License-Identifier: GPL-2.0

//! Nothing is deleted but what was meant, and of that nothing is left if so asked.

use std::{
    fs::{
        self,
        File,
        OpenOptions, //
    },
    io::{
        Read,
        Write, //
    },
    path::Path,
    process::{
        Child,
        Stdio, //
    },
};

use crate::common::{
    store::mainline,
    *, //
};
use rustix::pty::{
    grantpt,
    openpt,
    ptsname,
    unlockpt,
    OpenptFlags, //
};

/// Answers a question on a terminal, after `meanwhile` has happened. Returns the exit status and what
/// was said.
fn answer(files: &Files, args: &[&str], meanwhile: impl FnOnce()) -> (i32, String) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap();
    let its = OpenOptions::new()
        .read(true)
        .write(true)
        .open(name.to_str().unwrap())
        .unwrap();
    let mut child: Child = program()
        .arg("--file")
        .arg(files.image())
        .args(args)
        .stdin(its)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let mut said = Vec::new();
    while !said.ends_with(b"to go on: ") {
        let mut byte = [0];
        assert_eq!(stderr.read(&mut byte).unwrap(), 1, "it does not ask");
        said.extend(byte);
    }
    meanwhile();
    File::from(ours).write_all(b"yes\n").unwrap();
    stderr.read_to_end(&mut said).unwrap();
    let status = child.wait().unwrap().code().unwrap();
    (status, String::from_utf8(said).unwrap())
}

#[test]
fn what_changed_meanwhile_is_left_alone() {
    for target in ["1", "all"] {
        let region = Region::small();
        for boot in 1..=13 {
            region.dump(&calm(boot, 1), &[&log(20)]);
        }
        let files = Files::new(&region.image());
        let (status, said) = answer(&files, &["clear", target], || {
            // The next crash takes the oldest record's slot.
            region.dump(&calm(14, 1), &["precious\n"]);
            fs::write(files.image(), region.image()).unwrap();
        });
        assert_eq!(status, 2, "{said}");
        assert!(
            said.contains("has changed at 0x0 since it was read"),
            "{said}"
        );
        assert!(fs::read(files.image()).unwrap() == region.image());
        // What changed elsewhere does not matter to one record.
        if target == "1" {
            let (status, said) = answer(&files, &["clear", "2"], || {
                region.dump(&calm(15, 1), &["next\n"]);
                let mut image = region.image();
                let end = region.geometry.console().0;
                image[end + 12..][..100].fill(b'c');
                fs::write(files.image(), image).unwrap();
            });
            assert_eq!(status, 0, "{said}");
        }
        // The first number is that of the one just deleted.
        let target = if target == "1" { "2" } else { target };
        let (status, said) = answer(&files, &["clear", target], || ());
        assert_eq!(status, 0, "{said}");
    }
}

/// Whether a text is anywhere in an image.
fn holds(image: &[u8], text: &str) -> bool {
    memchr::memmem::find(image, text.as_bytes()).is_some()
}

#[test]
fn wiping_leaves_nothing() {
    for ecc_size in [0, 4, 16] {
        let region = Region::new(ringbuf::Params {
            ecc_size,
            ..params(64 << 10, 8192)
        });
        region.dump(&info(1, 1), &["first stays\n"]);
        let secret = "secret ".repeat(1000);
        region.dump(
            &ringbuf::DumpInfo {
                description: b"secret trouble",
                release: b"secret release",
                ..info(2, 1)
            },
            &[&secret[..5000], &secret[..5000]],
        );
        region.dump(&info(3, 1), &["third stays\n"]);
        let files = Files::new(&region.image());
        files.text(0, &["clear", "2", "--yes"]);
        assert!(holds(&fs::read(files.image()).unwrap(), "secret"));
        // It was deleted, but not yet as it should be.
        files.text(0, &["clear", "2", "--yes", "--wipe"]);
        let image = fs::read(files.image()).unwrap();
        assert!(!holds(&image, "secret"));
        assert_eq!(
            files.text(0, &["verify"]).lines().last(),
            Some("all is well")
        );
        let list = files.json(0, &["list", "--deleted", "--json"]);
        assert_eq!(list["records"].as_array().unwrap().len(), 2);
        // Every other zone is as it was.
        let stride = region.geometry.stride();
        let before = region.image();
        for slot in [0, 3, 4] {
            assert!(image[slot * stride..][..stride] == before[slot * stride..][..stride]);
        }
        // Whatever it was: also of stock ramoops.
        let region = Region::new(params(64 << 10, 8192));
        region.dump(&info(1, 1), &["first stays\n"]);
        region.edit(|image| {
            let text = b"Oops#1 Part1\nsecret\n";
            mainline::write(image, &region.geometry, 3, 1_900_000_000, text);
        });
        let files = Files::new(&region.image());
        files.text(0, &["clear", "2", "--yes", "--wipe"]);
        assert!(!holds(&fs::read(files.image()).unwrap(), "secret"));
    }
}

#[test]
fn export_clears_what_it_has_saved() {
    let region = three_crashes();
    let files = Files::new(&region.image());
    let dir = files.dir.path().join("new/out");
    let dir = dir.to_str().unwrap();
    // One of them is there already.
    files.text(0, &["export", dir]);
    let first = fs::read_dir(dir).unwrap().next().unwrap().unwrap().path();
    fs::remove_file(first).unwrap();
    assert_eq!(
        files.text(0, &["export", dir, "--clear"]).lines().count(),
        1
    );
    assert_eq!(fs::read_dir(dir).unwrap().count(), 3);
    files.text(1, &["list"]);
    let list = files.json(0, &["list", "--deleted", "--json"]);
    assert_eq!(list["records"].as_array().unwrap().len(), 3);
}

#[test]
fn export_clears_nothing_that_it_has_not_saved() {
    let region = three_crashes();
    let files = Files::new(&region.image());
    let unchanged = || fs::read(files.image()).unwrap() == region.image();
    // A folder that cannot be one.
    let dir = files.dir.path().join("file");
    fs::write(&dir, "").unwrap();
    files.text(2, &["export", dir.to_str().unwrap(), "--clear"]);
    assert!(unchanged());
    // One that nobody can write into.
    if Path::new("/proc/self/fdinfo").exists() {
        files.text(2, &["export", "/proc/self/fdinfo", "--clear"]);
        assert!(unchanged());
    }
    // The last file cannot be made.
    let dir = files.dir.path().join("out");
    let dir = dir.to_str().unwrap();
    let names = files.text(0, &["export", dir]);
    let last = names.lines().last().unwrap();
    fs::remove_file(last).unwrap();
    fs::create_dir(last).unwrap();
    files.text(2, &["export", dir, "--clear"]);
    assert!(unchanged());
    // One file is somebody else's: only the others go.
    fs::remove_dir(last).unwrap();
    fs::write(last, "mine").unwrap();
    files.text(1, &["export", dir, "--clear"]);
    let list = files.json(0, &["list", "--json"]);
    assert_eq!(list["records"].as_array().unwrap().len(), 1);
    assert_eq!(list["records"][0]["dump"], 3);
    // From what cannot be written nothing is saved first.
    let output = piped(&["export", dir, "--clear"], &region.image());
    assert_eq!(output.status.code(), Some(2));
}

/// Of salvaged text nobody knows where it ends: what `export --clear` has saved need not be all of it.
#[test]
fn export_clears_no_guess() {
    let region = Region::small();
    region.dump(&info(1, 1), &[&log(40)]);
    region.dump(&info(2, 1), &[&log(3)]);
    region.edit(|image| {
        image[0] ^= 1;
        image[region.geometry.seal_offset(0).unwrap() + 30] ^= 1;
        image[12 + 300] = 0;
    });
    let files = Files::new(&region.image());
    let dir = files.dir.path().join("out");
    let output = files.run(&["export", dir.to_str().unwrap(), "--clear"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("record 1 was not deleted"), "{said}");
    let left = fs::read(files.image()).unwrap();
    let stride = region.geometry.stride();
    assert_eq!(left[..stride], region.image()[..stride]);
    let list = files.json(0, &["list", "--json"]);
    assert_eq!(list["records"].as_array().unwrap().len(), 1);
}
