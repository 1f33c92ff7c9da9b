// SPDX-License-Identifier: GPL-2.0

//! `ramoopsctl list`

use std::{
    borrow::Cow,
    io::{
        stdout,
        BufWriter,
        IsTerminal,
        Write, //
    },
};

use anyhow::Result;
use comfy_table::{
    presets,
    Cell,
    CellAlignment,
    Table, //
};

use crate::{
    cli::ListArgs,
    record::{
        latest,
        Record,
        Region,
        State, //
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
        lines, //
    },
    time, //
};

/// Prints a table of the records.
pub(super) fn run(session: &Session, args: &ListArgs) -> Result<Outcome> {
    let region = session.region();
    let records = session.records(args.deleted);
    if args.json {
        print_json(&Report {
            schema: SCHEMA,
            source: &session.source.name(),
            size: session.bytes.len(),
            layout: session.layout(),
            records: Records {
                region,
                records: records.iter().collect(),
                with_text: false,
            },
            left_out: latest(&records).1.into_iter().map(Record::id).collect(),
        })?;
    } else if records.is_empty() {
        session.say_empty();
    } else {
        print(session, &region, &records)?;
    }
    Ok(match records.is_empty() {
        true => Outcome::Bad,
        false => Outcome::Good,
    })
}

const HEADINGS: [&str; 9] = [
    "#", "WHEN", "REASON", "STATE", "BOOT", "KERNEL", "LINES", "BYTES", "CAUSE",
];
const NUMBERS: [usize; 4] = [0, 4, 6, 7];

fn print(session: &Session, region: &Region<'_>, records: &[Record]) -> Result<()> {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(HEADINGS.iter().map(Cell::new));
    for record in records {
        table.add_row(row(region, record));
    }
    for number in NUMBERS {
        if let Some(column) = table.column_mut(number) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }

    // One line per record: what does not fit on a terminal is cut, and that is the cause.
    let width = match stdout().is_terminal() {
        true => terminal_size::terminal_size().map_or(usize::MAX, |(width, _)| width.0.into()),
        false => usize::MAX,
    };
    let mut out = BufWriter::new(stdout().lock());
    let states = records.iter().map(|record| Some(record.state));
    for (line, state) in table.lines().zip(std::iter::once(None).chain(states)) {
        let line: String = line.trim_end().chars().take(width).collect();
        writeln!(out, "{}", coloured(session.colour, &line, state))?;
    }
    out.flush()?;
    Ok(())
}

/// Colours the heading, or the name of the state.
fn coloured(colour: bool, line: &str, state: Option<State>) -> Cow<'_, str> {
    match state {
        None => paint(colour, style::BOLD, line),
        Some(State::Deleted) => paint(colour, style::DIM, line),
        Some(state) => {
            let name = format!("  {}  ", state.name());
            let painted = format!(
                "  {}  ",
                paint(colour, style::of_state(state), state.name())
            );
            line.replacen(&name, &painted, 1).into()
        }
    }
}

fn row(region: &Region<'_>, record: &Record) -> [String; 9] {
    let text = region.text(record);
    let dash = || "-".to_owned();
    let safe = |text: &str| escape(text.as_bytes());
    [
        record.id(),
        record
            .realtime_ns
            .and_then(time::local)
            .unwrap_or_else(dash),
        match (&record.reason, record.count) {
            (Some(reason), Some(count)) => format!("{}#{count}", safe(reason)),
            (Some(reason), None) => safe(reason),
            (None, _) => record.origin.name().to_owned(),
        },
        record.state.name().to_owned(),
        record.boot.map_or_else(dash, |boot| boot.to_string()),
        record.kernel.as_deref().map_or_else(dash, safe),
        lines(&text.bytes).count().to_string(),
        text.bytes.len().to_string(),
        text.cause.as_deref().map_or_else(dash, safe),
    ]
}
