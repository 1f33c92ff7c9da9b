// SPDX-License-Identifier: GPL-2.0

//! What is in the region when a store is opened, and why there is no record if there is none.

use core::ops::Deref;

use super::{
    geometry::{
        Geometry,
        Params, //
    },
    layout::{
        Header,
        HEADER_LEN,
        SEQ_LIMIT,
        ZONE_MIN, //
    },
    loops::Previous,
    memory::Memory,
    read::{
        classify,
        Content,
        Kind, //
    },
    table::{
        self,
        Slot,
        Table, //
    }, //
};

/// Sequence numbers from here on are not believed to be ours.
///
/// Nobody writes so many records. If a forged one were believed, the numbers of new records would
/// soon pass [`SEQ_LIMIT`], and the records would be invalid.
const SEQ_TRUSTED: u64 = SEQ_LIMIT >> 1;

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
    /// If there is no record of any kind: why.
    pub diagnosis: Option<Diagnosis>,
}

/// Why there is no record in the region.
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

/// Fills the slot table and the counters from the region.
pub(super) fn scan<M: Memory, T: Deref<Target = [Slot]>>(
    mem: &M,
    geometry: &Geometry,
    table: &Table<T>,
) -> (Census, Option<Previous>) {
    let mut census = Census {
        slots: table.len(),
        ..Census::default()
    };
    let mut zero = 0usize;
    let mut newest_rank = table::FREE;
    // The slots with the highest sequence number, and with the latest stamp of a foreign
    // record.
    let mut newest_seal: Option<(u64, usize)> = None;
    let mut previous = None;
    let mut newest_foreign: Option<((i64, u32), usize)> = None;

    for index in 0..table.len() {
        let Content {
            kind,
            corrected,
            bad_blocks,
        } = classify(mem, geometry, index).unwrap_or(Content {
            kind: Kind::Garbage,
            corrected: 0,
            bad_blocks: 0,
        });
        census.corrected = census.corrected.saturating_add(corrected);
        census.bad_blocks = census.bad_blocks.saturating_add(bad_blocks);
        let count = match kind {
            Kind::Sealed(_) => &mut census.sealed,
            Kind::Foreign(_) => &mut census.foreign,
            Kind::Newer { .. } => &mut census.newer,
            Kind::Damaged(_) => &mut census.damaged,
            Kind::Salvaged { .. } => &mut census.salvaged,
            Kind::Torn => &mut census.torn,
            Kind::Cleared(_) => &mut census.cleared,
            Kind::Empty => &mut census.empty,
            Kind::Zero | Kind::Erased => &mut census.blank,
            Kind::Garbage => &mut census.garbage,
        };
        *count = count.saturating_add(1);
        if let Kind::Zero = kind {
            zero = zero.saturating_add(1);
        }

        // Any seal will do here: numbers are not to be used again while one is there.
        let seq = match kind {
            Kind::Sealed(seal) | Kind::Damaged(seal) | Kind::Cleared(Some(seal)) => Some(seal.seq),
            Kind::Foreign(foreign) => foreign.covered_seq,
            _ => None,
        };
        if let Some(seq) = seq.filter(|seq| *seq < SEQ_TRUSTED) {
            if newest_seal.is_none_or(|(newest, _)| seq > newest) {
                newest_seal = Some((seq, index));
                // A loop ends when its newest record was deleted: someone was there.
                previous = match kind {
                    Kind::Sealed(seal) | Kind::Damaged(seal) => Some(Previous::new(&seal)),
                    _ => None,
                };
            }
        }

        let value = match kind {
            Kind::Sealed(seal) if seal.seq < SEQ_TRUSTED => {
                match table::rank(seal.dump, seal.part) {
                    // A second copy of the newest record must not be protected as well:
                    // with many of them no slot would be left.
                    rank if rank == newest_rank => table::FOREIGN,
                    rank => {
                        newest_rank = newest_rank.max(rank);
                        rank
                    }
                }
            }
            Kind::Foreign(foreign) => {
                let time = (foreign.stamp.secs, foreign.stamp.nanos);
                if newest_foreign.is_none_or(|(newest, _)| time > newest) {
                    newest_foreign = Some((time, index));
                }
                table::FOREIGN
            }
            Kind::Sealed(_) | Kind::Newer { .. } => table::FOREIGN,
            Kind::Salvaged { .. } => table::SALVAGED,
            _ => table::FREE,
        };
        table.set(index, value);
    }

    // Foreign records are older than ours. Among themselves, the newest one is protected.
    if let (table::FREE, Some((_, index))) = (newest_rank, newest_foreign) {
        newest_rank = table::FOREIGN_NEWEST;
        table.set(index, table::FOREIGN_NEWEST);
    }
    table.set_newest(newest_rank);
    let newest_foreign = newest_foreign.map(|(_, index)| index);
    let newest = newest_seal.map(|(_, index)| index).or(newest_foreign);
    if let Some(index) = newest {
        table.start_behind(index);
    }
    census.newest_seq = newest_seal.map(|(seq, _)| seq);
    census.diagnosis = diagnose(mem, geometry, &census, zero);
    (census, previous)
}

/// Tells why there is no record. `zero` is the number of zones filled with 0x00.
fn diagnose<M: Memory>(
    mem: &M,
    geometry: &Geometry,
    census: &Census,
    zero: usize,
) -> Option<Diagnosis> {
    let records = [
        census.sealed,
        census.foreign,
        census.newer,
        census.damaged,
        census.salvaged,
        census.torn,
    ];
    if records != [0; 6] {
        return None;
    }
    Some(if zero == census.slots {
        Diagnosis::ZeroFilled
    } else if zero == 0 && census.blank == census.slots {
        Diagnosis::Erased
    } else if let Some(record_size) = guess_record_size(mem, geometry) {
        Diagnosis::OtherGeometry { record_size }
    } else if census.garbage == 0 {
        Diagnosis::Cleared
    } else {
        Diagnosis::Garbage
    })
}

/// Looks for headers of records where another `record_size` would put them.
fn guess_record_size<M: Memory>(mem: &M, geometry: &Geometry) -> Option<usize> {
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
                if hits > 0 && best.is_none_or(|(most, _)| hits >= most) {
                    best = Some((hits, record_size));
                }
                // Zone 0 begins at the same place in all geometries. It says something only
                // if its record is too long for ours; then the smallest zone that can hold
                // it is likely.
                if first_only.is_none()
                    && other.data_capacity() > geometry.data_capacity()
                    && is_record_at(mem, &other, 0)
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
