// SPDX-License-Identifier: GPL-2.0

//! Clocks that can be read in any context.
//!
//! Unlike those of `kernel::time` they are safe in an NMI and while the timekeeper is being
//! updated; the price is a rare small step.
//!
//! C header: [`include/linux/timekeeping.h`](srctree/include/linux/timekeeping.h)

use super::bindings;

/// Nanoseconds since 1970, UTC.
pub fn realtime_fast_ns() -> u64 {
    // SAFETY: The function can be called in any context.
    unsafe { bindings::ktime_get_real_fast_ns() }
}

/// Nanoseconds since boot, time asleep included.
///
/// # Examples
///
/// ```
/// use kernel::fast_time::boottime_fast_ns;
///
/// let before = boottime_fast_ns();
/// assert!(before > 0 && boottime_fast_ns() >= before);
/// ```
pub fn boottime_fast_ns() -> u64 {
    // SAFETY: The function can be called in any context.
    unsafe { bindings::ktime_get_boot_fast_ns() }
}
