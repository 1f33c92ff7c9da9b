// SPDX-License-Identifier: GPL-2.0

//! The text of a record, and how far it can be trusted.

use ringbuf::{
    prefix::{
        Stamp,
        Title,
        STAMP_MAX, //
    },
    read_text,
    Geometry, //
};

use super::{
    Origin,
    Part,
    Record,
    Region,
    Source,
    State, //
};
use crate::{
    detect::Layout,
    image::Image,
    inflate::inflate,
    text,
    zones, //
};

/// Text of a record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// The bytes: joined, decompressed, without stamps and titles.
    pub bytes: Vec<u8>,
    /// The line that says why it was written: from the seal, or from text that is this record's.
    pub cause: Option<String>,
    /// What is wrong with it.
    pub problems: Vec<String>,
}

impl Region<'_> {
    /// Returns the text of a record.
    pub fn text(&self, record: &Record) -> Text {
        let mut text = Text::default();
        // What something vouches for, unless that is all of it.
        let mut vouched = Vec::new();
        let is_vouched = record.parts.iter().all(|part| part.vouched);
        for part in &record.parts {
            let (bytes, problem) = self.part_text(part);
            let (_, rest) = split_stamp(&bytes);
            let rest = match record.origin {
                Origin::Dmesg => Title::parse(rest).map_or(rest, |title| &rest[title.len..]),
                _ => &bytes,
            };
            if !text.bytes.is_empty() && !text.bytes.ends_with(b"\n") {
                text.bytes.push(b'\n');
            }
            text.bytes.extend_from_slice(rest);
            if part.vouched && !is_vouched {
                vouched.extend_from_slice(rest);
            }
            text.problems.extend(problem);
            if part.bad_blocks > 0 {
                text.problems.push(format!(
                    "slot {}: {} blocks have more errors than their parity can correct",
                    part.slot, part.bad_blocks
                ));
            }
        }
        for part in &record.parts {
            text.problems.extend(
                problem(record, part).map(|problem| match record.parts.len() {
                    1 => problem.to_owned(),
                    _ => format!("part {}: {problem}", part.number),
                }),
            );
        }
        if record.state == State::Partial {
            text.problems.push(match record.parts_total {
                Some(total) => format!("{} of {total} parts are there", record.parts.len()),
                None => "parts with older text are missing".to_owned(),
            });
        }
        text.cause = match (&record.description, record.origin) {
            (Some(description), _) => Some(description.clone()),
            (None, Origin::Dmesg | Origin::Mtdoops) => match is_vouched {
                true => text::cause(&text.bytes),
                false => text::cause(&vouched),
            },
            (None, _) => None,
        };
        text
    }

    /// Returns the payload of a record as it lies in the region: with stamps, and compressed.
    pub fn raw(&self, record: &Record) -> Vec<u8> {
        let mut raw = Vec::new();
        for part in &record.parts {
            raw.extend(match (&self.layout, part.source) {
                (Layout::Ramoops(geometry), Source::Slot(_)) => {
                    self.slot_bytes(geometry, part, usize::MAX)
                }
                (Layout::Ramoops(geometry), Source::Zone(kind)) => {
                    zones::raw(self.bytes, geometry, kind)
                }
                _ => self.part_text(part).0,
            });
        }
        raw
    }

    fn part_text(&self, part: &Part) -> (Vec<u8>, Option<String>) {
        match (&self.layout, part.source) {
            (Layout::Ramoops(geometry), Source::Slot(_)) => self.slot_text(geometry, part),
            (Layout::Ramoops(geometry), Source::Zone(kind)) => {
                (zones::text(self.bytes, geometry, kind), None)
            }
            (_, Source::Page { begin, len }) => {
                let text = self.bytes.get(begin..).and_then(|text| text.get(..len));
                (text.unwrap_or(&[]).to_owned(), None)
            }
            // A region has one layout from the beginning.
            (Layout::Mtdoops(_), _) => (Vec::new(), None),
        }
    }

    /// Returns at most `max` bytes of what lies in a slot.
    pub(super) fn slot_bytes(&self, geometry: &Geometry, part: &Part, max: usize) -> Vec<u8> {
        let Source::Slot(Some(extent)) = part.source else {
            return Vec::new();
        };
        // `classify()` has checked it against the length of the zone.
        let mut bytes = vec![0; (extent.size as usize).min(max)];
        let len = read_text(
            &Image::new(self.bytes),
            geometry,
            part.slot,
            extent,
            0,
            &mut bytes,
        );
        bytes.truncate(len);
        bytes
    }

    /// Returns stamp, title and text, decompressed, and what is wrong with it.
    pub(super) fn slot_text(&self, geometry: &Geometry, part: &Part) -> (Vec<u8>, Option<String>) {
        let bytes = self.slot_bytes(geometry, part, usize::MAX);
        if !part.compressed {
            return (bytes, None);
        }
        let (_, packed) = split_stamp(&bytes);
        let stamp_len = bytes.len() - packed.len();
        let (text, problem) = inflate(packed, geometry.inflated_max());
        let problem = problem.map(|problem| format!("slot {}: {problem}", part.slot));
        ([&bytes[..stamp_len], &text].concat(), problem)
    }
}

/// Returns what is wrong with a part.
fn problem(record: &Record, part: &Part) -> Option<&'static str> {
    let has_seal = record.dump.is_some();
    let has_text = !matches!(part.source, Source::Slot(None));
    Some(match part.state {
        State::Complete | State::Partial | State::Foreign => return None,
        State::Damaged => "the text does not match its checksum",
        State::Torn if !has_text => "writing it did not end: there is nothing of its text",
        State::Torn if has_seal => {
            "writing it did not end: some of its text may be missing, with that of an earlier record in its place"
        }
        State::Torn => {
            "writing a record did not end: this is the text of an earlier one, and may run on into older text"
        }
        State::Salvaged => "no checksum and no header: nothing vouches for this text",
        State::Newer => "written by a newer rust_ramoops: not checked",
        State::Deleted if part.vouched => "this record was deleted",
        State::Deleted if has_seal => {
            "this record was deleted, and the text does not match its checksum: it may be older"
        }
        State::Deleted => {
            "this record was deleted: nothing tells where its text ends, it may run on into older text"
        }
    })
}

/// Splits the stamp off.
pub(super) fn split_stamp(payload: &[u8]) -> (Option<Stamp>, &[u8]) {
    match Stamp::parse(&payload[..payload.len().min(STAMP_MAX)]) {
        Some(stamp) => (Some(stamp), &payload[stamp.len..]),
        None => (None, payload),
    }
}
