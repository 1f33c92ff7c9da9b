// SPDX-License-Identifier: GPL-2.0

//! The zones of mainline's other front ends: console, pmsg and ftrace. Each is a ring.

use std::fmt::Write;

use ringbuf::{
    header,
    layout::{
        Header,
        SIG, //
    },
    read_text,
    Extent,
    Geometry,
    GeometryError,
    Params, //
};
use serde::Serialize;

use crate::image::Image;

/// `struct pstore_ftrace_record` of a 64-bit kernel: ip, parent ip, and a time with the CPU in its
/// lowest byte.
const FTRACE_RECORD: usize = 24;

/// At most so many CPUs have an ftrace zone of their own.
const CPUS_MAX: usize = 512;

/// Which zone it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ZoneKind {
    /// What was printed on the console.
    Console,
    /// What programs wrote.
    Pmsg,
    /// Functions that were called.
    Ftrace,
}

impl ZoneKind {
    /// Returns its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Console => "console",
            Self::Pmsg => "pmsg",
            Self::Ftrace => "ftrace",
        }
    }
}

/// A zone that is part of the layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zone {
    /// Which one.
    pub kind: ZoneKind,
    /// Where it begins.
    pub offset: usize,
    /// Its length.
    pub len: usize,
    /// How many bytes of text or records it holds; `None` if it has no valid header.
    pub used: Option<usize>,
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

/// Whether this is the header of an ftrace zone: its signature is mixed with the version of the
/// kernel that wrote it.
pub(crate) fn is_ftrace(header: &Header, len: usize) -> bool {
    (1..0x0100_0000).contains(&(header.sig ^ SIG))
        && header.start <= header.size
        && (header.size as usize) < len
}

fn place(geometry: &Geometry, kind: ZoneKind) -> (usize, usize) {
    match kind {
        ZoneKind::Console => geometry.console(),
        ZoneKind::Pmsg => geometry.pmsg(),
        ZoneKind::Ftrace => geometry.ftrace(),
    }
}

/// Returns all zones that the layout has, whatever they hold.
pub fn zones(bytes: &[u8], geometry: &Geometry) -> Vec<Zone> {
    [ZoneKind::Console, ZoneKind::Pmsg, ZoneKind::Ftrace]
        .into_iter()
        .map(|kind| (kind, place(geometry, kind)))
        .filter(|(_, (_, len))| *len > 0)
        .map(|(kind, (offset, len))| {
            let rings = rings(bytes, geometry, kind);
            Zone {
                kind,
                offset,
                len,
                used: rings.map(|rings| rings.iter().map(Vec::len).sum()),
            }
        })
        .collect()
}

/// Returns the zones that hold something.
pub fn logs(bytes: &[u8], geometry: &Geometry) -> Vec<Zone> {
    let mut zones = zones(bytes, geometry);
    zones.retain(|zone| zone.used.is_some_and(|used| used > 0));
    zones
}

/// Returns the contents of a zone, the oldest byte first; of the ftrace zones, one after the other.
pub fn raw(bytes: &[u8], geometry: &Geometry, kind: ZoneKind) -> Vec<u8> {
    rings(bytes, geometry, kind).unwrap_or_default().concat()
}

/// Returns the contents of a zone as text.
pub fn text(bytes: &[u8], geometry: &Geometry, kind: ZoneKind) -> Vec<u8> {
    match kind {
        ZoneKind::Console | ZoneKind::Pmsg => raw(bytes, geometry, kind),
        ZoneKind::Ftrace => ftrace_text(&rings(bytes, geometry, kind).unwrap_or_default()),
    }
}

/// Returns the rings of a zone. `None` if there is no valid header.
fn rings(bytes: &[u8], geometry: &Geometry, kind: ZoneKind) -> Option<Vec<Vec<u8>>> {
    let (offset, len) = place(geometry, kind);
    let zone = bytes.get(offset..)?.get(..len)?;
    let ecc = geometry.ecc_size();
    match kind {
        ZoneKind::Console | ZoneKind::Pmsg => {
            Some(vec![ring(zone, ecc, |header, _| header.sig == SIG)?])
        }
        // There is one for each CPU, or one for all. Nothing says how many.
        ZoneKind::Ftrace => (1..=CPUS_MAX).rev().find_map(|cpus| {
            let len = (zone.len() / cpus) & !1;
            let zones = || zone.chunks(len.max(1)).take(cpus);
            // Nothing is copied before it is known that all headers are there.
            if !zones().all(|zone| ring_extent(zone, ecc, is_ftrace).is_some()) {
                return None;
            }
            zones().map(|zone| ring(zone, ecc, is_ftrace)).collect()
        }),
    }
}

/// Returns the layout of one ring, and where its contents lie.
fn ring_extent(
    zone: &[u8],
    ecc: usize,
    is_header: impl Fn(&Header, usize) -> bool,
) -> Option<(Geometry, Extent)> {
    let geometry = one_zone(zone.len(), ecc).ok()?;
    let header = header(&Image::new(zone), &geometry, 0)?;
    let Header { start, size, .. } = header;
    let is_valid = is_header(&header, zone.len())
        && start <= size
        && size as usize <= geometry.data_capacity();
    is_valid.then_some((geometry, Extent { start, size }))
}

/// Returns the contents of one ring, the oldest byte first.
fn ring(zone: &[u8], ecc: usize, is_header: impl Fn(&Header, usize) -> bool) -> Option<Vec<u8>> {
    let (geometry, extent) = ring_extent(zone, ecc, is_header)?;
    let mut bytes = vec![0; extent.size as usize];
    let len = read_text(&Image::new(zone), &geometry, 0, extent, 0, &mut bytes);
    bytes.truncate(len);
    Some(bytes)
}

/// One call of a function.
struct Call {
    ip: u64,
    parent_ip: u64,
    time: u64,
    cpu: u8,
}

impl Call {
    fn parse(record: &[u8; FTRACE_RECORD]) -> Self {
        let word = |at: usize| {
            let bytes = record[at..].first_chunk().copied().unwrap_or_default();
            u64::from_ne_bytes(bytes)
        };
        let time = word(16);
        Self {
            ip: word(0),
            parent_ip: word(8),
            time: time >> 8,
            cpu: time as u8,
        }
    }
}

/// Prints calls as pstore does, but without names: they are not in the region.
fn ftrace_text(rings: &[Vec<u8>]) -> Vec<u8> {
    let mut calls: Vec<Call> = Vec::new();
    for ring in rings {
        // Where the ring wraps, a record is cut.
        let ring = &ring[ring.len() % FTRACE_RECORD..];
        let records = ring.chunks_exact(FTRACE_RECORD);
        calls.extend(records.filter_map(|record| Some(Call::parse(record.first_chunk()?))));
    }
    if rings.len() > 1 {
        calls.sort_by_key(|call| call.time);
    }
    let mut text = String::new();
    for Call {
        ip,
        parent_ip,
        time,
        cpu,
    } in calls
    {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "CPU:{cpu} ts:{time} {ip:016x}  {parent_ip:016x}");
    }
    text.into_bytes()
}
