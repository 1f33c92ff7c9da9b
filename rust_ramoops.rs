// SPDX-License-Identifier: GPL-2.0

//! rust_ramoops: keeps the kernel log of a crash in reserved RAM.
//!
//! Takes the parameters of `fs/pstore/ram.c`, and lays the memory out as it does.

#[allow(dead_code, unreachable_pub, reason = "each module uses a part of it")]
mod linux {
    //! Abstractions over the kernel's C interfaces. All unsafe code of this module is there.

    pub mod array;
    mod barrier;
    pub mod bindings;
    mod c_bytes;
    pub mod crc32c;
    pub mod debugfs_file;
    pub mod fast_time;
    pub mod kmsg_dump;
    pub mod mapping;
    pub mod module;
    pub mod param;
    pub mod pstore_ram;
    pub mod random;
    pub mod region;
    pub mod try_lock;
    pub mod utsname;
    pub mod zlib;
}
#[path = "ringbuf/src/lib.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "the reader uses all of it"
)]
mod ringbuf;
#[cfg(test_hooks)]
mod test_hooks;

mod ramoops {
    //! Safe code only, a file for each concern.

    pub(crate) mod dumper;
    pub(crate) mod media;
    pub(crate) mod params;
    pub(crate) mod status;
    pub(crate) mod text;
}

use kernel::prelude::*;
use linux::{
    debugfs_file,
    kmsg_dump::Reason,
    random, //
};
use ramoops::{
    dumper::{
        buffers,
        Counters,
        Ramoops, //
    },
    media::{
        map,
        scan, //
    },
    params,
    status::Status, //
};

module! {
    type: RustRamoops,
    name: "rust_ramoops",
    authors: ["The rust_ramoops developers"],
    description: "RAM Oops/Panic logger",
    license: "GPL",
}

/// The loaded module.
#[pin_data]
struct RustRamoops {
    #[pin]
    status: debugfs_file::File<Status, LocalModule>,
}

impl kernel::InPlaceModule for RustRamoops {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            status <- {
                let (ramoops, max_reason) = open()?;
                let status = Status::new(ramoops, max_reason);
                debugfs_file::File::new(c"rust_ramoops", c"status", status)
            },
        })
    }
}

/// Checks the parameters, maps the region and reads it. Fails with one line that says why.
///
/// The steps that need much stack are functions of their own, and not inlined.
fn open() -> Result<(Ramoops, Reason)> {
    let max_reason = params::max_reason()?;
    let encoding = params::encoding()?;
    let (start, geometry, media) = map()?;
    let region = scan(geometry, media)?;
    let ramoops = Ramoops {
        region,
        kmsg_bytes: params::values::kmsg_bytes.value(),
        boot_id: random::bytes(),
        counters: Counters::new(),
        panic_buffers: buffers(&geometry, encoding)?,
        buffers: buffers(&geometry, encoding)?,
    };
    params::publish(start, max_reason, &ramoops.region);
    Ok((ramoops, max_reason))
}
