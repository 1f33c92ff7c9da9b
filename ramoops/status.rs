// SPDX-License-Identifier: GPL-2.0

//! What was found in the region, and what has happened since.

use super::dumper::Ramoops;
use crate::linux::kmsg_dump::{
    self,
    Reason, //
};
use crate::ringbuf::{
    Census,
    Diagnosis, //
};
use kernel::{
    debugfs::Writer,
    fmt,
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};

/// The dumper, as `/sys/kernel/debug/rust_ramoops/status` shows it.
#[pin_data]
pub(crate) struct Status {
    #[pin]
    dumper: kmsg_dump::Registration<Ramoops>,
}

impl Status {
    pub(crate) fn new(ramoops: Ramoops, max_reason: Reason) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            dumper <- kmsg_dump::Registration::register(ramoops, max_reason),
        })
    }
}

impl Writer for Status {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ramoops = self.dumper.dumper();
        let read = |counter: &Atomic<u32>| counter.load(Relaxed);
        let geometry = ramoops.region.store.geometry();
        f.write_fmt(fmt!("slots: {}\n", geometry.slots()))?;
        f.write_fmt(fmt!("slot size: {}\n", geometry.stride()))?;
        f.write_fmt(fmt!(
            "next slot: {}\n",
            ramoops.region.store.next_slot().unwrap_or(0)
        ))?;
        f.write_fmt(fmt!("found at load: {}\n", Found(&ramoops.region.census)))?;
        let counters = &ramoops.counters;
        f.write_fmt(fmt!("dumps: {}\n", read(&counters.dumps)))?;
        f.write_fmt(fmt!("records written: {}\n", read(&counters.records)))?;
        f.write_fmt(fmt!(
            "dropped, another dump under way: {}\n",
            read(&counters.dropped_busy)
        ))?;
        f.write_fmt(fmt!(
            "dropped, no slot: {}\n",
            read(&counters.dropped_no_slot)
        ))
    }
}

/// What was found in the region, in words.
pub(crate) struct Found<'a>(pub(crate) &'a Census);

impl fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(census) = self;
        for (count, kind) in [
            (census.sealed, "sealed"),
            (census.torn, "torn"),
            (census.foreign, "foreign"),
        ] {
            f.write_fmt(fmt!("{} {}, ", count, kind))?;
        }
        if census.damaged != 0 {
            f.write_fmt(fmt!("{} damaged, ", census.damaged))?;
        }
        if census.salvaged != 0 {
            f.write_fmt(fmt!("{} to be salvaged, ", census.salvaged))?;
        }
        if census.newer != 0 {
            f.write_fmt(fmt!("{} of a newer version, ", census.newer))?;
        }
        if census.corrected != 0 || census.bad_blocks != 0 {
            f.write_fmt(fmt!(
                "{} corrected bytes, {} unrecoverable blocks, ",
                census.corrected,
                census.bad_blocks
            ))?;
        }
        if let Some(next) = census.next {
            f.write_fmt(fmt!("next slot {}", next))?;
        }
        match census.diagnosis {
            None => Ok(()),
            Some(Diagnosis::ZeroFilled) => f.write_str("; no records: the memory is zero-filled"),
            Some(Diagnosis::Erased) => f.write_str("; no records: the memory is erased (0xff)"),
            Some(Diagnosis::Cleared) => f.write_str("; no records: all were cleared"),
            Some(Diagnosis::Garbage) => f.write_str("; no records: the memory holds garbage"),
            Some(Diagnosis::OtherGeometry { record_size }) => f.write_fmt(fmt!(
                "; records seem to be there of another layout, record_size={}: save them with \
                `ramoopsctl export` before new crashes overwrite them",
                record_size
            )),
        }
    }
}
