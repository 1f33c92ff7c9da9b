// SPDX-License-Identifier: GPL-2.0

//! What is printed as JSON. `docs/json.md` describes it.

use std::rc::Rc;

use serde::{
    Serialize,
    Serializer, //
};

use crate::{
    detect::{
        Found,
        Layout as RegionLayout, //
    },
    record::{
        self,
        Origin,
        Region,
        State, //
    },
    text::{
        lines,
        Line, //
    },
    time, //
};

/// The version of the documents. It changes if a field goes or gets another meaning.
pub const SCHEMA: u32 = 1;

/// What `list` and `show` print.
#[derive(Debug, Serialize)]
pub struct Report<'a> {
    /// See [`SCHEMA`].
    pub schema: u32,
    /// The file or device.
    pub source: &'a str,
    /// The length of the region.
    pub size: usize,
    /// How it is divided.
    pub layout: Layout,
    /// The records, the newest last.
    pub records: Records<'a>,
    /// Those that are newer than the newest whole one, by their names: `show` leaves them out.
    pub left_out: Vec<String>,
}

/// Records, of which only one at a time is in memory.
#[derive(Debug)]
pub struct Records<'a> {
    /// Where they are.
    pub region: Region<'a>,
    /// Which ones.
    pub records: Vec<&'a record::Record>,
    /// With their text.
    pub with_text: bool,
}

impl Serialize for Records<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let records = self.records.iter();
        serializer
            .collect_seq(records.map(|record| Record::new(&self.region, record, self.with_text)))
    }
}

/// How a region is divided.
#[derive(Debug, Serialize)]
pub struct Layout {
    /// `ramoops` or `mtdoops`.
    pub format: &'static str,
    /// Whether the contents of the region speak for this.
    pub certain: bool,
    /// As the module parameter.
    pub record_size: usize,
    /// The distance of two slots.
    pub stride: usize,
    /// The number of slots or pages.
    pub slots: usize,
    /// As the module parameter.
    pub console_size: usize,
    /// As the module parameter.
    pub pmsg_size: usize,
    /// As the module parameter.
    pub ftrace_size: usize,
    /// Bytes of parity per block.
    pub ecc: usize,
}

impl Layout {
    /// Makes it from what was found in a region of `size` bytes.
    pub fn new(found: &Found, size: usize) -> Self {
        match found.layout {
            RegionLayout::Ramoops(geometry) => {
                let params = geometry.params();
                Self {
                    format: "ramoops",
                    certain: found.is_certain(),
                    record_size: params.record_size,
                    stride: geometry.stride(),
                    slots: geometry.slots(),
                    console_size: params.console_size,
                    pmsg_size: params.pmsg_size,
                    ftrace_size: params.ftrace_size,
                    ecc: params.ecc_size,
                }
            }
            RegionLayout::Mtdoops(page) => Self {
                format: "mtdoops",
                certain: found.is_certain(),
                record_size: page,
                stride: page,
                slots: size / page,
                console_size: 0,
                pmsg_size: 0,
                ftrace_size: 0,
                ecc: 0,
            },
        }
    }
}

/// A record.
#[derive(Debug, Serialize)]
pub struct Record {
    /// How to name it on the command line.
    pub id: String,
    /// 1 is the oldest of which anything is left.
    pub number: Option<usize>,
    /// Which front end wrote it.
    pub origin: Origin,
    /// How well it was kept.
    pub state: State,
    /// Wall-clock time, RFC 3339.
    pub time: Option<String>,
    /// The same in nanoseconds since 1970.
    pub realtime_ns: Option<i64>,
    /// Nanoseconds since boot.
    pub boottime_ns: Option<u64>,
    /// "Panic", "Oops", ...
    pub reason: Option<String>,
    /// Which dump of its boot it was.
    pub count: Option<u64>,
    /// The line that says what went wrong.
    pub cause: Option<String>,
    /// What the kernel gave as a reason.
    pub description: Option<String>,
    /// Kernel release.
    pub kernel: Option<String>,
    /// Number of the boot within the region.
    pub boot: Option<usize>,
    /// Random number of the boot.
    pub boot_id: Option<String>,
    /// Number of the dump.
    pub dump: Option<u64>,
    /// The dump with which a loop of crashes began.
    pub loop_start: Option<u64>,
    /// Lines of text.
    pub lines: usize,
    /// Bytes of text.
    pub bytes: usize,
    /// How many parts there were.
    pub parts_total: Option<u32>,
    /// The parts that are there, the one with the oldest text first.
    pub parts: Vec<Part>,
    /// What is wrong with it.
    pub problems: Vec<String>,
    /// The text, in `show` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<Text>,
    /// The text taken apart, in `show` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<Log>,
}

/// A part of a record.
#[derive(Debug, Serialize)]
pub struct Part {
    /// Part 1 has the newest text.
    pub number: u32,
    /// How well it was kept.
    pub state: State,
    /// Number of the slot or page.
    pub slot: usize,
    /// Where it begins in the region.
    pub offset: usize,
    /// Sequence number.
    pub seq: Option<u64>,
    /// Bytes that parity corrected.
    pub corrected: usize,
    /// Blocks that it could not correct.
    pub bad_blocks: usize,
    /// Whether the text is compressed.
    pub compressed: bool,
}

/// A line of the kernel log.
#[derive(Debug, Serialize)]
pub struct LogLine {
    /// Severity.
    pub level: Option<u8>,
    /// Facility.
    pub facility: Option<u8>,
    /// Seconds since boot, as printed.
    pub time: Option<String>,
    /// Who wrote it.
    pub caller: Option<String>,
    /// The message.
    pub message: String,
}

/// The text of a record as a string.
#[derive(Debug)]
pub struct Text(Rc<Vec<u8>>);

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&String::from_utf8_lossy(&self.0))
    }
}

/// The text of a record as lines.
#[derive(Debug)]
pub struct Log(Rc<Vec<u8>>);

impl Serialize for Log {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(lines(&self.0).map(|line| LogLine::new(&Line::parse(line))))
    }
}

impl LogLine {
    fn new(line: &Line<'_>) -> Self {
        Self {
            level: line.level,
            facility: line.facility,
            time: line.time.map(str::to_owned),
            caller: line.caller.map(str::to_owned),
            message: String::from_utf8_lossy(line.message).into_owned(),
        }
    }
}

impl Record {
    /// Makes it from a record. The text itself is left out unless `with_text` is set.
    pub fn new(region: &Region<'_>, record: &record::Record, with_text: bool) -> Self {
        let text = region.text(record);
        let bytes = Rc::new(text.bytes);
        Self {
            id: record.id(),
            number: record.number,
            origin: record.origin,
            state: record.state,
            time: record.realtime_ns.and_then(time::rfc3339),
            realtime_ns: record.realtime_ns.and_then(|ns| ns.try_into().ok()),
            boottime_ns: record.boottime_ns,
            reason: record.reason.clone(),
            count: record.count,
            cause: text.cause,
            description: record.description.clone(),
            kernel: record.kernel.clone(),
            boot: record.boot,
            boot_id: record.boot_id.clone(),
            dump: record.dump,
            loop_start: record.loop_start,
            lines: lines(&bytes).count(),
            bytes: bytes.len(),
            parts_total: record.parts_total,
            parts: record.parts.iter().map(Part::new).collect(),
            problems: text.problems,
            text: with_text.then(|| Text(Rc::clone(&bytes))),
            log: with_text.then_some(Log(bytes)),
        }
    }
}

impl Part {
    fn new(part: &record::Part) -> Self {
        Self {
            number: part.number,
            state: part.state,
            slot: part.slot,
            offset: part.offset,
            seq: part.seq,
            corrected: part.corrected,
            bad_blocks: part.bad_blocks,
            compressed: part.compressed,
        }
    }
}
