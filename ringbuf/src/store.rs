// SPDX-License-Identifier: GPL-2.0

//! The store: chooses the slots and writes the records.
//!
//! [`Store::open`] reads the whole region once and fills the slot table. From then on the table
//! is the only truth: a dump takes no length, no offset and no decision from the region, which may
//! have been overwritten with anything in the meantime.

use core::ops::Deref;

use super::{
    census::Census,
    current::Current,
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
    scan::{
        Found,
        Loops, //
    },
    seq,
    sync::{
        AtomicU64,
        Ordering, //
    },
    table::{
        table_len,
        Slot,
        Table, //
    },
    turn::Turn,
    write::Writer, //
};

/// `loop_secs` of the module, unless it is told otherwise: see [`Options::loop_ns`].
pub const LOOP_SECS: u64 = 600;

/// How a store is to behave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// A dump that happens less than so many nanoseconds after boot continues a loop of crashes,
    /// which began with the last dump of a previous boot. The dump with which a loop began is
    /// overwritten only if there is nothing else. 0 turns this off.
    pub loop_ns: u64,
}

/// Why a store could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// The slot table does not have as many entries as [`table_len`] says.
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

/// Why the region was not read again: a dump began before that was done, or is under way, or
/// somebody else is reading it. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

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

/// The store. `T` is the storage of the slot table, which belongs to the caller.
///
/// # Invariants
///
/// Each table has `geometry.slots()` slots, and `mem` is at least as long as `geometry`.
#[derive(Debug)]
pub struct Store<M, T> {
    mem: M,
    geometry: Geometry,
    /// The table, and one that is to replace it.
    tables: [Table<T>; 2],
    current: Current,
    /// The next sequence number.
    seq: AtomicU64,
    options: Options,
    /// The last dump before this boot, or before the store was opened.
    previous: Option<Previous>,
}

impl<M: Memory, T: Deref<Target = [Slot]>> Store<M, T> {
    /// Scans the region and fills the slot table. Writes nothing into the region.
    // The stack of a kernel is small: this must not add to the caller's frame.
    #[inline(never)]
    pub fn open(
        mem: M,
        geometry: Geometry,
        slots: [T; 2],
        options: Options,
    ) -> Result<(Self, Census), OpenError> {
        let needed = table_len(geometry.slots());
        if slots.iter().any(|slots| slots.len() != needed) {
            return Err(OpenError::TableLength { needed });
        }
        if mem.len() < geometry.mem_size() {
            return Err(OpenError::MemoryTooShort {
                needed: geometry.mem_size(),
            });
        }

        // INVARIANT: Just checked.
        let tables = slots.map(Table::new);
        let [table, _] = &tables;
        let mut found = Found::default();
        let loops = match options.loop_ns {
            0 => Loops::Off,
            _ => Loops::AfterNewest,
        };
        found.scan(&mem, &geometry, table, loops);
        let Found {
            census, previous, ..
        } = found;
        let next_seq = census.newest_seq.map_or(1, seq::after);
        let store = Self {
            mem,
            geometry,
            tables,
            current: Current::new(),
            seq: AtomicU64::new(next_seq),
            options,
            previous,
        };
        Ok((store, census))
    }

    /// Reads the region again: somebody else may have deleted records, whose slots are free then.
    /// Dumps may go on meanwhile, and win.
    #[inline(never)]
    pub fn rescan(&self) -> Result<Census, Busy> {
        let replacement = self.current.prepare().ok_or(Busy)?;
        let table = self.table(replacement.index());
        table.reset();
        let mut found = Found::default();
        let loops = match self.options.loop_ns {
            0 => Loops::Off,
            _ => Loops::After(self.previous),
        };
        found.scan(&self.mem, &self.geometry, table, loops);
        if let Some(newest) = found.census.newest_seq {
            self.number_on(&found, newest);
        }
        match replacement.put_in() {
            true => Ok(found.census),
            false => Err(Busy),
        }
    }

    /// Has numbers go on behind that of a record which somebody else has put there.
    fn number_on(&self, found: &Found, newest: u64) {
        let mut next = self.seq.load(Ordering::Relaxed);
        while found.is_before(next.wrapping_sub(1), newest) {
            let changed = self.seq.compare_exchange(
                next,
                seq::after(newest),
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
            match changed {
                Ok(_) => break,
                Err(now) => next = now,
            }
        }
    }

    fn table(&self, index: usize) -> &Table<T> {
        let [first, second] = &self.tables;
        match index {
            0 => first,
            _ => second,
        }
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
        // To look for it moves the head of the queue on.
        let slot = self.table(self.current.enter()).next();
        self.current.leave();
        slot
    }

    fn next_seq(&self) -> u64 {
        match self.seq.fetch_add(1, Ordering::Relaxed) {
            // The numbers wrap, and 0 is none.
            0 => self.seq.fetch_add(1, Ordering::Relaxed),
            seq => seq,
        }
    }

    /// Starts a dump of one or more parts. Never fails, writes nothing yet.
    pub fn begin<'a>(&'a self, info: &'a DumpInfo<'a>) -> Dump<'a, M, T> {
        let table = self.table(self.current.enter());
        Dump {
            store: self,
            table,
            info,
            part: 1,
            dump: 0,
            turn: table.begin(),
            finished: false,
        }
    }
}

/// A dump in progress. It may be given up at any time: the parts stored so far are records.
#[derive(Debug)]
pub struct Dump<'a, M, T> {
    store: &'a Store<M, T>,
    /// The one that was in use when it began.
    table: &'a Table<T>,
    info: &'a DumpInfo<'a>,
    /// The number of the next part.
    part: u32,
    /// The sequence number of part 1; 0 before it is stored.
    dump: u64,
    /// What the slot table has to know of it.
    turn: Turn,
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

        let slot = self
            .table
            .claim(&self.turn, info.urgent)
            .ok_or(Dropped::NoSlot)?;

        let seq = store.next_seq();
        let dump = if part == 1 { seq } else { self.dump };
        let loop_start = match &store.previous {
            Some(previous) => previous.loop_start(info, dump, store.options.loop_ns),
            None => 0,
        };
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
        if writer.record(slot, prefix, text, &seal).is_none() {
            self.table.refuse(slot);
            return Err(Dropped::Memory);
        }

        self.table.publish(&mut self.turn, slot);
        if loop_start != 0 {
            self.table.keep_candidate();
        }
        self.dump = dump;
        self.part = part.saturating_add(1);
        self.finished = last;
        Ok(slot)
    }
}

impl<M, T> Drop for Dump<'_, M, T> {
    fn drop(&mut self) {
        self.store.current.leave();
    }
}
