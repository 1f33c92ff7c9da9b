// SPDX-License-Identifier: GPL-2.0

//! rust_phram: physical RAM as an MTD device.
//!
//! Takes the parameters of `drivers/mtd/devices/phram.c`. Reads and writes bytes only: what is in
//! the memory does not matter here.

#[allow(dead_code, unreachable_pub, reason = "each module uses a part of it")]
mod linux {
    //! Abstractions over the kernel's C interfaces. All unsafe code of this module is there.

    mod barrier;
    pub mod bindings;
    mod c_bytes;
    pub mod mapping;
    pub mod module;
    pub mod mtd;
    pub mod param;
    pub mod region;
}

mod phram {
    //! Safe code only, a file for each concern.

    pub(crate) mod device;
    #[cfg(CONFIG_OF)]
    pub(crate) mod device_tree;
    pub(crate) mod params;
    pub(crate) mod spec;
}

use kernel::prelude::*;
use linux::{
    mtd,
    param::ParamLock,
    region, //
};
#[cfg(CONFIG_OF)]
use phram::device_tree;
use phram::params::{
    load,
    STATE, //
};

module! {
    type: RustPhram,
    name: "rust_phram",
    authors: ["The rust_ramoops developers"],
    description: "MTD driver for physical RAM",
    license: "GPL",
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

impl Drop for RustPhram {
    fn drop(&mut self) {
        STATE.access(&mut ParamLock::take()).close();
        mtd::synchronize();
    }
}
