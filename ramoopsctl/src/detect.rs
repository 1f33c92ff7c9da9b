// SPDX-License-Identifier: GPL-2.0

//! Finds out how a region is divided, from what lies in it.
//!
//! One pass over the region collects the headers and seals in it; from then on geometries are
//! compared with that list, and not with the region. The list is bounded, whatever the region holds.

use std::{
    cmp::Reverse,
    collections::{
        BTreeSet,
        HashMap, //
    },
    ops::Range,
};

use memchr::memmem;
use ringbuf::{
    classify,
    layout::{
        Header,
        ECC_BLOCK,
        ECC_MAX,
        HEADER_LEN,
        SEAL_LEN,
        SEAL_MAGIC,
        SEAL_MAGIC_OFFSET,
        SIG,
        ZONE_MIN, //
    },
    prefix::{
        Stamp,
        STAMP_MAX, //
    },
    Geometry,
    GeometryError,
    Kind,
    Params,
    Seal, //
};

use crate::{
    image::Image,
    mtdoops, //
};

/// The sizes of console, pmsg and ftrace zone that `ramoops` has unless told otherwise.
const DEFAULT_SIZE: usize = 4096;

/// At most so many headers, and so many seals, are looked at.
const HITS_MAX: usize = 1024;

/// So many headers at the end of the region are looked at in any case.
const LAST_HITS: usize = 16;

/// So many headers are enough to tell strides that may be right from those that are not.
const SAMPLE: usize = 128;

/// So many geometries are compared with all headers.
const SHORTLIST: usize = 512;

/// So many seals are tried if none belongs to a header or a stamp.
const GUESSES_MAX: usize = 16;

/// So many zones whose extent is known are looked at.
const ZONES_MAX: usize = 32;

/// How the region is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// The zones of ramoops and rust_ramoops.
    Ramoops(Geometry),
    /// Pages of mtdoops, of so many bytes.
    Mtdoops(usize),
}

/// Which of the two it is, if the user says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The zones of ramoops and rust_ramoops.
    Ramoops,
    /// The pages of mtdoops.
    Mtdoops,
}

/// What the user knows; the rest is found out. Sizes have the meaning of the module parameters.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hints {
    /// Which format it is.
    pub format: Option<Format>,
    /// The size of a record, or of a page of mtdoops.
    pub record_size: Option<usize>,
    /// The size of the console zone.
    pub console_size: Option<usize>,
    /// The size of the ftrace zones together.
    pub ftrace_size: Option<usize>,
    /// The size of the pmsg zone.
    pub pmsg_size: Option<usize>,
    /// Bytes of parity per block; 1 means 16, as it does for the module.
    pub ecc: Option<usize>,
}

/// What was found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// How the region is laid out.
    pub layout: Layout,
    /// How many headers, seals and pages are where this layout has them.
    pub fits: usize,
    /// How many are elsewhere.
    pub strays: usize,
    /// If hardly anything fits: where the first one is. The region may begin there.
    pub elsewhere: Option<usize>,
    /// The user said what the size of a record is.
    pub is_given: bool,
}

impl Found {
    /// Whether the contents of the region speak for the layout.
    pub fn is_certain(&self) -> bool {
        self.fits > self.strays
    }

    /// Whether there is something in the region, but no layout explains it. Records that a guess
    /// finds would be found by accident.
    pub fn is_lost(&self) -> bool {
        !self.is_certain() && !self.is_given && self.elsewhere.is_some()
    }
}

/// What the pass over the region collected.
struct Evidence<'a> {
    bytes: &'a [u8],
    /// What looks like the header of a zone, by offset.
    headers: Vec<Hit>,
    /// Begin and length of data areas which end in a seal.
    zones: Vec<(usize, usize)>,
}

/// What looks like the header of a zone.
#[derive(Clone, Copy)]
struct Hit {
    offset: usize,
    header: Header,
    /// A stamp follows it.
    is_stamped: bool,
}

/// A geometry that is to be compared with the evidence.
#[derive(Clone, Copy)]
struct Candidate {
    record_size: usize,
    /// Console, pmsg, ftrace.
    others: [usize; 3],
    stride: usize,
    slots: usize,
}

impl Candidate {
    /// Divides a region as `Geometry` does, in a few instructions.
    fn new(mem_size: usize, record_size: usize, others: [usize; 3]) -> Option<Self> {
        let dump_mem = mem_size.checked_sub(others.iter().sum())?;
        let slots = dump_mem.checked_div(record_size)?;
        let stride = dump_mem.checked_div(slots)? & !1;
        (stride >= ZONE_MIN).then_some(Self {
            record_size,
            others,
            stride,
            slots,
        })
    }

    fn dmesg_len(&self) -> usize {
        self.stride * self.slots
    }

    /// How usual the sizes are; less is more usual.
    fn oddity(&self) -> usize {
        let used: BTreeSet<usize> = self.others.into_iter().filter(|size| *size != 0).collect();
        match self.others {
            [DEFAULT_SIZE, DEFAULT_SIZE, DEFAULT_SIZE] => 0,
            [0, 0, 0] => 1,
            [console, pmsg, ftrace] if console == pmsg && pmsg == ftrace => 4,
            _ => 2 + used.len(),
        }
    }
}

fn header_at(bytes: &[u8], offset: usize) -> Option<Header> {
    let raw = bytes.get(offset..)?.first_chunk::<HEADER_LEN>()?;
    Some(Header::decode(raw))
}

fn has_stamp(bytes: &[u8], offset: usize) -> bool {
    let text = bytes.get(offset..).unwrap_or(&[]);
    Stamp::parse(&text[..text.len().min(STAMP_MAX)]).is_some()
}

/// Returns the length of the data area of a zone.
fn data_len(stride: usize, ecc_size: usize) -> Option<usize> {
    let zone = one_zone(stride, ecc_size).ok()?;
    (zone.stride() == stride).then(|| zone.data_capacity())
}

/// Makes the geometry of a region with a single zone.
pub(crate) fn one_zone(len: usize, ecc_size: usize) -> Result<Geometry, GeometryError> {
    Geometry::new(Params {
        mem_size: len,
        record_size: len,
        console_size: 0,
        ftrace_size: 0,
        pmsg_size: 0,
        ecc_size,
    })
}

/// Whether so many of the words that were tried are enough. One byte of parity is right by chance
/// once in 256 times.
fn is_most(words: usize, tried: usize, ecc: usize) -> bool {
    words * 2 > tried && words * ecc >= 2
}

impl<'a> Evidence<'a> {
    fn gather(bytes: &'a [u8]) -> Self {
        let sig = SIG.to_ne_bytes();
        let mut hits: BTreeSet<usize> = memmem::find_iter(bytes, &sig).take(HITS_MAX).collect();
        if hits.len() == HITS_MAX {
            // The zones at the end matter even if there are too many in front of them.
            hits.extend(memmem::rfind_iter(bytes, &sig).take(LAST_HITS));
        }
        let headers = hits
            .into_iter()
            .filter(|offset| offset % 2 == 0)
            .filter_map(|offset| {
                Some(Hit {
                    offset,
                    header: header_at(bytes, offset)?,
                    is_stamped: has_stamp(bytes, offset + HEADER_LEN),
                })
            })
            .filter(|hit| hit.header.start <= hit.header.size)
            .collect();
        let mut evidence = Self {
            bytes,
            headers,
            zones: Vec::new(),
        };
        let magic = SEAL_MAGIC.to_le_bytes();
        let mut guesses = Vec::new();
        for magic in memmem::find_iter(bytes, &magic).take(HITS_MAX) {
            guesses.push(magic);
            if let Some(zone) = evidence.zone_of(magic) {
                evidence.zones.push(zone);
            }
            if evidence.zones.len() >= ZONES_MAX {
                break;
            }
        }
        if evidence.zones.is_empty() {
            let mut guesses = guesses.into_iter().take(GUESSES_MAX);
            evidence
                .zones
                .extend(guesses.find_map(|magic| evidence.guess_zone(magic)));
        }
        evidence
    }

    /// Returns begin and length of the data area of the zone with the seal whose magic number lies
    /// at `magic`.
    fn zone_of(&self, magic: usize) -> Option<(usize, usize)> {
        let at = magic.checked_sub(SEAL_MAGIC_OFFSET)?;
        let raw = self.bytes.get(at..)?.first_chunk::<SEAL_LEN>()?;
        let seal = Seal::decode::<Image<'_>>(raw, usize::MAX)?;
        let end = at + SEAL_LEN;
        let before = self.headers.partition_point(|hit| hit.offset < at);
        let header = self.headers[..before]
            .iter()
            .rev()
            .take(4)
            .find(|hit| hit.header.start == 0 && hit.header.size == seal.size);
        let begin = match header {
            Some(hit) => hit.offset + HEADER_LEN,
            // The header is lost. The payload begins with a stamp.
            None => memmem::rfind_iter(&self.bytes[..at], b"====")
                .take(64)
                .find(|offset| has_stamp(self.bytes, *offset))?,
        };
        (begin >= HEADER_LEN).then_some((begin - HEADER_LEN, end - begin))
    }

    /// Does the same if errors have made header and stamp unreadable: tries what is usual, and takes
    /// that with which the record can be corrected.
    fn guess_zone(&self, magic: usize) -> Option<(usize, usize)> {
        let at = magic.checked_sub(SEAL_MAGIC_OFFSET)?;
        let raw = self.bytes.get(at..)?.first_chunk::<SEAL_LEN>()?;
        Seal::decode::<Image<'_>>(raw, usize::MAX)?;
        let end = at + SEAL_LEN;
        let strides = (9..usize::BITS - 1)
            .map(|log| 1usize << log)
            .take_while(|record_size| *record_size <= self.bytes.len())
            .flat_map(|record_size| {
                [DEFAULT_SIZE, 0]
                    .map(|other| Candidate::new(self.bytes.len(), record_size, [other; 3]))
            })
            .flatten()
            .map(|candidate| candidate.stride);
        for stride in strides {
            let begin = (end - 1) / stride * stride;
            let zone = self.bytes.get(begin..).and_then(|zone| zone.get(..stride));
            let Some(zone) = zone else {
                continue;
            };
            for ecc in 0..=ECC_MAX {
                let Ok(geometry) = one_zone(stride, ecc) else {
                    continue;
                };
                let len = geometry.data_capacity();
                if begin + HEADER_LEN + len != end {
                    continue;
                }
                let content = classify(&Image(zone), &geometry, 0);
                if content.is_some_and(|content| matches!(content.kind, Kind::Sealed(_))) {
                    return Some((begin, len));
                }
            }
        }
        None
    }

    /// Returns the strides, and bytes of parity, with which the seals end where they do.
    fn strides(&self, eccs: &[usize]) -> Vec<(usize, usize)> {
        let mut votes: HashMap<(usize, usize), usize> = HashMap::new();
        for (begin, len) in &self.zones {
            for ecc in eccs {
                let blocks = len.div_ceil(ECC_BLOCK);
                let strides: BTreeSet<usize> = [blocks, blocks + 1]
                    .map(|blocks| match ecc {
                        0 => HEADER_LEN + len,
                        ecc => HEADER_LEN + len + (blocks + 1) * ecc,
                    })
                    .into();
                for stride in strides {
                    if begin % stride == 0 && data_len(stride, *ecc) == Some(*len) {
                        *votes.entry((stride, *ecc)).or_default() += 1;
                    }
                }
            }
        }
        let Some(most) = votes.values().max().copied() else {
            return Vec::new();
        };
        let mut strides: Vec<_> = votes
            .into_iter()
            .filter(|(_, count)| *count == most)
            .map(|(pair, _)| pair)
            .collect();
        strides.sort_unstable();
        // That there is parity must show.
        let words: Vec<_> = strides
            .iter()
            .copied()
            .filter(|(_, ecc)| *ecc != 0 && self.seals_have_parity(*ecc))
            .collect();
        match words.is_empty() && eccs.contains(&0) {
            true => strides.retain(|(_, ecc)| *ecc == 0),
            false if !words.is_empty() => strides = words,
            false => (),
        }
        strides
    }

    /// Whether most of the seals have the parity that belongs to them.
    fn seals_have_parity(&self, ecc: usize) -> bool {
        let tried = self.zones.len().min(8);
        let zones = self.zones.iter().take(tried);
        let words = zones.filter(|(zone, len)| {
            // The last block is all seal, of which the CRC says that it is right.
            let block = (len - 1) / ECC_BLOCK;
            let data = zone + HEADER_LEN;
            let begin = data + block * ECC_BLOCK;
            self.is_word(begin..data + len, data + len + block * ecc, ecc)
        });
        is_most(words.count(), tried, ecc)
    }

    /// Whether most of the headers of these zones have the parity that belongs to them.
    fn headers_have_parity(&self, zones: &[usize], stride: usize, ecc: usize) -> bool {
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
            && rslib::decode(&mut data.to_owned(), &mut parity.to_owned()) == Some(0)
    }

    /// Compares the dmesg zones of a candidate with the headers in `sample`.
    fn rough_score(&self, candidate: &Candidate, sample: &[Hit]) -> i64 {
        let end = candidate.dmesg_len();
        sample
            .iter()
            .take_while(|hit| hit.offset < end)
            .map(|hit| self.score_dmesg(candidate.stride, hit))
            .sum()
    }

    /// How much a header speaks for dmesg zones of such a stride.
    fn score_dmesg(&self, stride: usize, hit: &Hit) -> i64 {
        let is_used = hit.header.size != 0;
        if hit.offset % stride != 0 || hit.header.size as usize > stride - HEADER_LEN {
            return -1;
        }
        match is_used {
            false => 1,
            true if hit.is_stamped => 2,
            // A seal vouches for it, even if errors have made the stamp unreadable.
            true if self.zones.iter().any(|(begin, _)| *begin == hit.offset) => 2,
            true => -1,
        }
    }

    /// Returns how many of the other zones have no header, if any has one.
    fn unwritten(&self, geometry: &Geometry) -> usize {
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

    /// Compares a geometry with all headers. Returns what fits, what does not, and how many dmesg
    /// zones have a header.
    fn score(&self, geometry: &Geometry) -> (i64, usize, usize, usize) {
        let stride = geometry.stride();
        let end = stride * geometry.slots();
        let (console, console_len) = geometry.console();
        let (pmsg, pmsg_len) = geometry.pmsg();
        let (mut score, mut fits, mut strays, mut slots) = (0, 0, 0, 0);
        for hit in &self.headers {
            let points = if hit.offset < end {
                let points = self.score_dmesg(stride, hit);
                slots += usize::from(points > 0);
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
            score += points;
            match points > 0 {
                true => fits += 1,
                false => strays += 1,
            }
        }
        let (ftrace, ftrace_len) = geometry.ftrace();
        let header = header_at(self.bytes, ftrace).filter(|_| ftrace_len != 0);
        if header.is_some_and(|header| is_ftrace(&header, ftrace_len)) {
            score += 1;
        }
        for (begin, len) in &self.zones {
            let is_zone = begin % stride == 0 && *begin < end && geometry.data_capacity() == *len;
            score += if is_zone { 2 } else { -1 };
            match is_zone {
                true => fits += 1,
                false => strays += 1,
            }
        }
        (score, fits, strays, slots)
    }
}

/// Whether this is the header of an ftrace zone: its signature is mixed with the version of the
/// kernel that wrote it.
pub(crate) fn is_ftrace(header: &Header, len: usize) -> bool {
    (1..0x0100_0000).contains(&(header.sig ^ SIG))
        && header.start <= header.size
        && (header.size as usize) < len
}

/// Finds the layout of a region.
///
/// # Errors
///
/// If the hints make no layout for a region of this size.
pub fn detect(bytes: &[u8], hints: &Hints) -> Result<Found, GeometryError> {
    let pages = match hints.format {
        Some(Format::Ramoops) => None,
        _ => mtdoops::detect(bytes, hints.record_size),
    };
    let mtdoops = |page, fits| Found {
        layout: Layout::Mtdoops(page),
        fits,
        strays: 0,
        elsewhere: None,
        is_given: hints.record_size.is_some(),
    };
    if hints.format == Some(Format::Mtdoops) {
        let (page, fits) = pages.unwrap_or((hints.record_size.unwrap_or(DEFAULT_SIZE), 0));
        return Ok(mtdoops(page, fits));
    }
    let found = ramoops(bytes, hints)?;
    Ok(match pages {
        Some((page, fits)) if fits > found.fits => mtdoops(page, fits),
        _ => found,
    })
}

fn round_down(size: usize) -> usize {
    size.checked_ilog2().map_or(0, |log| 1 << log)
}

fn ramoops(bytes: &[u8], hints: &Hints) -> Result<Found, GeometryError> {
    let mem_size = bytes.len();
    if hints.record_size == Some(0) {
        return Err(GeometryError::RecordSizeZero);
    }
    let ecc = hints.ecc.map(|ecc| if ecc == 1 { 16 } else { ecc });
    let defaults = |record_size| Params {
        mem_size,
        record_size,
        console_size: hints.console_size.unwrap_or(DEFAULT_SIZE),
        ftrace_size: hints.ftrace_size.unwrap_or(DEFAULT_SIZE),
        pmsg_size: hints.pmsg_size.unwrap_or(DEFAULT_SIZE),
        ecc_size: ecc.unwrap_or(0),
    };
    let evidence = Evidence::gather(bytes);
    if !evidence.headers.is_empty() || !evidence.zones.is_empty() {
        if let Some(found) = search(&evidence, hints, ecc).filter(Found::is_certain) {
            return Ok(found);
        }
    }
    let geometry = match Geometry::new(defaults(hints.record_size.unwrap_or(DEFAULT_SIZE))) {
        Ok(geometry) => geometry,
        // A small file with nothing in it is not worth an error about sizes that nobody gave.
        Err(error) => match hints.record_size.is_none() && hints.ecc.is_none() {
            true => one_zone(mem_size.max(ZONE_MIN), 0).map_err(|_| error)?,
            false => return Err(error),
        },
    };
    let (_, fits, strays, _) = evidence.score(&geometry);
    Ok(Found {
        layout: Layout::Ramoops(geometry),
        fits,
        strays,
        elsewhere: elsewhere(&evidence),
        is_given: hints.record_size.is_some(),
    })
}

/// Returns where the first record is that is known by its seal or its stamp.
fn elsewhere(evidence: &Evidence<'_>) -> Option<usize> {
    let sealed = evidence.zones.iter().map(|(begin, _)| *begin).min();
    let stamped = evidence
        .headers
        .iter()
        .find(|hit| hit.header.size != 0 && hit.is_stamped)
        .map(|hit| hit.offset);
    sealed.into_iter().chain(stamped).min()
}

/// Looks for the geometry that explains the evidence best.
fn search(evidence: &Evidence<'_>, hints: &Hints, ecc: Option<usize>) -> Option<Found> {
    let mem_size = evidence.bytes.len();
    let sizes = |hint: Option<usize>, min: u32| match hint {
        Some(size) => vec![round_down(size)],
        None => (min..usize::BITS - 1)
            .map(|log| 1 << log)
            .take_while(|size| *size <= mem_size)
            .collect(),
    };
    let other_sizes = |hint: Option<usize>| {
        let mut sizes = sizes(hint, 10);
        if hint.is_none() {
            sizes.push(0);
        }
        sizes
    };
    let record_sizes = sizes(hints.record_size, 8);
    let consoles = other_sizes(hints.console_size);
    let pmsgs = other_sizes(hints.pmsg_size);
    let ftraces = other_sizes(hints.ftrace_size);
    let eccs = ecc.map_or_else(|| (0..=ECC_MAX).collect(), |ecc| vec![ecc]);
    let sealed = evidence.strides(&eccs);

    // The other zones matter as a sum at first. The same one may be made in several ways.
    let mut by_sum: HashMap<usize, Vec<[usize; 3]>> = HashMap::new();
    for console in &consoles {
        for pmsg in &pmsgs {
            for ftrace in &ftraces {
                let sum = console + pmsg + ftrace;
                if sum < mem_size {
                    by_sum
                        .entry(sum)
                        .or_default()
                        .push([*console, *pmsg, *ftrace]);
                }
            }
        }
    }

    // Odd, or every other zone would be as good as all.
    let step = evidence.headers.len().div_ceil(SAMPLE) | 1;
    let sample: Vec<_> = evidence.headers.iter().step_by(step).copied().collect();
    let mut best = i64::MIN;
    let mut shortlist = Vec::new();
    for (sum, ways) in &by_sum {
        for record_size in &record_sizes {
            let Some(rough) = Candidate::new(mem_size, *record_size, [*sum, 0, 0]) else {
                continue;
            };
            if !sealed.is_empty() && !sealed.iter().any(|(stride, _)| *stride == rough.stride) {
                continue;
            }
            let score = evidence.rough_score(&rough, &sample);
            if score > best {
                best = score;
                shortlist.clear();
            }
            if score == best {
                shortlist.extend(ways.iter().map(|others| Candidate {
                    others: *others,
                    ..rough
                }));
            }
        }
    }
    // Any divisor of the true stride explains as much, so the largest comes first. If there is but
    // one header, the smallest: it says nothing about strides. The order does not depend on the hash
    // table.
    let is_one = evidence.headers.len() == 1;
    shortlist.sort_by_key(|candidate| {
        let stride = candidate.stride;
        let stride = if is_one { stride } else { usize::MAX - stride };
        match is_one {
            true => (candidate.oddity(), stride, candidate.others),
            false => (stride, candidate.oddity(), candidate.others),
        }
    });
    shortlist.truncate(SHORTLIST);
    if shortlist.is_empty() || (sealed.is_empty() && best <= 0) {
        return match hints.record_size {
            Some(_) => None,
            None => cut_off(evidence, &sealed),
        };
    }

    shortlist
        .iter()
        .flat_map(|candidate| {
            let eccs: Vec<usize> = match sealed.is_empty() {
                true => vec![ecc.unwrap_or_else(|| guess_ecc(evidence, candidate, &eccs))],
                false => sealed
                    .iter()
                    .filter(|(stride, _)| *stride == candidate.stride)
                    .map(|(_, ecc)| *ecc)
                    .collect(),
            };
            eccs.into_iter().map(move |ecc| (candidate, ecc))
        })
        .filter_map(|(candidate, ecc_size)| {
            let [console_size, pmsg_size, ftrace_size] = candidate.others;
            let geometry = Geometry::new(Params {
                mem_size,
                record_size: candidate.record_size,
                console_size,
                ftrace_size,
                pmsg_size,
                ecc_size,
            })
            .ok()?;
            let (score, fits, strays, slots) = evidence.score(&geometry);
            // Many headers fill the region: a half of the true stride leaves every other zone
            // without one. A single one says nothing; then the smallest zone is likely.
            let coverage = match slots {
                0 | 1 => 0,
                slots if evidence.headers.len() < HITS_MAX / 2 => slots * 1000 / geometry.slots(),
                // There may be more.
                _ => geometry.stride(),
            };
            // Zones that are laid out, but were not written, are usual only with the defaults.
            let oddity = match candidate.oddity() {
                0 => 0,
                oddity => oddity + evidence.unwritten(&geometry),
            };
            let [console, pmsg, ftrace] = candidate.others;
            // A single zone is that of the console. An ftrace zone may look like several.
            let key = (
                score,
                ecc_size != 0,
                coverage,
                Reverse((oddity, candidate.stride)),
                (console, Reverse(pmsg), ftrace),
            );
            Some((
                key,
                Found {
                    layout: Layout::Ramoops(geometry),
                    fits,
                    strays,
                    elsewhere: None,
                    is_given: hints.record_size.is_some(),
                },
            ))
        })
        .max_by_key(|(key, _)| *key)
        .map(|(_, found)| found)
}

/// Returns how much parity the headers of a candidate's zones have; 0 if there is no sign of any.
fn guess_ecc(evidence: &Evidence<'_>, candidate: &Candidate, eccs: &[usize]) -> usize {
    let zones: Vec<usize> = evidence
        .headers
        .iter()
        .map(|hit| hit.offset)
        .filter(|offset| *offset < candidate.dmesg_len() && offset % candidate.stride == 0)
        .take(8)
        .collect();
    eccs.iter()
        .copied()
        .find(|ecc| *ecc != 0 && evidence.headers_have_parity(&zones, candidate.stride, *ecc))
        .unwrap_or(0)
}

/// Makes a layout of dmesg zones alone, for a region of which only a part is there: the stride no
/// longer follows from the size.
fn cut_off(evidence: &Evidence<'_>, sealed: &[(usize, usize)]) -> Option<Found> {
    let (stride, ecc_size) = *sealed.first()?;
    let record_size = round_down(stride);
    let mut slots = evidence.bytes.len() / stride;
    // With more slots, the rest would suffice for one more.
    if let Some(most) = (record_size - 1).checked_div(stride - record_size) {
        slots = slots.min(most);
    }
    let geometry = Geometry::new(Params {
        mem_size: slots.checked_mul(stride)?,
        record_size,
        console_size: 0,
        ftrace_size: 0,
        pmsg_size: 0,
        ecc_size,
    })
    .ok()
    .filter(|geometry| geometry.stride() == stride)?;
    let (_, fits, strays, _) = evidence.score(&geometry);
    Some(Found {
        layout: Layout::Ramoops(geometry),
        fits,
        strays,
        elsewhere: None,
        is_given: false,
    })
}
