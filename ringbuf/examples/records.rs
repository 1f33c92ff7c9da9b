// SPDX-License-Identifier: GPL-2.0

//! Prints what the image of a region holds, one JSON object per line: first the census, then one
//! object per slot.
//!
//! ```text
//! records <image> [mem_size=N] [record_size=N] [console_size=N] [ftrace_size=N] [pmsg_size=N]
//!         [ecc=N] [loop_ns=N]
//! ```
//!
//! Sizes are decimal, or hexadecimal after `0x`. The defaults are those of the module; `mem_size`
//! is the length of the image unless given. As in the module, `ecc=1` means 16 bytes of parity.
//!
//! `text` is that of a record. What is left of a torn, damaged or deleted one is in `salvaged_text`.

use std::{
    env,
    fs,
    process::ExitCode, //
};

use ringbuf::{
    classify,
    layout::Title,
    read_text,
    salvage_extent,
    Census,
    Content,
    Extent,
    Geometry,
    Kind,
    Memory,
    Options,
    Params,
    Slot,
    Store, //
};
use serde::Serialize;

/// An image, which is never written.
struct Image(Vec<u8>);

impl Memory for Image {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn read(&self, offset: usize, buf: &mut [u8]) -> bool {
        let bytes = self
            .0
            .get(offset..)
            .and_then(|bytes| bytes.get(..buf.len()));
        bytes.map(|bytes| buf.copy_from_slice(bytes)).is_some()
    }

    fn write(&self, _offset: usize, _data: &[u8]) -> bool {
        false
    }

    fn barrier(&self, _offset: usize, _len: usize) {}

    fn crc32c(crc: u32, data: &[u8]) -> u32 {
        // The crate inverts before and after, the kernel does not.
        !crc32c::crc32c_append(!crc, data)
    }

    fn encode(&self, block: &[u8], parity: &mut [u8]) {
        rslib::encode(block, parity);
    }

    fn decode(&self, block: &mut [u8], parity: &mut [u8]) -> Option<usize> {
        rslib::decode(block, parity)
    }
}

#[derive(Serialize)]
struct CensusLine {
    census: bool,
    slots: usize,
    stride: usize,
    sealed: usize,
    foreign: usize,
    newer: usize,
    damaged: usize,
    salvaged: usize,
    torn: usize,
    cleared: usize,
    empty: usize,
    blank: usize,
    garbage: usize,
    corrected: usize,
    bad_blocks: usize,
    next: Option<usize>,
    newest_seq: Option<u64>,
    diagnosis: Option<String>,
}

/// What does not apply to a kind of slot is null.
#[derive(Default, Serialize)]
struct SlotLine {
    slot: usize,
    kind: &'static str,
    /// Wrong bytes that the parity could correct.
    corrected: usize,
    /// Blocks that it could not.
    bad_blocks: usize,
    seq: Option<u64>,
    dump: Option<u64>,
    part: Option<u32>,
    /// 0: more parts follow.
    parts: Option<u32>,
    reason: Option<u32>,
    size: Option<u32>,
    realtime_ns: Option<u64>,
    boottime_ns: Option<u64>,
    boot_id: Option<String>,
    /// The dump with which the loop of crashes began that this one continues; 0 if none.
    loop_start: Option<u64>,
    description: Option<String>,
    release: Option<String>,
    compressed: Option<bool>,
    /// The line `<Reason>#<n> Part<k>`.
    title: Option<String>,
    text: Option<String>,
    salvaged_text: Option<String>,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("records: {err}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let mut args = env::args().skip(1);
    let path = args.next().ok_or("the first argument is an image file")?;
    let image = Image(fs::read(&path).map_err(|err| format!("{path}: {err}"))?);
    let (params, options) = parse(args, image.0.len())?;
    let geometry = Geometry::new(params).map_err(|err| format!("{err:?}"))?;
    let table: Vec<Slot> = (0..geometry.slots()).map(|_| Slot::default()).collect();
    let (store, census) =
        Store::open(image, geometry, table, options).map_err(|err| format!("{err:?}"))?;

    print(&census_line(&census, &geometry))?;
    for slot in 0..geometry.slots() {
        print(&slot_line(store.memory(), &geometry, slot))?;
    }
    Ok(())
}

fn print(line: &impl Serialize) -> Result<(), String> {
    println!(
        "{}",
        serde_json::to_string(line).map_err(|err| err.to_string())?
    );
    Ok(())
}

fn parse(args: impl Iterator<Item = String>, len: usize) -> Result<(Params, Options), String> {
    let mut params = Params {
        mem_size: len,
        record_size: 4096,
        console_size: 4096,
        ftrace_size: 4096,
        pmsg_size: 4096,
        ecc_size: 0,
    };
    let mut options = Options::default();
    for arg in args {
        let (name, value) = arg.split_once('=').ok_or(format!("{arg}: no value"))?;
        let size = match value.strip_prefix("0x") {
            Some(hex) => usize::from_str_radix(hex, 16),
            None => value.parse(),
        };
        let size = size.map_err(|err| format!("{arg}: {err}"))?;
        if name == "loop_ns" {
            options.loop_ns = size as u64;
            continue;
        }
        *match name {
            "mem_size" => &mut params.mem_size,
            "record_size" => &mut params.record_size,
            "console_size" => &mut params.console_size,
            "ftrace_size" => &mut params.ftrace_size,
            "pmsg_size" => &mut params.pmsg_size,
            "ecc" => &mut params.ecc_size,
            _ => return Err(format!("{name}: unknown parameter")),
        } = size;
    }
    if params.ecc_size == 1 {
        params.ecc_size = 16;
    }
    Ok((params, options))
}

fn census_line(census: &Census, geometry: &Geometry) -> CensusLine {
    CensusLine {
        census: true,
        slots: census.slots,
        stride: geometry.stride(),
        sealed: census.sealed,
        foreign: census.foreign,
        newer: census.newer,
        damaged: census.damaged,
        salvaged: census.salvaged,
        torn: census.torn,
        cleared: census.cleared,
        empty: census.empty,
        blank: census.blank,
        garbage: census.garbage,
        corrected: census.corrected,
        bad_blocks: census.bad_blocks,
        next: census.next,
        newest_seq: census.newest_seq,
        diagnosis: census.diagnosis.map(|diagnosis| format!("{diagnosis:?}")),
    }
}

fn slot_line(image: &Image, geometry: &Geometry, slot: usize) -> SlotLine {
    // The slot exists, and lies within the image.
    let Some(Content {
        kind,
        corrected,
        bad_blocks,
    }) = classify(image, geometry, slot)
    else {
        return SlotLine::default();
    };
    let mut line = SlotLine {
        slot,
        kind: match kind {
            Kind::Sealed(_) => "sealed",
            Kind::Foreign(_) => "foreign",
            Kind::Newer { .. } => "newer",
            Kind::Damaged(_) => "damaged",
            Kind::Salvaged { .. } => "salvaged",
            Kind::Cleared(_) => "cleared",
            Kind::Torn => "torn",
            Kind::Empty => "empty",
            Kind::Zero => "zero",
            Kind::Erased => "erased",
            Kind::Garbage => "garbage",
        },
        corrected,
        bad_blocks,
        ..SlotLine::default()
    };

    match kind {
        Kind::Sealed(seal) | Kind::Damaged(seal) | Kind::Cleared(Some(seal)) => {
            line.seq = Some(seal.seq);
            line.dump = Some(seal.dump);
            line.part = Some(seal.part);
            line.parts = Some(seal.parts);
            line.reason = Some(seal.reason);
            line.size = Some(seal.size);
            line.realtime_ns = Some(seal.realtime_ns);
            line.boottime_ns = Some(seal.boottime_ns);
            let hex = seal.boot_id.iter().map(|byte| format!("{byte:02x}"));
            line.boot_id = Some(hex.collect());
            line.loop_start = Some(seal.loop_start);
            line.description = Some(lossy(seal.description()));
            line.release = Some(lossy(seal.release()));
        }
        Kind::Foreign(foreign) => {
            line.size = Some(foreign.extent.size);
            line.compressed = Some(foreign.stamp.compressed);
            line.realtime_ns = u64::try_from(foreign.stamp.secs)
                .ok()
                .and_then(|secs| secs.checked_mul(1_000_000_000))
                .and_then(|ns| ns.checked_add(foreign.stamp.nanos.into()));
        }
        _ => (),
    }

    if let Some(extent) = kind.extent() {
        let payload = payload(image, geometry, slot, extent);
        let (title, text) = split(&payload);
        line.title = title;
        line.text = Some(lossy(text));
    } else if let Some(extent) = salvage_extent(image, geometry, slot, &kind) {
        let payload = payload(image, geometry, slot, extent);
        let (title, text) = split(&payload);
        line.title = title;
        line.salvaged_text = Some(lossy(text));
    }
    line
}

fn payload(image: &Image, geometry: &Geometry, slot: usize, extent: Extent) -> Vec<u8> {
    // `classify()` has checked it against the length of the zone.
    let mut payload = vec![0; extent.size as usize];
    let len = read_text(image, geometry, slot, extent, 0, &mut payload);
    payload.truncate(len);
    payload
}

/// Removes the stamp, and the line with reason and part if there is one.
fn split(payload: &[u8]) -> (Option<String>, &[u8]) {
    let Some((_, rest)) = split_line(payload) else {
        return (None, payload);
    };
    match Title::parse(rest) {
        Some(title) => (Some(lossy(&rest[..title.len - 1])), &rest[title.len..]),
        None => (None, rest),
    }
}

fn split_line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|byte| *byte == b'\n')?;
    Some((&text[..end], &text[end + 1..]))
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
