// SPDX-License-Identifier: GPL-2.0

//! `ramoopsctl verify`

use std::{
    collections::BTreeMap,
    io::{
        stdout,
        BufWriter,
        Write, //
    },
};

use anyhow::Result;
use ringbuf::Kind;
use serde::Serialize;

use crate::{
    cli::JsonArgs,
    commands::map::kind_name,
    detect::Layout,
    record::{
        Record,
        Region,
        State, //
    },
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

#[derive(Serialize)]
struct Verification<'a> {
    schema: u32,
    source: &'a str,
    size: usize,
    layout: report::Layout,
    /// How many slots there are of each kind.
    slots: BTreeMap<&'static str, usize>,
    /// How many records there are in each state.
    records: BTreeMap<&'static str, usize>,
    /// Wrong bytes that parity corrected.
    corrected: usize,
    /// Blocks that it could not correct.
    bad_blocks: usize,
    findings: Vec<Finding>,
    ok: bool,
}

/// Something worth knowing.
#[derive(Serialize)]
struct Finding {
    severity: Severity,
    /// Where in the region.
    offset: Option<usize>,
    what: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Severity {
    /// Something is lost or wrong.
    Problem,
    /// Nothing is lost.
    Note,
}

/// Checks the region.
pub(super) fn run(session: &Session, args: &JsonArgs) -> Result<Outcome> {
    let region = session.region();
    let records = session.records(false);
    let mut findings = Vec::new();
    if !session.found.is_certain() {
        findings.push(Finding {
            severity: Severity::Problem,
            offset: session.found.elsewhere,
            what: "nothing in the region tells how it is divided".to_owned(),
        });
    }
    let mut slots = BTreeMap::new();
    let (mut corrected, mut bad_blocks) = (0, 0);
    for (slot, content) in region.contents().iter().enumerate() {
        let (name, _) = kind_name(&content.kind);
        *slots.entry(name).or_default() += 1;
        corrected += content.corrected;
        bad_blocks += content.bad_blocks;
        if let (Kind::Garbage, Layout::Ramoops(geometry), true) = (
            &content.kind,
            session.found.layout,
            session.found.is_certain(),
        ) {
            findings.push(Finding {
                severity: Severity::Problem,
                offset: Some(slot * geometry.stride()),
                what: format!("slot {slot} holds neither a record nor nothing"),
            });
        }
    }
    let mut states = BTreeMap::new();
    for record in &records {
        *states.entry(record.state.name()).or_default() += 1;
        findings.extend(check(&region, record));
    }
    if let (Layout::Ramoops(geometry), true) = (session.found.layout, session.found.is_certain()) {
        for zone in zones::zones(&session.bytes, &geometry) {
            let bytes = session.bytes.get(zone.offset..).unwrap_or(&[]);
            let mut bytes = bytes.iter().take(zone.len);
            let first = bytes.next().copied().unwrap_or_default();
            let is_blank = matches!(first, 0 | 0xff) && bytes.all(|byte| *byte == first);
            if zone.used.is_none() && !is_blank {
                findings.push(Finding {
                    severity: Severity::Problem,
                    offset: Some(zone.offset),
                    what: format!("the {} zone has no valid header", zone.kind.name()),
                });
            }
        }
    }
    let ok = !findings
        .iter()
        .any(|finding| finding.severity == Severity::Problem);
    let verification = Verification {
        schema: SCHEMA,
        source: &session.source.name(),
        size: session.bytes.len(),
        layout: session.layout(),
        slots,
        records: states,
        corrected,
        bad_blocks,
        findings,
        ok,
    };
    match args.json {
        true => print_json(&verification)?,
        false => print(&verification, session.colour)?,
    }
    Ok(match ok {
        true => Outcome::Good,
        false => Outcome::Bad,
    })
}

/// Returns what is to be said about a record.
fn check(region: &Region<'_>, record: &Record) -> Vec<Finding> {
    let offset = record.parts.first().map(|part| part.offset);
    let severity = match record.state {
        State::Newer => Severity::Note,
        _ => Severity::Problem,
    };
    let problems = region.text(record).problems;
    let mut findings: Vec<Finding> = problems
        .into_iter()
        .map(|problem| Finding {
            severity,
            offset,
            what: format!("record {}: {problem}", record.id()),
        })
        .collect();
    let corrected: usize = record.parts.iter().map(|part| part.corrected).sum();
    if corrected > 0 {
        findings.push(Finding {
            severity: Severity::Note,
            offset,
            what: format!(
                "record {}: {corrected} wrong bytes were corrected",
                record.id()
            ),
        });
    }
    findings
}

fn print(verification: &Verification<'_>, colour: bool) -> Result<()> {
    let mut out = BufWriter::new(stdout().lock());
    let list = |counts: &BTreeMap<&str, usize>| {
        let counts: Vec<String> = counts
            .iter()
            .map(|(name, count)| format!("{count} {name}"))
            .collect();
        match counts.is_empty() {
            true => "none".to_owned(),
            false => counts.join(", "),
        }
    };
    let layout = &verification.layout;
    writeln!(
        out,
        "{}: {:#x} bytes, {}, {} slots of {:#x} bytes",
        verification.source, verification.size, layout.format, layout.slots, layout.stride
    )?;
    if layout.format == "ramoops" {
        writeln!(out, "slots:   {}", list(&verification.slots))?;
    }
    writeln!(out, "records: {}", list(&verification.records))?;
    if layout.ecc != 0 {
        writeln!(
            out,
            "parity:  {} bytes corrected, {} blocks beyond repair",
            verification.corrected, verification.bad_blocks
        )?;
    }
    for finding in &verification.findings {
        let (style, name) = match finding.severity {
            Severity::Problem => (style::BAD, "problem"),
            Severity::Note => (style::DOUBTFUL, "note"),
        };
        let at = finding
            .offset
            .map_or_else(String::new, |offset| format!("{offset:#010x}: "));
        writeln!(out, "{}: {at}{}", paint(colour, style, name), finding.what)?;
    }
    match verification.ok {
        true => writeln!(out, "{}", paint(colour, style::GOOD, "all is well"))?,
        false => writeln!(out, "{}", paint(colour, style::BAD, "there are problems"))?,
    }
    out.flush()?;
    Ok(())
}
