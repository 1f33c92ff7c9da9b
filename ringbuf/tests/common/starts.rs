// SPDX-License-Identifier: GPL-2.0

//! Regions to begin a power-cut test with.

use super::{
    append,
    mainline,
    open,
    Ram, //
};
use ringbuf::{
    layout::SEAL_MAGIC_OFFSET,
    Geometry, //
};

/// Stores `count` dumps of one part.
pub fn filled(geometry: &Geometry, count: usize) -> Vec<u8> {
    let ram = Ram::new(vec![0; geometry.mem_size()]);
    let (store, _) = open(&ram, geometry);
    for i in 0..count {
        let text = format!("record {i}\n").repeat(1 + i * 5 % 17);
        append(&store, text.as_bytes()).unwrap();
    }
    ram.image()
}

/// All starting points for a number of slots.
pub fn starts(geometry: &Geometry) -> Vec<(String, Vec<u8>)> {
    let slots = geometry.slots();
    let len = geometry.mem_size();
    let mut starts = vec![
        ("zero".into(), vec![0; len]),
        ("erased".into(), vec![0xff; len]),
        ("garbage".into(), vec![0x47; len]),
    ];
    let mut prepared = vec![0; len];
    mainline::load(&mut prepared, geometry);
    starts.push(("prepared by mainline".into(), prepared));
    for count in [slots, slots + 1, 2 * slots + 1] {
        starts.push((format!("{count} records"), filled(geometry, count)));
    }

    // Each slot in each state that is not a record of ours.
    let full = filled(geometry, slots);
    for slot in 0..slots {
        let mut add = |name: &str, change: &dyn Fn(&mut [u8])| {
            let mut image = full.clone();
            change(&mut image);
            starts.push((format!("{name} in slot {slot}"), image));
        };
        let zone = slot * geometry.stride();
        let seal = geometry.seal_offset(slot).unwrap();
        let short = "Oops#1 Part1\nshort\n";
        for text in [short, &"x".repeat(400), &"x".repeat(500)] {
            let name = format!("foreign record of {}", text.len());
            add(&name, &|image| {
                mainline::write(image, geometry, slot, 9, text.as_bytes());
            });
        }
        add("deleted record", &|image| {
            mainline::erase(image, geometry, slot);
        });
        add("deleted foreign record", &|image| {
            mainline::write(image, geometry, slot, 9, b"short");
            mainline::erase(image, geometry, slot);
        });
        add("damaged record", &|image| image[zone + 12 + 40] ^= 1);
        add("record with a damaged seal", &|image| image[seal] ^= 1);
        add("record with a damaged header", &|image| image[zone] ^= 1);
        add("header of a deleted record being written anew", &|image| {
            mainline::erase(image, geometry, slot);
            image[zone..zone + 4].fill(0);
        });
        add("record that is not committed", &|image| {
            image[zone..zone + 4].fill(0);
            image[seal + SEAL_MAGIC_OFFSET + 3] = b'W';
        });
        add("torn record", &|image| {
            image[zone..zone + 4].fill(0);
            image[zone + 12 + 40] ^= 1;
            image[seal + SEAL_MAGIC_OFFSET + 3] = b'W';
        });
        add("torn record of which nothing is known", &|image| {
            image[zone..zone + 4].fill(0);
            image[seal] ^= 1;
            image[seal + SEAL_MAGIC_OFFSET + 3] = b'W';
        });
    }

    // Foreign records only.
    let mut image = vec![0; len];
    mainline::load(&mut image, geometry);
    for slot in 0..slots {
        mainline::write(&mut image, geometry, slot, 9, b"mainline's record");
    }
    starts.push(("foreign records".into(), image));
    starts
}
