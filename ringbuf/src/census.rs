// SPDX-License-Identifier: GPL-2.0

//! What was found in the region, and why there is no record if there is none.

use super::{
    geometry::Geometry,
    kind::{
        Content,
        Kind, //
    },
    layout::{
        Header,
        Params,
        HEADER_LEN,
        ZONE_MIN, //
    },
    memory::Memory, //
};

/// How many zones are looked at for each record size when guessing another geometry.
const GUESS_ZONES: usize = 64;

/// What was found in the region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// The number of slots.
    pub slots: usize,
    /// Whole records of ours.
    pub sealed: usize,
    /// Records without a seal, as mainline writes them.
    pub foreign: usize,
    /// Records with a seal of a later version.
    pub newer: usize,
    /// Records whose payload does not match their seal.
    pub damaged: usize,
    /// Text that looks like a record, without a header and without a seal.
    pub salvaged: usize,
    /// Records whose writing did not end.
    pub torn: usize,
    /// Records that were deleted.
    pub cleared: usize,
    /// Zones that mainline prepared for use.
    pub empty: usize,
    /// Zones whose header and seal are all 0x00 or all 0xff.
    pub blank: usize,
    /// Zones with something else.
    pub garbage: usize,
    /// Wrong bytes in all records which the parity could correct.
    pub corrected: usize,
    /// Blocks in all records, headers included, which it could not.
    pub bad_blocks: usize,
    /// The slot that the next record takes.
    pub next: Option<usize>,
    /// The highest sequence number in a seal, be it of a deleted, damaged or overwritten record.
    pub newest_seq: Option<u64>,
    /// If there is no record of ours that is whole: why, as far as it can be told.
    pub diagnosis: Option<Diagnosis>,
}

/// Why there is no record of ours in the region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Diagnosis {
    /// All zones are filled with 0x00: lost power, or never used.
    ZeroFilled,
    /// All zones are filled with 0xff.
    Erased,
    /// The zones were in use, and there is no record in them any more.
    Cleared,
    /// The zones hold something else: firmware or another kernel used the memory.
    Garbage,
    /// Records were written with another `record_size`.
    OtherGeometry {
        /// The most likely one.
        record_size: usize,
    },
}

impl Census {
    /// Counts what is in a slot.
    pub(super) fn count(&mut self, content: &Content) {
        self.corrected = self.corrected.saturating_add(content.corrected);
        self.bad_blocks = self.bad_blocks.saturating_add(content.bad_blocks);
        let count = match content.kind {
            Kind::Sealed(_) => &mut self.sealed,
            Kind::Foreign(_) => &mut self.foreign,
            Kind::Newer { .. } => &mut self.newer,
            Kind::Damaged(_) => &mut self.damaged,
            Kind::Salvaged { .. } => &mut self.salvaged,
            Kind::Torn(_) => &mut self.torn,
            Kind::Cleared(_) => &mut self.cleared,
            Kind::Empty => &mut self.empty,
            Kind::Zero | Kind::Erased => &mut self.blank,
            Kind::Garbage => &mut self.garbage,
        };
        *count = count.saturating_add(1);
    }
}

/// Tells why there is no record. `zero` is the number of zones filled with 0x00.
pub(super) fn diagnose<M: Memory>(
    mem: &M,
    geometry: &Geometry,
    census: &Census,
    zero: usize,
) -> Option<Diagnosis> {
    // A whole record says that the layout is the right one.
    if census.sealed != 0 {
        return None;
    }
    if let Some(record_size) = guess_record_size(mem, geometry) {
        return Some(Diagnosis::OtherGeometry { record_size });
    }
    let records = [
        census.foreign,
        census.newer,
        census.damaged,
        census.salvaged,
        census.torn,
    ];
    if records != [0; 5] {
        return None;
    }
    Some(if zero == census.slots {
        Diagnosis::ZeroFilled
    } else if zero == 0 && census.blank == census.slots {
        Diagnosis::Erased
    } else if census.garbage == 0 {
        Diagnosis::Cleared
    } else {
        Diagnosis::Garbage
    })
}

/// Looks for headers of records where another `record_size` would put them, if that explains more
/// of them than ours does.
fn guess_record_size<M: Memory>(mem: &M, geometry: &Geometry) -> Option<usize> {
    let ours = count_hits(mem, geometry);
    let mut best: Option<(usize, usize)> = None;
    let mut first_only = None;
    let mut record_size = ZONE_MIN.next_power_of_two();
    while record_size <= geometry.mem_size() {
        let other = Geometry::new(Params {
            record_size,
            ..*geometry.params()
        });
        if let Ok(other) = other {
            if other.stride() != geometry.stride() {
                let hits = count_hits(mem, &other);
                // Half of the true record size hits the same headers: the larger one wins.
                if hits > ours && best.is_none_or(|(most, _)| hits >= most) {
                    best = Some((hits, record_size));
                }
                // Zone 0 begins at the same place in all geometries. It says something only
                // if its record is too long for ours; then the smallest zone that can hold
                // it is likely.
                if first_only.is_none()
                    && is_record_at(mem, &other, 0)
                    && !is_record_at(mem, geometry, 0)
                {
                    first_only = Some(record_size);
                }
            }
        }
        record_size = match record_size.checked_mul(2) {
            Some(next) => next,
            None => break,
        };
    }
    best.map(|(_, record_size)| record_size).or(first_only)
}

/// Counts the zones of another geometry which have the header of a record.
fn count_hits<M: Memory>(mem: &M, other: &Geometry) -> usize {
    // Not `count()`, which checks for overflow, that is can panic.
    (1..other.slots().min(GUESS_ZONES))
        .filter(|slot| is_record_at(mem, other, *slot))
        .fold(0usize, |hits, _| hits.saturating_add(1))
}

fn is_record_at<M: Memory>(mem: &M, other: &Geometry, slot: usize) -> bool {
    let mut raw = [0; HEADER_LEN];
    other
        .slot_offset(slot)
        .is_some_and(|offset| mem.read(offset, &mut raw))
        && Header::decode(&raw).is_plausible(other.data_capacity())
}
