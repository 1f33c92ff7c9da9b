// SPDX-License-Identifier: GPL-2.0

//! The region as a store: mapped, protected against bit flips if asked for, and read.

use super::params;
use crate::linux::{
    array::Array,
    crc32c::crc32c,
    mapping::{
        Mapping,
        MemType, //
    },
    pstore_ram,
    try_lock::TryLock, //
};
use crate::ringbuf::{
    ecc::{
        Code,
        Scratch, //
    },
    Census,
    Geometry,
    Memory,
    Options,
    Store, //
};
#[cfg(test_hooks)]
use crate::test_hooks;
use core::sync::atomic::AtomicU32;
use kernel::{
    prelude::*,
    time::NSEC_PER_SEC, //
};

/// The region, and the code that protects it against bit flips.
pub(crate) struct Media {
    pub(crate) mapping: Mapping,
    /// With `ecc` only.
    parity: Option<Parity>,
}

/// The code, and what it takes to correct a block.
struct Parity {
    code: Code<Array<u64>>,
    /// On the heap, because it is much for the stack. Nobody else has it: blocks are corrected while
    /// the region is read.
    scratch: KBox<TryLock<Scratch>>,
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
        if let Some(Parity { code, .. }) = &self.parity {
            code.encode(block, parity);
        }
    }

    fn decode(&self, block: &mut [u8], parity: &mut [u8]) -> Option<usize> {
        let Parity { code, scratch } = self.parity.as_ref()?;
        code.decode(block, parity, &mut *scratch.try_lock()?)
    }
}

/// The region as a store.
pub(crate) struct Opened {
    pub(crate) store: RamStore,
    /// What it held when it was opened.
    pub(crate) census: Census,
}

pub(crate) type RamStore = Store<Media, Array<AtomicU32>>;

/// Finds and maps the region. Returns where it is, how it is divided, and the mapping.
#[inline(never)]
pub(crate) fn map() -> Result<(u64, Geometry, Media)> {
    let mem_type = MemType::from_number(params::values::mem_type.value()).ok_or_else(|| {
        pr_err!(
            "mem_type={}: must be 0 (write-combined), 1 (unbuffered) or 2 (cached)\n",
            params::values::mem_type.value()
        );
        EINVAL
    })?;
    let region = params::find_region()?;
    let geometry = params::geometry(region.len())?;
    let start = region.start();
    let parity = parity(&geometry)?;
    if pstore_ram::uses(start..start.saturating_add(region.len() as u64)) {
        pr_err!(
            "mem_address={:#x} mem_size={:#x}: \
            the module ramoops uses this memory; rmmod it first\n",
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
    Ok((start, geometry, Media { mapping, parity }))
}

/// Makes the code for the parity that the parameters ask for.
#[inline(never)]
fn parity(geometry: &Geometry) -> Result<Option<Parity>> {
    let ecc_size = geometry.ecc_size();
    if ecc_size == 0 {
        return Ok(None);
    }
    let table = Array::new(Code::<Array<u64>>::table_len(ecc_size))?;
    Ok(Some(Parity {
        code: Code::new(ecc_size, table).ok_or(EINVAL)?,
        scratch: KBox::new(TryLock::new(Scratch::default()), GFP_KERNEL)?,
    }))
}

/// Reads the region.
#[inline(never)]
pub(crate) fn scan(geometry: Geometry, media: Media) -> Result<KBox<Opened>> {
    // Not on the stack, for which this is much.
    let place = KBox::new_uninit(GFP_KERNEL)?;
    let order = Array::new(geometry.slots())?;
    let mut scratch = Array::new(geometry.slots())?;
    let options = Options {
        loop_ns: params::values::loop_secs
            .value()
            .saturating_mul(NSEC_PER_SEC as u64),
    };
    match Store::open(media, geometry, order, &mut scratch, options) {
        Ok((store, census)) => Ok(KBox::write(place, Opened { store, census })),
        Err(_) => Err(EINVAL),
    }
}
