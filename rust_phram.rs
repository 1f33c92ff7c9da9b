// SPDX-License-Identifier: GPL-2.0

//! rust_phram: physical RAM as an MTD device.
//!
//! Takes the parameters of `drivers/mtd/devices/phram.c`. Reads and writes bytes only: what is in the
//! memory does not matter here.

pub mod linux {
    //! Abstractions over the kernel's C interfaces. All unsafe code of this module is there.

    pub mod bindings;
    pub mod mtd;
    pub mod param;
    pub mod region;
    mod str;
}

use core::{
    mem::MaybeUninit,
    ops::Range, //
};
use kernel::{
    fmt,
    page::PAGE_SIZE,
    prelude::*,
    str::BStr, //
};
use linux::{
    mtd,
    param::{
        Locked,
        Param,
        ParamLock,
        Size, //
    },
    region::{
        self,
        Mapping,
        MemType,
        Refusal,
        Region, //
    },
};

module! {
    type: RustPhram,
    name: "rust_phram",
    authors: ["The rust_ramoops developers"],
    description: "MTD driver for physical RAM",
    license: "GPL",
}

mod params {
    use super::{
        linux::bindings::KERNEL_PARAM_FL_HWPARAM,
        DeviceList,
        Size, //
    };

    crate::module_params! { "rust_phram":
        /// Devices to make. Given several times, it makes several.
        phram: DeviceList = DeviceList, 0o200, KERNEL_PARAM_FL_HWPARAM as u8, "string",
            "Memory region to map. \"phram=<name>,<start>,<length>[,<erasesize>][,ro][,overlap]\"; \
            <start> may be @<name of a reserve_mem= region>, whose length is the default then";
        /// How the memory is cached, as in rust_ramoops.
        mem_type: Size = Size::new(0), 0o400, 0, "uint",
            "memory type: 0=write-combined (default), 1=unbuffered, 2=cached";
    }
}

/// The devices, and those asked for before `init` has run.
static STATE: Locked<State> = Locked::new(State {
    phase: Phase::Loading,
    specs: [const { None }; MAX_SPECS],
    devices: None,
});

/// How many devices can be asked for when the module is loaded. More can be added through sysfs.
const MAX_SPECS: usize = 16;

/// How much of a refused parameter is repeated in the log: more than any good one has.
const MAX_SHOWN: usize = 160;

struct State {
    phase: Phase,
    /// What was asked for while the module was loading.
    specs: [Option<Spec>; MAX_SPECS],
    /// All devices, the newest first.
    devices: Option<KBox<Device>>,
}

enum Phase {
    /// Parameters are parsed. Nothing is made before all of them have been found good.
    Loading,
    /// The module is loaded.
    Live,
    /// The module is going, or has failed to load.
    Closed,
}

impl State {
    /// Adds a device to the list, its memory mapped but not yet registered.
    fn map(&mut self, spec: Spec) -> Result<(), Why> {
        let mapping = spec.map()?;
        // Ranges of mappings do not wrap.
        let range = mapping.start()..mapping.start().wrapping_add(mapping.len() as u64);
        let mut next = self.devices.as_ref();
        while let Some(other) = next {
            let disjoint = range.end <= other.range.start || other.range.end <= range.start;
            if !disjoint && !spec.overlap && !other.spec.overlap {
                return Err(Why::Overlap(other.spec.name));
            }
            next = other.next.as_ref();
        }
        let device = Device {
            spec,
            range,
            mapping: Some(mapping),
            registration: None,
            next: None,
        };
        let mut device =
            KBox::new(device, GFP_KERNEL).map_err(|error| Why::NotRegistered(error.into()))?;
        device.next = self.devices.take();
        self.devices = Some(device);
        Ok(())
    }

    /// Ends all devices.
    fn close(&mut self) {
        self.phase = Phase::Closed;
        while let Some(mut device) = self.devices.take() {
            self.devices = device.next.take();
        }
    }
}

/// The parameter `phram`.
pub struct DeviceList;

impl Param for DeviceList {
    fn set(&'static self, arg: &[u8], lock: &mut ParamLock) -> Result {
        let refuse = |why: Why| {
            // A line of the log holds about 1000 characters, and the reason comes last.
            let shown = arg.get(..MAX_SHOWN).unwrap_or(arg);
            pr_err!("phram={}: {}\n", BStr::from_bytes(shown), why);
            why.errno()
        };
        let spec = Spec::parse(arg).map_err(refuse)?;
        let state = STATE.access(lock);
        match state.phase {
            Phase::Loading => {
                // Of two with the same name, as from modprobe.d and the command line, the last counts.
                let slot = state
                    .specs
                    .iter_mut()
                    .find(|slot| slot.is_none_or(|other| other.name == spec.name))
                    .ok_or_else(|| refuse(Why::TooMany))?;
                if slot.replace(spec).is_some() {
                    pr_notice!(
                        "phram={}: given again, the last one counts\n",
                        spec.name.as_c_str()
                    );
                }
            }
            Phase::Live => {
                state.map(spec).map_err(refuse)?;
                let Some(device) = &mut state.devices else {
                    return Err(EINVAL);
                };
                if let Err(why) = device.register() {
                    state.devices = device.next.take();
                    return Err(refuse(why));
                }
            }
            Phase::Closed => return Err(ENODEV),
        }
        Ok(())
    }

    fn show(&self, _f: &mut dyn fmt::Write) -> fmt::Result {
        Ok(())
    }
}

/// Why a device is not made.
#[derive(Clone, Copy)]
enum Why {
    TooFewArguments,
    TooManyArguments,
    Name,
    NameTaken,
    Start,
    Length,
    EraseSize,
    EraseSizeRemainder,
    MemType,
    TooMany,
    Overlap(Name),
    Refused(Refusal),
    NotRegistered(Error),
}

impl Why {
    fn errno(self) -> Error {
        match self {
            Self::NameTaken => EEXIST,
            Self::Overlap(_) => EBUSY,
            Self::TooMany => ENOSPC,
            Self::Refused(refusal) => refusal.into(),
            Self::NotRegistered(error) => error,
            _ => EINVAL,
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooFewArguments => {
                "not enough arguments: <name>,<start>,<length>[,<erasesize>][,ro][,overlap]"
            }
            Self::TooManyArguments => {
                "too many arguments: <name>,<start>,<length>[,<erasesize>][,ro][,overlap]"
            }
            Self::Name => "illegal name: it has 1 to 63 characters",
            Self::NameTaken => "illegal name: there is an MTD device of that name, see /proc/mtd",
            Self::Start => {
                "illegal start address: a number, such as 0x8000000 or 128Mi, or @<name>"
            }
            Self::Length => "illegal length: a number, such as 0x100000 or 1Mi, above 0",
            Self::EraseSize => "illegal erasesize: a number from 1 up to the length",
            Self::EraseSizeRemainder => "illegal erasesize: the length is not a multiple of it",
            Self::MemType => "illegal mem_type: 0 is write-combined, 1 is unbuffered, 2 is cached",
            Self::TooMany => "too many devices at once: add more through sysfs later",
            Self::Overlap(other) => {
                return f.write_fmt(fmt!(
                    "the memory overlaps that of {}; if it shall, append ,overlap to one of them",
                    other.as_c_str()
                ))
            }
            Self::Refused(refusal) => return refusal.fmt(f),
            Self::NotRegistered(_) => "the device could not be registered",
        })
    }
}

/// Where the memory of a device is.
#[derive(Clone, Copy)]
enum Place {
    /// At a physical address.
    At { start: u64, len: u64 },
    /// In a `reserve_mem=` region of that name; all of it, if no length is given.
    Reserved { name: Name, len: Option<u64> },
}

/// A device that is asked for.
#[derive(Clone, Copy)]
struct Spec {
    name: Name,
    place: Place,
    erasesize: u32,
    read_only: bool,
    /// Whether other devices may have (part of) the same memory.
    overlap: bool,
}

impl Spec {
    /// Parses `<name>,<start>,<length>[,<erasesize>][,ro][,overlap]`.
    fn parse(arg: &[u8]) -> Result<Self, Why> {
        let mut parts = arg.split(|byte| *byte == b',');
        let name = Name::new(parts.next().unwrap_or(b"")).ok_or(Why::Name)?;
        let start = parts.next().ok_or(Why::TooFewArguments)?;
        let (mut len, mut erasesize) = (None, None);
        let (mut read_only, mut overlap) = (false, false);
        for part in parts {
            let words = read_only || overlap;
            match part {
                b"ro" => read_only = true,
                b"overlap" => overlap = true,
                part if len.is_none() && !words => len = Some(part),
                part if erasesize.is_none() && !words => erasesize = Some(part),
                _ => return Err(Why::TooManyArguments),
            }
        }

        let len = match len {
            Some(len) => Some(
                Size::parse(len)
                    .ok()
                    .filter(|len| *len > 0)
                    .ok_or(Why::Length)?,
            ),
            None => None,
        };
        let place = match start {
            [b'@', region @ ..] => Place::Reserved {
                name: Name::new(region).ok_or(Why::Start)?,
                len,
            },
            start => Place::At {
                len: len.ok_or(Why::TooFewArguments)?,
                start: Size::parse(start).map_err(|_| Why::Start)?,
            },
        };
        let erasesize = match erasesize {
            Some(size) => Size::parse(size).map_err(|_| Why::EraseSize)?,
            None => PAGE_SIZE as u64,
        };
        Ok(Self {
            name,
            place,
            erasesize: u32::try_from(erasesize).map_err(|_| Why::EraseSize)?,
            read_only,
            overlap,
        })
    }

    /// Checks the memory and maps it.
    fn map(&self) -> Result<Mapping, Why> {
        if mtd::exists(self.name.as_c_str()) {
            return Err(Why::NameTaken);
        }
        let region = match self.place {
            Place::At { start, len } => Region::at(start, len),
            Place::Reserved { name, len } => {
                Region::named(name.as_c_str()).and_then(|region| match len {
                    Some(len) => region.truncate(len),
                    None => Ok(region),
                })
            }
        }
        .map_err(Why::Refused)?;

        let len = region.len() as u64;
        let erasesize = u64::from(self.erasesize);
        match len.checked_rem(erasesize) {
            _ if erasesize > len => return Err(Why::EraseSize),
            Some(0) => (),
            Some(_) => return Err(Why::EraseSizeRemainder),
            None => return Err(Why::EraseSize),
        }
        let mem_type = MemType::from_number(params::mem_type.value()).ok_or(Why::MemType)?;
        region.map(mem_type).map_err(Why::Refused)
    }
}

/// A device in the list.
struct Device {
    spec: Spec,
    /// The physical addresses of its memory.
    range: Range<u64>,
    /// The memory, until it goes to the registration.
    mapping: Option<Mapping>,
    registration: Option<mtd::Registration<Phram>>,
    next: Option<KBox<Device>>,
}

impl Device {
    /// Makes `/dev/mtdN`.
    fn register(&mut self) -> Result<(), Why> {
        let Some(mapping) = self.mapping.take() else {
            return Ok(());
        };
        let (start, size) = (mapping.start(), mapping.len() as u64);
        let options = mtd::Options {
            name: self.spec.name.as_c_str(),
            size,
            erasesize: self.spec.erasesize,
            read_only: self.spec.read_only,
            parent: None,
        };
        self.registration =
            Some(mtd::Registration::new(options, Phram { mapping }).map_err(Why::NotRegistered)?);
        pr_info!(
            "{} device: {:#x} at {:#x} for erasesize {:#x}\n",
            self.spec.name.as_c_str(),
            size,
            start,
            self.spec.erasesize
        );
        Ok(())
    }
}

/// A name of 1 to 63 characters.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Name([u8; 64]);

impl Name {
    fn new(text: &[u8]) -> Option<Self> {
        let mut name = [0; 64];
        if text.is_empty() || text.len() >= name.len() {
            return None;
        }
        for (to, from) in name.iter_mut().zip(text) {
            *to = *from;
        }
        Some(Self(name))
    }

    fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or_default()
    }
}

/// A device: mapped memory, all of which can be read and written at any time.
struct Phram {
    mapping: Mapping,
}

#[vtable]
impl mtd::RamDevice for Phram {
    fn read<'a>(&self, from: u64, buf: &'a mut [MaybeUninit<u8>]) -> Result<&'a mut [u8]> {
        self.mapping
            .read_uninit(usize::try_from(from)?, buf)
            .ok_or(EINVAL)
    }

    fn write(&self, to: u64, data: &[u8]) -> Result {
        let to = usize::try_from(to)?;
        self.mapping.write(to, data).then_some(()).ok_or(EINVAL)?;
        self.mapping.barrier(to, data.len());
        Ok(())
    }

    fn panic_write(&self, to: u64, data: &[u8]) -> Result {
        self.write(to, data)
    }

    fn erase(&self, addr: u64, len: u64) -> Result {
        let (addr, len) = (usize::try_from(addr)?, usize::try_from(len)?);
        self.mapping
            .fill(addr, len, 0xff)
            .then_some(())
            .ok_or(EINVAL)?;
        self.mapping.barrier(addr, len);
        Ok(())
    }

    fn mapping(&self) -> &Mapping {
        &self.mapping
    }
}

#[cfg(CONFIG_OF)]
mod device_tree {
    //! Devices that the device tree describes, as in mainline: a node of /reserved-memory with
    //! `compatible = "phram"`. Its `label` is the name, and without `no-map` the memory is cached.

    use super::{
        mtd,
        params,
        MemType,
        Phram,
        Region,
        RustPhram, //
    };
    use kernel::{
        device,
        driver,
        module::this_module,
        of,
        page::PAGE_SIZE,
        platform,
        prelude::*,
        str::CString, //
    };

    /// The driver, while it is registered.
    pub(super) type Driver = Pin<KBox<driver::Registration<platform::Adapter<Node>>>>;

    /// Registers the driver. Devices that are there already are probed at once.
    pub(super) fn register() -> Result<Driver> {
        let registration = driver::Registration::new(c"rust_phram", this_module::<RustPhram>());
        KBox::pin_init(registration, GFP_KERNEL)
    }

    /// The device of a node.
    pub(super) struct Node {
        _device: mtd::Registration<Phram>,
    }

    kernel::of_device_table!(OF_TABLE, (), [(of::DeviceId::new(c"phram"), ())]);

    impl platform::Driver for Node {
        type IdInfo = ();
        type Data<'bound> = Self;
        const OF_ID_TABLE: Option<of::IdTable<Self::IdInfo>> = Some(&OF_TABLE);

        fn probe<'bound>(
            pdev: &'bound platform::Device<device::Core<'_>>,
            _info: Option<&'bound Self::IdInfo>,
        ) -> impl PinInit<Self, Error> + 'bound {
            let dev = pdev.as_ref();
            let node = dev.fwnode();
            let mem_type = if node.is_some_and(|node| !node.property_read_bool(c"no-map")) {
                Some(MemType::Cached)
            } else {
                MemType::from_number(params::mem_type.value())
            };
            let mem_type = mem_type.ok_or(EINVAL).inspect_err(|_| {
                dev_err!(dev, "refused: illegal mem_type, see modinfo rust_phram\n");
            })?;
            let mapping = Region::of_resource(pdev.resource_by_index(0).ok_or(ENOMEM)?)
                .and_then(|region| region.map(mem_type))
                .inspect_err(|refusal| dev_err!(dev, "refused: {}\n", refusal))?;

            let label = node.and_then(|node| node.property_read::<CString>(c"label").optional());
            let name = label.as_deref().unwrap_or(dev.name());
            if mtd::exists(name) {
                dev_err!(dev, "refused: the name {} is taken, see /proc/mtd\n", name);
                return Err(EEXIST);
            }
            let options = mtd::Options {
                name,
                size: mapping.len() as u64,
                erasesize: PAGE_SIZE as u32,
                read_only: false,
                parent: Some(dev),
            };
            Ok(Self {
                _device: mtd::Registration::new(options, Phram { mapping })?,
            })
        }
    }
}

/// The loaded module.
struct RustPhram {
    // Devices of the device tree are not in the list.
    #[cfg(CONFIG_OF)]
    _driver: device_tree::Driver,
}

impl kernel::Module for RustPhram {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        region::check_lockdown().inspect_err(|_| {
            pr_err!("refused: the kernel is locked down against access to physical memory\n");
        })?;

        let mut lock = ParamLock::take();
        let state = STATE.access(&mut lock);
        load(state).inspect_err(|_| state.close())?;
        Ok(Self {
            #[cfg(CONFIG_OF)]
            _driver: device_tree::register().inspect_err(|_| state.close())?,
        })
    }
}

/// Makes all devices that were asked for, or fails.
fn load(state: &mut State) -> Result {
    let refuse = |spec: &Spec, why: Why| {
        pr_err!("phram={}: {}\n", spec.name.as_c_str(), why);
        why.errno()
    };
    // A device that user space has seen cannot be taken back, so all memory is checked first.
    // The list begins with the newest, and the devices are numbered in its order.
    for index in (0..MAX_SPECS).rev() {
        if let Some(Some(spec)) = state.specs.get(index).copied() {
            state.map(spec).map_err(|why| refuse(&spec, why))?;
        }
    }
    let mut next = state.devices.as_mut();
    while let Some(device) = next {
        device.register().map_err(|why| refuse(&device.spec, why))?;
        next = device.next.as_mut();
    }
    state.phase = Phase::Live;
    Ok(())
}

impl Drop for RustPhram {
    fn drop(&mut self) {
        STATE.access(&mut ParamLock::take()).close();
        mtd::synchronize();
    }
}
