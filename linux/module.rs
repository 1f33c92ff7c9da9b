// SPDX-License-Identifier: GPL-2.0

//! The module that this code is part of, for C.
//!
//! C header: [`include/linux/init.h`](srctree/include/linux/init.h)

use super::bindings;

/// `THIS_MODULE`: NULL if it is built into the kernel.
///
/// `kernel::module::this_module` needs the type of the module, which abstractions do not know.
pub(super) const fn this_module() -> *mut bindings::module {
    #[cfg(MODULE)]
    return (&raw const bindings::__this_module).cast_mut();
    #[cfg(not(MODULE))]
    return core::ptr::null_mut();
}
