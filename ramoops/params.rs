// SPDX-License-Identifier: GPL-2.0

//! The parameters, their checks, and the values in effect.

use super::{
    media::Opened,
    status::Found, //
};
use crate::linux::{
    kmsg_dump::Reason,
    region::Region, //
};
use crate::ringbuf::{
    Encoding,
    Geometry,
    GeometryError,
    Params, //
};
use kernel::prelude::*;

/// The parameters. Those with an effective value of their own have that one from [`publish`] on.
pub(crate) mod values {
    use crate::linux::{
        bindings::KERNEL_PARAM_FL_HWPARAM,
        param::{
            Int,
            Size,
            Text, //
        }, //
    };
    use crate::{
        ringbuf::store::LOOP_SECS,
        LocalModule, //
    };

    crate::module_params! { LocalModule, "rust_ramoops":
        /// Where the region is, unless `mem_name` tells.
        mem_address: Size = Size::new(0), 0o400, KERNEL_PARAM_FL_HWPARAM as u8, "ullong",
            "start of reserved RAM used to store oops/panic logs";
        /// The `reserve_mem=` region to use.
        mem_name: Text = Text::unset(), 0o400, 0, "charp",
            "name of the reserve_mem= region to use instead of mem_address and mem_size";
        /// The length of the region.
        mem_size: Size = Size::new(0), 0o400, 0, "ulong",
            "size of reserved RAM used to store oops/panic logs";
        /// How the region is cached.
        mem_type: Size = Size::new(0), 0o400, 0, "uint",
            "memory type: 0=write-combined (default), 1=unbuffered, 2=cached";
        /// The size of a record.
        record_size: Size = Size::new(4096), 0o400, 0, "ulong",
            "size of each record, rounded down to a power of two (default 4096)";
        /// The size of the console zone.
        console_size: Size = Size::new(4096), 0o400, 0, "ulong",
            "size of the console zone, which is laid out but not written (default 4096)";
        /// The size of the ftrace zone.
        ftrace_size: Size = Size::new(4096), 0o400, 0, "ulong",
            "size of the ftrace zone, which is laid out but not written (default 4096)";
        /// The size of the pmsg zone.
        pmsg_size: Size = Size::new(4096), 0o400, 0, "ulong",
            "size of the pmsg zone, which is laid out but not written (default 4096)";
        /// The last reason that is dumped.
        max_reason: Int = Int::new(-1), 0o400, 0, "int",
            "maximum reason for kmsg dump: 1=panic, 2=oops (default), 3=emergency restart, \
            4=shutdown; 0 leaves it to printk.always_kmsg_dump";
        /// As `max_reason` 2 or 1.
        dump_oops: Int = Int::new(-1), 0o400, 0, "int",
            "(deprecated: use max_reason instead) set to 1 to dump oopses & panics, 0 to only dump \
            panics";
        /// How much of the log a dump stores.
        kmsg_bytes: Size = Size::new(0), 0o400, 0, "ulong",
            "how much of the newest log a dump stores, over several records if need be (default \
            0: one record)";
        /// Parity against bit flips.
        ecc: Int = Int::new(0), 0o400, 0, "int",
            "bytes of parity for each block of 128, which correct half as many wrong ones (default \
            0: none; 1 means 16; at most 127)";
        /// Whether the text is compressed.
        compress: Text = Text::unset(), 0o400, 0, "charp",
            "deflate: compress text where a record holds more of it then; none (default): it is \
            readable without inflating";
        /// What is a panic loop.
        loop_secs: Size = Size::new(LOOP_SECS), 0o400, 0, "ulong",
            "a crash less than so many seconds after boot continues a panic loop, whose first \
            crash is kept (default 600; 0: no loops)";
    }
}

/// The last reason to dump, from `max_reason` or the older `dump_oops`.
pub(crate) fn max_reason() -> Result<Reason> {
    let number = match (values::max_reason.value(), values::dump_oops.value()) {
        (-1, -1) => return Ok(Reason::OOPS),
        (-1, 0) => return Ok(Reason::PANIC),
        (-1, _) => return Ok(Reason::OOPS),
        (number, _) => number,
    };
    u32::try_from(number)
        .ok()
        .and_then(Reason::from_number)
        .ok_or_else(|| {
            pr_err!(
                "max_reason={}: must be 0 to {}\n",
                number,
                Reason::SHUTDOWN.number()
            );
            EINVAL
        })
}

/// The region that the parameters name.
pub(crate) fn find_region() -> Result<Region> {
    if let Some(name) = values::mem_name.value() {
        return Region::named(&name).map_err(|refusal| {
            pr_err!("mem_name={}: {}\n", &*name, refusal);
            refusal.into()
        });
    }
    let (address, size) = (values::mem_address.value(), values::mem_size.value());
    if size == 0 {
        pr_err!("mem_size=0: give mem_address= and mem_size=, or mem_name=, of reserved RAM\n");
        return Err(EINVAL);
    }
    Region::at(address, size).map_err(|refusal| {
        pr_err!(
            "mem_address={:#x} mem_size={:#x}: {}\n",
            address,
            size,
            refusal
        );
        refusal.into()
    })
}

/// The zone map that the parameters ask for.
pub(crate) fn geometry(mem_size: usize) -> Result<Geometry> {
    let ecc = values::ecc.value();
    let params = Params {
        mem_size,
        record_size: usize::try_from(values::record_size.value())?,
        console_size: usize::try_from(values::console_size.value())?,
        ftrace_size: usize::try_from(values::ftrace_size.value())?,
        pmsg_size: usize::try_from(values::pmsg_size.value())?,
        ecc_size: match ecc {
            1 => 16,
            // A negative size is refused as one that is too large.
            ecc => usize::try_from(ecc).unwrap_or(usize::MAX),
        },
    };
    let geometry = Geometry::new(params).map_err(|error| {
        match error {
            GeometryError::RecordSizeZero => {
                pr_err!("record_size=0: must be a power of two, such as 65536\n");
            }
            GeometryError::RecordSizeTooSmall { min } => {
                pr_err!(
                    "record_size={}: must be at least {}\n",
                    params.record_size,
                    min
                );
            }
            GeometryError::NoRoom { needed } => {
                pr_err!(
                    "mem_size={}: no room for a record of {} bytes beside the console, ftrace and \
                    pmsg zones; at least {} needed\n",
                    mem_size,
                    params.record_size,
                    needed
                );
            }
            GeometryError::ZoneTooSmall { parameter, min } => {
                pr_err!("{}: must be 0 or at least {}\n", parameter, min);
            }
            GeometryError::ZoneTooLarge { parameter, max } => {
                pr_err!("{}: must be at most {}\n", parameter, max);
            }
            GeometryError::EccTooLarge { max } => {
                pr_err!("ecc={}: must be 0 to {}\n", ecc, max);
            }
            GeometryError::EccDoesNotFit { min } => {
                pr_err!(
                    "ecc={}: does not fit in record_size={}, at least {} needed\n",
                    ecc,
                    params.record_size,
                    min
                );
            }
        }
        EINVAL
    })?;
    for (name, given, used) in [
        (
            "record_size",
            params.record_size,
            geometry.params().record_size,
        ),
        (
            "console_size",
            params.console_size,
            geometry.params().console_size,
        ),
        (
            "ftrace_size",
            params.ftrace_size,
            geometry.params().ftrace_size,
        ),
        ("pmsg_size", params.pmsg_size, geometry.params().pmsg_size),
    ] {
        if given != used {
            pr_notice!(
                "{}={} is rounded down to {}, a power of two\n",
                name,
                given,
                used
            );
        }
    }
    Ok(geometry)
}

/// How the text of a record is stored.
pub(crate) fn encoding() -> Result<Encoding> {
    match values::compress.value() {
        None => Ok(Encoding::Plain),
        Some(name) if *name == *c"none" => Ok(Encoding::Plain),
        Some(name) if *name == *c"deflate" => Ok(Encoding::Deflate),
        Some(name) => {
            pr_err!("compress={}: must be none or deflate\n", &*name);
            Err(EINVAL)
        }
    }
}

/// Shows the values in effect in `/sys/module/rust_ramoops/parameters/`, and says what was found.
#[inline(never)]
pub(crate) fn publish(start: u64, max_reason: Reason, region: &Opened) {
    let geometry = region.store.geometry();
    let parts = region.store.parts_max(true);
    let most = parts.saturating_mul(geometry.payload_capacity() as u64);
    if values::compress.value().is_none() && values::kmsg_bytes.value() > most {
        pr_notice!(
            "kmsg_bytes={}: a crash has at most {} records here, of {} bytes each\n",
            values::kmsg_bytes.value(),
            parts,
            geometry.payload_capacity()
        );
    }
    let effective = geometry.params();
    values::mem_address.set_effective(start);
    values::mem_size.set_effective(effective.mem_size as u64);
    values::mem_type.set_effective(region.store.memory().mapping.mem_type().number());
    values::record_size.set_effective(effective.record_size as u64);
    values::console_size.set_effective(effective.console_size as u64);
    values::ftrace_size.set_effective(effective.ftrace_size as u64);
    values::pmsg_size.set_effective(effective.pmsg_size as u64);
    values::max_reason.set_effective(max_reason.number() as i32);
    values::ecc.set_effective(effective.ecc_size as i32);
    values::compress.set_default(b"none");
    pr_info!(
        "using {:#x}@{:#x}, {} slots of {} bytes: {}\n",
        geometry.mem_size(),
        start,
        geometry.slots(),
        geometry.stride(),
        Found(&region.census)
    );
}
