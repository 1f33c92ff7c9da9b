// SPDX-License-Identifier: GPL-2.0

//! The lines in front of the text of a record, and what counts as text.

use super::layout::{
    PREFIX_MAX,
    REASON_NAME_MAX, //
};

/// Bytes that are enough to parse the longest stamp, see [`Stamp::parse`].
pub const STAMP_MAX: usize = 64;

/// What all parts of a dump have in common.
#[derive(Clone, Copy, Debug)]
pub struct DumpInfo<'a> {
    /// `enum kmsg_dump_reason`.
    pub reason: u32,
    /// Its name, as in the first line of mainline's records: "Panic", "Oops", ...
    pub reason_name: &'a [u8],
    /// The number behind the name.
    pub count: u32,
    /// Wall-clock time.
    pub realtime_ns: u64,
    /// Time since boot.
    pub boottime_ns: u64,
    /// Random number of this boot.
    pub boot_id: [u8; 16],
    /// Panic description.
    pub description: &'a [u8],
    /// Kernel release.
    pub release: &'a [u8],
    /// A panic: other CPUs are stopped, and the last resort is a slot that one of them was
    /// writing.
    pub urgent: bool,
}

/// How the text of a record is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Stamp, title and text.
    Plain,
    /// The stamp, then title and text as one raw deflate stream.
    Deflate,
}

/// The lines in front of the text of a record: mainline's stamp, and the title, a line that pstore
/// puts in front of the text of a dump.
#[derive(Clone, Copy, Debug)]
pub struct Prefix {
    bytes: [u8; PREFIX_MAX],
    len: usize,
}

impl Prefix {
    const EMPTY: Self = Self {
        bytes: [0; PREFIX_MAX],
        len: 0,
    };

    /// Makes what one part of a dump begins with: stamp and title, or the stamp if the rest is
    /// compressed.
    pub fn new(info: &DumpInfo<'_>, part: u32, encoding: Encoding) -> Self {
        let mut prefix = Self::EMPTY;
        let micros = info.realtime_ns / 1000;
        prefix.push(b"====");
        prefix.push_decimal(micros / 1_000_000, 1);
        prefix.push(b".");
        prefix.push_decimal(micros % 1_000_000, 6);
        match encoding {
            Encoding::Plain => {
                prefix.push(b"-D\n");
                prefix.push_title(info, part);
            }
            Encoding::Deflate => prefix.push(b"-C\n"),
        }
        prefix
    }

    /// Makes the title of one part of a dump.
    pub fn title(info: &DumpInfo<'_>, part: u32) -> Self {
        let mut prefix = Self::EMPTY;
        prefix.push_title(info, part);
        prefix
    }

    /// Returns the lines.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }

    #[inline]
    fn push_title(&mut self, info: &DumpInfo<'_>, part: u32) {
        let name = info.reason_name;
        self.push(name.get(..REASON_NAME_MAX).unwrap_or(name));
        self.push(b"#");
        self.push_decimal(info.count.into(), 1);
        self.push(b" Part");
        self.push_decimal(part.into(), 1);
        self.push(b"\n");
    }

    /// Appends `bytes`. They fit, see [`PREFIX_MAX`]; if not, they would be cut.
    #[inline]
    fn push(&mut self, bytes: &[u8]) {
        let free = self.bytes.get_mut(self.len..).unwrap_or_default();
        for (to, from) in free.iter_mut().zip(bytes) {
            *to = *from;
        }
        self.len = self.len.saturating_add(bytes.len()).min(PREFIX_MAX);
    }

    /// Appends a number with at least `width` digits. They fit as well.
    #[inline]
    fn push_decimal(&mut self, mut value: u64, width: usize) {
        let digits = value.checked_ilog10().map_or(1, |log| log.wrapping_add(1));
        let end = self.len.saturating_add(width.max(digits as usize));
        for digit in self
            .bytes
            .get_mut(self.len..end)
            .unwrap_or_default()
            .iter_mut()
            .rev()
        {
            let [low, ..] = (value % 10).to_le_bytes();
            *digit = low.wrapping_add(b'0');
            value /= 10;
        }
        self.len = end.min(PREFIX_MAX);
    }
}

/// The stamp that mainline writes in front of a dmesg record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Seconds since 1970.
    pub secs: i64,
    /// Nanoseconds within the second.
    pub nanos: u32,
    /// Whether the text is compressed.
    pub compressed: bool,
    /// Length of the stamp.
    pub len: usize,
}

impl Stamp {
    /// Returns the time in microseconds since 1970.
    pub fn micros(&self) -> i64 {
        let micros = self.secs.saturating_mul(1_000_000);
        micros.saturating_add(i64::from(self.nanos / 1000))
    }

    /// Parses `====%lld.%lu-%c\n`, or `====%lld.%lu\n` as older kernels wrote it, at the start of
    /// `text`.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let rest = text.strip_prefix(b"====")?;
        let (negative, rest) = match rest.strip_prefix(b"-") {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let (secs, rest) = parse_decimal(rest)?;
        let secs = i64::try_from(secs).ok()?;
        let secs = if negative { secs.wrapping_neg() } else { secs };
        let (micros, rest) = parse_decimal(rest.strip_prefix(b".")?)?;
        let micros = u32::try_from(micros).ok().filter(|n| *n < 1_000_000)?;
        let (compressed, rest) = match rest {
            [b'-', kind, rest @ ..] => (*kind == b'C', rest),
            _ => (false, rest),
        };
        let rest = rest.strip_prefix(b"\n")?;
        Some(Self {
            secs,
            nanos: micros.checked_mul(1000)?,
            compressed,
            len: text.len().checked_sub(rest.len())?,
        })
    }
}

/// Splits a decimal number off. `None` if there is none, or it overflows.
fn parse_decimal(text: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    let mut rest = text;
    while let [digit @ b'0'..=b'9', tail @ ..] = rest {
        let digit = digit.wrapping_sub(b'0');
        value = value.checked_mul(10)?.checked_add(digit.into())?;
        rest = tail;
    }
    (rest.len() != text.len()).then_some((value, rest))
}

/// The line that pstore writes between the stamp and the text of a dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Title<'a> {
    /// The name of the reason: "Panic", "Oops", ...
    pub reason: &'a [u8],
    /// Which dump of its boot this is, from 1 on.
    pub count: u64,
    /// Number of the part; part 1 holds the newest text.
    pub part: u64,
    /// Length of the line.
    pub len: usize,
}

impl<'a> Title<'a> {
    /// Parses `<Reason>#<n> Part<k>\n` at the start of `text`.
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let mut rest = text;
        let mut named = false;
        while let [byte @ (b' '..=b'"' | b'$'..=b'~'), tail @ ..] = rest {
            named |= *byte != b' ';
            rest = tail;
        }
        let reason = text.get(..text.len().checked_sub(rest.len())?)?;
        let (count, rest) = parse_decimal(rest.strip_prefix(b"#")?)?;
        let (part, rest) = parse_decimal(rest.strip_prefix(b" Part")?)?;
        let rest = rest.strip_prefix(b"\n")?;
        let len = text.len().checked_sub(rest.len())?;
        named.then_some(Self {
            reason,
            count,
            part,
            len,
        })
    }
}

/// Returns the length of the stamp and the line `<Reason>#<n> Part<k>` at the start of `text`, with
/// what the stamp says. `None` if they are not there, or if the text after them is compressed.
pub(super) fn parse_prefix(text: &[u8]) -> Option<(usize, Stamp)> {
    let stamp = Stamp::parse(text).filter(|stamp| !stamp.compressed)?;
    let title = Title::parse(text.get(stamp.len..)?)?;
    Some((stamp.len.checked_add(title.len)?, stamp))
}

/// Whether a byte may be part of a log: printable, white space, an escape character, or part of a
/// character in UTF-8.
pub(super) fn is_text(byte: u8) -> bool {
    matches!(byte, b'\t' | b'\n' | b'\r' | 0x1b | b' '..=b'~' | 0x80..=0xbf | 0xc2..=0xf4)
}
