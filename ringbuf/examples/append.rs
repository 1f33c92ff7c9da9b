// SPDX-License-Identifier: GPL-2.0

//! Measures how fast records are stored on this machine, beside what cannot be spared: copying the
//! same bytes, payload and seal, to the same places, and computing their CRC-32C.
//!
//! ```text
//! append <image> rounds=N [record_size=N] ...
//! ```
//!
//! Each round stores as many records as there are slots in both ways. The medians of all rounds are printed, in
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
    Memory, //
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
    let (store, _) = common::open(image, geometry)?;
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
    let (payload, seal) = record.split_at(geometry.payload_capacity());

    let mut times = Vec::new();
    let mut slots = vec![0; geometry.slots()];
    // In the first round the region is new.
    for round in 0..=rounds {
        let append = time(&mut slots, |n, slot| {
            let stored = store
                .begin(&info)
                .append(black_box(whole_lines(text, n)), true);
            *slot = stored.map_err(|err| format!("{err:?}"))?;
            Ok(())
        })?;
        let least = time(&mut slots, |n, slot| {
            let payload = whole_lines(payload, n);
            copy_and_sum(store.memory(), &geometry, *slot, black_box(payload), seal)
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

/// Both parts of a record, as large as the store writes them.
fn copy_and_sum(
    image: &Image,
    geometry: &Geometry,
    slot: usize,
    payload: &[u8],
    seal: &[u8],
) -> Result<(), String> {
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
fn whole_lines(bytes: &[u8], n: usize) -> &[u8] {
    let cut = n * 397 % LINE_MAX;
    bytes.split_at(bytes.len() - cut).0
}

/// Measures the nanoseconds per record: the number of each, and its slot, are passed to `store`.
fn time(
    slots: &mut [usize],
    mut store: impl FnMut(usize, &mut usize) -> Result<(), String>,
) -> Result<f64, String> {
    let begin = Instant::now();
    for (n, slot) in slots.iter_mut().enumerate() {
        store(n, slot)?;
    }
    Ok(begin.elapsed().as_nanos() as f64 / slots.len() as f64)
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
