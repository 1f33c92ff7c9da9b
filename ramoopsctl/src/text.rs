// SPDX-License-Identifier: GPL-2.0

//! Lines of the kernel log, and how they get to a terminal.

use std::fmt::Write;

/// A line of the kernel log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Severity, from 0 (emergency) to 7 (debug), if the line begins with a priority.
    pub level: Option<u8>,
    /// Facility as in syslog; 0 is the kernel.
    pub facility: Option<u8>,
    /// What stands in brackets: seconds since boot, without blanks.
    pub time: Option<&'a str>,
    /// Who wrote the line, if the kernel was built to tell: `T1`, `C0`.
    pub caller: Option<&'a str>,
    /// The rest.
    pub message: &'a [u8],
}

impl<'a> Line<'a> {
    /// Takes a line apart. What does not look as expected is message.
    pub fn parse(line: &'a [u8]) -> Self {
        let (priority, rest) = match bracketed(line, b'<', b'>', 3) {
            Some((inside, rest)) => match inside.parse::<u16>() {
                Ok(priority) => (Some(priority), rest),
                Err(_) => (None, line),
            },
            None => (None, line),
        };
        let (time, rest) = match bracketed(rest, b'[', b']', 20) {
            Some((inside, after)) if is_time(inside.trim_start()) => {
                (Some(inside.trim_start()), after)
            }
            _ => (None, rest),
        };
        let (caller, rest) = match (time, bracketed(rest, b'[', b']', 12)) {
            (Some(_), Some((inside, after))) if is_caller(inside.trim_start()) => {
                (Some(inside.trim_start()), after)
            }
            _ => (None, rest),
        };
        Self {
            level: priority.map(|priority| (priority & 7) as u8),
            facility: priority.and_then(|priority| u8::try_from(priority >> 3).ok()),
            time,
            caller,
            message: match time {
                Some(_) => rest.strip_prefix(b" ").unwrap_or(rest),
                None => rest,
            },
        }
    }
}

/// Splits what stands in brackets off the start of a line.
fn bracketed(line: &[u8], open: u8, close: u8, max: usize) -> Option<(&str, &[u8])> {
    let rest = line.strip_prefix(&[open])?;
    let end = rest.iter().take(max + 1).position(|byte| *byte == close)?;
    let inside = std::str::from_utf8(&rest[..end]).ok()?;
    Some((inside, &rest[end + 1..]))
}

fn is_time(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.split_once('.')
        .is_some_and(|(secs, micros)| digits(secs) && digits(micros))
}

fn is_caller(text: &str) -> bool {
    text.strip_prefix(['T', 'C'])
        .is_some_and(|id| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Returns the lines of a text.
pub fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let mut begin = 0;
    memchr::memchr_iter(b'\n', text)
        .chain([text.len()])
        .map(move |end| &text[std::mem::replace(&mut begin, end + 1)..end])
        .take(if text.is_empty() { 0 } else { usize::MAX })
}

/// Whether a character may go to a terminal as it is: it moves nothing but the cursor to the right.
pub fn is_harmless(c: char) -> bool {
    match c {
        // Nearly all.
        ' '..='~' | '\t' => true,
        c if c.is_control() => false,
        // What turns the direction of writing around, is invisible, or ends a line.
        '\u{00ad}'
        | '\u{061c}'
        | '\u{180e}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e0fff}' => false,
        _ => true,
    }
}

/// Appends bytes of the region such that they are safe on a terminal: what could control it becomes
/// `\xNN`, as `dmesg` does it.
pub fn escape_into(out: &mut String, bytes: &[u8]) {
    let hex = |out: &mut String, bytes: &[u8]| {
        for byte in bytes {
            // Writing to a string cannot fail.
            let _ = write!(out, "\\x{byte:02x}");
        }
    };
    for chunk in bytes.utf8_chunks() {
        let mut rest = chunk.valid();
        while let Some(at) = rest.find(|c| !is_harmless(c)) {
            let (harmless, found) = rest.split_at(at);
            let mut chars = found.chars();
            out.push_str(harmless);
            hex(
                out,
                &found.as_bytes()[..chars.next().map_or(0, char::len_utf8)],
            );
            rest = chars.as_str();
        }
        out.push_str(rest);
        hex(out, chunk.invalid());
    }
}

/// Returns bytes of the region such that they are safe on a terminal.
pub fn escape(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    escape_into(&mut out, bytes);
    out
}

/// What the kernel says when it is in trouble. The first of these that occurs counts.
const CAUSES: [&[&str]; 3] = [
    &["Kernel panic - not syncing: "],
    &[
        "BUG: ",
        "kernel BUG at ",
        "Unable to handle kernel ",
        "general protection fault",
        "Internal error: ",
        "divide error",
        "watchdog: ",
    ],
    // A BUG is an invalid opcode, but says more before.
    &["invalid opcode", "Oops: ", "WARNING: ", "sysrq: "],
];

/// Finds the line of a log that says what went wrong; the last line if there is none.
pub fn cause(text: &[u8]) -> Option<String> {
    let message = |line| String::from_utf8_lossy(Line::parse(line).message).into_owned();
    for names in CAUSES {
        let found = names
            .iter()
            .filter_map(|name| memchr::memmem::rfind(text, name.as_bytes()))
            .max();
        if let Some(at) = found {
            let begin = memchr::memrchr(b'\n', &text[..at]).map_or(0, |end| end + 1);
            let len = memchr::memchr(b'\n', &text[at..]).unwrap_or(text.len() - at);
            let message = message(&text[begin..at + len]);
            let panic = "Kernel panic - not syncing: ";
            return Some(message.strip_prefix(panic).unwrap_or(&message).to_owned());
        }
    }
    lines(text)
        .map(message)
        .filter(|line| !line.trim().is_empty())
        .last()
}
