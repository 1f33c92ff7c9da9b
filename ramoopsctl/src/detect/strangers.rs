// SPDX-License-Identifier: GPL-2.0

//! Finds records of stock ramoops in a region of ours that lie where its zone map has no zone: it was
//! loaded there with other parameters.

use ringbuf::{
    classify,
    layout::{
        Header,
        HEADER_LEN,
        SIG, //
    },
    Geometry,
    Kind, //
};

use super::{
    evidence::Hit,
    guess::explain,
    hints::Hints,
    pmsg,
    seals::{
        Group,
        Seals, //
    },
    Place, //
};
use crate::image::Image;

/// What was found.
#[derive(Default)]
pub(super) struct Strangers {
    /// The zone map that most of them speak for, and how many records it shows.
    pub(super) found: Option<(Geometry, usize)>,
    /// Where in the region the others lie.
    pub(super) rest: Vec<usize>,
}

/// Looks for records that neither the zone map of the region at `place` nor the seals explain.
pub(super) fn find(bytes: &[u8], place: &Place, geometry: &Geometry, seals: &Seals) -> Strangers {
    let region = &bytes[place.offset..place.offset + place.len];
    let has_pmsg = has_pmsg(region, place, geometry);
    let is_free = |hit: &Hit| {
        let at = place.offset + hit.offset;
        let offset = place.missing + hit.offset;
        let is_known = is_zone(geometry, offset, &hit.header)
            || seals.zones.contains(&at)
            || seals.vouched.overlap(at..at + HEADER_LEN)
            || (has_pmsg && is_in_pmsg(geometry, offset));
        !is_known
    };
    let (evidence, other) = explain(region, is_free, &Hints::default());
    let inside = evidence.inside.iter().copied();
    let in_region = |at| place.missing + at;
    let mut rest: Vec<usize> = evidence.records().chain(inside).map(in_region).collect();
    rest.sort_unstable();
    // Of a part of a region it is not known how it was divided.
    if rest.is_empty() || region.len() != geometry.mem_size() {
        return Strangers { found: None, rest };
    }
    let Some((other, _)) = other else {
        return Strangers { found: None, rest };
    };
    let count = rest.len();
    rest.retain(|at| !is_shown(region, &other, *at));
    let shown = count - rest.len();
    Strangers {
        found: (shown > 0).then_some((other, shown)),
        rest,
    }
}

/// Whether the file is a region of stock ramoops, and all that tells of a group lies in its pmsg zone.
pub(super) fn hold_in_pmsg(bytes: &[u8], group: &Group, seals: &Seals) -> bool {
    let is_free = |hit: &Hit| {
        let header = hit.offset..hit.offset + HEADER_LEN;
        !seals.zones.contains(&hit.offset) && !seals.vouched.overlap(header)
    };
    let (evidence, found) = explain(bytes, is_free, &Hints::default());
    let Some((geometry, _)) = found else {
        return false;
    };
    let mut records = evidence.records();
    let is_theirs = records.any(|at| is_shown(bytes, &geometry, at));
    // The guess may take the zone for that of the console, and its size is a guess as well. The
    // header tells how much programs wrote; what an earlier boot left lies behind that.
    let begins = [geometry.console().0, geometry.pmsg().0];
    let headers = evidence.headers.iter();
    let written = headers
        .filter(|hit| begins.contains(&hit.offset))
        .map(Hit::data);
    let mut zones = written.chain(pmsg::zone(bytes, 0, &geometry));
    is_theirs && zones.any(|zone| zone.start <= group.first && group.last < zone.end)
}

/// Whether there may be such a header at the beginning of a zone, and it lies there.
fn is_zone(geometry: &Geometry, offset: usize, header: &Header) -> bool {
    let (console, console_len) = geometry.console();
    if offset < console {
        let size = header.size as usize;
        return offset % geometry.stride() == 0 && size <= geometry.data_capacity();
    }
    let (pmsg, pmsg_len) = geometry.pmsg();
    (offset == console && console_len != 0) || (offset == pmsg && pmsg_len != 0)
}

/// Whether programs write to a zone of the region.
fn has_pmsg(region: &[u8], place: &Place, geometry: &Geometry) -> bool {
    let (pmsg, len) = geometry.pmsg();
    let zone = pmsg
        .checked_sub(place.missing)
        .and_then(|at| region.get(at..));
    len != 0 && zone.is_some_and(|zone| zone.starts_with(&SIG.to_ne_bytes()))
}

/// Whether something lies where they do.
fn is_in_pmsg(geometry: &Geometry, offset: usize) -> bool {
    let (pmsg, len) = geometry.pmsg();
    (pmsg..pmsg + len).contains(&offset)
}

/// Whether a zone map shows the record whose header is at `at`.
pub(super) fn is_shown(region: &[u8], geometry: &Geometry, at: usize) -> bool {
    let stride = geometry.stride();
    let content = classify(&Image::new(region), geometry, at / stride);
    at % stride == 0 && content.is_some_and(|content| matches!(content.kind, Kind::Foreign(_)))
}
