// SPDX-License-Identifier: GPL-2.0

//! Measures how fast records are stored on this machine, beside what cannot be spared: copying the
//! same bytes, payload and seal, to the same places, and computing their CRC-32C.
//!
//! ```text
//! append <image> rounds=N [record_size=N] ...
//! ```
//!
//! Each round fills the region once in both ways. The medians of all rounds are printed, in
//! nanoseconds per record, as one line of JSON.

mod common;

use std::{
    hint::black_box,
    process::ExitCode,
    time::Instant, //
};

use common::{
    Arguments,
    Image, //
};
use ringbuf::{
    DumpInfo,
    Geometry,
    Memory,
    Options,
    Store, //
};
use serde::Serialize;

/// The longest line of a log (`PRINTKRB_RECORD_MAX` of kernel/printk).
const LINE_MAX: usize = 1024;

#[derive(Serialize)]
struct Line {
    /// Bytes of the longest record.
    bytes: usize,
    /// What it takes to store one.
    append_ns: f64,
    /// What it takes to copy it and to compute its checksums.
    least_ns: f64,
    /// The median of what one is to the other in each round.
    ratio: f64,
}

fn main() -> ExitCode {
    common::exit("append", run())
}

fn run() -> Result<(), String> {
    let Arguments {
        image,
        geometry,
        other,
    } = common::arguments(&["rounds"])?;
    let rounds = *other.get("rounds").ok_or("rounds: not given")?;
    let table = common::table(&geometry);
    let (store, _) = Store::open(image, geometry, table, Options::default())
        .map_err(|err| format!("{err:?}"))?;
    let info = DumpInfo {
        reason: 1,
        reason_name: b"Panic",
        count: 1,
        realtime_ns: 1_800_000_000_000_000_000,
        boottime_ns: 100_000_001_000,
        boot_id: [1; 16],
        description: b"sysrq triggered crash",
        release: b"7.3.4",
        urgent: true,
    };
    let record: Vec<u8> = (0..geometry.data_capacity())
        .map(|at| (at * 7 % 251) as u8)
        .collect();
    let text = &record[..store.begin(&info).room()];

    let mut times = Vec::new();
    // In the first round the region is new.
    for round in 0..=rounds {
        let append = time(geometry.slots(), |slot| {
            let text = whole_lines(text, slot);
            let stored = store.begin(&info).append(black_box(text), true);
            stored.map(|_| ()).map_err(|err| format!("{err:?}"))
        })?;
        let least = time(geometry.slots(), |slot| {
            copy_and_sum(store.memory(), &geometry, slot, black_box(&record))
        })?;
        if round > 0 {
            times.push((append, least));
        }
    }
    common::print(&Line {
        bytes: record.len(),
        append_ns: median(times.iter().map(|(append, _)| *append)),
        least_ns: median(times.iter().map(|(_, least)| *least)),
        ratio: median(times.iter().map(|(append, least)| least / append)),
    })
}

/// Both parts of a record, as large as [`Store`] writes them.
fn copy_and_sum(
    image: &Image,
    geometry: &Geometry,
    slot: usize,
    record: &[u8],
) -> Result<(), String> {
    let (payload, seal) = record.split_at(geometry.payload_capacity());
    let payload = whole_lines(payload, slot);
    for (part, at) in [
        (payload, geometry.data_offset(slot)),
        (seal, geometry.seal_offset(slot)),
    ] {
        black_box(Image::crc32c(!0, part));
        if !at.is_some_and(|at| image.write(at, part)) {
            return Err("not in the region".into());
        }
    }
    Ok(())
}

/// Leaves out what is not a whole line, which is more or less of a real log.
fn whole_lines(bytes: &[u8], slot: usize) -> &[u8] {
    let cut = slot * 397 % LINE_MAX;
    bytes.split_at(bytes.len() - cut).0
}

/// Nanoseconds for each of so many records.
fn time(records: usize, mut store: impl FnMut(usize) -> Result<(), String>) -> Result<f64, String> {
    let begin = Instant::now();
    for record in 0..records {
        store(record)?;
    }
    Ok(begin.elapsed().as_nanos() as f64 / records as f64)
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
