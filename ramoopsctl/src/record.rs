// SPDX-License-Identifier: GPL-2.0

//! What a region holds, as people think of it: crashes, each with its text, and not slots.

use std::collections::HashMap;

use ringbuf::{
    classify,
    prefix::{
        Stamp,
        Title,
        STAMP_MAX, //
    },
    read_text,
    salvage_extent,
    seq::Order,
    Content,
    Extent,
    Geometry,
    Kind,
    Seal, //
};
use serde::Serialize;

use crate::{
    detect::Layout,
    image::Image,
    inflate::inflate,
    mtdoops,
    text,
    zones::{
        self,
        ZoneKind, //
    }, //
};

/// Parts of one dump, written by mainline, are at most so far apart.
const DUMP_NS: i128 = 10_000_000_000;

/// How well a record was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// All parts are there, and their checksums are right.
    Complete,
    /// The parts that are there are right, but older ones were overwritten or never stored.
    Partial,
    /// Written by mainline's ramoops or mtdoops: there is no checksum.
    Foreign,
    /// Written by a later version of rust_ramoops, whose seal this program does not know.
    Newer,
    /// Text that looks like a record, without header and seal. Nothing vouches for it.
    Salvaged,
    /// The text does not match its checksum.
    Damaged,
    /// Writing it began, but did not end.
    Torn,
    /// It was deleted; its text has not been overwritten yet.
    Deleted,
}

impl State {
    /// Whether the text is that of a record, rather than what is left of one.
    pub fn is_whole(self) -> bool {
        matches!(self, Self::Complete | Self::Partial | Self::Foreign)
    }

    /// Returns its name, as in the table and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Partial => "partial",
            Self::Foreign => "foreign",
            Self::Newer => "newer",
            Self::Salvaged => "salvaged",
            Self::Damaged => "damaged",
            Self::Torn => "torn",
            Self::Deleted => "deleted",
        }
    }
}

/// A piece of a record: one slot, one zone or one page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Number of the part; part 1 holds the newest text.
    pub number: u32,
    /// Number of the slot or page.
    pub slot: usize,
    /// Where the slot, zone or page begins in the region.
    pub offset: usize,
    /// Sequence number, from the seal.
    pub seq: Option<u64>,
    /// Bytes that parity corrected.
    pub corrected: usize,
    /// Blocks that it could not correct.
    pub bad_blocks: usize,
    /// The text is compressed.
    pub compressed: bool,
    source: Source,
}

/// Where the text of a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Slot(Option<Extent>),
    Zone(ZoneKind),
    Page { begin: usize, len: usize },
}

/// Which front end of the kernel wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// A dump of the kernel log in a slot.
    Dmesg,
    /// The console zone: what was printed until the machine stopped.
    Console,
    /// The pmsg zone: what programs wrote to /dev/pmsg0.
    Pmsg,
    /// The ftrace zones: the last functions called.
    Ftrace,
    /// A page of mtdoops.
    Mtdoops,
}

impl Origin {
    /// Returns its name, as in the table and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dmesg => "dmesg",
            Self::Console => "console",
            Self::Pmsg => "pmsg",
            Self::Ftrace => "ftrace",
            Self::Mtdoops => "mtdoops",
        }
    }
}

/// A crash, or the log of another front end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// 1 is the oldest. `None` for console, pmsg and ftrace, which are known by their name.
    pub number: Option<usize>,
    /// Which front end wrote it.
    pub origin: Origin,
    /// How well it was kept.
    pub state: State,
    /// Wall-clock time, in nanoseconds since 1970.
    pub realtime_ns: Option<i128>,
    /// Nanoseconds since boot.
    pub boottime_ns: Option<u64>,
    /// "Panic", "Oops", ...
    pub reason: Option<String>,
    /// Which dump of its boot it was, from 1 on.
    pub count: Option<u64>,
    /// What the kernel said as a reason to panic.
    pub description: Option<String>,
    /// Kernel release.
    pub kernel: Option<String>,
    /// Random number of the boot, in hex.
    pub boot_id: Option<String>,
    /// Number of the boot; 1 is the oldest one in the region.
    pub boot: Option<usize>,
    /// Number of the dump, which is never given again.
    pub dump: Option<u64>,
    /// The dump with which the loop of crashes began that this one continues.
    pub loop_start: Option<u64>,
    /// How many parts the dump had, if that is known.
    pub parts_total: Option<u32>,
    /// Its parts, the one with the oldest text first.
    pub parts: Vec<Part>,
}

/// Text of a record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// The bytes: joined, decompressed, without stamps and titles.
    pub bytes: Vec<u8>,
    /// What is wrong with it.
    pub problems: Vec<String>,
}

/// A region with its layout.
#[derive(Clone, Copy, Debug)]
pub struct Region<'a> {
    /// Its bytes.
    pub bytes: &'a [u8],
    /// How it is divided.
    pub layout: Layout,
}

impl Region<'_> {
    /// Returns all records, the newest last, and then what the other zones hold. Deleted ones are
    /// among them only if `deleted` is set.
    pub fn records(&self, deleted: bool) -> Vec<Record> {
        let mut records = match &self.layout {
            Layout::Ramoops(geometry) => self.dumps(geometry, deleted),
            Layout::Mtdoops(page) => self.pages(*page),
        };
        number_boots(&mut records);
        for (number, record) in (1..).zip(&mut records) {
            record.number = Some(number);
        }
        if let Layout::Ramoops(geometry) = &self.layout {
            records.extend(self.logs(geometry));
        }
        records
    }

    fn pages(&self, page_size: usize) -> Vec<Record> {
        let pages = mtdoops::pages(self.bytes, page_size);
        let records = pages.into_iter().map(|page| {
            let part = Part {
                number: 1,
                slot: page.offset / page_size,
                offset: page.offset,
                seq: Some(page.seq.into()),
                corrected: 0,
                bad_blocks: 0,
                compressed: false,
                source: Source::Page {
                    begin: page.text_at,
                    len: page.text_len,
                },
            };
            Record {
                realtime_ns: page.realtime_ns.map(i128::from),
                ..Record::new(Origin::Mtdoops, State::Foreign, part)
            }
        });
        records.collect()
    }

    fn logs(&self, geometry: &Geometry) -> Vec<Record> {
        let logs = zones::logs(self.bytes, geometry).into_iter().map(|zone| {
            let origin = match zone.kind {
                ZoneKind::Console => Origin::Console,
                ZoneKind::Pmsg => Origin::Pmsg,
                ZoneKind::Ftrace => Origin::Ftrace,
            };
            let part = Part {
                number: 1,
                slot: 0,
                offset: zone.offset,
                seq: None,
                corrected: 0,
                bad_blocks: 0,
                compressed: false,
                source: Source::Zone(zone.kind),
            };
            Record::new(origin, State::Foreign, part)
        });
        logs.collect()
    }

    fn dumps(&self, geometry: &Geometry, deleted: bool) -> Vec<Record> {
        let image = Image(self.bytes);
        let mut undated = Vec::new();
        let mut foreign = Vec::new();
        let mut sealed: Vec<(Seal, State, Part)> = Vec::new();
        for slot in 0..geometry.slots() {
            let Some(content) = classify(&image, geometry, slot) else {
                continue;
            };
            let part = |number, seq, extent: Option<Extent>| Part {
                number,
                slot,
                offset: slot * geometry.stride(),
                seq,
                corrected: content.corrected,
                bad_blocks: content.bad_blocks,
                compressed: extent.is_some_and(|extent| {
                    let mut start = [0; STAMP_MAX];
                    let len = read_text(&image, geometry, slot, extent, 0, &mut start);
                    Stamp::parse(&start[..len]).is_some_and(|stamp| stamp.compressed)
                }),
                source: Source::Slot(extent),
            };
            let left = || salvage_extent(&image, geometry, slot, &content.kind);
            match content.kind {
                Kind::Sealed(seal) => {
                    let part = part(seal.part, Some(seal.seq), content.kind.extent());
                    sealed.push((seal, State::Complete, part));
                }
                Kind::Damaged(seal) => {
                    let part = part(seal.part, Some(seal.seq), left());
                    sealed.push((seal, State::Damaged, part));
                }
                Kind::Cleared(Some(seal)) if deleted => {
                    let part = part(seal.part, Some(seal.seq), left());
                    sealed.push((seal, State::Deleted, part));
                }
                Kind::Foreign(record) => foreign.push(self.foreign(
                    geometry,
                    State::Foreign,
                    Some(record.stamp),
                    part(1, None, Some(record.extent)),
                )),
                Kind::Newer { text, .. } => foreign.push(self.foreign(
                    geometry,
                    State::Newer,
                    text.map(|text| text.stamp),
                    part(1, None, text.map(|text| text.extent)),
                )),
                Kind::Salvaged { extent, stamp } => foreign.push(self.foreign(
                    geometry,
                    State::Salvaged,
                    Some(stamp),
                    part(1, None, Some(extent)),
                )),
                Kind::Torn => {
                    undated.push(self.foreign(geometry, State::Torn, None, part(1, None, left())));
                }
                Kind::Cleared(None) | Kind::Empty if deleted => {
                    if let Some(extent) = left() {
                        let part = part(1, None, Some(extent));
                        undated.push(self.foreign(geometry, State::Deleted, None, part));
                    }
                }
                Kind::Cleared(_) | Kind::Empty | Kind::Zero | Kind::Erased | Kind::Garbage => (),
            }
        }

        let mut order = Order::default();
        for (seal, ..) in &sealed {
            order.note(seal.seq);
            order.note(seal.dump);
        }
        // The parts of each dump side by side, those of deleted ones apart.
        let dump = |(seal, state, _): &(Seal, State, Part)| {
            (seal.boot_id, seal.dump, *state == State::Deleted)
        };
        sealed.sort_by_key(dump);
        let dumps = sealed.chunk_by(|a, b| dump(a) == dump(b));
        let mut ours: Vec<Record> = dumps
            .flat_map(|parts| join_sealed(parts.to_owned()))
            .collect();
        for record in &mut ours {
            self.read_title(geometry, record);
        }
        ours.sort_by_key(|record| {
            (
                record.dump.map(|dump| order.rank(dump)),
                record.parts.first().map(|part| part.slot),
            )
        });
        undated.sort_by_key(|record| record.parts.first().map(|part| part.slot));
        undated.extend(join_foreign(foreign));
        undated.extend(ours);
        undated
    }

    /// Makes a record from a slot without a seal.
    fn foreign(
        &self,
        geometry: &Geometry,
        state: State,
        stamp: Option<Stamp>,
        part: Part,
    ) -> Record {
        let mut record = Record::new(Origin::Dmesg, state, part);
        record.realtime_ns = stamp.map(realtime_ns);
        self.read_title(geometry, &mut record);
        record
    }

    /// Takes from the text what no seal tells.
    fn read_title(&self, geometry: &Geometry, record: &mut Record) {
        let has_seal = record.dump.is_some();
        let Some(part) = record.parts.last_mut() else {
            return;
        };
        let start = match part.compressed {
            // The title is compressed as well.
            true => self.slot_text(geometry, part).0,
            false => self.slot_bytes(geometry, part, 2 * STAMP_MAX),
        };
        let (stamp, rest) = split_stamp(&start);
        if !has_seal && record.realtime_ns.is_none() {
            record.realtime_ns = stamp.map(realtime_ns);
        }
        if let Some(title) = Title::parse(rest) {
            let reason = String::from_utf8_lossy(title.reason).into_owned();
            record.count = Some(title.count);
            if !has_seal {
                part.number = title.part.try_into().unwrap_or(u32::MAX);
                record.reason = Some(reason);
            } else if record.reason.is_none() {
                record.reason = Some(reason);
            }
        }
    }

    /// Returns the text of a record.
    pub fn text(&self, record: &Record) -> Text {
        let mut text = Text::default();
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
            text.problems.extend(problem);
            if part.bad_blocks > 0 {
                text.problems.push(format!(
                    "slot {}: {} blocks have more errors than their parity can correct",
                    part.slot, part.bad_blocks
                ));
            }
        }
        text.problems.extend(match record.state {
            State::Damaged => Some("the text does not match its checksum".to_owned()),
            State::Torn => {
                Some("writing it did not end: text may be missing, or be older".to_owned())
            }
            State::Salvaged => {
                Some("no checksum and no header: nothing vouches for this text".to_owned())
            }
            State::Deleted => Some("this record was deleted".to_owned()),
            State::Newer => Some("written by a newer rust_ramoops: not checked".to_owned()),
            State::Partial => Some(match record.parts_total {
                Some(total) => format!("{} of {total} parts are there", record.parts.len()),
                None => "parts with older text are missing".to_owned(),
            }),
            State::Complete | State::Foreign => None,
        });
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
    fn slot_bytes(&self, geometry: &Geometry, part: &Part, max: usize) -> Vec<u8> {
        let Source::Slot(Some(extent)) = part.source else {
            return Vec::new();
        };
        // `classify()` has checked it against the length of the zone.
        let mut bytes = vec![0; (extent.size as usize).min(max)];
        let len = read_text(
            &Image(self.bytes),
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
    fn slot_text(&self, geometry: &Geometry, part: &Part) -> (Vec<u8>, Option<String>) {
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

    /// Returns what each slot holds, in the order of the slots. Empty for mtdoops.
    pub fn contents(&self) -> Vec<Content> {
        let Layout::Ramoops(geometry) = &self.layout else {
            return Vec::new();
        };
        let image = Image(self.bytes);
        (0..geometry.slots())
            .filter_map(|slot| classify(&image, geometry, slot))
            .collect()
    }
}

impl Record {
    fn new(origin: Origin, state: State, part: Part) -> Self {
        Self {
            number: None,
            origin,
            state,
            realtime_ns: None,
            boottime_ns: None,
            reason: None,
            count: None,
            description: None,
            kernel: None,
            boot_id: None,
            boot: None,
            dump: None,
            loop_start: None,
            parts_total: None,
            parts: vec![part],
        }
    }

    /// Returns how to name the record on the command line.
    pub fn id(&self) -> String {
        self.number.map_or_else(
            || self.origin.name().to_owned(),
            |number| number.to_string(),
        )
    }

    /// Returns the line that says why it was written.
    pub fn cause(&self, text: &[u8]) -> Option<String> {
        match (&self.description, self.origin) {
            (Some(description), _) => Some(description.clone()),
            (None, Origin::Dmesg | Origin::Mtdoops) => text::cause(text),
            (None, _) => None,
        }
    }
}

fn realtime_ns(stamp: Stamp) -> i128 {
    i128::from(stamp.secs) * 1_000_000_000 + i128::from(stamp.nanos)
}

/// Splits the stamp off.
fn split_stamp(payload: &[u8]) -> (Option<Stamp>, &[u8]) {
    match Stamp::parse(&payload[..payload.len().min(STAMP_MAX)]) {
        Some(stamp) => (Some(stamp), &payload[stamp.len..]),
        None => (None, payload),
    }
}

fn field(bytes: &[u8]) -> Option<String> {
    (!bytes.is_empty()).then(|| String::from_utf8_lossy(bytes).into_owned())
}

/// Makes a record of sealed parts that claim to be of the same dump. A number that is there twice
/// makes a record of its own.
fn join_sealed(mut parts: Vec<(Seal, State, Part)>) -> Vec<Record> {
    // The best and newest first, so that copies of a part come after it.
    parts.sort_by_key(|(seal, state, _)| (seal.part, *state, std::cmp::Reverse(seal.seq)));
    let mut copies = Vec::new();
    let mut kept: Vec<(Seal, State, Part)> = Vec::new();
    for part in parts {
        match kept
            .last()
            .is_some_and(|(seal, ..)| seal.part == part.0.part)
        {
            true => copies.push(vec![part]),
            false => kept.push(part),
        }
    }
    std::iter::once(kept)
        .chain(copies)
        .filter_map(sealed_record)
        .collect()
}

/// Makes a record of sealed parts, in ascending order of their numbers.
fn sealed_record(parts: Vec<(Seal, State, Part)>) -> Option<Record> {
    let seal = parts.first()?.0;
    let parts_total = parts
        .iter()
        .map(|(seal, ..)| seal.parts)
        .find(|parts| *parts != 0);
    let worst = parts.iter().map(|(_, state, _)| *state).max()?;
    let is_all = parts_total.is_some_and(|total| parts.len() as u64 == u64::from(total));
    let state = match worst {
        State::Complete if !is_all => State::Partial,
        worst => worst,
    };
    let (.., last) = parts.last()?;
    let mut record = Record::new(Origin::Dmesg, state, last.clone());
    record.realtime_ns = Some(seal.realtime_ns.into());
    record.boottime_ns = Some(seal.boottime_ns);
    record.reason = reason_name(seal.reason).map(str::to_owned);
    record.description = field(seal.description());
    record.kernel = field(seal.release());
    record.boot_id = Some(format!("{:032x}", u128::from_be_bytes(seal.boot_id)));
    record.dump = Some(seal.dump);
    record.loop_start = (seal.loop_start != 0).then_some(seal.loop_start);
    record.parts_total = parts_total;
    record.parts = parts.into_iter().rev().map(|(.., part)| part).collect();
    Some(record)
}

/// `enum kmsg_dump_reason`.
fn reason_name(reason: u32) -> Option<&'static str> {
    match reason {
        1 => Some("Panic"),
        2 => Some("Oops"),
        3 => Some("Emergency"),
        4 => Some("Shutdown"),
        _ => None,
    }
}

/// Joins the parts of mainline's dumps: neighbours in time with the same title and falling numbers.
fn join_foreign(mut records: Vec<Record>) -> Vec<Record> {
    records.sort_by_key(|record| {
        let slot = record.parts.first().map(|part| part.slot);
        (record.realtime_ns, slot)
    });
    let mut joined: Vec<Record> = Vec::new();
    for mut record in records {
        let next = record.parts.last().map_or(1, |part| part.number);
        let previous = joined.last_mut().filter(|previous| {
            let number = previous.parts.first().map_or(0, |part| part.number);
            let apart = record.realtime_ns.zip(previous.realtime_ns);
            record.state == State::Foreign
                && previous.state == State::Foreign
                && record.reason.is_some()
                && (&record.reason, record.count) == (&previous.reason, previous.count)
                && number.checked_add(1) == Some(next)
                && apart.is_some_and(|(later, earlier)| later - earlier < DUMP_NS)
        });
        match previous {
            Some(previous) => previous
                .parts
                .splice(0..0, record.parts.drain(..))
                .for_each(drop),
            None => joined.push(record),
        }
    }
    joined
}

/// Numbers the boots that are known, beginning with the oldest.
fn number_boots(records: &mut [Record]) {
    let mut boots: HashMap<String, usize> = HashMap::new();
    for record in records {
        if let Some(id) = &record.boot_id {
            let next = boots.len() + 1;
            record.boot = Some(*boots.entry(id.clone()).or_insert(next));
        }
    }
}
