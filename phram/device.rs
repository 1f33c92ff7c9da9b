// SPDX-License-Identifier: GPL-2.0

//! A device that is there.

use super::spec::{
    Spec,
    Why, //
};
use crate::linux::{
    mapping::Mapping, //
    mtd,
};
use core::{
    mem::MaybeUninit,
    ops::Range, //
};
use kernel::prelude::*;

/// A device in the list.
pub(crate) struct Device {
    pub(crate) spec: Spec,
    /// The physical addresses of its memory.
    pub(crate) range: Range<u64>,
    /// The memory, until it goes to the registration.
    pub(crate) mapping: Option<Mapping>,
    pub(crate) registration: Option<mtd::Registration<Phram>>,
    pub(crate) next: Option<KBox<Device>>,
}

impl Device {
    /// Makes `/dev/mtdN`.
    pub(crate) fn register(&mut self) -> Result<(), Why> {
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

/// A device: mapped memory, all of which can be read and written at any time.
pub(crate) struct Phram {
    pub(crate) mapping: Mapping,
}

#[vtable]
impl mtd::RamDevice for Phram {
    type OwnerModule = crate::LocalModule;

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
