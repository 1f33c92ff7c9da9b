// SPDX-License-Identifier: GPL-2.0

//! Loops of crashes: which dump began the one that a new dump continues.

use core::ops::{
    Deref,
    Range, //
};

use super::{
    geometry::Geometry,
    layout::Seal,
    memory::Memory,
    prefix::DumpInfo,
    read::seal_of,
    table::{
        Slot,
        Table, //
    }, //
};

/// How many loops of crashes are looked for in the region, beginning with the newest one.
const LOOPS: usize = 16;

/// What matters of the last dump before the store was opened for the next ones.
#[derive(Debug)]
pub(super) struct Previous {
    boot_id: [u8; 16],
    /// The dump with which the loop began, if the next one continues it: this one or that in
    /// [`Seal::loop_start`].
    loop_start: u64,
    /// Where the records of that dump are: there may be thousands of slots.
    slots: Range<usize>,
}

impl Previous {
    /// Makes it from the seal of that dump.
    pub(super) fn new(seal: &Seal) -> Self {
        Self {
            boot_id: seal.boot_id,
            loop_start: match seal.loop_start {
                0 => seal.dump,
                start => start,
            },
            slots: 0..0,
        }
    }

    /// Looks for the records of the dump with which the loop began.
    pub(super) fn find_slots<T: Deref<Target = [Slot]>>(&mut self, table: &Table<T>) {
        self.slots = table.slots_of(self.loop_start);
    }

    /// Returns the dump with which the loop began that a dump of `info` continues; 0 if there is
    /// none.
    pub(super) fn loop_start(&self, info: &DumpInfo<'_>, loop_ns: u64) -> u64 {
        match self.boot_id != info.boot_id && info.boottime_ns < loop_ns {
            true => self.loop_start,
            false => 0,
        }
    }

    /// Keeps the dump with which the loop began.
    pub(super) fn keep_first<T: Deref<Target = [Slot]>>(&self, table: &Table<T>) {
        table.mark_first(self.loop_start, self.slots.clone());
    }
}

/// Marks the dumps with which the loops in the region began.
pub(super) fn find<M: Memory, T: Deref<Target = [Slot]>>(
    mem: &M,
    geometry: &Geometry,
    table: &Table<T>,
) {
    let mut loops = 0usize;
    let mut last = 0;
    // If the ring is not in order, the same loop may be found more than once.
    for index in table.newest_first() {
        let start = seal_of(mem, geometry, index).map_or(0, |seal| seal.loop_start);
        if start == 0 || start == last {
            continue;
        }
        last = start;
        table.mark_first(start, 0..table.len());
        loops = loops.saturating_add(1);
        // Bounds the work, whatever the seals claim.
        if loops >= LOOPS {
            break;
        }
    }
}
