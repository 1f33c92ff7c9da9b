// SPDX-License-Identifier: GPL-2.0

//! rust_ramoops: keeps the kernel log of a crash in reserved RAM.
//!
//! Takes the parameters of `fs/pstore/ram.c`, and lays the memory out as it does.

pub mod linux {
    //! Abstractions over the kernel's C interfaces. All unsafe code of this module is there.

    pub mod array;
    pub mod bindings;
    pub mod crc32c;
    pub mod debugfs;
    pub mod kmsg_dump;
    pub mod param;
    pub mod random;
    pub mod region;
    pub mod rslib;
    pub mod stock_ramoops;
    mod str;
    pub mod time;
    pub mod try_lock;
    pub mod utsname;
    pub mod zlib;
}
#[path = "ringbuf/src/lib.rs"]
pub mod ringbuf;
#[cfg(test_hooks)]
pub mod test_hooks;
mod text;

use kernel::{
    debugfs::Writer,
    fmt,
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
    time::NSEC_PER_SEC, //
};
use linux::{
    array::Array,
    crc32c::crc32c,
    debugfs,
    kmsg_dump::{
        self,
        Detail,
        LogIter,
        Reason, //
    },
    param::{
        Int,
        Size,
        Text, //
    },
    random,
    region::{
        Mapping,
        MemType,
        Region, //
    },
    rslib::Codec,
    stock_ramoops,
    time,
    try_lock::{
        Guard,
        TryLock, //
    },
    utsname, //
};
use ringbuf::{
    layout::ECC_MAX,
    Census,
    Diagnosis,
    DumpInfo,
    Encoder,
    Encoding,
    Geometry,
    GeometryError,
    Memory,
    Options,
    Params,
    Slot,
    Store, //
};
use text::Buffers;

module! {
    type: RustRamoops,
    name: "rust_ramoops",
    authors: ["The rust_ramoops developers"],
    description: "RAM Oops/Panic logger",
    license: "GPL",
}

mod params {
    use super::{
        linux::bindings::KERNEL_PARAM_FL_HWPARAM,
        Int,
        Size,
        Text, //
    };

    crate::module_params! { "rust_ramoops":
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
        loop_secs: Size = Size::new(600), 0o400, 0, "ulong",
            "a crash so many seconds after boot, or sooner, continues a panic loop, whose first \
            crash is kept while other records can make room (default 600; 0: off)";
    }
}

/// The region, and the code that protects it against bit flips.
struct Media {
    mapping: Mapping,
    /// With `ecc` only.
    code: Option<Code>,
}

/// Parity is computed by an encoder of our own, in a fraction of the time.
struct Code {
    encoder: Encoder<Array<u64>>,
    codec: Codec,
}

impl Memory for Media {
    fn len(&self) -> usize {
        self.mapping.len()
    }

    fn read(&self, offset: usize, buf: &mut [u8]) -> bool {
        self.mapping.read(offset, buf)
    }

    fn write(&self, offset: usize, data: &[u8]) -> bool {
        #[cfg(test_hooks)]
        test_hooks::before_write();
        self.mapping.write(offset, data)
    }

    fn barrier(&self, offset: usize, len: usize) {
        self.mapping.barrier(offset, len)
    }

    fn crc32c(crc: u32, data: &[u8]) -> u32 {
        crc32c(crc, data)
    }

    fn encode(&self, block: &[u8], parity: &mut [u8]) {
        if let Some(code) = &self.code {
            code.encoder.encode(block, parity);
        }
    }

    fn decode(&self, block: &mut [u8], parity: &mut [u8]) -> Option<usize> {
        let code = self.code.as_ref()?;
        // Nearly always nothing is wrong, which the encoder tells much sooner than the decoder.
        let mut expected = [0; ECC_MAX];
        let expected = expected.get_mut(..parity.len())?;
        code.encoder.encode(block, expected);
        if *expected == *parity {
            return Some(0);
        }
        code.codec.decode(block, parity)
    }
}

/// The region as a store.
struct Opened {
    store: RamStore,
    /// What it held when it was opened.
    census: Census,
}

/// Stores the kernel log when the kernel crashes.
struct Ramoops {
    /// Not in here, because all this is on the stack while it is made.
    region: KBox<Opened>,
    /// How much of the log one dump stores, if more than one record.
    kmsg_bytes: u64,
    /// A random number of this boot.
    boot_id: [u8; 16],
    /// What has happened since.
    counters: Counters,
    /// For when the kernel panics. No other dump ever holds them, so that a CPU stopped in the middle
    /// of one does not matter.
    panic_buffers: TryLock<Buffers>,
    /// For all other dumps.
    buffers: TryLock<Buffers>,
}

type RamStore = Store<Media, Array<Slot>>;

/// A dump in progress.
type Dump<'a> = ringbuf::Dump<'a, Media, Array<Slot>>;

/// What has happened since the module was loaded.
struct Counters {
    /// Calls of the dumper.
    dumps: Atomic<u32>,
    /// Records stored.
    records: Atomic<u32>,
    /// Dumps dropped because another one was using the buffer.
    dropped_busy: Atomic<u32>,
    /// Dumps that found no slot for (all of) their records.
    dropped_no_slot: Atomic<u32>,
}

impl Counters {
    fn new() -> Self {
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
            realtime_ns: time::realtime_fast_ns(),
            boottime_ns: time::boottime_fast_ns(),
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

/// The contents of `/sys/kernel/debug/rust_ramoops/status`.
impl Writer for kmsg_dump::Registration<Ramoops> {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ramoops = self.dumper();
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

/// The loaded module.
#[pin_data]
struct RustRamoops {
    #[pin]
    dumper: debugfs::File<kmsg_dump::Registration<Ramoops>>,
}

impl kernel::InPlaceModule for RustRamoops {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            dumper <- {
                let (ramoops, max_reason) = open()?;
                let registration = kmsg_dump::Registration::register(ramoops, max_reason);
                debugfs::File::new(c"rust_ramoops", c"status", registration)
            },
        })
    }
}

/// Checks the parameters, maps the region and reads it. Fails with one line that says why.
///
/// The steps that need much stack are functions of their own, and not inlined.
fn open() -> Result<(Ramoops, Reason)> {
    #[cfg(test_hooks)]
    test_hooks::on_load()?;
    let max_reason = max_reason()?;
    let encoding = encoding()?;
    let (start, geometry, media) = map()?;
    let ramoops = Ramoops {
        region: scan(geometry, media)?,
        kmsg_bytes: params::kmsg_bytes.value(),
        boot_id: random::bytes(),
        counters: Counters::new(),
        panic_buffers: buffers(&geometry, encoding)?,
        buffers: buffers(&geometry, encoding)?,
    };
    publish(start, max_reason, &ramoops.region);
    Ok((ramoops, max_reason))
}

/// Finds and maps the region. Returns where it is, how it is divided, and the mapping.
#[inline(never)]
fn map() -> Result<(u64, Geometry, Media)> {
    let mem_type = MemType::from_number(params::mem_type.value()).ok_or_else(|| {
        pr_err!(
            "mem_type={}: must be 0 (write-combined), 1 (unbuffered) or 2 (cached)\n",
            params::mem_type.value()
        );
        EINVAL
    })?;
    let region = find_region()?;
    let geometry = geometry(region.len())?;
    let start = region.start();
    let code = code(&geometry)?;
    if stock_ramoops::uses(start..start.saturating_add(region.len() as u64)) {
        pr_err!(
            "mem_address={:#x} mem_size={:#x}: the module ramoops uses this memory; rmmod it first\n",
            start,
            geometry.mem_size()
        );
        return Err(EBUSY);
    }
    let mapping = region
        .claim_and_map(c"rust_ramoops", mem_type)
        .inspect_err(|refusal| {
            pr_err!(
                "mem_address={:#x} mem_size={:#x}: {}\n",
                start,
                geometry.mem_size(),
                refusal
            );
        })?;
    Ok((start, geometry, Media { mapping, code }))
}

/// Reads the region.
#[inline(never)]
fn scan(geometry: Geometry, media: Media) -> Result<KBox<Opened>> {
    let slots = Array::new(geometry.slots())?;
    let options = Options {
        loop_ns: params::loop_secs
            .value()
            .saturating_mul(NSEC_PER_SEC as u64),
    };
    let (store, census) = Store::open(media, geometry, slots, options).map_err(|_| EINVAL)?;
    Ok(KBox::new(Opened { store, census }, GFP_KERNEL)?)
}

/// The last reason to dump, from `max_reason` or the older `dump_oops`.
fn max_reason() -> Result<Reason> {
    let number = match (params::max_reason.value(), params::dump_oops.value()) {
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
fn find_region() -> Result<Region> {
    if let Some(name) = params::mem_name.value() {
        return Region::named(&name).map_err(|refusal| {
            pr_err!("mem_name={}: {}\n", &*name, refusal);
            refusal.into()
        });
    }
    let (address, size) = (params::mem_address.value(), params::mem_size.value());
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
fn geometry(mem_size: usize) -> Result<Geometry> {
    let ecc = params::ecc.value();
    let params = Params {
        mem_size,
        record_size: usize::try_from(params::record_size.value())?,
        console_size: usize::try_from(params::console_size.value())?,
        ftrace_size: usize::try_from(params::ftrace_size.value())?,
        pmsg_size: usize::try_from(params::pmsg_size.value())?,
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
fn encoding() -> Result<Encoding> {
    match params::compress.value() {
        None => Ok(Encoding::Plain),
        Some(name) if *name == *c"none" => Ok(Encoding::Plain),
        Some(name) if *name == *c"deflate" => Ok(Encoding::Deflate),
        Some(name) => {
            pr_err!("compress={}: must be none or deflate\n", &*name);
            Err(EINVAL)
        }
    }
}

/// Where the text of a record is put together.
#[inline(never)]
fn buffers(geometry: &Geometry, encoding: Encoding) -> Result<TryLock<Buffers>> {
    let buffers = Buffers::new(geometry, encoding).inspect_err(|_| {
        pr_err!(
            "record_size={}: no memory for the buffers of such a record\n",
            geometry.params().record_size
        );
    })?;
    Ok(TryLock::new(buffers))
}

/// The code for the parity that the parameters ask for.
fn code(geometry: &Geometry) -> Result<Option<Code>> {
    let parity_len = geometry.ecc_size();
    if parity_len == 0 {
        return Ok(None);
    }
    let codec = Codec::new(parity_len).inspect_err(|_| {
        pr_err!(
            "ecc={}: needs the module reed_solomon; modprobe it first\n",
            parity_len
        );
    })?;
    let table = Array::new(Encoder::<Array<u64>>::table_len(parity_len))?;
    let encoder = Encoder::new(parity_len, table).ok_or(EINVAL)?;
    Ok(Some(Code { encoder, codec }))
}

/// Shows the values in effect in `/sys/module/rust_ramoops/parameters/`, and says what was found.
#[inline(never)]
fn publish(start: u64, max_reason: Reason, region: &Opened) {
    let geometry = region.store.geometry();
    let effective = geometry.params();
    params::mem_address.set_effective(start);
    params::mem_size.set_effective(effective.mem_size as u64);
    params::mem_type.set_effective(region.store.memory().mapping.mem_type().number());
    params::record_size.set_effective(effective.record_size as u64);
    params::console_size.set_effective(effective.console_size as u64);
    params::ftrace_size.set_effective(effective.ftrace_size as u64);
    params::pmsg_size.set_effective(effective.pmsg_size as u64);
    params::max_reason.set_effective(max_reason.number() as i32);
    params::ecc.set_effective(effective.ecc_size as i32);
    params::compress.set_default(b"none");
    pr_info!(
        "using {:#x}@{:#x}, {} slots of {} bytes: {}\n",
        geometry.mem_size(),
        start,
        geometry.slots(),
        geometry.stride(),
        Found(&region.census)
    );
}

/// What was found in the region, in words.
struct Found<'a>(&'a Census);

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
                "; no records: they seem to have another geometry, record_size={}",
                record_size
            )),
        }
    }
}
