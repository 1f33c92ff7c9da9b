// SPDX-License-Identifier: GPL-2.0

//! `ramoopsctl retention`

use std::{
    io::{
        stdout,
        Write, //
    },
    ops::Range,
    time::{
        SystemTime,
        UNIX_EPOCH, //
    },
};

use anyhow::{
    ensure,
    Result, //
};
use serde::Serialize;

use crate::{
    cli::{
        JsonArgs,
        RegionArgs,
        Retention, //
    },
    pattern,
    report::SCHEMA,
    session::{
        confirm,
        print_json,
        Outcome, //
    },
    source::Source,
    time, //
};

#[derive(Serialize)]
struct Check<'a> {
    schema: u32,
    source: &'a str,
    size: usize,
    /// Whether there is a pattern, or what is left of one.
    found: bool,
    /// When it was written.
    written: Option<String>,
    intact: usize,
    wrong_bits: u64,
    lost: Vec<Lost>,
    /// Wrong bytes after the last of `lost`, if there are too many ranges.
    more: usize,
}

#[derive(Serialize)]
struct Lost {
    offset: usize,
    size: usize,
    /// What is there now: `zero`, `ones` (0xff) or `other`.
    now: &'static str,
}

/// Writes or checks the pattern.
pub(super) fn run(args: &RegionArgs, command: &Retention) -> Result<Outcome> {
    let source = Source::new(args.file.clone(), args.offset, args.length)?;
    match command {
        Retention::Write { yes, force } => write(&source, *yes, *force),
        Retention::Check(args) => check(&source, args),
    }
}

fn write(source: &Source, yes: bool, force: bool) -> Result<Outcome> {
    let mut target = source.open_target()?;
    let bytes = source.read()?;
    let name = source.name();
    ensure!(
        !pattern::is_too_short(bytes.len()),
        "{name} is too short for a pattern."
    );
    let is_blank = [0, 0xff].map(|value| bytes.iter().all(|byte| *byte == value));
    ensure!(
        force || is_blank.contains(&true) || pattern::find_key(&bytes).is_some(),
        "there is something in {name}. Save it (`ramoopsctl export`, dd), then add --force."
    );
    confirm(
        &format!("Overwrite all {:#x} bytes of {name}?", bytes.len()),
        yes,
    )?;
    // The time tells patterns apart, and tells the reader which one it is.
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as u64;
    target.write(0, &pattern::make(now, bytes.len()))?;
    target.sync()?;
    writeln!(
        stdout().lock(),
        "{:#x} bytes of {name} hold a pattern now. Reset the machine, then: ramoopsctl retention check",
        bytes.len()
    )?;
    Ok(Outcome::Good)
}

fn check(source: &Source, args: &JsonArgs) -> Result<Outcome> {
    let bytes = source.read()?;
    let key = pattern::find_key(&bytes);
    let outcome = key
        .map(|key| pattern::compare(&bytes, key))
        .unwrap_or_default();
    let name = source.name();
    let check = Check {
        schema: SCHEMA,
        source: &name,
        size: bytes.len(),
        found: key.is_some(),
        written: key.and_then(|key| time::rfc3339(key.into())),
        intact: outcome.intact,
        wrong_bits: outcome.wrong_bits,
        lost: outcome
            .lost
            .iter()
            .map(|range| Lost {
                offset: range.start,
                size: range.len(),
                now: now(&bytes, range),
            })
            .collect(),
        more: outcome.more,
    };
    match args.json {
        true => print_json(&check)?,
        false => print(&check)?,
    }
    Ok(match check.found && check.intact == check.size {
        true => Outcome::Good,
        false => Outcome::Bad,
    })
}

fn now(bytes: &[u8], range: &Range<usize>) -> &'static str {
    let is = |value| bytes[range.clone()].iter().all(|byte| *byte == value);
    match (is(0), is(0xff)) {
        (true, _) => "zero",
        (_, true) => "ones",
        _ => "other",
    }
}

fn print(check: &Check<'_>) -> Result<()> {
    let mut out = stdout().lock();
    if !check.found {
        writeln!(
            out,
            "{}: no pattern. Nothing survived, or none was written (ramoopsctl retention write).",
            check.source
        )?;
        return Ok(());
    }
    // Rounded down: 100 % means all.
    let hundredths = check.intact as u128 * 10_000 / check.size as u128;
    writeln!(
        out,
        "{}: {}.{:02} % intact ({} of {} bytes), {} bits wrong; written {}",
        check.source,
        hundredths / 100,
        hundredths % 100,
        check.intact,
        check.size,
        check.wrong_bits,
        check.written.as_deref().unwrap_or("at an unknown time")
    )?;
    for lost in &check.lost {
        let now = match lost.now {
            "zero" => "zeros now",
            "ones" => "0xff now",
            _ => "changed",
        };
        writeln!(
            out,
            "lost: {:#010x}-{:#010x}, {} bytes, {now}",
            lost.offset,
            lost.offset + lost.size,
            lost.size
        )?;
    }
    if check.more > 0 {
        writeln!(out, "lost: {} bytes more, further on", check.more)?;
    }
    Ok(())
}
