// SPDX-License-Identifier: GPL-2.0

//! Reserved physical memory: checks and claim.
//!
//! A [`Region`] is a range of physical memory that was found to belong to nobody else. Mapped, it
//! is a [`Mapping`].
//!
//! C header: [`include/linux/ioport.h`](srctree/include/linux/ioport.h)

use super::{
    bindings,
    mapping::{
        Mapping,
        MemType, //
    }, //
};
#[cfg(CONFIG_SECURITY)]
use kernel::error::to_result;
#[cfg(CONFIG_OF)]
use kernel::io::Resource;
use kernel::{
    fmt,
    prelude::*, //
};

/// What addresses are multiples of. It is the smallest page, not the kernel's: all ways to map a
/// range take one that starts within a page.
const ALIGN: u64 = 4096;

/// Why a range of memory is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The length is zero.
    Empty,
    /// The range does not start at a multiple of 4096.
    Misaligned,
    /// The range ends beyond what this CPU can address.
    Unaddressable,
    /// The kernel uses (part of) the range as its own memory.
    SystemRam,
    /// (Part of) the range is neither reserved memory nor free: a device's, or the firmware's.
    NotReserved,
    /// Another driver has claimed (part of) the range.
    Claimed,
    /// No memory answers at the range.
    NoMemory,
    /// The kernel could not map the range.
    NotMapped,
    /// No `reserve_mem=` region has that name.
    UnknownName,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the size is zero",
            Self::Misaligned => "the address is not a multiple of 4096",
            Self::Unaddressable => "the range ends beyond the addressable memory",
            Self::SystemRam => {
                "the range is memory that the kernel uses; \
                reserve it at boot with memmap= or reserve_mem="
            }
            Self::NotReserved => {
                "the range is not wholly reserved memory, see /proc/iomem; \
                reserve it at boot with memmap="
            }
            Self::Claimed => "the range is claimed by another driver, see /proc/iomem",
            Self::NoMemory => "no memory answers there: what is written cannot be read back",
            Self::NotMapped => "the kernel cannot map the range, see the lines above",
            Self::UnknownName => "no reserve_mem= region of that name, see the kernel command line",
        })
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Claimed => EBUSY,
            Refusal::UnknownName => ENOENT,
            Refusal::NotMapped => ENOMEM,
            Refusal::NoMemory => ENXIO,
            _ => EINVAL,
        }
    }
}

/// A range of physical memory that passed the checks.
///
/// # Examples
///
/// ```
/// use kernel::region::{
///     Refusal,
///     Region, //
/// };
///
/// assert_eq!(Region::at(0x1000, 0).err(), Some(Refusal::Empty));
/// assert_eq!(Region::at(0x1001, 0x1000).err(), Some(Refusal::Misaligned));
/// assert_eq!(Region::at(0x1000, u64::MAX).err(), Some(Refusal::Unaddressable));
/// assert_eq!(Region::named(c"nowhere").err(), Some(Refusal::UnknownName));
/// ```
///
/// # Invariants
///
/// The range is not empty and does not wrap. It is either disjoint from
/// System RAM (`ram` is false), or a `reserve_mem=` region, which the kernel never allocates from
/// (`ram` is true).
pub struct Region {
    start: u64,
    len: usize,
    pub(super) ram: bool,
    /// Nothing at all is known of the range, as with memory cut off by `mem=`.
    pub(super) uncharted: bool,
}

impl Region {
    /// Checks a range given by its physical address.
    pub fn at(start: u64, len: u64) -> Result<Self, Refusal> {
        if len == 0 {
            return Err(Refusal::Empty);
        }
        if start % ALIGN != 0 {
            return Err(Refusal::Misaligned);
        }
        let end = start.checked_add(len).ok_or(Refusal::Unaddressable)?;
        let size = usize::try_from(len).map_err(|_| Refusal::Unaddressable)?;
        if isize::try_from(size).is_err() {
            return Err(Refusal::Unaddressable);
        }
        // SAFETY: `iomem_resource` exists as long as the kernel runs and its end is constant after
        // boot.
        if end.wrapping_sub(1) > unsafe { bindings::iomem_resource.end } {
            return Err(Refusal::Unaddressable);
        }
        if !disjoint(start, size, bindings::IORESOURCE_SYSTEM_RAM) {
            return Err(Refusal::SystemRam);
        }

        let uncharted = disjoint(start, size, bindings::IORESOURCE_MEM);
        // On x86, E820 says of each range what it is. Elsewhere reserved memory has no type of its
        // own, so that the checks end here.
        if cfg!(CONFIG_X86) && !uncharted && !reserved(start, size) {
            return Err(Refusal::NotReserved);
        }
        // INVARIANT: Just checked.
        Ok(Self {
            start,
            len: size,
            ram: false,
            uncharted,
        })
    }

    /// A range that the platform has set aside for a device, as a node of the device tree says.
    #[cfg(CONFIG_OF)]
    pub fn of_resource(resource: &Resource) -> Result<Self, Refusal> {
        let (start, len) = (resource.start(), resource.size());
        let ram = match Self::at(start, len) {
            // The kernel keeps such memory mapped, unless the node says `no-map`.
            Err(Refusal::SystemRam) => true,
            // What it is reserved for is this very device.
            Err(Refusal::NotReserved) => false,
            region => return region,
        };
        // INVARIANT: Not empty and without wrapping, or `at` would have said so. That the
        // kernel never allocates from there is the word of the platform, as it is for mainline.
        Ok(Self {
            start,
            len: usize::try_from(len).map_err(|_| Refusal::Unaddressable)?,
            ram,
            uncharted: false,
        })
    }

    /// Looks up a region that was reserved at boot by `reserve_mem=<size>:<align>:<name>`.
    pub fn named(name: &CStr) -> Result<Self, Refusal> {
        let mut start: bindings::phys_addr_t = 0;
        let mut size: bindings::phys_addr_t = 0;
        // SAFETY: `name` is a valid string, and the other two point to live local variables.
        let found = unsafe {
            bindings::reserve_mem_find_by_name(name.as_char_ptr(), &mut start, &mut size)
        };
        if found == 0 {
            return Err(Refusal::UnknownName);
        }
        let len = usize::try_from(size).map_err(|_| Refusal::Unaddressable)?;
        if len == 0 {
            return Err(Refusal::Empty);
        }
        // INVARIANT: memblock hands out ranges of RAM that do not wrap, and what `reserve_mem=`
        // took stays out of the page allocator.
        Ok(Self {
            start,
            len,
            ram: true,
            uncharted: false,
        })
    }

    /// The first `len` bytes of the region.
    pub fn truncate(self, len: u64) -> Result<Self, Refusal> {
        match usize::try_from(len) {
            Ok(0) => Err(Refusal::Empty),
            // INVARIANT: Not empty, and no longer than before.
            Ok(len) if len <= self.len => Ok(Self { len, ..self }),
            _ => Err(Refusal::NotReserved),
        }
    }

    /// The physical address.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// The length in bytes.
    #[allow(clippy::len_without_is_empty, reason = "a region is never empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Maps the region for shared use: others may map it as well.
    ///
    /// A `reserve_mem=` region is RAM that the kernel has mapped write-back already, so that it is
    /// always mapped as [`MemType::Cached`].
    pub fn map(self, mem_type: MemType) -> Result<Mapping, Refusal> {
        Mapping::new(self, None, mem_type)
    }

    /// Claims the region under `name`, as seen in `/proc/iomem`, and maps it.
    ///
    /// A `reserve_mem=` region is inside System RAM and stays unclaimed: the kernel offers no claim
    /// for it.
    pub fn claim_and_map(self, name: &'static CStr, mem_type: MemType) -> Result<Mapping, Refusal> {
        let claim = if self.ram {
            None
        } else {
            Some(Claim::new(&self, name)?)
        };
        Mapping::new(self, claim, mem_type)
    }
}

/// How the range lies to the resources with these flags and this descriptor: one of the `REGION_*`.
fn intersects(start: u64, len: usize, flags: u32, desc: u32) -> u32 {
    // SAFETY: Reads the resource tree under its own lock; any arguments are fine.
    unsafe { bindings::region_intersects(start, len, flags as c_ulong, desc as c_ulong) as u32 }
}

/// Whether no such resource overlaps the range.
fn disjoint(start: u64, len: usize, flags: u32) -> bool {
    intersects(start, len, flags, bindings::IORES_DESC_NONE) == bindings::REGION_DISJOINT
}

/// Whether the range lies wholly within memory that boot or firmware set aside.
fn reserved(start: u64, len: usize) -> bool {
    [
        bindings::IORES_DESC_RESERVED,
        bindings::IORES_DESC_SOFT_RESERVED,
        bindings::IORES_DESC_PERSISTENT_MEMORY_LEGACY,
        bindings::IORES_DESC_PERSISTENT_MEMORY,
    ]
    .iter()
    .any(|desc| {
        intersects(start, len, bindings::IORESOURCE_MEM, *desc) == bindings::REGION_INTERSECTS
    })
}

/// A claim on a range of physical memory.
///
/// `Resource::request_region` does the same below a `Resource` that a device has. That of all
/// memory, `iomem_resource`, is not to be had: `Resource::from_raw` is private to the kernel crate.
///
/// # Invariants
///
/// The range was claimed by `request_mem_region` and is released once, on drop.
pub(super) struct Claim {
    start: u64,
    len: usize,
}

impl Claim {
    fn new(region: &Region, name: &'static CStr) -> Result<Self, Refusal> {
        // SAFETY: `name` lives as long as this module, and the claim ends before it (in `Drop`).
        let resource = unsafe {
            bindings::request_mem_region(region.start, region.len as u64, name.as_char_ptr())
        };
        if resource.is_null() {
            return Err(Refusal::Claimed);
        }
        // Memory cut off by `mem=` is known as reserved from now on, so that others may map it,
        // too.
        //
        // SAFETY: The resource is ours until it is released. Others only read it.
        unsafe { (*resource).desc = bindings::IORES_DESC_RESERVED as c_ulong };
        // INVARIANT: The request succeeded.
        Ok(Self {
            start: region.start,
            len: region.len,
        })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // SAFETY: By the type invariant, the range is claimed by us.
        unsafe { bindings::release_mem_region(self.start, self.len as u64) };
    }
}

/// Fails if the kernel is locked down against access to physical memory, as `/dev/mem` does.
///
/// `kernel::security` has no `security_locked_down`.
pub fn check_lockdown() -> Result {
    // Lockdown is a security module.
    #[cfg(not(CONFIG_SECURITY))]
    return Ok(());
    #[cfg(CONFIG_SECURITY)]
    // SAFETY: The function has no requirements.
    to_result(unsafe { bindings::security_locked_down(bindings::lockdown_reason_LOCKDOWN_DEV_MEM) })
}
