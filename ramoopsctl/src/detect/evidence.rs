// SPDX-License-Identifier: GPL-2.0

//! What may be the headers of zones, and how well a zone map explains them.
//!
//! The text of a log must not count, and unprivileged users have a say in that. So these bytes are
//! not searched: those that a whole seal vouches for, and what could be text. A text has no zero
//! bytes, be it in UTF-8 or not: if the signature of a header is in it, and four more characters, then
//! all four bytes of `start` are other than 0, and it is more than any zone holds ([`SIZE_MAX`]). If
//! the text ends earlier, it does so with a newline, in `start`; then memory that was never written
//! follows, and `size` is less than `start`. Either way it is no header. That is why no text, however
//! much of it there is, adds to the evidence or takes from it. A compressed record has zero bytes, but
//! who writes the text hardly chooses them; what is a header by accident is one among those of all
//! zones.
//!
//! The pmsg zone holds any bytes that programs write. But its header is in front of all of them, and
//! says how many there are; once the ring has wrapped, that is all of the zone. So what lies within
//! the data of a header is left out, and no program can put one in front of that of its zone. In the
//! data of other zones there should be none. If there is one, a bit of a size has flipped, or a header
//! is left of other parameters: then nothing is left out ([`Evidence::is_explained`]). Records that
//! are left out are told all the same.

use std::{
    collections::VecDeque,
    ops::Range, //
};

use memchr::memmem;
use ringbuf::{
    layout::{
        Header,
        HEADER_LEN,
        SIG, //
    },
    prefix::{
        Stamp,
        STAMP_MAX, //
    },
    Geometry, //
};

use super::candidate::Candidate;
use crate::zones::is_ftrace;

/// At most so many headers are looked at.
pub(super) const HITS_MAX: usize = 1024;

/// So many headers at the end of the region are looked at in any case.
const LAST_HITS: usize = 16;

/// A header of a zone with so many bytes is not taken for one. The four bytes of a smaller number
/// are not all other than 0.
const SIZE_MAX: u32 = 1 << 24;

/// What the pass over the region collected.
pub(super) struct Evidence<'a> {
    pub(super) bytes: &'a [u8],
    /// What looks like the header of a zone, by offset.
    pub(super) headers: Vec<Hit>,
    /// Records that were left out: they lie within the data of one of these headers.
    pub(super) inside: Vec<usize>,
    /// The headers within whose data others lie.
    covers: Vec<usize>,
}

/// What looks like the header of a zone.
#[derive(Clone, Copy)]
pub(super) struct Hit {
    pub(super) offset: usize,
    pub(super) header: Header,
    /// A stamp follows it.
    pub(super) is_stamped: bool,
}

impl Hit {
    /// Where the data lie of which it tells.
    pub(super) fn data(&self) -> Range<usize> {
        let begin = self.offset + HEADER_LEN;
        begin..begin + self.header.size as usize
    }

    fn is_record(&self) -> bool {
        self.header.size != 0 && self.is_stamped
    }
}

/// How a zone map compares with the headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Score {
    pub(super) points: i64,
    /// How many headers are where the map has zones.
    pub(super) fits: usize,
    /// How many are elsewhere.
    pub(super) strays: usize,
    /// How many dmesg zones have a header.
    pub(super) slots: usize,
}

fn header_at(bytes: &[u8], offset: usize) -> Option<Header> {
    let raw = bytes.get(offset..)?.first_chunk::<HEADER_LEN>()?;
    Some(Header::decode(raw))
}

fn has_stamp(bytes: &[u8], offset: usize) -> bool {
    let text = bytes.get(offset..).unwrap_or(&[]);
    Stamp::parse(&text[..text.len().min(STAMP_MAX)]).is_some()
}

/// Whether so many of the words that were tried are enough. One byte of parity is right by chance
/// once in 256 times.
fn is_most(words: usize, tried: usize, ecc: usize) -> bool {
    words * 2 > tried && words * ecc >= 2
}

impl<'a> Evidence<'a> {
    /// Collects the headers that `is_free` lets pass; not those within the data of others, unless all
    /// are wanted.
    pub(super) fn gather(bytes: &'a [u8], is_free: impl Fn(&Hit) -> bool, wants_all: bool) -> Self {
        let sig = SIG.to_ne_bytes();
        let hits = memmem::find_iter(bytes, &sig).filter_map(|offset| {
            let header = header_at(bytes, offset).filter(|header| {
                offset % 2 == 0 && header.start <= header.size && header.size < SIZE_MAX
            })?;
            let hit = Hit {
                offset,
                header,
                is_stamped: has_stamp(bytes, offset + HEADER_LEN),
            };
            is_free(&hit).then_some(hit)
        });
        let mut headers = Vec::new();
        let mut inside = Vec::new();
        let mut covers = Vec::new();
        // The zones at the end matter even if there are too many in front of them.
        let mut last = VecDeque::new();
        let mut cover: Option<Hit> = None;
        for hit in hits {
            if let Some(cover) = cover.filter(|cover| cover.data().contains(&hit.offset)) {
                if covers.last() != Some(&cover.offset) && covers.len() < HITS_MAX {
                    covers.push(cover.offset);
                }
                if hit.is_record() && inside.len() < HITS_MAX {
                    inside.push(hit.offset);
                }
                continue;
            }
            cover = Some(hit).filter(|hit| !wants_all && hit.data().end <= bytes.len());
            if headers.len() < HITS_MAX {
                headers.push(hit);
                continue;
            }
            if last.len() == LAST_HITS {
                last.pop_front();
            }
            last.push_back(hit);
        }
        headers.extend(last);
        Self {
            bytes,
            headers,
            inside,
            covers,
        }
    }

    /// Whether nothing was left out.
    pub(super) fn is_all(&self) -> bool {
        self.covers.is_empty()
    }

    /// Whether a geometry explains why something was left out: it lies within the data of the last
    /// header, behind the dmesg zones. No header follows that of the pmsg zone.
    pub(super) fn is_explained(&self, geometry: &Geometry) -> bool {
        let (dmesg_end, _) = geometry.console();
        let last = self.headers.last().map(|hit| hit.offset);
        let last = last.filter(|offset| *offset >= dmesg_end);
        self.covers.iter().all(|offset| Some(*offset) == last)
    }

    /// Returns where records are that are known by their stamp.
    pub(super) fn records(&self) -> impl Iterator<Item = usize> + '_ {
        let hits = self.headers.iter();
        hits.filter(|hit| hit.is_record()).map(|hit| hit.offset)
    }

    /// Whether most of the headers of these zones have the parity that belongs to them.
    pub(super) fn headers_have_parity(&self, zones: &[usize], stride: usize, ecc: usize) -> bool {
        // The parity of the header comes last.
        let words = zones.iter().filter(|zone| {
            let header = **zone..**zone + HEADER_LEN;
            self.is_word(header, **zone + stride - ecc, ecc)
        });
        is_most(words.count(), zones.len(), ecc)
    }

    fn is_word(&self, data: Range<usize>, parity_at: usize, ecc: usize) -> bool {
        let parity = self.bytes.get(parity_at..);
        let (Some(data), Some(parity)) = (
            self.bytes.get(data),
            parity.and_then(|parity| parity.get(..ecc)),
        ) else {
            return false;
        };
        // The first root of the code is 1: the sum of a word is 0. This tells most of them.
        data.iter().chain(parity).fold(0, |sum, byte| sum ^ byte) == 0
            && crate::parity::decode(&mut data.to_owned(), &mut parity.to_owned()) == Some(0)
    }

    /// Compares the dmesg zones of a candidate with the headers in `sample`.
    pub(super) fn rough_score(&self, candidate: &Candidate, sample: &[Hit]) -> i64 {
        let end = candidate.dmesg_len();
        sample
            .iter()
            .take_while(|hit| hit.offset < end)
            .map(|hit| self.score_dmesg(candidate.stride, hit))
            .sum()
    }

    /// How much a header speaks for dmesg zones of such a stride.
    fn score_dmesg(&self, stride: usize, hit: &Hit) -> i64 {
        let size = hit.header.size as usize;
        if hit.offset % stride != 0 || size > stride - HEADER_LEN {
            return -1;
        }
        match (size, hit.is_stamped) {
            (0, _) => 1,
            (_, true) => 2,
            (_, false) => -1,
        }
    }

    /// Returns how many of the other zones have no header, if any has one.
    pub(super) fn unwritten(&self, geometry: &Geometry) -> usize {
        let zones = [geometry.console(), geometry.pmsg(), geometry.ftrace()];
        let (written, unwritten): (Vec<_>, Vec<_>) = zones
            .into_iter()
            .filter(|(_, len)| *len != 0)
            .partition(|(offset, len)| {
                let header = header_at(self.bytes, *offset);
                header.is_some_and(|header| header.sig == SIG || is_ftrace(&header, *len))
            });
        match written.is_empty() {
            true => 0,
            false => unwritten.len(),
        }
    }

    /// Compares a geometry with all headers.
    pub(super) fn score(&self, geometry: &Geometry) -> Score {
        let stride = geometry.stride();
        let end = stride * geometry.slots();
        let (console, console_len) = geometry.console();
        let (pmsg, pmsg_len) = geometry.pmsg();
        let mut score = Score::default();
        for hit in &self.headers {
            let points = if hit.offset < end {
                let points = self.score_dmesg(stride, hit);
                score.slots += usize::from(points > 0);
                points
            } else {
                let size = hit.header.size as usize;
                let is_zone = (hit.offset == console && size < console_len)
                    || (hit.offset == pmsg && size < pmsg_len);
                match (is_zone, size) {
                    (false, _) => -1,
                    (true, 0) => 1,
                    (true, _) if hit.is_stamped => -1,
                    (true, _) => 2,
                }
            };
            score.points += points;
            match points > 0 {
                true => score.fits += 1,
                false => score.strays += 1,
            }
        }
        let (ftrace, ftrace_len) = geometry.ftrace();
        let header = header_at(self.bytes, ftrace).filter(|_| ftrace_len != 0);
        if header.is_some_and(|header| is_ftrace(&header, ftrace_len)) {
            score.points += 1;
        }
        score
    }
}
