// SPDX-License-Identifier: GPL-2.0

//! The checksum CRC-32C (Castagnoli).
//!
//! C header: [`include/linux/crc32.h`](srctree/include/linux/crc32.h)

use super::bindings;

/// From 512 bytes on, the kernel's function may use vector registers where it finds them usable.
/// Code that runs in a panic does without: the interrupted code's registers stay untouched.
const CHUNK: usize = 256;

/// Updates a checksum, without inverting it before or after. Can be called in any context.
///
/// # Examples
///
/// ```
/// use kernel::crc32c::crc32c;
///
/// let crc = crc32c(!0, b"1234");
/// assert_eq!(!crc32c(crc, b"56789"), 0xe306_9283);
/// ```
#[inline]
pub fn crc32c(crc: u32, data: &[u8]) -> u32 {
    data.chunks(CHUNK).fold(crc, |crc, chunk| {
        // SAFETY: The pointer and the length are those of a slice.
        unsafe { bindings::crc32c(crc, chunk.as_ptr().cast(), chunk.len()) }
    })
}
