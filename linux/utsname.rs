// SPDX-License-Identifier: GPL-2.0

//! What the running kernel is.
//!
//! C header: [`include/linux/utsname.h`](srctree/include/linux/utsname.h)

use super::{
    bindings,
    str, //
};

/// The kernel release, as `uname -r` has it.
pub fn release() -> &'static [u8] {
    // SAFETY: `init_uts_ns` exists as long as the kernel runs, its release is a string and does not
    // change.
    unsafe { str::bytes((&raw const bindings::init_uts_ns.name.release).cast()) }
}
