// SPDX-License-Identifier: GPL-2.0

//! The store: chooses the slots and writes the records.
//!
//! [`Store::open`] reads the whole region once and fills the slot table. From then on the table
//! is the only truth: a dump takes no length, no offset and no decision from the region, which may
//! have been overwritten with anything in the meantime.

use core::{
    ops::{
        Deref,
        Range, //
    },
    sync::atomic::{
        AtomicU64,
        AtomicUsize,
        Ordering, //
    }, //
};

use super::{
    layout::{
        self,
        Encoding,
        Geometry,
        Header,
        Params,
        Prefix,
        Seal,
        ECC_BLOCK,
        ECC_MAX,
        HEADER_LEN,
        HEADER_START,
        PART_MAX,
        SEAL_MAGIC_OFFSET,
        SEQ_LIMIT,
        SIG,
        ZONE_MIN, //
    },
    read::{
        classify,
        seal_of,
        Content,
        Kind, //
    }, //
};

/// Access to the region.
#[expect(clippy::len_without_is_empty)]
pub trait Memory {
    /// Returns the length of the region.
    fn len(&self) -> usize;

    /// Copies bytes out. `false`, and nothing copied, if the range leaves the region.
    fn read(&self, offset: usize, buf: &mut [u8]) -> bool;

    /// Copies bytes in. `false`, and nothing copied, if the range leaves the region.
    fn write(&self, offset: usize, data: &[u8]) -> bool;

    /// Everything written so far within the range reaches RAM before anything written later.
    fn barrier(&self, offset: usize, len: usize);

    /// CRC-32C as the kernel's `crc32c()` has it: reflected, no inversion before or after.
    fn crc32c(crc: u32, data: &[u8]) -> u32;

    /// Computes the parity of a block of at most [`ECC_BLOCK`] bytes and puts it into `parity`,
    /// which has [`Params::ecc_size`] bytes.
    ///
    /// The code is Reed-Solomon over GF(2^8) with polynomial 0x11d, first root 0 and primitive
    /// element 1: the kernel's rslib as ramoops uses it. Called only if there is parity, and while
    /// the kernel panics.
    fn encode(&self, block: &[u8], parity: &mut [u8]) {
        let _ = (block, parity);
    }

    /// Corrects a block and its parity in place. Returns the number of wrong bytes; `None`, and
    /// nothing changed, if there are too many.
    ///
    /// Called only if there is parity, and not by a dump.
    fn decode(&self, block: &mut [u8], parity: &mut [u8]) -> Option<usize> {
        let _ = (block, parity);
        None
    }
}

/// What the table knows of one slot. The default is a free slot.
///
/// The values sort by what is to be overwritten first:
///
/// - [`FREE`]: there is nothing worth keeping.
/// - [`SALVAGED`]: text that may have been a record.
/// - [`FOREIGN`], [`FOREIGN_NEWEST`]: a record without a seal of ours.
/// - A rank, see [`rank`]: a record of ours.
/// - A rank with [`FIRST`]: a record of a dump with which a loop of crashes began.
/// - [`BUSY`]: being written.
#[derive(Debug, Default)]
pub struct Slot(AtomicU64);

const FREE: u64 = 0;
const SALVAGED: u64 = 1;
const FOREIGN: u64 = 2;
const FOREIGN_NEWEST: u64 = 3;
const FIRST: u64 = 1 << 63;
const BUSY: u64 = u64::MAX;

/// The rank of a record: older dumps first, and within a dump the part with the oldest text first,
/// so that the part with the panic itself lives longest. It is above `FOREIGN_NEWEST` and below
/// `FIRST`, since `dump` is not 0 and less than [`SEQ_LIMIT`].
fn rank(dump: u64, part: u32) -> u64 {
    dump.wrapping_shl(16) | u64::from(PART_MAX.saturating_sub(part))
}

/// The dump that the record belongs to; 0 if the value is no rank.
fn dump_of(value: u64) -> u64 {
    match value {
        BUSY => 0,
        value => (value & !FIRST).wrapping_shr(16),
    }
}

/// Whether the values are the same rank, be it that of a first dump or not.
fn is_same(a: u64, b: u64) -> bool {
    a != BUSY && b != BUSY && a & !FIRST == b & !FIRST
}

/// Sequence numbers from here on are not believed to be ours.
///
/// Nobody writes so many records. If a forged one were believed, the numbers of new records would
/// soon pass [`SEQ_LIMIT`], and the records would be invalid.
const SEQ_TRUSTED: u64 = SEQ_LIMIT >> 1;

/// How often a slot that another CPU took first is replaced by the next best one.
const CLAIM_TRIES: usize = 64;

/// How many loops of crashes are looked for in the region, beginning with the newest one.
const LOOPS: usize = 16;

/// How many zones are looked at for each record size when guessing another geometry.
const GUESS_ZONES: usize = 64;

/// How a store is to behave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// A dump that happens less than so many nanoseconds after boot continues a loop of crashes,
    /// which began with the last dump of a previous boot. The dump with which a loop began is
    /// overwritten only if there is nothing else. 0 turns this off.
    pub loop_ns: u64,
}

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

/// Why a store could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// The slot table does not have one entry per slot.
    TableLength {
        /// The number of entries needed.
        needed: usize,
    },
    /// The memory is shorter than the geometry.
    MemoryTooShort {
        /// The length needed.
        needed: usize,
    },
}

/// Why a part of a dump was not stored. Nothing was overwritten, unless it is `Memory`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// All slots are busy, protected, or used by this same dump.
    NoSlot,
    /// The text is longer than [`Dump::room`].
    TextTooLong,
    /// The dump has had its last part, or as many parts as can be numbered.
    NoMoreParts,
    /// The memory refused a write.
    Memory,
}

/// What all parts of a dump have in common.
#[derive(Clone, Copy, Debug)]
pub struct DumpInfo<'a> {
    /// `enum kmsg_dump_reason`.
    pub reason: u32,
    /// Its name, as in the first line of mainline's records: "Panic", "Oops", ...
    pub reason_name: &'a [u8],
    /// The number behind the name.
    pub count: u32,
    /// Wall-clock time.
    pub realtime_ns: u64,
    /// Time since boot.
    pub boottime_ns: u64,
    /// Random number of this boot.
    pub boot_id: [u8; 16],
    /// Panic description.
    pub description: &'a [u8],
    /// Kernel release.
    pub release: &'a [u8],
    /// A panic: other CPUs are stopped, and the last resort is a slot that one of them was
    /// writing.
    pub urgent: bool,
}

/// The store. `T` is the storage of the slot table, which belongs to the caller.
///
/// # Invariants
///
/// There are `geometry.slots()` entries in `slots`, and `mem` is at least as long as `geometry`.
#[derive(Debug)]
pub struct Store<M, T> {
    mem: M,
    geometry: Geometry,
    slots: T,
    /// Where the search for a slot begins.
    cursor: AtomicUsize,
    /// The next sequence number.
    seq: AtomicU64,
    /// The table value of the newest record, which is never overwritten.
    newest: AtomicU64,
    options: Options,
    /// The last dump before this boot, or before the store was opened.
    previous: Option<Previous>,
}

/// What matters of a dump for the next one.
#[derive(Debug)]
struct Previous {
    boot_id: [u8; 16],
    /// The dump with which the loop began, if the next one continues it: this one or that in
    /// [`Seal::loop_start`].
    loop_start: u64,
    /// Where the records of that dump are: there may be thousands of slots.
    slots: Range<usize>,
}

impl<M: Memory, T: Deref<Target = [Slot]>> Store<M, T> {
    /// Scans the region and fills the slot table. Writes nothing into the region.
    pub fn open(
        mem: M,
        geometry: Geometry,
        slots: T,
        options: Options,
    ) -> Result<(Self, Census), OpenError> {
        if slots.len() != geometry.slots() {
            return Err(OpenError::TableLength {
                needed: geometry.slots(),
            });
        }
        if mem.len() < geometry.mem_size() {
            return Err(OpenError::MemoryTooShort {
                needed: geometry.mem_size(),
            });
        }

        // INVARIANT: Just checked.
        let mut store = Self {
            mem,
            geometry,
            slots,
            cursor: AtomicUsize::new(0),
            seq: AtomicU64::new(1),
            newest: AtomicU64::new(FREE),
            options,
            previous: None,
        };
        let census = store.scan();
        Ok((store, census))
    }

    /// Returns the zone map.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Returns the region.
    pub fn memory(&self) -> &M {
        &self.mem
    }

    /// Returns the slot that the next record would take now.
    pub fn next_slot(&self) -> Option<usize> {
        let (slot, _) = self.pick(0, FREE)?;
        Some(slot)
    }

    /// Starts a dump of one or more parts. Never fails, writes nothing yet.
    pub fn begin<'a>(&'a self, info: &'a DumpInfo<'a>) -> Dump<'a, M, T> {
        Dump {
            store: self,
            info,
            part: 1,
            dump: 0,
            protected: self.newest.load(Ordering::Acquire),
            finished: false,
        }
    }

    /// Fills the slot table and the counters from the region.
    fn scan(&mut self) -> Census {
        let mut census = Census {
            slots: self.slots.len(),
            ..Census::default()
        };
        let mut zero = 0usize;
        let mut newest_rank = FREE;
        // The slots with the highest sequence number, and with the latest stamp of a foreign
        // record.
        let mut newest_seal: Option<(u64, usize)> = None;
        let mut previous = None;
        let mut newest_foreign: Option<((i64, u32), usize)> = None;

        // Not `enumerate()`, which checks its counter for overflow, that is can panic.
        for (index, slot) in (0..self.slots.len()).zip(self.slots.iter()) {
            let Content {
                kind,
                corrected,
                bad_blocks,
            } = classify(&self.mem, &self.geometry, index).unwrap_or(Content {
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
                Kind::Sealed(seal) | Kind::Damaged(seal) | Kind::Cleared(Some(seal)) => {
                    Some(seal.seq)
                }
                Kind::Foreign(foreign) => foreign.covered_seq,
                _ => None,
            };
            if let Some(seq) = seq.filter(|seq| *seq < SEQ_TRUSTED) {
                if newest_seal.is_none_or(|(newest, _)| seq > newest) {
                    newest_seal = Some((seq, index));
                    // A loop ends when its newest record was deleted: someone was there.
                    previous = match kind {
                        Kind::Sealed(seal) | Kind::Damaged(seal) => Some(Previous {
                            boot_id: seal.boot_id,
                            loop_start: match seal.loop_start {
                                0 => seal.dump,
                                start => start,
                            },
                            slots: 0..0,
                        }),
                        _ => None,
                    };
                }
            }

            let value = match kind {
                Kind::Sealed(seal) if seal.seq < SEQ_TRUSTED => {
                    match rank(seal.dump, seal.part) {
                        // A second copy of the newest record must not be protected as well:
                        // with many of them no slot would be left.
                        rank if rank == newest_rank => FOREIGN,
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
                    FOREIGN
                }
                Kind::Sealed(_) | Kind::Newer { .. } => FOREIGN,
                Kind::Salvaged { .. } => SALVAGED,
                _ => FREE,
            };
            slot.0.store(value, Ordering::Relaxed);
        }

        // Foreign records are older than ours. Among themselves, the newest one is protected.
        if let (FREE, Some((_, index))) = (newest_rank, newest_foreign) {
            newest_rank = FOREIGN_NEWEST;
            self.set(index, FOREIGN_NEWEST);
        }
        self.newest.store(newest_rank, Ordering::Relaxed);
        let newest_foreign = newest_foreign.map(|(_, index)| index);
        let newest = newest_seal.map(|(_, index)| index).or(newest_foreign);
        if let Some(index) = newest {
            self.cursor.store(self.after(index), Ordering::Relaxed);
        }
        census.newest_seq = newest_seal.map(|(seq, _)| seq);
        if let Some(seq) = census.newest_seq {
            self.seq.store(seq.saturating_add(1), Ordering::Relaxed);
        }
        if self.options.loop_ns != 0 {
            self.previous = previous.map(|previous: Previous| Previous {
                slots: self.slots_of(previous.loop_start),
                ..previous
            });
            self.find_loops();
        }
        census.next = self.next_slot();
        census.diagnosis = self.diagnose(&census, zero);
        census
    }

    /// Tells why there is no record. `zero` is the number of zones filled with 0x00.
    fn diagnose(&self, census: &Census, zero: usize) -> Option<Diagnosis> {
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
        } else if let Some(record_size) = self.guess_record_size() {
            Diagnosis::OtherGeometry { record_size }
        } else if census.garbage == 0 {
            Diagnosis::Cleared
        } else {
            Diagnosis::Garbage
        })
    }

    /// Looks for headers of records where another `record_size` would put them.
    fn guess_record_size(&self) -> Option<usize> {
        let mut best: Option<(usize, usize)> = None;
        let mut first_only = None;
        let mut record_size = ZONE_MIN.next_power_of_two();
        while record_size <= self.geometry.mem_size() {
            let other = Geometry::new(Params {
                record_size,
                ..*self.geometry.params()
            });
            if let Ok(other) = other {
                if other.stride() != self.geometry.stride() {
                    let hits = self.count_hits(&other);
                    // Half of the true record size hits the same headers: the larger one wins.
                    if hits > 0 && best.is_none_or(|(most, _)| hits >= most) {
                        best = Some((hits, record_size));
                    }
                    // Zone 0 begins at the same place in all geometries. It says something only
                    // if its record is too long for ours; then the smallest zone that can hold
                    // it is likely.
                    if first_only.is_none()
                        && other.data_capacity() > self.geometry.data_capacity()
                        && self.is_record_at(&other, 0)
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
    fn count_hits(&self, other: &Geometry) -> usize {
        // Not `count()`, which checks for overflow, that is can panic.
        (1..other.slots().min(GUESS_ZONES))
            .filter(|slot| self.is_record_at(other, *slot))
            .fold(0usize, |hits, _| hits.saturating_add(1))
    }

    fn is_record_at(&self, other: &Geometry, slot: usize) -> bool {
        let mut raw = [0; HEADER_LEN];
        other
            .slot_offset(slot)
            .is_some_and(|offset| self.mem.read(offset, &mut raw))
            && Header::decode(&raw).is_plausible(other.data_capacity())
    }

    /// The slot that follows `slot` in the ring.
    fn after(&self, slot: usize) -> usize {
        match slot.saturating_add(1) {
            next if next < self.slots.len() => next,
            _ => 0,
        }
    }

    /// Marks the dumps with which the loops in the region began.
    fn find_loops(&self) {
        // From the newest to the oldest, if the ring is in order. If not, the same loop may be
        // found more than once.
        let cursor = self.cursor.load(Ordering::Relaxed);
        let mut loops = 0usize;
        let mut last = 0;
        for index in (0..cursor).rev().chain((cursor..self.slots.len()).rev()) {
            let is_ours = self
                .slots
                .get(index)
                .is_some_and(|slot| dump_of(slot.0.load(Ordering::Relaxed)) != 0);
            if !is_ours {
                continue;
            }
            let start = seal_of(&self.mem, &self.geometry, index).map_or(0, |seal| seal.loop_start);
            if start == 0 || start == last {
                continue;
            }
            last = start;
            self.mark_first(start, 0..self.slots.len());
            loops = loops.saturating_add(1);
            // Bounds the work, whatever the seals claim.
            if loops >= LOOPS {
                break;
            }
        }
    }

    /// Returns the slots from the first to the last one with a record of `dump`.
    fn slots_of(&self, dump: u64) -> Range<usize> {
        let mut range = 0..0;
        for (index, slot) in (0..self.slots.len()).zip(self.slots.iter()) {
            if dump_of(slot.0.load(Ordering::Relaxed)) == dump {
                if range.is_empty() {
                    range.start = index;
                }
                range.end = index.saturating_add(1);
            }
        }
        range
    }

    /// Marks a dump, whose records are all in these slots, as one with which a loop began.
    fn mark_first(&self, dump: u64, slots: Range<usize>) {
        for slot in self.slots.get(slots).unwrap_or_default() {
            let value = slot.0.load(Ordering::Relaxed);
            if dump_of(value) == dump {
                // If it fails, the slot is about to be overwritten.
                let _ = slot.0.compare_exchange(
                    value,
                    value | FIRST,
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                );
            }
        }
    }

    /// The dump with which the loop began that a dump of `info` continues; 0 if there is none.
    fn loop_start(&self, info: &DumpInfo<'_>) -> u64 {
        match &self.previous {
            Some(previous)
                if previous.boot_id != info.boot_id && info.boottime_ns < self.options.loop_ns =>
            {
                previous.loop_start
            }
            _ => 0,
        }
    }

    /// Sets the table value of a slot.
    fn set(&self, slot: usize, value: u64) {
        if let Some(slot) = self.slots.get(slot) {
            slot.0.store(value, Ordering::Release);
        }
    }

    /// Walks the slots once, in ring order from the cursor on.
    fn ring(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        let start = self.cursor.load(Ordering::Relaxed);
        (start..self.slots.len())
            .chain(0..start)
            .filter_map(|index| Some((index, self.slots.get(index)?.0.load(Ordering::Acquire))))
    }

    /// Chooses a slot for the next part of `dump`, or for part 1 of a new one if that is 0.
    /// Returns its table value as well.
    ///
    /// The first free slot is taken at once: usually that is the first one looked at.
    fn pick(&self, dump: u64, protected: u64) -> Option<(usize, u64)> {
        let single = self.slots.len() == 1;
        let mut best: Option<(usize, u64)> = None;
        for (index, value) in self.ring() {
            if value == FREE {
                return Some((index, value));
            }
            // Loaded after `value`, so that a record completed just now is known to be the newest.
            let newest = self.newest.load(Ordering::Acquire);
            // A store of one slot would store nothing if it kept to the second rule.
            if value == BUSY
                || (!single && (is_same(value, newest) || is_same(value, protected)))
                || (dump != 0 && dump_of(value) == dump)
            {
                continue;
            }
            if best.is_none_or(|(_, lowest)| value < lowest) {
                best = Some((index, value));
            }
        }
        best
    }

    /// Marks a slot for the next part of `dump` as busy and returns it.
    ///
    /// There is no waiting: if another CPU takes the chosen slot first, the next best one will do.
    fn claim(&self, dump: u64, protected: u64, urgent: bool) -> Option<usize> {
        for _ in 0..CLAIM_TRIES {
            let Some((index, value)) = self.pick(dump, protected) else {
                break;
            };
            let slot = self.slots.get(index)?;
            let claimed =
                slot.0
                    .compare_exchange(value, BUSY, Ordering::Acquire, Ordering::Relaxed);
            if claimed.is_ok() {
                self.cursor.store(self.after(index), Ordering::Relaxed);
                return Some(index);
            }
        }
        if !urgent {
            return None;
        }
        // Whoever was writing there is stopped and will not come back.
        let (index, _) = self.ring().find(|(_, value)| *value == BUSY)?;
        self.cursor.store(self.after(index), Ordering::Relaxed);
        Some(index)
    }

    /// Writes one record. `None` if the memory refused a write.
    ///
    /// The order of the steps is what makes a power cut harmless, see `FORMAT.md`. The steps whose
    /// number has a `p` are for zones with parity only.
    fn write_record(&self, slot: usize, prefix: &[u8], text: &[u8], seal: &Seal) -> Option<()> {
        let geometry = &self.geometry;
        let has_parity = geometry.ecc_size() != 0;
        let zone = geometry.slot_offset(slot)?;
        let data = geometry.data_offset(slot)?;
        let seal_at = geometry.seal_offset(slot)?;
        let seal_pos = geometry.payload_capacity();
        let raw_header = Header {
            sig: SIG,
            start: 0,
            size: seal.size,
        }
        .encode();
        let [_, _, _, _, start_and_size @ ..] = raw_header;
        let raw_seal = seal.encode::<M>();
        let payload_len = prefix.len().checked_add(text.len())?;
        let zone_len = geometry.stride();
        let seal_to_end = zone.checked_add(zone_len)?.checked_sub(seal_at)?;
        // The first block with a part of the seal may have a part of the payload. The others have
        // neither, and the seal ends in one of them.
        let seal_block = Geometry::block_of(seal_pos);
        let tail_block = seal_block.checked_add(1)?;
        let blocks = Geometry::blocks_for(geometry.data_capacity());
        let pieces = [
            (0, prefix),
            (prefix.len(), text),
            (seal_pos, raw_seal.as_slice()),
        ];

        // 0. Hide the zone from mainline. To us, it still is what it was.
        self.write(zone, &0u32.to_ne_bytes())?;
        self.mem.barrier(zone, HEADER_LEN);

        if has_parity {
            // 0p. Mainline could still correct the header with its parity, and find the old record.
            let parity_at = geometry.header_parity_offset(slot)?;
            self.write_parity(parity_at, |_| ())?;
            self.mem.barrier(parity_at, geometry.ecc_size());
        }

        // 1. Break the seal. From here on, the old record is gone and the new one is torn.
        let magic_at = seal_at.checked_add(SEAL_MAGIC_OFFSET)?;
        self.write(magic_at, &layout::broken_seal())?;
        if has_parity {
            // It could be corrected, too.
            for block in tail_block..blocks {
                self.write_parity(geometry.parity_offset(slot, block)?, |_| ())?;
            }
        }
        self.mem.barrier(seal_at, seal_to_end);

        // 2. The record, and its length for mainline, which does not look at it without `sig`.
        self.write(zone.checked_add(HEADER_START)?, &start_and_size)?;
        if has_parity {
            let payload_blocks = Geometry::blocks_for(payload_len).min(seal_block);
            for block in (0..payload_blocks).chain([seal_block]) {
                self.write_block(slot, block, &pieces)?;
            }
            self.mem.barrier(zone, zone_len);
        } else {
            self.write(data, prefix)?;
            self.write(data.checked_add(prefix.len())?, text)?;
            self.mem.barrier(zone, HEADER_LEN.checked_add(payload_len)?);
        }

        // 3. Commit for us.
        if has_parity {
            for block in tail_block..blocks {
                self.write_block(slot, block, &pieces)?;
            }
        } else {
            self.write(seal_at, &raw_seal)?;
        }
        self.mem.barrier(seal_at, seal_to_end);

        if has_parity {
            // 3p. With many bytes of parity this is what commits for mainline already.
            let parity_at = geometry.header_parity_offset(slot)?;
            self.write_parity(parity_at, |parity| self.mem.encode(&raw_header, parity))?;
            self.mem.barrier(parity_at, geometry.ecc_size());
        }

        // 4. Commit for mainline.
        self.write(zone, &SIG.to_ne_bytes())?;
        self.mem.barrier(zone, HEADER_LEN);
        Some(())
    }

    /// Writes one block of the data area and its parity. It is put together from `pieces`, of which
    /// each has its place in the data area; the rest is zero.
    fn write_block(&self, slot: usize, block: usize, pieces: &[(usize, &[u8])]) -> Option<()> {
        let (begin, len) = self.geometry.block(block)?;
        let mut buf = [0; ECC_BLOCK];
        let buf = buf.get_mut(..len)?;
        for (at, piece) in pieces {
            match begin.checked_sub(*at) {
                Some(skip) => layout::put(buf, 0, piece.get(skip..).unwrap_or(&[])),
                None => layout::put(buf, at.checked_sub(begin)?, piece),
            }
        }
        self.write(self.geometry.data_offset(slot)?.checked_add(begin)?, buf)?;
        self.write_parity(self.geometry.parity_offset(slot, block)?, |parity| {
            self.mem.encode(buf, parity)
        })
    }

    /// Writes the parity that `f` makes from zeros.
    fn write_parity(&self, offset: usize, f: impl FnOnce(&mut [u8])) -> Option<()> {
        let mut parity = [0; ECC_MAX];
        let parity = parity.get_mut(..self.geometry.ecc_size())?;
        f(parity);
        self.write(offset, parity)
    }

    fn write(&self, offset: usize, data: &[u8]) -> Option<()> {
        self.mem.write(offset, data).then_some(())
    }
}

/// A dump in progress. It may be given up at any time: the parts stored so far are records.
#[derive(Debug)]
pub struct Dump<'a, M, T> {
    store: &'a Store<M, T>,
    info: &'a DumpInfo<'a>,
    /// The number of the next part.
    part: u32,
    /// The sequence number of part 1; 0 before it is stored.
    dump: u64,
    /// The table value of the newest record when the dump began.
    protected: u64,
    /// The last part is stored.
    finished: bool,
}

impl<M: Memory, T: Deref<Target = [Slot]>> Dump<'_, M, T> {
    /// Returns how many bytes of plain text fit in the next part.
    pub fn room(&self) -> usize {
        self.room_as(Encoding::Plain)
    }

    /// Returns how many bytes fit in the next part in that encoding.
    pub fn room_as(&self, encoding: Encoding) -> usize {
        let prefix = Prefix::new(self.info, self.part, encoding);
        let capacity = self.store.geometry.payload_capacity();
        capacity.saturating_sub(prefix.as_bytes().len())
    }

    /// Returns the title of the next part, which is to be compressed together with its text.
    pub fn title(&self) -> Prefix {
        Prefix::title(self.info, self.part)
    }

    /// Stores the next part, and returns its slot. `last` says that no further part follows.
    ///
    /// After an error the next call stores the same part number.
    pub fn append(&mut self, text: &[u8], last: bool) -> Result<usize, Dropped> {
        self.append_as(Encoding::Plain, text, last)
    }

    /// The same, with `text` in that encoding.
    pub fn append_as(
        &mut self,
        encoding: Encoding,
        text: &[u8],
        last: bool,
    ) -> Result<usize, Dropped> {
        let store = self.store;
        let info = self.info;
        let part = self.part;
        if self.finished || part > PART_MAX {
            return Err(Dropped::NoMoreParts);
        }

        let prefix = Prefix::new(info, part, encoding);
        let prefix = prefix.as_bytes();
        let size = prefix
            .len()
            .checked_add(text.len())
            .filter(|size| *size <= store.geometry.payload_capacity())
            .and_then(|size| u32::try_from(size).ok())
            .ok_or(Dropped::TextTooLong)?;
        let payload_crc = !M::crc32c(M::crc32c(!0, prefix), text);

        let slot = store
            .claim(self.dump, self.protected, info.urgent)
            .ok_or(Dropped::NoSlot)?;

        let seq = store.seq.fetch_add(1, Ordering::Relaxed);
        let dump = if part == 1 { seq } else { self.dump };
        let loop_start = store.loop_start(info);
        let seal = Seal {
            seq,
            dump,
            realtime_ns: info.realtime_ns,
            boottime_ns: info.boottime_ns,
            boot_id: info.boot_id,
            part,
            parts: if last { part } else { 0 },
            size,
            payload_crc,
            reason: info.reason,
            description: layout::pad(info.description),
            loop_start,
            release: layout::pad(info.release),
        };
        if store.write_record(slot, prefix, text, &seal).is_none() {
            store.set(slot, FREE);
            return Err(Dropped::Memory);
        }

        // The record is protected before anyone else can choose its slot.
        let rank = rank(dump, part);
        store.newest.fetch_max(rank, Ordering::AcqRel);
        store.set(slot, rank);
        if let Some(previous) = store.previous.as_ref().filter(|_| loop_start != 0) {
            store.mark_first(loop_start, previous.slots.clone());
        }
        self.dump = dump;
        self.part = part.saturating_add(1);
        self.finished = last;
        Ok(slot)
    }
}
