// SPDX-License-Identifier: GPL-2.0

//! Prints what the image of a region holds, one JSON object per line: first the census, then one
//! object per slot.
//!
//! ```text
//! records <image> [mem_size=N] [record_size=N] [console_size=N] [ftrace_size=N] [pmsg_size=N]
//!         [ecc=N]
//! ```
//!
//! Sizes are decimal, or hexadecimal after `0x`. The defaults are those of the module; `mem_size`
//! is the length of the image unless given. As in the module, `ecc=1` means 16 bytes of parity.
//!
//! `text` is that of a record. What is left of a torn, damaged or deleted one is in `salvaged_text`.

mod common;

use std::process::ExitCode;

use common::{
    Arguments,
    Image, //
};
use ringbuf::{
    classify,
    prefix::Title,
    read_text,
    salvage_extent,
    Census,
    Content,
    Extent,
    Geometry,
    Kind, //
};
use serde::Serialize;

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
    common::exit("records", run())
}

fn run() -> Result<(), String> {
    let Arguments {
        image, geometry, ..
    } = common::arguments(&[])?;
    let (store, census) = common::open(image, geometry)?;

    common::print(&census_line(&census, &geometry))?;
    for slot in 0..geometry.slots() {
        common::print(&slot_line(store.memory(), &geometry, slot))?;
    }
    Ok(())
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
            Kind::Torn(_) => "torn",
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
        Kind::Sealed(seal)
        | Kind::Damaged(seal)
        | Kind::Torn(Some(seal))
        | Kind::Cleared(Some(seal)) => {
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
