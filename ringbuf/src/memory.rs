// SPDX-License-Identifier: GPL-2.0

//! Access to the region: what the store asks of its surroundings.

/// Access to the region.
#[allow(clippy::len_without_is_empty)]
pub trait Memory {
    /// Returns the length of the region.
    fn len(&self) -> usize;

    /// Copies bytes out. `false`, and nothing copied, if the range leaves the region.
    fn read(&self, offset: usize, buf: &mut [u8]) -> bool;

    /// Copies bytes in. `false`, and nothing copied, if the range leaves the region.
    fn write(&self, offset: usize, data: &[u8]) -> bool;

    /// Everything written so far within the range reaches RAM before anything written later.
    fn barrier(&self, offset: usize, len: usize);

    /// CRC-32C as the kernel's `crc32c()` has it: reflected, no inversion before or after.
    fn crc32c(crc: u32, data: &[u8]) -> u32;

    /// Computes the parity of a block of at most 128 bytes and puts it into `parity`, which is
    /// filled with zeros and has as many bytes as the geometry says.
    ///
    /// The code is Reed-Solomon over GF(2^8) with polynomial 0x11d, first root 0 and primitive
    /// element 1: what ramoops asks of the kernel. Called only if there is parity, and while
    /// the kernel panics.
    fn encode(&self, block: &[u8], parity: &mut [u8]);

    /// Corrects a block and its parity in place. Returns the number of wrong bytes; `None`, and
    /// nothing changed, if there are too many.
    ///
    /// Called only if there is parity, and not by a dump.
    fn decode(&self, block: &mut [u8], parity: &mut [u8]) -> Option<usize>;
}
