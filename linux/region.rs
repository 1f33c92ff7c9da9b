// SPDX-License-Identifier: GPL-2.0

//! Reserved physical memory: checks, claim and mapping.
//!
//! A [`Region`] is a range of physical memory that was found to belong to nobody else. Mapped, it is
//! a [`Mapping`], which copies bytes in and out with bounds checks and can be used in any context.
//!
//! C headers: [`include/linux/io.h`](srctree/include/linux/io.h),
//! [`include/linux/ioport.h`](srctree/include/linux/ioport.h)

use super::bindings;
use core::{
    mem::MaybeUninit,
    ptr::NonNull, //
};
#[cfg(CONFIG_SECURITY)]
use kernel::error::to_result;
#[cfg(CONFIG_OF)]
use kernel::io::Resource;
#[cfg(has_barriers)]
use kernel::sync::barrier::{
    mb,
    Write, //
};
use kernel::{
    fmt,
    prelude::*, //
};

/// What addresses are multiples of. It is the smallest page, not the kernel's: all ways to map a range
/// take one that starts within a page.
const ALIGN: u64 = 4096;

/// Why a range of memory is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The length is zero.
    Empty,
    /// The range does not start at a multiple of [`ALIGN`].
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
                "the range is memory that the kernel uses; reserve it at boot with memmap= or reserve_mem="
            }
            Self::NotReserved => {
                "the range is not wholly reserved memory, see /proc/iomem; reserve it at boot with memmap="
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

/// How the CPU's caches treat a mapping. The numbers are those of ramoops' parameter `mem_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemType {
    /// Writes are combined, nothing is cached (0).
    WriteCombined,
    /// Nothing is combined or cached (1).
    Unbuffered,
    /// Ordinary write-back caching (2).
    Cached,
}

impl MemType {
    /// Returns the type of that number.
    pub fn from_number(number: u64) -> Option<Self> {
        match number {
            0 => Some(Self::WriteCombined),
            1 => Some(Self::Unbuffered),
            2 => Some(Self::Cached),
            _ => None,
        }
    }

    /// Returns the number of the type.
    pub fn number(self) -> u64 {
        match self {
            Self::WriteCombined => 0,
            Self::Unbuffered => 1,
            Self::Cached => 2,
        }
    }
}

/// A range of physical memory that passed the checks.
///
/// # Invariants
///
/// The range is not empty and does not wrap. It is either disjoint from
/// System RAM (`ram` is false), or a `reserve_mem=` region, which the kernel never allocates from
/// (`ram` is true).
pub struct Region {
    start: u64,
    len: usize,
    ram: bool,
    /// Nothing at all is known of the range, as with memory cut off by `mem=`.
    uncharted: bool,
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
        // INVARIANT: memblock hands out ranges of RAM that do not wrap, and what `reserve_mem=` took
        // stays out of the page allocator.
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
/// `Resource::request_region` does the same below a `Resource` that a device has. That of all memory,
/// `iomem_resource`, is not to be had: `Resource::from_raw` is private to the kernel crate.
///
/// # Invariants
///
/// The range was claimed by `request_mem_region` and is released once, on drop.
struct Claim {
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
        // Memory cut off by `mem=` is known as reserved from now on, so that others may map it, too.
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

/// Mapped physical memory.
///
/// Its contents may change at any time (other mappings, other CPUs, a failing memory), so that they
/// are only ever copied, never borrowed. All copies are bounds-checked, take no lock and can be used
/// in any context.
///
/// # Invariants
///
/// `addr` is the start of a mapping of `len` bytes that is valid for reads and writes until it is
/// unmapped, once, on drop.
pub struct Mapping {
    addr: NonNull<u8>,
    start: u64,
    len: usize,
    mem_type: MemType,
    _claim: Option<Claim>,
}

// SAFETY: A mapping belongs to no thread, and unmapping may be done by any.
unsafe impl Send for Mapping {}
// SAFETY: Concurrent copies through `&self` are done by the kernel's I/O copies (volatile, as for a
// device's memory), and no reference to the contents is ever made.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn new(region: Region, claim: Option<Claim>, mem_type: MemType) -> Result<Self, Refusal> {
        let mem_type = if region.ram {
            MemType::Cached
        } else {
            mem_type
        };
        // SAFETY: By the type invariant of `Region` the range may be mapped: it is not the kernel's
        // own memory, or it is set aside for this use and mapped with the type that RAM has.
        let addr = unsafe {
            match mem_type {
                MemType::WriteCombined => {
                    bindings::memremap(region.start, region.len, bindings::MEMREMAP_WC as c_ulong)
                }
                // `memremap` has no such type.
                MemType::Unbuffered => bindings::ioremap(region.start, region.len),
                MemType::Cached => {
                    bindings::memremap(region.start, region.len, bindings::MEMREMAP_WB as c_ulong)
                }
            }
        };
        let addr = NonNull::new(addr.cast::<u8>()).ok_or(Refusal::NotMapped)?;
        if mem_type == MemType::Cached && !cfg!(CONFIG_ARCH_HAS_PMEM_API) {
            pr_warn!("on this machine cached memory cannot be written back: a reset may lose the newest of it\n");
        }
        // INVARIANT: The whole region is mapped at `addr`.
        let mapping = Self {
            addr,
            start: region.start,
            len: region.len,
            mem_type,
            _claim: claim,
        };
        let end = mapping.len.saturating_sub(Self::PROBE);
        if region.uncharted && !(mapping.answers(0) && mapping.answers(end)) {
            return Err(Refusal::NoMemory);
        }
        Ok(mapping)
    }

    /// How many bytes are looked at to see whether there is memory.
    const PROBE: usize = 64;

    /// Whether there is memory: it holds something, or what is written can be read back.
    ///
    /// Where there is none, all ones are read on most machines, and zeros on some virtual ones. But
    /// that is what erased or fresh memory holds, too. One byte is changed for a moment then.
    fn answers(&self, offset: usize) -> bool {
        let mut bytes = [0; Self::PROBE];
        let Some(bytes) = bytes.get_mut(..self.len.min(Self::PROBE)) else {
            return false;
        };
        self.read(offset, bytes);
        let [byte, rest @ ..] = bytes else {
            return false;
        };
        if !matches!(byte, 0 | 0xff) || rest.iter().any(|other| other != byte) {
            return true;
        }
        let last = offset.wrapping_add(rest.len());
        let mut found = [*byte];
        self.write(last, &[!*byte]);
        self.flush(last);
        self.read(last, &mut found);
        self.write(last, &[*byte]);
        self.barrier(last, 1);
        found == [!*byte]
    }

    /// Makes the next read of a byte one of the memory, not of a cache, where the kernel can.
    fn flush(&self, offset: usize) {
        #[cfg(CONFIG_X86)]
        if let Some(addr) = self.range(offset, 1) {
            // SAFETY: The byte is mapped, by the type invariant.
            unsafe { bindings::clflush_cache_range(addr.as_ptr().cast(), 1) };
        }
        #[cfg(not(CONFIG_X86))]
        self.barrier(offset, 1);
    }

    /// The physical address.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// The length in bytes.
    #[allow(clippy::len_without_is_empty, reason = "a mapping is never empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// How the CPU's caches treat the mapping.
    pub fn mem_type(&self) -> MemType {
        self.mem_type
    }

    /// The address of a range, if the mapping contains it whole.
    fn range(&self, offset: usize, len: usize) -> Option<NonNull<u8>> {
        let end = offset.checked_add(len)?;
        if end > self.len {
            return None;
        }
        // SAFETY: By the type invariant `offset <= len` is inside the mapping or just behind it.
        Some(unsafe { self.addr.add(offset) })
    }

    /// Copies bytes out. Returns `false`, and copies nothing, if the range leaves the mapping.
    pub fn read(&self, offset: usize, buf: &mut [u8]) -> bool {
        // SAFETY: Initialised bytes may be seen as maybe-uninitialised ones, and `read_uninit` only
        // ever stores initialised bytes.
        let buf = unsafe { &mut *(core::ptr::from_mut(buf) as *mut [MaybeUninit<u8>]) };
        self.read_uninit(offset, buf).is_some()
    }

    /// Returns the 8 bytes at an offset, in any order. `None` if they are not all in the mapping.
    ///
    /// Takes a fraction of what [`Self::read`] does.
    pub fn word(&self, offset: usize) -> Option<u64> {
        #[cfg(CONFIG_64BIT)]
        {
            let src = self.range(offset, size_of::<u64>())?.cast::<u64>();
            if src.is_aligned() {
                // SAFETY: `src` is valid for reads of 8 bytes, and aligned.
                return Some(unsafe { bindings::readq_relaxed(src.as_ptr().cast()) });
            }
        }
        let mut bytes = [0; size_of::<u64>()];
        self.read(offset, &mut bytes)
            .then_some(u64::from_ne_bytes(bytes))
    }

    /// As [`Self::read`], into a buffer that need not be initialised. Returns it when it is.
    pub fn read_uninit<'a>(
        &self,
        offset: usize,
        buf: &'a mut [MaybeUninit<u8>],
    ) -> Option<&'a mut [u8]> {
        let src = self.range(offset, buf.len())?;
        // SAFETY: `src` is valid for reads of `buf.len()` bytes, and `buf` for writes.
        unsafe {
            bindings::memcpy_fromio(buf.as_mut_ptr().cast(), src.as_ptr().cast(), buf.len());
        }
        // SAFETY: All of it has just been written.
        Some(unsafe { &mut *(core::ptr::from_mut(buf) as *mut [u8]) })
    }

    /// Copies bytes in. Returns `false`, and copies nothing, if the range leaves the mapping.
    pub fn write(&self, offset: usize, data: &[u8]) -> bool {
        let Some(dst) = self.range(offset, data.len()) else {
            return false;
        };
        // SAFETY: `dst` is valid for writes of `data.len()` bytes, and `data` for reads.
        unsafe {
            bindings::memcpy_toio(dst.as_ptr().cast(), data.as_ptr().cast(), data.len());
        }
        true
    }

    /// Sets a range to one byte value. Returns `false`, and writes nothing, if the range leaves the
    /// mapping.
    pub fn fill(&self, offset: usize, len: usize, byte: u8) -> bool {
        if self.range(offset, len).is_none() {
            return false;
        }
        let block = [byte; 256];
        let mut done = 0;
        while let Some(data) = block.get(..len.saturating_sub(done).min(block.len())) {
            if data.is_empty() {
                break;
            }
            self.write(offset.wrapping_add(done), data);
            done = done.wrapping_add(data.len());
        }
        true
    }

    /// Makes everything written to the range so far reach the RAM before anything written later.
    ///
    /// Combined writes are flushed. Cached lines of the range are written back, on architectures on
    /// which the kernel can: on others, a warning was given when the range was mapped.
    pub fn barrier(&self, offset: usize, len: usize) {
        #[cfg(CONFIG_ARCH_HAS_PMEM_API)]
        if self.mem_type == MemType::Cached {
            if let Some(addr) = self.range(offset, len) {
                // SAFETY: The range is mapped, by the type invariant.
                unsafe { bindings::arch_wb_cache_pmem(addr.as_ptr().cast(), len) };
            }
        }
        #[cfg(not(CONFIG_ARCH_HAS_PMEM_API))]
        let _ = (offset, len);
        write_barrier();
    }

    /// The virtual and physical address of a range, for `mtd_point()`.
    pub fn addresses(&self, offset: usize, len: usize) -> Option<(NonNull<u8>, u64)> {
        let addr = self.range(offset, len)?;
        Some((addr, self.start.wrapping_add(offset as u64)))
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the mapping exists and is unmapped only here. `memunmap` also
        // undoes `ioremap`.
        unsafe { bindings::memunmap(self.addr.as_ptr().cast()) };
    }
}

/// Orders all writes before it, cached or combined, before all writes after it: C's `wmb()`.
fn write_barrier() {
    #[cfg(has_barriers)]
    mb(Write);
    // Kernels before 7.3 have no helper for it; these are what `wmb()` is there.
    #[cfg(all(not(has_barriers), target_arch = "x86_64"))]
    // SAFETY: The instruction only orders memory accesses.
    unsafe {
        core::arch::asm!("sfence", options(nostack, preserves_flags))
    };
    #[cfg(all(not(has_barriers), target_arch = "aarch64"))]
    // SAFETY: The instruction only orders memory accesses.
    unsafe {
        core::arch::asm!("dsb st", options(nostack, preserves_flags))
    };
    #[cfg(not(any(has_barriers, target_arch = "x86_64", target_arch = "aarch64")))]
    compile_error!("this architecture needs Linux 7.3");
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
