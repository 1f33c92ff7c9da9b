// SPDX-License-Identifier: GPL-2.0

//! Colours.

use std::{
    borrow::Cow,
    env,
    io::{
        stdout,
        IsTerminal, //
    },
};

use anstyle::{
    AnsiColor,
    Style, //
};

use crate::{
    cli::Color,
    record::State, //
};

/// Whether what is printed has colours.
pub fn wants_colour(color: Color) -> bool {
    match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            stdout().is_terminal()
                && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
                && env::var_os("TERM").is_some_and(|term| term != "dumb")
        }
    }
}

/// Returns text in a style, or as it is.
pub fn paint(colour: bool, style: Style, text: &str) -> Cow<'_, str> {
    match colour {
        true => format!("{style}{text}{style:#}").into(),
        false => text.into(),
    }
}

/// Titles.
pub const BOLD: Style = Style::new().bold();
/// What matters less.
pub const DIM: Style = Style::new().dimmed();
/// Times of log lines.
pub const TIME: Style = AnsiColor::Green.on_default();
/// Who wrote a log line.
pub const SUBSYSTEM: Style = AnsiColor::Yellow.on_default();
/// What is wrong.
pub const BAD: Style = AnsiColor::Red.on_default();
/// What is doubtful.
pub const DOUBTFUL: Style = AnsiColor::Yellow.on_default();
/// What is right.
pub const GOOD: Style = AnsiColor::Green.on_default();

/// Returns the style of a record.
pub fn of_state(state: State) -> Style {
    match state {
        State::Complete | State::Foreign => GOOD,
        State::Partial | State::Newer | State::Salvaged => DOUBTFUL,
        State::Damaged | State::Torn => BAD,
        State::Deleted => DIM,
    }
}

/// Returns the style of a log line, by its severity.
pub fn of_level(level: Option<u8>) -> Style {
    match level {
        Some(0..=1) => BAD.bold().invert(),
        Some(2) => BAD.bold(),
        Some(3) => BAD,
        Some(4) => BOLD,
        _ => Style::new(),
    }
}
