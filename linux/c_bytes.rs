// SPDX-License-Identifier: GPL-2.0

//! Strings that come from C.

use super::bindings;
use kernel::prelude::*;

/// The bytes of a string, without the NUL.
///
/// `CStr::from_ptr` and `CStr::to_bytes` do the same, but the length and one for the NUL are added
/// in the module, with a check that may panic (`panic_const_add_overflow`).
///
/// # Safety
///
/// `ptr` must point to a string that ends in NUL, and that neither goes nor changes during `'a`.
pub(super) unsafe fn bytes<'a>(ptr: *const c_char) -> &'a [u8] {
    // SAFETY: By the function's requirements all bytes up to the NUL can be read.
    unsafe { core::slice::from_raw_parts(ptr.cast(), bindings::strlen(ptr)) }
}
