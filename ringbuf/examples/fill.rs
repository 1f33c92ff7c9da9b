// SPDX-License-Identifier: GPL-2.0

//! Stores crashes in the image of a region, and writes the new image to standard output:
//!
//! ```text
//! fill <image> records=N [parts=N] [mem_size=N] [record_size=N] ...
//! ```
//!
//! Each is of so many parts (1 if not given), that is records, which its text fills. Those of more
//! than one part happen in a boot each: within a boot, a crash spares part 1 of the one before it.

#[expect(dead_code, reason = "this program prints no JSON")]
mod common;

use std::{
    io::{
        stdout,
        Write, //
    },
    process::ExitCode, //
};

use common::Arguments;
use ringbuf::{
    DumpInfo,
    Memory, //
};

fn main() -> ExitCode {
    common::exit("fill", run())
}

fn run() -> Result<(), String> {
    let Arguments {
        image,
        geometry,
        other,
    } = common::arguments(&["records", "parts"])?;
    let records = *other.get("records").ok_or("records: not given")?;
    let parts = other.get("parts").copied().unwrap_or(1).max(1);
    let open = || common::open(image.clone(), geometry);
    let (mut store, _) = open()?;
    let text = log(geometry.payload_capacity());
    for n in 1..=records.div_ceil(parts) as u32 {
        let info = DumpInfo {
            reason: 1,
            reason_name: b"Panic",
            count: n,
            realtime_ns: 1_800_000_000_000_000_000 + u64::from(n),
            boottime_ns: 100_000_001_000,
            boot_id: [1; 16],
            description: b"sysrq triggered crash",
            release: b"7.3.4",
            urgent: true,
        };
        if parts > 1 {
            (store, _) = open()?;
        }
        let mut dump = store.begin(&info);
        let written = (n as usize - 1) * parts;
        let last = records.min(written + parts);
        for record in written + 1..=last {
            let newest = &text[text.len().saturating_sub(dump.room())..];
            dump.append(newest.as_bytes(), record == last)
                .map_err(|err| format!("record {record}: {err:?}"))?;
        }
    }
    let mut filled = vec![0; image.len()];
    image.read(0, &mut filled);
    stdout()
        .write_all(&filled)
        .map_err(|err| format!("standard output: {err}"))
}

/// At least so many bytes of a log, with a panic at its end.
fn log(len: usize) -> String {
    let mut text = String::new();
    for line in 0.. {
        if text.len() >= len {
            break;
        }
        let (secs, device) = (line / 10, line % 7);
        text += &format!("<6>[{secs:5}.{line:06}] usb 1-{device}: something happened\n");
    }
    text + "<0>[  100.000001] Kernel panic - not syncing: sysrq triggered crash\n"
}
