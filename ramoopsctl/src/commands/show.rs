// SPDX-License-Identifier: GPL-2.0

//! `ramoopsctl show`

use std::{
    env,
    io::{
        stdout,
        BufWriter,
        IsTerminal,
        Write, //
    },
    process::{
        Command,
        Stdio, //
    }, //
};

use anyhow::{
    bail,
    ensure,
    Result, //
};

use crate::{
    cli::ShowArgs,
    record::{
        latest,
        outdone,
        Record,
        Region, //
    },
    report::{
        Records,
        Report,
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
    text::{
        escape,
        lines,
        Line, //
    },
    time, //
};

/// The name of the newest record.
const LATEST: &str = "latest";

/// Prints the text of records.
pub(super) fn run(session: &Session, args: &ShowArgs) -> Result<Outcome> {
    let region = session.region();
    let records = session.records(args.deleted);
    let chosen = choose(&records, &args.record)?;
    let (_, left_out) = latest(&records);
    if args.json {
        print_json(&Report {
            schema: SCHEMA,
            source: &session.source.name(),
            size: session.bytes.len(),
            layout: session.layout(),
            records: Records {
                region,
                records: chosen.clone(),
                with_text: true,
            },
            left_out: left_out.iter().map(|record| record.id()).collect(),
        })?;
    }
    if args.record == LATEST {
        let mut known = "the newest by its clock is foreign; the newest of rust_ramoops";
        for record in outdone(&records) {
            name(known, record);
            known = "newer than that, but not whole";
        }
        for record in &left_out {
            name("newer, but not whole", record);
        }
    }
    if chosen.is_empty() {
        match records.iter().any(|record| record.number.is_some()) {
            true => eprintln!("ramoopsctl: no whole record; all that is there: ramoopsctl list"),
            false => session.say_empty(),
        }
        return Ok(Outcome::Bad);
    }
    if args.json {
        return Ok(Outcome::Good);
    }

    let to_terminal = stdout().is_terminal();
    if args.raw {
        ensure!(
            !to_terminal,
            "--raw may hold anything, which a terminal could take for commands. Redirect it to a file or a pipe."
        );
        let mut out = stdout().lock();
        for record in &chosen {
            out.write_all(&region.raw(record))?;
        }
        out.flush()?;
        return Ok(Outcome::Good);
    }
    let write = |out: &mut dyn Write| -> Result<()> {
        let mut out = BufWriter::new(out);
        for (index, record) in chosen.iter().enumerate() {
            if index > 0 {
                writeln!(out)?;
            }
            print(&mut out, session, &region, record)?;
        }
        out.flush()?;
        Ok(())
    };
    if to_terminal && !args.no_pager {
        page(write)?;
    } else {
        write(&mut stdout().lock())?;
    }
    Ok(Outcome::Good)
}

/// Names a record that is not shown.
fn name(known: &str, record: &Record) {
    eprintln!(
        "ramoopsctl: {known}: {}. To see it: ramoopsctl show {}",
        heading(record),
        record.id()
    );
}

/// Returns the records that `name` stands for.
pub(super) fn choose<'a>(records: &'a [Record], name: &str) -> Result<Vec<&'a Record>> {
    let by_name: Vec<&Record> = match name {
        "all" => return Ok(records.iter().collect()),
        LATEST => return Ok(latest(records).0.into_iter().collect()),
        name => records
            .iter()
            .filter(|record| record.id() == name)
            .collect(),
    };
    if by_name.is_empty() {
        let names: Vec<String> = records.iter().map(Record::id).take(20).collect();
        match names.is_empty() {
            true => return Ok(Vec::new()),
            false => bail!(
                "there is no record {name:?}; there are {}. `latest` is the newest, `all` are all.",
                names.join(", ")
            ),
        }
    }
    Ok(by_name)
}

fn print(
    out: &mut impl Write,
    session: &Session,
    region: &Region<'_>,
    record: &Record,
) -> Result<()> {
    let colour = session.colour;
    let text = region.text(record);
    let heading = heading(record);
    writeln!(
        out,
        "{}",
        paint(colour, style::BOLD, &format!("==> {heading} <=="))
    )?;
    for problem in &text.problems {
        let problem = format!("==> {problem}");
        writeln!(
            out,
            "{}",
            paint(colour, style::of_state(record.state), &problem)
        )?;
    }
    if let Some(seal) = about_unwhole(record) {
        writeln!(out, "==> {seal}")?;
    }
    let mut last_level = None;
    for line in lines(&text.bytes) {
        let line = Line::parse(line);
        // A line without priority continues the one before it.
        last_level = line.level.or(last_level.filter(|_| line.time.is_none()));
        print_line(out, colour, &line, last_level)?;
    }
    Ok(())
}

/// Returns what the seal of a record tells besides its text, if that need not be this record's.
fn about_unwhole(record: &Record) -> Option<String> {
    let ns = record.boottime_ns.filter(|_| !record.state.is_whole())?;
    let parts: Vec<String> = record
        .parts
        .iter()
        .map(|part| part.number.to_string())
        .collect();
    let total = record
        .parts_total
        .map_or_else(String::new, |total| format!(" of {total}"));
    let mut words = vec![format!(
        "its seal says: {}.{:06} s after boot, part {}{total}",
        ns / 1_000_000_000,
        ns / 1000 % 1_000_000,
        parts.join(", "),
    )];
    words.extend(record.boot.map(|boot| format!("boot {boot}")));
    let description = record.description.as_deref();
    words.extend(description.map(|text| escape(text.as_bytes())));
    Some(words.join(", "))
}

/// Returns what a record is, in a line.
pub(super) fn heading(record: &Record) -> String {
    let safe = |text: &str| escape(text.as_bytes());
    let mut words = vec![match record.number {
        Some(number) => format!("record {number}"),
        None => record.origin.name().to_owned(),
    }];
    if let Some(reason) = &record.reason {
        words.push(match record.count {
            Some(count) => format!("{}#{count}", safe(reason)),
            None => safe(reason),
        });
    }
    words.extend(record.realtime_ns.and_then(time::local));
    words.extend(
        record
            .kernel
            .as_deref()
            .map(|kernel| format!("kernel {}", safe(kernel))),
    );
    words.push(record.state.name().to_owned());
    words.join(", ")
}

fn print_line(
    out: &mut impl Write,
    colour: bool,
    line: &Line<'_>,
    level: Option<u8>,
) -> Result<()> {
    let message = escape(line.message);
    let Some(time) = line.time else {
        writeln!(out, "{}", paint(colour, style::of_level(level), &message))?;
        return Ok(());
    };
    write!(
        out,
        "{}",
        paint(colour, style::TIME, &format!("[{time:>12}]"))
    )?;
    if let Some(caller) = line.caller {
        write!(out, "[{caller:>6}]")?;
    }
    // As dmesg does, unless the severity has a colour.
    match message.split_once(": ") {
        Some((subsystem, rest)) if colour && level.is_none_or(|level| level > 4) => {
            let subsystem = format!("{subsystem}:");
            let subsystem = paint(colour, style::SUBSYSTEM, &subsystem);
            writeln!(out, " {subsystem} {rest}")?;
        }
        _ => writeln!(out, " {}", paint(colour, style::of_level(level), &message))?,
    }
    Ok(())
}

/// Calls `write` with a pipe to the pager, or with stdout if there is none.
fn page(write: impl Fn(&mut dyn Write) -> Result<()>) -> Result<()> {
    let pager = env::var("PAGER").unwrap_or_default();
    let pager = match pager.trim() {
        "" => "less -R",
        pager => pager,
    };
    // $PAGER is a command with arguments.
    let child = Command::new("sh")
        .args(["-c", pager])
        .env(
            "LESS",
            env::var("LESS").unwrap_or_else(|_| "FRX".to_owned()),
        )
        .stdin(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        return write(&mut stdout().lock());
    };
    let written = match child.stdin.take() {
        Some(mut stdin) => write(&mut stdin),
        None => Ok(()),
    };
    let status = child.wait()?;
    // 127: the shell knows no such command.
    if status.code() == Some(127) {
        return write(&mut stdout().lock());
    }
    written
}
