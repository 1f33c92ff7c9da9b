// SPDX-License-Identifier: GPL-2.0

//! A region that was opened for a command.

use std::{
    borrow::Cow,
    io::{
        self,
        stdin,
        stdout,
        BufRead,
        BufWriter,
        IsTerminal,
        Write, //
    },
};

use anyhow::{
    bail,
    ensure,
    Context,
    Result, //
};
use ringbuf::GeometryError;
use serde::Serialize;

use crate::{
    cli::{
        Color,
        RegionArgs, //
    },
    detect::{
        detect,
        Found, //
    },
    elsewhere, json,
    record::{
        Record,
        Region, //
    },
    report,
    source::Source,
    style,
};

/// How a command ended; an error is the third way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All is well.
    Good,
    /// Nothing was found, or there are problems.
    Bad,
}

/// A region that was read.
#[derive(Debug)]
pub struct Session {
    /// Where it was read from.
    pub source: Source,
    /// What is in it.
    pub bytes: Vec<u8>,
    /// How it is divided.
    pub found: Found,
    /// Whether what is printed has colours.
    pub colour: bool,
}

impl Session {
    /// Reads a region and finds out how it is divided.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or if what the user says about the layout cannot be.
    pub fn open(args: &RegionArgs, color: Color) -> Result<Self> {
        let mut source = Source::new(args.file.clone(), args.offset, args.length)?;
        let bytes = source.read()?;
        let found = detect(&bytes, &args.hints()).map_err(|error| explain(error, bytes.len()))?;
        for line in elsewhere::lines(&found, &source, bytes.len()) {
            eprintln!("ramoopsctl: {line}");
        }
        let region = match found.region(&bytes) {
            Cow::Borrowed(region) if region.len() == bytes.len() => None,
            region => Some(region.into_owned()),
        };
        let bytes = region.unwrap_or(bytes);
        source.narrow(&found.place);
        Ok(Self {
            source,
            bytes,
            found,
            colour: style::wants_colour(color),
        })
    }

    /// Returns the region.
    pub fn region(&self) -> Region<'_> {
        Region {
            bytes: &self.bytes,
            layout: self.found.layout,
        }
    }

    /// Returns the records in it, see [`Region::records`]; none if it is not known where they are.
    pub fn records(&self, deleted: bool) -> Vec<Record> {
        match self.found.is_lost() {
            true => Vec::new(),
            false => self.region().records(deleted),
        }
    }

    /// Returns the layout as it is printed.
    pub fn layout(&self) -> report::Layout {
        report::Layout::new(&self.found, self.bytes.len())
    }

    /// Explains on stderr why there is no record.
    pub fn say_empty(&self) {
        let name = self.source.name();
        let filled = |value| {
            let line = [value; 4096];
            let mut lines = self.bytes.chunks(line.len());
            lines.all(|bytes| *bytes == line[..bytes.len()])
        };
        let reason = if filled(0) {
            "it is all zeros: never used, or it lost its contents".to_owned()
        } else if filled(0xff) {
            "it is erased (all 0xff)".to_owned()
        } else if self.found.is_certain() {
            "its zones are empty".to_owned()
        } else {
            match self.found.elsewhere {
                Some(offset) => {
                    let offset = self.source.offset + offset as u64;
                    format!(
                        "but something like one lies at {offset:#x}. If the region begins there: \
                         --offset {offset:#x}, with its --length"
                    )
                }
                None => {
                    "it holds something else. If it is a part of a larger file, say where with \
                     --offset and --length"
                        .to_owned()
                }
            }
        };
        eprintln!("ramoopsctl: no records in {name}: {reason}.");
    }
}

fn explain(error: GeometryError, size: usize) -> anyhow::Error {
    let text = match error {
        GeometryError::RecordSizeZero => "--record-size must not be 0".to_owned(),
        GeometryError::RecordSizeTooSmall { min } => {
            format!("--record-size is too small; the least is {min}")
        }
        GeometryError::NoRoom { needed } => format!(
            "a region of {size} bytes has no room for a record and the other zones; it takes {needed}. \
             Check --record-size, --console-size, --ftrace-size and --pmsg-size"
        ),
        GeometryError::ZoneTooSmall { parameter, min } => format!(
            "--{} is too small; the least is {min}, or 0 for none",
            parameter.replace('_', "-")
        ),
        GeometryError::ZoneTooLarge { parameter, max } => format!(
            "--{} is too large; the most is {max}",
            parameter.replace('_', "-")
        ),
        GeometryError::EccTooLarge { max } => format!("--ecc is too large; the most is {max}"),
        GeometryError::EccDoesNotFit { min } => {
            format!("--record-size is too small for so much parity; the least is {min}")
        }
    };
    anyhow::anyhow!("{text}.")
}

/// Prints a document.
///
/// # Errors
///
/// If stdout cannot be written.
pub fn print_json(value: &impl Serialize) -> Result<()> {
    json::write(BufWriter::new(stdout().lock()), value)?;
    Ok(())
}

/// Asks for a yes, unless it was given on the command line.
///
/// # Errors
///
/// If the answer is another one, or if there is nobody to ask.
pub fn confirm(question: &str, yes: bool) -> Result<()> {
    if yes {
        return Ok(());
    }
    ensure!(
        stdin().is_terminal(),
        "there is no terminal to ask on; --yes says yes beforehand."
    );
    eprint!("{question} Type yes to go on: ");
    io::stderr().flush()?;
    let mut answer = String::new();
    stdin().lock().read_line(&mut answer).context("no answer")?;
    if answer.trim() != "yes" {
        bail!("nothing was changed.");
    }
    Ok(())
}
