// SPDX-License-Identifier: GPL-2.0

//! Barriers for devices: `kernel::sync::barrier`, as it is from Linux 7.3 on.

#[cfg(has_barriers)]
pub use kernel::sync::barrier::{
    mb,
    Write, //
};

/// Of writes.
#[cfg(not(has_barriers))]
pub struct Write;

/// Orders all writes before it, cached or combined, before all writes after it: C's `wmb()`.
#[cfg(not(has_barriers))]
pub fn mb(_: Write) {
    // Kernels before 7.3 have no helper for it; these are what `wmb()` is there.
    #[cfg(target_arch = "x86_64")]
    // SAFETY: The instruction only orders memory accesses.
    unsafe {
        core::arch::asm!("sfence", options(nostack, preserves_flags))
    };
    #[cfg(target_arch = "aarch64")]
    // SAFETY: The instruction only orders memory accesses.
    unsafe {
        core::arch::asm!("dsb st", options(nostack, preserves_flags))
    };
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    compile_error!("this architecture needs Linux 7.3");
}
