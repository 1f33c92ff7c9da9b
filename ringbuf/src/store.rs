// SPDX-License-Identifier: GPL-2.0

//! The store: chooses the slots and writes the records.
//!
//! [`Store::open`] reads the whole region once and sorts the slots. From then on that list is the
//! only truth: a dump takes no length, no offset and no decision from the region, which may have
//! been overwritten with anything in the meantime.

use core::{
    ops::Deref,
    sync::atomic::{
        AtomicU32,
        AtomicU64,
        Ordering, //
    }, //
};

use super::{
    census::Census,
    geometry::Geometry,
    layout::{
        self,
        Seal,
        PART_MAX, //
    },
    loops::Previous,
    memory::Memory,
    prefix::{
        DumpInfo,
        Encoding,
        Prefix, //
    },
    rank::Ranked,
    scan::Found,
    slots::Slots,
    write::Writer, //
};

/// `loop_secs` of the module, unless it is told otherwise: see [`Options::loop_ns`].
pub const LOOP_SECS: u64 = 600;

/// How a store is to behave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// A dump that happens less than so many nanoseconds after boot continues a loop of crashes,
    /// whose first crash is kept out of the slots that are reused. 0: no dump continues a loop.
    pub loop_ns: u64,
}

/// Why a store could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// The list of slots, or the scratch space to sort them, has another length than there are
    /// slots.
    ListLength {
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
    /// The dump has as many parts as it may have: the next slot holds part 1 of the crash before it,
    /// or its own.
    NoSlot,
    /// The text is longer than [`Dump::room`].
    TextTooLong,
    /// The dump has had its last part, or as many parts as can be numbered.
    NoMoreParts,
    /// The memory refused a write.
    Memory,
}

/// The store. `T` is the storage of the list of slots, which belongs to the caller.
///
/// # Invariants
///
/// `slots` has `geometry.slots()` slots, and `mem` is at least as long as `geometry`.
#[derive(Debug)]
pub struct Store<M, T> {
    mem: M,
    geometry: Geometry,
    slots: Slots<T>,
    /// The next sequence number.
    seq: AtomicU64,
    options: Options,
    /// The last crash before the store was opened.
    previous: Option<Previous>,
}

impl<M: Memory, T: Deref<Target = [AtomicU32]>> Store<M, T> {
    /// Opens the store in `mem`: reads the region and sorts its slots. Writes nothing.
    ///
    /// `order`, which the store keeps, and `scratch` have one entry for each slot.
    // The stack of a kernel is small: this must not add to the caller's frame.
    #[inline(never)]
    pub fn open(
        mem: M,
        geometry: Geometry,
        order: T,
        scratch: &mut [Ranked],
        options: Options,
    ) -> Result<(Self, Census), OpenError> {
        let needed = geometry.slots();
        if order.len() != needed || scratch.len() != needed {
            return Err(OpenError::ListLength { needed });
        }
        if mem.len() < geometry.mem_size() {
            return Err(OpenError::MemoryTooShort {
                needed: geometry.mem_size(),
            });
        }

        let mut found = Found::default();
        found.scan(&mem, &geometry, scratch);
        let Found {
            mut census,
            previous,
            ..
        } = found;
        let loop_start = previous.map(|previous| previous.loop_start);
        let slots = Slots::new(order, scratch, loop_start);
        census.next = slots.next();
        let newest_seq = census.newest_seq.unwrap_or(0);
        // INVARIANT: Just checked.
        let store = Self {
            mem,
            geometry,
            slots,
            seq: AtomicU64::new(newest_seq.saturating_add(1)),
            options,
            previous,
        };
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

    /// Returns the slot that the next record takes.
    pub fn next_slot(&self) -> Option<usize> {
        self.slots.next()
    }

    /// Returns how many records one crash may have at most: that of a panic, or another one.
    pub fn parts_max(&self, is_panic: bool) -> u64 {
        self.slots.parts_max(is_panic)
    }

    /// Has the next record take `slot`, whose record was deleted.
    ///
    /// Not while a dump is under way, but for that of a panic, which may come at any time.
    pub fn free(&self, slot: usize) {
        self.slots.free(slot);
    }

    /// Starts a dump of one or more parts. Never fails, writes nothing yet.
    ///
    /// At most one dump that is not [`urgent`](DumpInfo::urgent) may be under way, and one that is,
    /// after which none follows.
    pub fn begin<'a>(&'a self, info: &'a DumpInfo<'a>) -> Dump<'a, M, T> {
        Dump {
            store: self,
            info,
            part: 1,
            dump: 0,
            limit: self.slots.limit(info.urgent),
            finished: false,
        }
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
    /// Up to which claim it may have slots, see [`Slots::limit`].
    limit: u64,
    /// The last part is stored.
    finished: bool,
}

impl<M: Memory, T: Deref<Target = [AtomicU32]>> Dump<'_, M, T> {
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

        let limit = (part > 1).then_some(self.limit);
        let claim = store.slots.claim(limit).ok_or(Dropped::NoSlot)?;
        let slot = claim.slot;

        let seq = store.seq.fetch_add(1, Ordering::Relaxed);
        let dump = if part == 1 { seq } else { self.dump };
        let loop_start = store.previous.map_or(0, |previous| {
            previous.loop_start(info, store.options.loop_ns)
        });
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
            release: layout::pad(info.release),
            loop_start,
            params: *store.geometry.params(),
            slot,
        };
        let writer = Writer {
            mem: &store.mem,
            geometry: &store.geometry,
        };
        writer
            .record(slot, prefix, text, &seal)
            .ok_or(Dropped::Memory)?;

        if part == 1 {
            store.slots.complete(claim);
        }
        self.dump = dump;
        self.part = part.saturating_add(1);
        self.finished = last;
        Ok(slot)
    }
}
