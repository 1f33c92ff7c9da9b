// SPDX-License-Identifier: GPL-2.0

//! Where the kernel's own ramoops is at work.
//!
//! It claims no memory for which the kernel has page structs, which is the usual case. What tells
//! is its platform device.
//!
//! C header: [`include/linux/pstore_ram.h`](srctree/include/linux/pstore_ram.h)

use super::{
    bindings,
    c_bytes, //
};
use core::{
    ops::Range,
    ptr, //
};
use kernel::prelude::*;

/// Whether it uses (part of) a range of physical memory.
pub fn uses(mut range: Range<u64>) -> bool {
    // SAFETY: The bus exists as long as the kernel runs. `is_owner` gets devices of that bus, and
    // the range, which lives during the call.
    let found = unsafe {
        bindings::bus_for_each_dev(
            &raw const bindings::platform_bus_type,
            ptr::null_mut(),
            (&raw mut range).cast(),
            Some(is_owner),
        )
    };
    found == 1
}

/// Returns 1 if a device is one of ramoops, at work in the range.
///
/// # Safety
///
/// `dev` must be part of a live `struct platform_device`, and `range` a pointer to a `Range<u64>`.
unsafe extern "C" fn is_owner(dev: *mut bindings::device, range: *mut c_void) -> c_int {
    // SAFETY: By the function's requirements.
    let range = unsafe { &*range.cast::<Range<u64>>() };
    // SAFETY: By the function's requirements. The name is a string as long as the device lives.
    let name = unsafe {
        let device = kernel::container_of!(dev, bindings::platform_device, dev);
        c_bytes::bytes((*device).name)
    };
    if name != b"ramoops" {
        return 0;
    }
    // SAFETY: The device lives. `driver` may change at any time, and is only compared;
    // `platform_data` was set before the device became visible.
    let (driver, data) = unsafe {
        (
            ptr::read_volatile(&raw const (*dev).driver),
            (*dev).platform_data,
        )
    };
    // Without a driver it is not loaded, or its parameters were no good.
    if driver.is_null() || data.is_null() {
        return 0;
    }
    let data = data.cast::<bindings::ramoops_platform_data>();
    // SAFETY: The driver that binds to devices of this name takes their data for this type. It
    // lives as long as the device, and these two fields do not change.
    let (start, len) = unsafe { ((*data).mem_address, (*data).mem_size as u64) };
    c_int::from(start < range.end && range.start < start.saturating_add(len))
}
