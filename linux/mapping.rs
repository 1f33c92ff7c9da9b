// SPDX-License-Identifier: GPL-2.0

//! Mapped physical memory.
//!
//! A [`Mapping`] copies bytes in and out with bounds checks, and can be used in any context.
//!
//! C header: [`include/linux/io.h`](srctree/include/linux/io.h)

use super::{
    barrier::{
        mb,
        Write, //
    },
    bindings,
    region::{
        Claim,
        Refusal,
        Region, //
    }, //
};
use core::{
    mem::MaybeUninit,
    ptr::NonNull, //
};
use kernel::prelude::*;

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

/// Mapped physical memory.
///
/// Its contents may change at any time (other mappings, other CPUs, a failing memory), so that they
/// are only ever copied, never borrowed. All copies are bounds-checked, take no lock and can be
/// used in any context.
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
    pub(super) fn new(
        region: Region,
        claim: Option<Claim>,
        mem_type: MemType,
    ) -> Result<Self, Refusal> {
        let mem_type = if region.ram {
            MemType::Cached
        } else {
            mem_type
        };
        // SAFETY: By the type invariant of `Region` the range may be mapped: it is not the kernel's
        // own memory, or it is set aside for this use and mapped with the type that RAM has.
        let addr = unsafe {
            match mem_type {
                MemType::WriteCombined => bindings::memremap(
                    region.start(),
                    region.len(),
                    bindings::MEMREMAP_WC as c_ulong,
                ),
                // `memremap` has no such type.
                MemType::Unbuffered => bindings::ioremap(region.start(), region.len()),
                MemType::Cached => bindings::memremap(
                    region.start(),
                    region.len(),
                    bindings::MEMREMAP_WB as c_ulong,
                ),
            }
        };
        let addr = NonNull::new(addr.cast::<u8>()).ok_or(Refusal::NotMapped)?;
        if mem_type == MemType::Cached && !cfg!(CONFIG_ARCH_HAS_PMEM_API) {
            pr_warn!(
                "on this machine cached memory cannot be written back: \
                a reset may lose the newest of it\n"
            );
        }
        // INVARIANT: The whole region is mapped at `addr`.
        let mapping = Self {
            addr,
            start: region.start(),
            len: region.len(),
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
        mb(Write);
    }

    /// The virtual and physical address of a range, for `mtd_point()`.
    pub fn addresses(&self, offset: usize, len: usize) -> Option<(NonNull<u8>, u64)> {
        let addr = self.range(offset, len)?;
        Some((addr, self.start.wrapping_add(offset as u64)))
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the mapping exists and is unmapped only here. `memunmap`
        // also undoes `ioremap`.
        unsafe { bindings::memunmap(self.addr.as_ptr().cast()) };
    }
}
