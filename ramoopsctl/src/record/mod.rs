// SPDX-License-Identifier: GPL-2.0

//! What a region holds, as people think of it: crashes, each with its text, and not slots.
//!
//! `slots` looks at each slot, `join` makes dumps of them, `order` says which is newer, and `text`
//! what is in them and how far that can be trusted.

mod join;
mod order;
mod slots;
mod text;

use std::collections::HashMap;

use ringbuf::{
    classify,
    Content,
    Extent, //
};
use serde::Serialize;

use crate::{
    detect::Layout,
    image::Image,
    mtdoops,
    zones::{
        self,
        ZoneKind, //
    }, //
};

pub use self::text::Text;

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
    /// How well it was kept; never [`State::Partial`].
    pub state: State,
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
    /// The text is that of this record, and all of it: its checksum is right, or somebody wrote it who
    /// makes none.
    vouched: bool,
    source: Source,
}

impl Part {
    /// Makes one that is a record of its own, and not in a slot.
    fn new(slot: usize, offset: usize, source: Source) -> Self {
        Self {
            number: 1,
            state: State::Foreign,
            slot,
            offset,
            seq: None,
            corrected: 0,
            bad_blocks: 0,
            compressed: false,
            vouched: true,
            source,
        }
    }
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
    /// 1 is the oldest of which anything is left, deleted or not. `None` for console, pmsg and ftrace,
    /// which are known by their name.
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

    /// Whether rust_ramoops wrote it, as its seal says.
    fn is_ours(&self) -> bool {
        self.dump.is_some() || self.state == State::Newer
    }

    /// Returns the first of its slots.
    fn slot(&self) -> usize {
        self.parts.first().map_or(0, |part| part.slot)
    }
}

/// Returns the newest whole record, and those that are newer, but not whole.
pub fn latest(records: &[Record]) -> (Option<&Record>, Vec<&Record>) {
    let is_dump = |record: &&Record| record.number.is_some() && record.state != State::Deleted;
    let dumps: Vec<&Record> = records.iter().filter(is_dump).collect();
    match dumps.iter().rposition(|record| record.state.is_whole()) {
        Some(at) => (Some(dumps[at]), dumps[at + 1..].to_vec()),
        None => (None, dumps),
    }
}

/// Returns the newest whole record of rust_ramoops, and those of it that are newer, but not whole, if
/// the latest one is not of rust_ramoops: then it is that by its clock, which may have been wrong.
pub fn outdone(records: &[Record]) -> Vec<&Record> {
    let Some(latest) = latest(records).0.filter(|record| !record.is_ours()) else {
        return Vec::new();
    };
    let older = records.iter().take_while(|record| *record != latest);
    let mut ours: Vec<&Record> = older
        .filter(|record| record.is_ours() && record.state != State::Deleted)
        .collect();
    let newest = ours.iter().rposition(|record| record.state.is_whole());
    ours.split_off(newest.unwrap_or(ours.len().saturating_sub(1)))
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
    /// among them only if `deleted` is set, but have their number in any case.
    pub fn records(&self, deleted: bool) -> Vec<Record> {
        let mut records = match &self.layout {
            Layout::Ramoops(geometry) => order::arrange(self.dumps(geometry), geometry.slots()),
            Layout::Mtdoops(page) => self.pages(*page),
        };
        number_boots(&mut records);
        for (number, record) in (1..).zip(&mut records) {
            record.number = Some(number);
        }
        records.retain(|record| deleted || record.state != State::Deleted);
        if let Layout::Ramoops(geometry) = &self.layout {
            let logs = zones::logs(self.bytes, geometry).into_iter().map(|zone| {
                let origin = match zone.kind {
                    ZoneKind::Console => Origin::Console,
                    ZoneKind::Pmsg => Origin::Pmsg,
                    ZoneKind::Ftrace => Origin::Ftrace,
                };
                let part = Part::new(0, zone.offset, Source::Zone(zone.kind));
                Record::new(origin, State::Foreign, part)
            });
            records.extend(logs);
        }
        records
    }

    fn pages(&self, page_size: usize) -> Vec<Record> {
        let pages = mtdoops::pages(self.bytes, page_size);
        let records = pages.into_iter().map(|page| {
            let source = Source::Page {
                begin: page.text_at,
                len: page.text_len,
            };
            let part = Part {
                seq: Some(page.seq.into()),
                ..Part::new(page.offset / page_size, page.offset, source)
            };
            Record {
                realtime_ns: page.realtime_ns.map(i128::from),
                ..Record::new(Origin::Mtdoops, State::Foreign, part)
            }
        });
        records.collect()
    }

    /// Returns what each slot holds, in the order of the slots. Empty for mtdoops.
    pub fn contents(&self) -> Vec<Content> {
        let Layout::Ramoops(geometry) = &self.layout else {
            return Vec::new();
        };
        let image = Image::new(self.bytes);
        (0..geometry.slots())
            .map_while(|slot| classify(&image, geometry, slot))
            .collect()
    }
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
