// SPDX-License-Identifier: GPL-2.0

//! Random numbers.
//!
//! C header: [`include/linux/random.h`](srctree/include/linux/random.h)

use super::bindings;

/// Returns random bytes, from the generator that also serves user space.
///
/// # Examples
///
/// ```
/// use kernel::random;
///
/// let [a, b] = [(); 2].map(|()| random::bytes::<16>());
/// assert_ne!(a, b);
/// ```
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // SAFETY: The pointer is to a live local variable of that length.
    unsafe { bindings::get_random_bytes(bytes.as_mut_ptr().cast(), bytes.len()) };
    bytes
}
