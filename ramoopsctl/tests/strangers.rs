// SPDX-License-Identifier: GPL-2.0

//! Stock ramoops was loaded on the region with other parameters: its records are named as well.

use crate::{
    common::{
        store::mainline,
        *, //
    },
    detect::{
        dmesg_only,
        stderr, //
    },
    others::follow, //
};
use ringbuf::{
    layout::SIG,
    Geometry,
    Params, //
};

/// What stock ramoops does to a region: it prepares its zones, and stores records of so many lines.
fn stock(image: &mut [u8], params: Params, slots: &[usize], lines: usize) -> Geometry {
    let geometry = Geometry::new(params).unwrap();
    mainline::load(image, &geometry);
    for slot in slots {
        let text = format!("Oops#1 Part1\n{}", log(lines));
        let secs = 1_800_000_000 + *slot as u64;
        mainline::write(image, &geometry, *slot, secs, text.as_bytes());
    }
    geometry
}

#[test]
fn records_of_other_sizes_are_named() {
    for (ours, theirs, slots, lines, named) in [
        // The first zone begins where ours does.
        (
            params(1 << 20, 1 << 16),
            params(1 << 20, 4096),
            vec![0, 1, 2],
            20,
            2,
        ),
        (
            params(1 << 20, 1 << 16),
            params(1 << 20, 1 << 15),
            vec![0, 5],
            400,
            1,
        ),
        (
            params(1 << 20, 1 << 16),
            dmesg_only(1 << 20, 1 << 16),
            vec![0, 1, 2],
            20,
            2,
        ),
        // It does, but is not as large.
        (
            params(1 << 20, 4096),
            params(1 << 20, 1 << 16),
            vec![0, 1],
            900,
            2,
        ),
        (
            params(1 << 20, 1 << 16),
            Params {
                ecc_size: 16,
                ..params(1 << 20, 8192)
            },
            vec![0, 1, 2, 3],
            20,
            3,
        ),
    ] {
        let region = Region::new(ours);
        for n in 1..=40 {
            region.dump(&info(1, n), &[&log(20)]);
        }
        region.edit(|image| {
            stock(image, theirs, &slots, lines);
        });
        let image = region.image();
        let mut memory = vec![7; 3 << 20];
        memory[1 << 20..][..1 << 20].copy_from_slice(&image);
        for image in [image, memory] {
            let files = Files::new(&image);
            let list = files.json(0, &["list", "--json"]);
            assert_eq!(list["layout"]["stride"], region.geometry.stride());
            let said = stderr(&files.run(&["list"]));
            let count = match named {
                1 => "1 record of stock ramoops with other parameters: ".to_owned(),
                named => format!("{named} records of stock ramoops with other parameters: "),
            };
            let line = said.lines().find(|line| line.contains(&count));
            let line = line.unwrap_or_else(|| panic!("{theirs:?}: {said}"));
            assert!(!said.contains("not known"), "{said}");
            let (states, _) = follow(&files, line);
            let shown = states.iter().filter(|state| *state == "foreign").count();
            assert_eq!(shown, slots.len(), "{theirs:?}: {line}: {states:?}");
        }
    }
}

/// A single one in a region of which nothing else is left of them.
#[test]
fn a_single_record_is_named() {
    let region = three_crashes();
    let other = Geometry::new(params(1 << 20, 4096)).unwrap();
    region.edit(|image| mainline::write(image, &other, 200, 1_800_000_000, b"Oops#1 Part1\nx\n"));
    let files = Files::new(&region.image());
    let said = stderr(&files.run(&["list"]));
    assert!(said.contains("1 record of stock ramoops"), "{said}");
    let (states, _) = follow(&files, &said);
    assert!(states.contains(&"foreign".to_owned()), "{states:?}");
}

/// Headers that no zone map explains are not passed over either.
#[test]
fn what_is_not_explained_is_told() {
    let region = three_crashes();
    region.edit(|image| {
        for at in [0x8_0002, 0x8_1236, 0x9_1238, 0xa_0fee] {
            image[at..][..4].copy_from_slice(&SIG.to_ne_bytes());
            image[at + 8] = 40;
            image[at + 12..][..40].copy_from_slice(b"====1700000000.000000-D\nOops#1 Part1\nx\n\n");
        }
    });
    let said = stderr(&Files::new(&region.image()).run(&["list"]));
    assert!(
        said.contains("of stock ramoops with parameters that are not known"),
        "{said}"
    );
    // Nor those in a part of a region.
    let said = stderr(&Files::new(&region.image()[100_000..]).run(&["list"]));
    let line =
        "4 records of stock ramoops with parameters that are not known, the first at 0x80002 ";
    assert!(said.contains(line), "{said}");
}

/// What programs write to pmsg is no record.
#[test]
fn headers_in_pmsg_are_not_named() {
    let region = three_crashes();
    let (pmsg, _) = region.geometry.pmsg();
    region.edit(|image| {
        image[pmsg..][..4].copy_from_slice(&SIG.to_ne_bytes());
        for at in (pmsg + 64..pmsg + 4000).step_by(64) {
            image[at..][..4].copy_from_slice(&SIG.to_ne_bytes());
            image[at + 8] = 40;
            image[at + 12..][..40].copy_from_slice(b"====1700000000.000000-D\nOops#1 Part1\nx\n\n");
        }
    });
    assert_eq!(stderr(&Files::new(&region.image()).run(&["list"])), "");
}
