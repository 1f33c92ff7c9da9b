// SPDX-License-Identifier: GPL-2.0

//! How long it takes to read 64 MiB. Run it by
//! `cargo test --release -p ramoopsctl --test speed -- --ignored --nocapture`.

mod common;

use std::time::Instant;

use common::*;
use ramoopsctl::{
    detect::{
        detect,
        Hints, //
    },
    record::Region as Reading, //
};
use ringbuf::Params;

const LEN: usize = 64 << 20;

fn measure(name: &str, image: &[u8]) {
    keep(name, image);
    let start = Instant::now();
    let found = detect(image, &Hints::default()).unwrap();
    let detected = start.elapsed();
    let region = Reading {
        bytes: image,
        layout: found.layout,
    };
    let records = region.records(false);
    let listed = start.elapsed();
    let text: usize = records
        .iter()
        .map(|record| region.text(record).bytes.len())
        .sum();
    println!(
        "{name:<10} detect {detected:>10.1?} ({:.1} GB/s), with records {listed:>10.1?}, with text {:>10.1?}: \
         {} records, {text} bytes",
        LEN as f64 / detected.as_secs_f64() / 1e9,
        start.elapsed(),
        records.len()
    );
}

#[test]
#[ignore = "measures time"]
fn read_64_mib() {
    measure("zero", &vec![0; LEN]);
    let mut state = 1u64;
    let noise: Vec<u8> = (0..LEN)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .collect();
    measure("noise", &noise);
    for (name, record_size, ecc_size, records) in [
        ("few", 1 << 16, 0, 3),
        ("full", 1 << 16, 0, 1024),
        ("small", 4096, 0, 16_000),
        ("ecc", 1 << 16, 16, 3),
    ] {
        let region = Region::new(Params {
            ecc_size,
            ..params(LEN, record_size)
        });
        let text = log(record_size / 64);
        let (store, _) = store::open(&region.ram, &region.geometry);
        for n in 0..records {
            let info = info(1, n);
            let mut dump = store.begin(&info);
            let room = dump.room().min(text.len());
            dump.append(&text.as_bytes()[..room], true).unwrap();
            region.ram.log.borrow_mut().clear();
        }
        measure(name, &region.image());
    }
}
