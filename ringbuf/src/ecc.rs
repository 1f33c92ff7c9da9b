// SPDX-License-Identifier: GPL-2.0

//! Computes parity, for the code that [`Memory::encode`](super::memory::Memory::encode) describes.
//!
//! The kernel's `encode_rs8()` looks up a product for each byte of parity, for each byte of data.
//! Here a row of a table holds these products side by side: for each byte of data there is one look
//! at the table, and the parity is shifted and added to as a whole, some words long.

use core::ops::{
    Deref,
    DerefMut, //
};

use super::layout::ECC_MAX;

/// x^8 + x^4 + x^3 + x^2 + 1, without x^8.
const POLYNOMIAL: u8 = 0x1d;

/// How many values a byte has.
const VALUES: usize = 256;

/// Multiplies two elements of the field.
fn multiply(mut a: u8, mut b: u8) -> u8 {
    let mut product = 0;
    while b != 0 {
        if b & 1 != 0 {
            product ^= a;
        }
        a = (a << 1) ^ if a & 0x80 != 0 { POLYNOMIAL } else { 0 };
        b >>= 1;
    }
    product
}

/// How many words a row has. There are few loops to choose from.
fn words(ecc_size: usize) -> usize {
    match ecc_size {
        0..=8 => 1,
        9..=16 => 2,
        17..=32 => 4,
        33..=64 => 8,
        _ => 16,
    }
}

/// A table to compute parity with. `T` is its storage, which belongs to the caller.
#[derive(Debug)]
pub struct Encoder<T> {
    /// For each byte the product of it and the generator, highest coefficient first and padded with
    /// 0, in words.
    rows: T,
    ecc_size: usize,
}

impl<T: Deref<Target = [u64]>> Encoder<T> {
    /// Returns how many words the table needs.
    pub fn table_len(ecc_size: usize) -> usize {
        words(ecc_size).saturating_mul(VALUES)
    }
}

impl<T: DerefMut<Target = [u64]>> Encoder<T> {
    /// Fills the table. `None` if its length is not [`Self::table_len`], or if there is no such
    /// code.
    pub fn new(ecc_size: usize, mut rows: T) -> Option<Self> {
        if !(1..=ECC_MAX).contains(&ecc_size) || rows.len() != Self::table_len(ecc_size) {
            return None;
        }
        // The product of (x - root) for all roots, without its highest coefficient, which is 1.
        let mut generator = [0u8; ECC_MAX];
        let generator = generator.get_mut(..ecc_size)?;
        let mut root = 1;
        for _ in 0..ecc_size {
            let mut above = 1;
            for coefficient in generator.iter_mut() {
                let old = *coefficient;
                *coefficient = old ^ multiply(above, root);
                above = old;
            }
            root = multiply(root, 2);
        }

        for (row, value) in rows.chunks_exact_mut(words(ecc_size)).zip(0..=u8::MAX) {
            for (word, coefficients) in row.iter_mut().zip(generator.chunks(8)) {
                let mut bytes = [0; 8];
                for (byte, coefficient) in bytes.iter_mut().zip(coefficients) {
                    *byte = multiply(value, *coefficient);
                }
                *word = u64::from_be_bytes(bytes);
            }
        }
        Some(Self { rows, ecc_size })
    }
}

impl<T: Deref<Target = [u64]>> Encoder<T> {
    /// Computes the parity of a block.
    pub fn encode(&self, block: &[u8], parity: &mut [u8]) {
        match words(self.ecc_size) {
            1 => self.divide::<1>(block, parity),
            2 => self.divide::<2>(block, parity),
            4 => self.divide::<4>(block, parity),
            8 => self.divide::<8>(block, parity),
            _ => self.divide::<16>(block, parity),
        }
    }

    /// Divides by the generator: the parity is the remainder.
    fn divide<const WORDS: usize>(&self, block: &[u8], parity: &mut [u8]) {
        let mut remainder = [0u64; WORDS];
        for byte in block {
            let [highest, ..] = remainder.first().map_or([0; 8], |word| word.to_be_bytes());
            let row = usize::from(highest ^ byte).wrapping_mul(WORDS);
            let row = self
                .rows
                .get(row..)
                .and_then(|row| row.first_chunk::<WORDS>());
            let Some(row) = row else {
                return;
            };
            let mut carry = 0;
            for (word, product) in remainder.iter_mut().zip(row).rev() {
                let shifted_out = *word >> 56;
                *word = ((*word << 8) | carry) ^ product;
                carry = shifted_out;
            }
        }
        let bytes = remainder.iter().flat_map(|word| word.to_be_bytes());
        for (to, from) in parity.iter_mut().zip(bytes) {
            *to = from;
        }
    }
}
