// SPDX-License-Identifier: GPL-2.0

//! What the running kernel is.
//!
//! C header: [`include/linux/utsname.h`](srctree/include/linux/utsname.h)

use super::{
    bindings,
    c_bytes, //
};

/// The kernel release, as `uname -r` has it.
///
/// # Examples
///
/// ```
/// assert!(kernel::utsname::release().starts_with(b"7."));
/// ```
pub fn release() -> &'static [u8] {
    // SAFETY: `init_uts_ns` exists as long as the kernel runs, its release is a string and does not
    // change.
    unsafe { c_bytes::bytes((&raw const bindings::init_uts_ns.name.release).cast()) }
}
