// SPDX-License-Identifier: GPL-2.0

//! `ramoopsctl map`

use std::{
    io::{
        stdout,
        BufWriter,
        Write, //
    },
    sync::atomic::AtomicU32, //
};

use anstyle::Style;
use anyhow::Result;
use ringbuf::{
    Content,
    Geometry,
    Kind,
    Options,
    Ranked,
    Store, //
};
use serde::Serialize;

use crate::{
    cli::JsonArgs,
    detect::Layout,
    image::Image,
    mtdoops,
    report::{
        self,
        SCHEMA, //
    },
    session::{
        print_json,
        Outcome,
        Session, //
    },
    style::{
        self,
        paint, //
    },
    zones, //
};

/// How wide a zone is drawn.
const WIDTH: usize = 24;

#[derive(Serialize)]
struct Map<'a> {
    schema: u32,
    source: &'a str,
    size: usize,
    layout: report::Layout,
    zones: Vec<Zone>,
}

/// A zone, or a page of mtdoops.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Zone {
    name: &'static str,
    /// Number among those of the same name.
    index: usize,
    offset: usize,
    size: usize,
    /// Bytes in use; `null` if that cannot be told.
    used: Option<usize>,
    state: &'static str,
    seq: Option<u64>,
    /// Whether it is the newest record of ours.
    newest: bool,
    /// Whether rust_ramoops would store the next record here.
    next: bool,
    #[serde(skip)]
    style: Style,
}

impl Zone {
    /// Whether two neighbours can be drawn as one.
    fn is_like(&self, other: &Self) -> bool {
        self.seq.is_none()
            && other.seq.is_none()
            && !self.next
            && !other.next
            && (self.name, self.state, self.used) == (other.name, other.state, other.used)
    }
}

/// Draws the region.
pub(super) fn run(session: &Session, args: &JsonArgs) -> Result<Outcome> {
    let zones = match session.found.layout {
        Layout::Ramoops(geometry) => ramoops(session, &geometry),
        Layout::Mtdoops(page) => mtdoops(session, page),
    };
    if args.json {
        print_json(&Map {
            schema: SCHEMA,
            source: &session.source.name(),
            size: session.bytes.len(),
            layout: session.layout(),
            zones,
        })?;
    } else {
        print(session, &zones)?;
    }
    if session.found.is_certain() {
        return Ok(Outcome::Good);
    }
    session.say_empty();
    Ok(Outcome::Bad)
}

/// Returns how a kind of slot is called, and its style.
pub(super) fn kind_name(kind: &Kind) -> (&'static str, Style) {
    match kind {
        Kind::Sealed(_) => ("sealed", style::GOOD),
        Kind::Foreign(_) => ("foreign", style::GOOD),
        Kind::Newer { .. } => ("newer", style::DOUBTFUL),
        Kind::Damaged(_) => ("damaged", style::BAD),
        Kind::Salvaged { .. } => ("salvaged", style::DOUBTFUL),
        Kind::Torn(_) => ("torn", style::BAD),
        Kind::Cleared(_) => ("deleted", style::DIM),
        Kind::Empty => ("empty", style::DIM),
        Kind::Zero => ("zero", style::DIM),
        Kind::Erased => ("erased", style::DIM),
        Kind::Garbage => ("garbage", style::BAD),
    }
}

fn ramoops(session: &Session, geometry: &Geometry) -> Vec<Zone> {
    let contents = session.region().contents();
    let seq = |content: &Content| match content.kind {
        Kind::Sealed(seal)
        | Kind::Damaged(seal)
        | Kind::Torn(Some(seal))
        | Kind::Cleared(Some(seal)) => Some(seal.seq),
        Kind::Newer { seq, .. } => Some(seq),
        _ => None,
    };
    let newest = contents.iter().filter_map(seq).max();
    let next = next(&session.bytes, geometry);
    let mut map: Vec<Zone> = (0..)
        .zip(&contents)
        .map(|(index, content)| {
            let (state, style) = kind_name(&content.kind);
            let size = match content.kind {
                Kind::Damaged(seal) => Some(seal.size),
                Kind::Salvaged { extent, .. } => Some(extent.size),
                Kind::Torn(_) | Kind::Garbage => None,
                kind => Some(kind.extent().map_or(0, |extent| extent.size)),
            };
            let seq = seq(content);
            Zone {
                name: "dmesg",
                index,
                offset: index * geometry.stride(),
                size: geometry.stride(),
                used: size.map(|size| size as usize),
                state,
                seq,
                newest: seq.is_some() && seq == newest,
                next: next == Some(index),
                style,
            }
        })
        .collect();
    let others = zones::zones(&session.bytes, geometry);
    map.extend(others.into_iter().map(|zone| {
        let bytes = session.bytes.get(zone.offset..).unwrap_or(&[]);
        let bytes = &bytes[..bytes.len().min(zone.len)];
        let (state, style) = match zone.used {
            Some(0) => ("empty", style::DIM),
            Some(_) => ("in use", style::GOOD),
            None if bytes.iter().all(|byte| *byte == 0) => ("zero", style::DIM),
            None if bytes.iter().all(|byte| *byte == 0xff) => ("erased", style::DIM),
            None => ("garbage", style::BAD),
        };
        Zone {
            name: zone.kind.name(),
            index: 0,
            offset: zone.offset,
            size: zone.len,
            used: match state {
                "zero" | "erased" => Some(0),
                _ => zone.used,
            },
            state,
            seq: None,
            newest: false,
            next: false,
            style,
        }
    }));
    map
}

/// Returns the slot that the module takes next if it is loaded now.
fn next(bytes: &[u8], geometry: &Geometry) -> Option<usize> {
    let mut scratch = vec![Ranked::default(); geometry.slots()];
    let order: Vec<AtomicU32> = scratch.iter().map(|_| AtomicU32::new(0)).collect();
    let (image, options) = (Image::new(bytes), Options::default());
    let (_, census) = Store::open(image, *geometry, order, &mut scratch, options).ok()?;
    census.next
}

fn mtdoops(session: &Session, page_size: usize) -> Vec<Zone> {
    let pages = mtdoops::pages(&session.bytes, page_size);
    let newest = pages.last().map(|page| page.offset);
    (0..session.bytes.len())
        .step_by(page_size)
        .enumerate()
        .map(|(index, offset)| {
            let bytes = &session.bytes[offset..session.bytes.len().min(offset + page_size)];
            let page = pages.iter().find(|page| page.offset == offset);
            let (used, state, style) = match page {
                Some(page) => (Some(page.text_len), "mtdoops", style::GOOD),
                None if bytes.iter().all(|byte| *byte == 0xff) => (Some(0), "erased", style::DIM),
                None => (None, "garbage", style::BAD),
            };
            Zone {
                name: "page",
                index,
                offset,
                size: page_size,
                used,
                state,
                seq: page.map(|page| page.seq.into()),
                newest: page.is_some() && newest == Some(offset),
                next: false,
                style,
            }
        })
        .collect()
}

fn print(session: &Session, zones: &[Zone]) -> Result<()> {
    let layout = session.layout();
    let mut out = BufWriter::new(stdout().lock());
    write!(
        out,
        "{}: {:#x} bytes, {}, {} of {:#x} bytes",
        session.source.name(),
        session.bytes.len(),
        layout.format,
        match layout.slots {
            1 => "1 slot".to_owned(),
            slots => format!("{slots} slots"),
        },
        layout.stride
    )?;
    if layout.ecc != 0 {
        write!(out, ", ecc {}", layout.ecc)?;
    }
    match layout.certain {
        true => writeln!(out)?,
        false => writeln!(out, " (a guess: nothing in the region says so)")?,
    }

    let mut rest = zones;
    while let Some(first) = rest.first() {
        let run = rest.iter().take_while(|zone| zone.is_like(first)).count();
        let run = run.max(1);
        let (zones, after) = rest.split_at(run);
        rest = after;
        let name = match (first.name, run) {
            ("dmesg" | "page", 1) => format!("{} {}", first.name, first.index),
            (name, 1) => name.to_owned(),
            (name, run) => format!("{name} {}-{}", first.index, first.index + run - 1),
        };
        let mut notes = Vec::new();
        match first.used {
            Some(0) => (),
            Some(used) => notes.push(format!("{used} bytes")),
            None => notes.push("unknown length".to_owned()),
        }
        notes.extend(first.seq.map(|seq| format!("seq {seq}")));
        if first.newest {
            notes.push("newest".to_owned());
        }
        if first.next {
            notes.push("next".to_owned());
        }
        // Padded before it is coloured.
        let state = format!("{:<8}", first.state);
        let state = paint(session.colour, first.style, &state);
        let line = format!(
            "{:#010x}  {name:<12} [{}] {state} {}",
            first.offset,
            paint(session.colour, first.style, &bar(first)),
            notes.join(", ")
        );
        writeln!(out, "{}", line.trim_end())?;
        debug_assert_eq!(zones.len(), run);
    }
    out.flush()?;
    Ok(())
}

/// Draws how full a zone is.
fn bar(zone: &Zone) -> String {
    let Some(used) = zone.used else {
        return "?".repeat(WIDTH);
    };
    // What is in use shows, however little it is.
    let filled = (used * WIDTH).div_ceil(zone.size.max(1)).min(WIDTH);
    let mark = match zone.state {
        "damaged" | "salvaged" => "!",
        _ => "#",
    };
    format!("{}{}", mark.repeat(filled), ".".repeat(WIDTH - filled))
}
