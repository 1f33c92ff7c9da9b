// SPDX-License-Identifier: GPL-2.0

//! Finds out where a region lies in a file and how it is divided.
//!
//! Seals tell it, wherever they are. Only if there is none, what lies in the file is compared with
//! the zone maps that mainline may have made. Each file looks only at files above it:
//!
//! - `hints`: what the user knows. `ranges`: a set of bytes.
//! - `whole`: a seal, and what follows from it. `parity` corrects seals, `pmsg` tells which ones
//!   programs may have forged.
//! - `seals` finds the regions that whole seals tell of.
//! - `candidate`, `evidence`, `guess`: a region without seals.
//! - `strangers`: records without seals in a region that has some.

mod candidate;
mod evidence;
mod guess;
mod hints;
mod parity;
mod pmsg;
mod ranges;
mod seals;
mod strangers;
mod whole;

use std::{
    borrow::Cow,
    cmp::Reverse, //
};

use ringbuf::{
    layout::{
        HEADER_LEN,
        ZONE_MIN, //
    },
    Geometry,
    GeometryError,
    Params, //
};

pub use self::hints::{
    Format,
    Hints, //
};
use self::{
    candidate::DEFAULT_SIZE,
    evidence::{
        Evidence,
        Hit, //
    },
    guess::explain,
    ranges::Ranges,
    seals::{
        Group,
        Seals, //
    }, //
};
use crate::{
    mtdoops,
    zones::one_zone, //
};

/// How the region is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// The zones of ramoops and rust_ramoops.
    Ramoops(Geometry),
    /// Pages of mtdoops, of so many bytes.
    Mtdoops(usize),
}

/// Where a region lies in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Where it begins, or what is there of it.
    pub offset: usize,
    /// How many of its bytes are there.
    pub len: usize,
    /// How many bytes are missing in front of them.
    pub missing: usize,
}

/// Records that were not shown, since they are of another region, or were stored with other
/// parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Other {
    /// Where their region lies.
    pub place: Place,
    /// How it was divided.
    pub params: Params,
    /// How many of them are whole.
    pub records: usize,
    /// How many are damaged or torn.
    pub broken: usize,
    /// How many were not checked: there were too many seals.
    pub unread: usize,
    /// Stock ramoops wrote them.
    pub is_stock: bool,
    /// The newest of them may be newer than what is shown, but lies where programs write to (pmsg).
    pub may_be_newer: bool,
}

/// What was found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// How the region is laid out.
    pub layout: Layout,
    /// Where it lies.
    pub place: Place,
    /// How many headers, seals and pages are where this layout has them.
    pub fits: usize,
    /// How many are elsewhere.
    pub strays: usize,
    /// If hardly anything fits: where the first one is. The region may begin there.
    pub elsewhere: Option<usize>,
    /// The user said what the size of a record is.
    pub is_given: bool,
    /// All that tells of this layout lies where programs write to (pmsg).
    pub is_doubtful: bool,
    /// What else there is, the newest first; but what was not checked comes last.
    pub others: Vec<Other>,
    /// Where in the region records of stock ramoops lie that no known parameters show.
    pub unexplained: Vec<usize>,
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

    /// Returns the region, from its beginning on. What is missing there is filled with zeros.
    pub fn region<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let Place {
            offset,
            len,
            missing,
        } = self.place;
        let region = &bytes[offset..offset + len];
        match missing {
            0 => region.into(),
            missing => [vec![0; missing].as_slice(), region].concat().into(),
        }
    }
}

/// Finds the layout of a region.
///
/// # Errors
///
/// If the hints make no layout for a region of this size.
pub fn detect(bytes: &[u8], hints: &Hints) -> Result<Found, GeometryError> {
    let whole = |layout, fits| Found {
        layout,
        place: Place {
            offset: 0,
            len: bytes.len(),
            missing: 0,
        },
        fits,
        strays: 0,
        elsewhere: None,
        is_given: hints.record_size.is_some(),
        is_doubtful: false,
        others: Vec::new(),
        unexplained: Vec::new(),
    };
    let pages = || mtdoops::detect(bytes, hints.record_size);
    if hints.format == Some(Format::Mtdoops) {
        let (page, fits) = pages().unwrap_or((hints.record_size.unwrap_or(DEFAULT_SIZE), 0));
        return Ok(whole(Layout::Mtdoops(page), fits));
    }
    if hints.record_size == Some(0) {
        return Err(GeometryError::RecordSizeZero);
    }

    let seals = Seals::find(bytes);
    let best = seals.choose(bytes, hints);
    let forged = best.filter(|group| strangers::hold_in_pmsg(bytes, group, &seals));
    // Who asks for it gets it all the same.
    let chosen = best.filter(|_| forged.is_none() || hints.record_size.is_some());
    let mut others: Vec<Other> = seals
        .groups
        .iter()
        .filter(|group| is_named(bytes, group, chosen))
        .map(|group| Other {
            may_be_newer: match chosen {
                Some(chosen) => group.may_be_newer(chosen),
                None => Some(group) == forged,
            },
            ..other(bytes, group)
        })
        .collect();
    // Of those of which nothing was checked, forged ones are many, and hold little each.
    others
        .sort_by_key(|other| (other.records + other.broken == 0).then_some(Reverse(other.unread)));
    if let Some(group) = chosen {
        let place = place(bytes, group);
        let strangers = strangers::find(bytes, &place, &group.geometry, &seals);
        if let Some((geometry, records)) = strangers.found {
            let stock = Other {
                place,
                params: *geometry.params(),
                records,
                broken: 0,
                unread: 0,
                is_stock: true,
                may_be_newer: false,
            };
            others.insert(0, stock);
        }
        return Ok(Found {
            place,
            is_doubtful: group.newest.is_none() || forged.is_some(),
            others,
            unexplained: strangers.rest,
            ..whole(Layout::Ramoops(group.geometry), group.seals)
        });
    }
    let (geometry, evidence) = stock(bytes, hints, &seals.vouched)?;
    let score = evidence.score(&geometry);
    if let Some((page, fits)) = pages().filter(|(_, fits)| others.is_empty() && *fits > score.fits)
    {
        return Ok(whole(Layout::Mtdoops(page), fits));
    }
    let first = evidence.records().next();
    let inside = evidence.inside.iter().copied();
    Ok(Found {
        strays: score.strays,
        unexplained: inside
            .filter(|at| !strangers::is_shown(bytes, &geometry, *at))
            .collect(),
        elsewhere: first.filter(|_| score.fits <= score.strays),
        others,
        ..whole(Layout::Ramoops(geometry), score.fits)
    })
}

/// Returns where a region lies.
fn place(bytes: &[u8], group: &Group) -> Place {
    let missing = group.base.min(0).unsigned_abs();
    let offset = group.base.max(0).unsigned_abs().min(bytes.len());
    let rest = group.geometry.mem_size().saturating_sub(missing);
    Place {
        offset,
        len: rest.min(bytes.len() - offset),
        missing,
    }
}

/// Whether records are to be named that are not shown.
fn is_named(bytes: &[u8], group: &Group, chosen: Option<&Group>) -> bool {
    let is_all = |group: &Group| group.base == 0 && group.geometry.mem_size() == bytes.len();
    // Elsewhere those of which no record is whole may be copies of the region, page by page.
    let is_here = match chosen {
        Some(chosen) => chosen.base == group.base || is_all(chosen),
        None => is_all(group),
    };
    let is_there = group.records > 0 || group.unread > 0 || (group.broken > 0 && is_here);
    is_there && !chosen.is_some_and(|chosen| chosen.covers(group))
}

fn other(bytes: &[u8], group: &Group) -> Other {
    Other {
        place: place(bytes, group),
        params: *group.geometry.params(),
        records: group.records,
        broken: group.broken,
        unread: group.unread,
        is_stock: false,
        may_be_newer: false,
    }
}

/// Finds the zone map of a region without seals.
fn stock<'a>(
    bytes: &'a [u8],
    hints: &Hints,
    vouched: &Ranges,
) -> Result<(Geometry, Evidence<'a>), GeometryError> {
    let is_free = |hit: &Hit| !vouched.overlap(hit.offset..hit.offset + HEADER_LEN);
    let (evidence, found) = explain(bytes, is_free, hints);
    if let Some((geometry, _)) = found.filter(|(_, score)| score.fits > score.strays) {
        return Ok((geometry, evidence));
    }
    let geometry = Geometry::new(Params {
        mem_size: bytes.len(),
        record_size: hints.record_size.unwrap_or(DEFAULT_SIZE),
        console_size: hints.console_size.unwrap_or(DEFAULT_SIZE),
        ftrace_size: hints.ftrace_size.unwrap_or(DEFAULT_SIZE),
        pmsg_size: hints.pmsg_size.unwrap_or(DEFAULT_SIZE),
        ecc_size: hints.ecc_size().unwrap_or(0),
    });
    let geometry = match (geometry, hints.record_size.is_none() && hints.ecc.is_none()) {
        // A small file with nothing in it is not worth an error about sizes that nobody gave.
        (Err(error), true) => one_zone(bytes.len().max(ZONE_MIN), 0).map_err(|_| error)?,
        (geometry, _) => geometry?,
    };
    Ok((geometry, evidence))
}
