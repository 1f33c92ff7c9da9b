// SPDX-License-Identifier: GPL-2.0

//! Finds regions by the seals in them: each one tells where its region begins and how that is
//! divided.
//!
//! Only whole seals count: the CRC is right, and from where it lies follows where the region begins.
//! A log is text that unprivileged users have a say in, but no text can be a whole seal: version and
//! length of a seal have zero bytes, which text has not. What is not text, compressed records for
//! one, might be made to hold one. So bytes that a whole seal vouches for, those of a payload that
//! matches its checksum, are not searched. A seal follows its payload. Going from the end of the
//! bytes to their beginning, none that is vouched for is ever asked to vouch for others.

use std::{
    cmp::Reverse,
    collections::{
        HashMap,
        HashSet, //
    },
};

use memchr::memmem;
use ringbuf::{
    classify,
    layout::{
        ECC_MAX,
        SEAL_LEN,
        SEAL_MAGIC,
        SEAL_MAGIC_OFFSET, //
    },
    Geometry,
    Kind,
    Params, //
};

use super::{
    hints::Hints,
    parity,
    pmsg,
    ranges::Ranges,
    whole::Whole, //
};
use crate::image::Image;

/// To check payloads, the bytes of the file are read at most so many times: once for each set of
/// parameters with which it was in use.
const PASSES: usize = 4;

/// The budget for it is at least so many bytes.
const BUDGET_MIN: usize = 256 << 20;

/// To find out that parity cannot correct a block, or how, takes as long as to read so many bytes.
const BAD_BLOCK: usize = 1 << 16;

/// The seals that agree about a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Group {
    /// Where the region begins. It may be in front of the file.
    pub(super) base: isize,
    pub(super) geometry: Geometry,
    /// Where the first and the last seal lie in the file.
    pub(super) first: usize,
    pub(super) last: usize,
    /// How many seals there are.
    pub(super) seals: usize,
    /// How many of their records are whole.
    pub(super) records: usize,
    /// How many are damaged or torn.
    pub(super) broken: usize,
    /// How many were not read.
    pub(super) unread: usize,
    /// The newest one, by [`Whole::age`]. `None`: all of them lie where programs write to.
    pub(super) newest: Option<(u64, u64)>,
    /// The newest one of those that lie there.
    pub(super) doubtful: Option<(u64, u64)>,
}

impl Group {
    fn new(whole: &Whole) -> Self {
        Self {
            base: whole.base,
            geometry: whole.geometry,
            first: whole.at,
            last: whole.at,
            seals: 0,
            records: 0,
            broken: 0,
            unread: 0,
            newest: None,
            doubtful: None,
        }
    }

    /// Returns what is more the rather the group is the one that is meant.
    ///
    /// A copy of a region, in the page cache for one, has the same records at most.
    fn worth(&self) -> impl Ord {
        let doubtful = self.doubtful.filter(|_| self.newest.is_none());
        (self.newest, doubtful, self.records, self.seals)
    }

    /// Whether the newest seal lies where programs write to, and is newer than all of another group.
    pub(super) fn may_be_newer(&self, other: &Self) -> bool {
        self.doubtful > self.newest.max(other.newest).max(other.doubtful)
    }

    /// Whether the dmesg zones of another one are among those of this one.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let zones = |group: &Self| {
            let geometry = &group.geometry;
            (group.base, geometry.stride(), geometry.ecc_size())
        };
        zones(self) == zones(other) && self.geometry.slots() >= other.geometry.slots()
    }
}

/// What became of the record of a seal.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Whole,
    /// It is damaged or torn.
    Broken,
    /// Somebody else's lies in front of the seal.
    Foreign,
    /// The budget was used up. Those that used it may be forged.
    Unread,
    /// It was deleted, or it is not there.
    Gone,
}

impl Fate {
    fn of(kind: Option<Kind>) -> Self {
        match kind {
            Some(Kind::Sealed(_)) => Self::Whole,
            Some(Kind::Damaged(_) | Kind::Torn(_)) => Self::Broken,
            Some(Kind::Foreign(_)) => Self::Foreign,
            _ => Self::Gone,
        }
    }
}

/// What a group is known by.
type Key = (isize, [usize; 6]);

fn key(whole: &Whole) -> Key {
    let Params {
        mem_size,
        record_size,
        console_size,
        ftrace_size,
        pmsg_size,
        ecc_size,
    } = *whole.geometry.params();
    let params = [
        mem_size,
        record_size,
        console_size,
        ftrace_size,
        pmsg_size,
        ecc_size,
    ];
    (whole.base, params)
}

/// What the seals in a file say.
#[derive(Debug, Default)]
pub(super) struct Seals {
    /// The regions that they tell of, the one with the newest record first; but those that programs
    /// may have made up come last.
    pub(super) groups: Vec<Group>,
    /// The bytes that they vouch for.
    pub(super) vouched: Ranges,
    /// Where the zones begin whose headers are of their records.
    pub(super) zones: HashSet<usize>,
}

impl Seals {
    /// Finds all seals.
    pub(super) fn find(bytes: &[u8]) -> Self {
        // What both magic numbers begin with.
        let [magic @ .., _] = SEAL_MAGIC.to_le_bytes();
        let mut wholes = Vec::new();
        let mut broken = Vec::new();
        let places = memmem::find_iter(bytes, &magic)
            .filter_map(|at| at.checked_sub(SEAL_MAGIC_OFFSET))
            .filter(|at| parity::is_likely(bytes, *at));
        for at in places {
            match Whole::read(bytes, at) {
                Some(whole) => wholes.push(whole),
                None if broken.len() < parity::PLACES_MAX => broken.push(at),
                None => (),
            }
        }
        let found = Self::sort(bytes, &wholes);
        let corrected = parity::find(bytes, &broken, &found.vouched, wholes.is_empty());
        if corrected.is_empty() {
            return found;
        }
        // One of these may vouch for bytes in which others were found.
        wholes.extend(corrected);
        wholes.sort_by_key(|whole| whole.at);
        Self::sort(bytes, &wholes)
    }

    /// Sorts seals, which come in the order in which they lie, by their regions.
    fn sort(bytes: &[u8], wholes: &[Whole]) -> Self {
        let (read, vouched) = read_payloads(bytes, wholes);
        let counts = |fate| fate == Fate::Whole;
        let is_doubtful = pmsg::find(
            bytes,
            read.iter().map(|(whole, fate)| (*whole, counts(*fate))),
        );
        let read = || read.iter().copied().zip(&is_doubtful);
        let mut groups: HashMap<Key, Group> = HashMap::new();
        for ((whole, fate), is_doubtful) in read() {
            let group = groups
                .entry(key(whole))
                .or_insert_with(|| Group::new(whole));
            group.last = whole.at;
            group.seals += 1;
            match fate {
                Fate::Whole => group.records += 1,
                Fate::Broken => group.broken += 1,
                Fate::Unread => group.unread += 1,
                Fate::Foreign | Fate::Gone => (),
            }
            let newest = match is_doubtful {
                true => &mut group.doubtful,
                false => &mut group.newest,
            };
            *newest = (*newest).max(Some(whole.age));
        }
        let mut groups: Vec<Group> = groups.into_values().collect();
        groups.sort_by_key(|group| {
            let Params { mem_size, .. } = *group.geometry.params();
            (Reverse(group.worth()), group.base, mem_size)
        });
        let zones = read()
            .filter(|((_, fate), _)| *fate != Fate::Foreign)
            .filter_map(|((whole, _), _)| whole.zone());
        Self {
            groups,
            vouched,
            zones: zones.collect(),
        }
    }

    /// Returns the region that is meant.
    pub(super) fn choose(&self, bytes: &[u8], hints: &Hints) -> Option<&Group> {
        let allowed = || {
            self.groups
                .iter()
                .filter(|group| hints.allow(group.geometry.params()))
        };
        let placed = allowed()
            .filter(|_| hints.is_placed)
            .find(|group| group.base == 0 && group.geometry.mem_size() == bytes.len());
        placed.or_else(|| allowed().next())
    }
}

/// Reads the payloads of seals that come in the order in which they lie. Returns those that nothing
/// else vouches for, each with what became of its record, and the bytes that they vouch for.
fn read_payloads<'a>(bytes: &[u8], wholes: &'a [Whole]) -> (Vec<(&'a Whole, Fate)>, Ranges) {
    let mut vouched = Ranges::default();
    let mut budget = bytes.len().saturating_mul(PASSES).max(BUDGET_MIN);
    let mut read = Vec::new();
    // What programs may have written comes last, and takes nothing of the budget from others.
    let is_inside = pmsg::find(bytes, wholes.iter().map(|whole| (whole, true)));
    let (inside, outside): (Vec<_>, Vec<_>) = wholes
        .iter()
        .zip(is_inside)
        .rev()
        .partition(|(_, is_inside)| *is_inside);
    for (whole, _) in outside.into_iter().chain(inside) {
        let place = whole.at..whole.at + SEAL_LEN;
        if vouched.overlap(place.clone()) {
            continue;
        }
        vouched.insert(place);
        let size = whole.size;
        let cost = match whole.geometry.ecc_size() {
            0 => size,
            // It takes longer to correct.
            _ => size.saturating_mul(PASSES),
        };
        let left = budget.checked_sub(cost.saturating_add(SEAL_LEN));
        budget = left.unwrap_or(budget);
        let region = Image::within(bytes, whole.base);
        let content = left.and_then(|_| classify(&region, &whole.geometry, whole.slot));
        if let Some(content) = &content {
            // No more of them are corrected than there are bytes in a half of the parity.
            let wrong = content.bad_blocks + content.corrected.div_ceil(ECC_MAX / 2);
            budget = budget.saturating_sub(wrong.saturating_mul(BAD_BLOCK));
        }
        let fate = match left {
            Some(_) => Fate::of(content.map(|content| content.kind)),
            None => Fate::Unread,
        };
        if fate == Fate::Whole {
            // The payload was read, so it is all there.
            let begin = whole.at - whole.geometry.payload_capacity();
            vouched.insert(begin..begin + size);
        }
        read.push((whole, fate));
    }
    read.sort_by_key(|(whole, _)| whole.at);
    (read, vouched)
}
