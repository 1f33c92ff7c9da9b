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
    collections::HashMap, //
};

use memchr::memmem;
use ringbuf::{
    classify,
    layout::{
        SEAL_LEN,
        SEAL_MAGIC,
        SEAL_MAGIC_OFFSET, //
    },
    seq::Order,
    Geometry,
    Kind,
    Params,
    Seal, //
};

use super::{
    hints::Hints,
    parity,
    ranges::Ranges, //
};
use crate::image::{
    Image,
    Window, //
};

/// Of a region that begins in front of the file, so much may be missing, or as much as is there.
const MISSING_MAX: usize = 16 << 20;

/// To check payloads, the bytes of the file are read at most so many times: once for each set of
/// parameters with which it was in use.
const PASSES: usize = 4;

/// A whole seal.
#[derive(Clone, Copy)]
pub(super) struct Whole {
    /// Where it lies in the file.
    pub(super) at: usize,
    pub(super) seal: Seal,
    pub(super) geometry: Geometry,
    /// Where its region begins. It may be in front of the file.
    base: isize,
}

impl Whole {
    /// Returns what can be concluded from a seal that lies at `at`.
    pub(super) fn new(bytes: &[u8], at: usize, seal: Seal) -> Option<Self> {
        let geometry = Geometry::new(seal.params).ok()?;
        let offset = isize::try_from(geometry.seal_offset(seal.slot)?).ok()?;
        let base = isize::try_from(at).ok()?.checked_sub(offset)?;
        let missing = usize::try_from(base.checked_neg()?).unwrap_or(0);
        let is_right = *geometry.params() == seal.params
            && geometry.is_place_of(&seal, seal.slot)
            && missing <= bytes.len().max(MISSING_MAX);
        is_right.then_some(Self {
            at,
            seal,
            geometry,
            base,
        })
    }

    fn read(bytes: &[u8], at: usize) -> Option<Self> {
        let raw = bytes.get(at..)?.first_chunk::<SEAL_LEN>()?;
        Self::new(bytes, at, Seal::decode::<Image<'_>>(raw)?)
    }
}

/// The seals that agree about a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Group {
    /// Where the region begins. It may be in front of the file.
    pub(super) base: isize,
    pub(super) geometry: Geometry,
    /// How many seals there are.
    pub(super) seals: usize,
    /// How many of their records are whole.
    pub(super) records: usize,
    /// The newest one, as `Order` ranks it.
    rank: u64,
}

impl Group {
    /// Whether the dmesg zones of another one are among those of this one.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let zones = |group: &Self| {
            let geometry = &group.geometry;
            (group.base, geometry.stride(), geometry.ecc_size())
        };
        zones(self) == zones(other) && self.geometry.slots() >= other.geometry.slots()
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
    } = whole.seal.params;
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
    /// The regions that they tell of, the one with the newest record first.
    pub(super) groups: Vec<Group>,
    /// The bytes that they vouch for.
    pub(super) vouched: Ranges,
}

impl Seals {
    /// Finds all seals.
    pub(super) fn find(bytes: &[u8]) -> Self {
        // What both magic numbers begin with.
        let [magic @ .., _] = SEAL_MAGIC.to_le_bytes();
        let places: Vec<usize> = memmem::find_iter(bytes, &magic)
            .filter_map(|at| Some(Whole::read(bytes, at.checked_sub(SEAL_MAGIC_OFFSET)?)?.at))
            .collect();
        match places.is_empty() {
            true => Self::sort(bytes, parity::find(bytes).into_iter().rev()),
            false => {
                let wholes = places.into_iter().rev();
                Self::sort(bytes, wholes.filter_map(|at| Whole::read(bytes, at)))
            }
        }
    }

    /// Sorts seals, the last one first, by their regions.
    fn sort(bytes: &[u8], wholes: impl Iterator<Item = Whole>) -> Self {
        let mut vouched = Ranges::default();
        let mut budget = bytes.len().saturating_mul(PASSES);
        let mut order = Order::default();
        let mut groups: HashMap<Key, Group> = HashMap::new();
        let mut seqs: Vec<(Key, u64)> = Vec::new();
        for whole in wholes {
            let place = whole.at..whole.at + SEAL_LEN;
            if vouched.overlap(place.clone()) {
                continue;
            }
            vouched.insert(place);
            let key = key(&whole);
            let group = groups.entry(key).or_insert(Group {
                base: whole.base,
                geometry: whole.geometry,
                seals: 0,
                records: 0,
                rank: 0,
            });
            group.seals += 1;
            let size = whole.seal.size as usize;
            let cost = match whole.geometry.ecc_size() {
                0 => size,
                // It takes longer to correct.
                _ => size.saturating_mul(PASSES),
            };
            let left = budget.checked_sub(cost.saturating_add(SEAL_LEN));
            budget = left.unwrap_or(budget);
            let window = Window {
                bytes,
                base: whole.base,
            };
            let content = left.and_then(|_| classify(&window, &whole.geometry, whole.seal.slot));
            if content.is_some_and(|content| matches!(content.kind, Kind::Sealed(_))) {
                group.records += 1;
                // The payload was read, so it is all there.
                let begin = whole.at - whole.geometry.payload_capacity();
                vouched.insert(begin..begin + size);
            }
            order.note(whole.seal.seq);
            seqs.push((key, whole.seal.seq));
        }
        for (key, seq) in seqs {
            if let Some(group) = groups.get_mut(&key) {
                group.rank = group.rank.max(order.rank(seq));
            }
        }
        let mut groups: Vec<Group> = groups.into_values().collect();
        // A copy of a region, in the page cache for one, has the same records at most.
        groups.sort_by_key(|group| {
            let Params { mem_size, .. } = *group.geometry.params();
            let worth = (group.rank, group.records, group.seals);
            (Reverse(worth), group.base, mem_size)
        });
        Self { groups, vouched }
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
