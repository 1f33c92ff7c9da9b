// SPDX-License-Identifier: GPL-2.0

//! From a dump of the kernel to records in the store.

use super::{
    media::{
        Media,
        Opened, //
    },
    text::Buffers, //
};
use crate::linux::{
    array::Array,
    fast_time,
    kmsg_dump::{
        self,
        Detail,
        LogIter,
        Reason, //
    },
    try_lock::{
        Guard,
        TryLock, //
    },
    utsname, //
};
use crate::ringbuf::{
    self,
    DumpInfo,
    Encoding,
    Geometry, //
};
use core::sync::atomic::AtomicU32;
use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};

/// Stores the kernel log when the kernel crashes.
pub(crate) struct Ramoops {
    /// Not in here, because all this is on the stack while it is made.
    pub(crate) region: KBox<Opened>,
    /// How much of the log one dump stores, if more than one record.
    pub(crate) kmsg_bytes: u64,
    /// A random number of this boot.
    pub(crate) boot_id: [u8; 16],
    /// What has happened since.
    pub(crate) counters: Counters,
    /// For when the kernel panics. No other dump ever holds them, so that a CPU stopped in the
    /// middle of one does not matter.
    pub(crate) panic_buffers: TryLock<Buffers>,
    /// For all other dumps.
    pub(crate) buffers: TryLock<Buffers>,
}

/// A dump in progress.
pub(crate) type Dump<'a> = ringbuf::Dump<'a, Media, Array<AtomicU32>>;

/// What has happened since the module was loaded.
pub(crate) struct Counters {
    /// Calls of the dumper.
    pub(crate) dumps: Atomic<u32>,
    /// Records stored.
    pub(crate) records: Atomic<u32>,
    /// Dumps dropped because another one was using the buffer.
    pub(crate) dropped_busy: Atomic<u32>,
    /// Dumps that found no slot for (all of) their records.
    pub(crate) dropped_no_slot: Atomic<u32>,
}

impl Counters {
    pub(crate) fn new() -> Self {
        Self {
            dumps: Atomic::new(0),
            records: Atomic::new(0),
            dropped_busy: Atomic::new(0),
            dropped_no_slot: Atomic::new(0),
        }
    }
}

/// Adds one, and returns the new count.
fn count(counter: &Atomic<u32>) -> u32 {
    counter.fetch_add(1u32, Relaxed).wrapping_add(1)
}

impl Ramoops {
    /// Takes buffers, or none at all: there is no waiting here.
    fn take_buffers(&self, panic: bool) -> Option<Guard<'_, Buffers>> {
        panic
            .then(|| self.panic_buffers.try_lock())
            .flatten()
            .or_else(|| self.buffers.try_lock())
    }
}

impl kmsg_dump::Dumper for Ramoops {
    fn dump(&self, detail: &Detail) {
        let reason = detail.reason();
        let panic = reason == Reason::PANIC;
        let number = count(&self.counters.dumps);
        // Without buffers another dump is under way on another CPU, or this one interrupts it.
        let Some(mut buffers) = self.take_buffers(panic) else {
            count(&self.counters.dropped_busy);
            return;
        };
        let info = DumpInfo {
            reason: reason.number(),
            reason_name: reason.name(),
            count: number,
            realtime_ns: fast_time::realtime_fast_ns(),
            boottime_ns: fast_time::boottime_fast_ns(),
            boot_id: self.boot_id,
            description: detail.description(),
            release: utsname::release(),
            urgent: panic,
        };
        let mut dump = self.region.store.begin(&info);
        let mut log = LogIter::newest();
        let mut stored = 0u64;
        // Every turn stores a record or ends, and a dump has no more parts than there are slots.
        loop {
            let Some(part) = buffers.next_part(&dump, log) else {
                return;
            };
            log = part.rest;
            stored = stored.saturating_add(part.text_len as u64);
            let last = log.is_done() || stored >= self.kmsg_bytes;
            if dump.append_as(part.encoding, part.bytes, last).is_err() {
                count(&self.counters.dropped_no_slot);
                return;
            }
            count(&self.counters.records);
            if last {
                return;
            }
        }
    }
}

/// Where the text of a record is put together.
#[inline(never)]
pub(crate) fn buffers(geometry: &Geometry, encoding: Encoding) -> Result<TryLock<Buffers>> {
    let buffers = Buffers::new(geometry, encoding).inspect_err(|_| {
        pr_err!(
            "record_size={}: no memory for the buffers of such a record\n",
            geometry.params().record_size
        );
    })?;
    Ok(TryLock::new(buffers))
}
