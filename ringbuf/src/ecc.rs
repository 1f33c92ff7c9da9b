// SPDX-License-Identifier: GPL-2.0

//! Computes parity and corrects errors: a Reed-Solomon code over GF(2^8) with polynomial 0x11d,
//! first root 0 and primitive element 1, which is what ramoops asks of the kernel's
//! `lib/reed_solomon`. Each word that can be corrected, or cannot, is so here as well.
//!
//! To encode, the kernel looks up a product for each byte of parity, for each byte of data. Here a
//! row of a table holds these products side by side: for each byte of data there is one look at the
//! table, and the parity is shifted and added to as a whole, some words long.
//!
//! The first byte of a word is the coefficient of its highest power. Polynomials are arrays, lowest
//! power first.

use core::ops::{
    Deref,
    DerefMut, //
};

use super::layout::ECC_MAX;

/// x^8 + x^4 + x^3 + x^2 + 1, without x^8.
const POLYNOMIAL: u8 = 0x1d;

/// How many values a byte has.
const VALUES: usize = 256;

/// Length of the longest word, and order of the primitive element: its powers repeat after so many.
const WORD_MAX: usize = VALUES - 1;

/// The powers of the primitive element, twice, and the logarithms to it. The one of 0 is not used.
#[expect(
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "it is computed when it is compiled"
)]
static TABLES: ([u8; 2 * WORD_MAX], [u8; VALUES]) = {
    let mut tables = ([0; 2 * WORD_MAX], [0; VALUES]);
    let mut power = 1u8;
    let mut log = 0;
    while log < WORD_MAX {
        tables.0[log] = power;
        tables.0[log + WORD_MAX] = power;
        tables.1[power as usize] = log as u8;
        power = (power << 1) ^ if power & 0x80 != 0 { POLYNOMIAL } else { 0 };
        log += 1;
    }
    tables
};

/// Returns a power of the primitive element.
fn power(exponent: usize) -> u8 {
    TABLES.0.get(exponent % WORD_MAX).copied().unwrap_or(0)
}

/// Returns 1 divided by a power of the primitive element.
fn inverse_power(exponent: u8) -> u8 {
    power(WORD_MAX.wrapping_sub(exponent.into()))
}

fn log(value: u8) -> usize {
    TABLES
        .1
        .get(usize::from(value))
        .copied()
        .map_or(0, usize::from)
}

/// Multiplies two elements of the field.
// Small is more than fast here: few words are wrong.
#[inline(never)]
fn multiply(a: u8, b: u8) -> u8 {
    if a == 0 || b == 0 {
        return 0;
    }
    let sum = log(a).wrapping_add(log(b));
    TABLES.0.get(sum).copied().unwrap_or(0)
}

/// Divides an element of the field by another one, which is not 0.
#[inline(never)]
fn divide(a: u8, b: u8) -> u8 {
    multiply(a, power(WORD_MAX.wrapping_sub(log(b))))
}

/// The coefficients of a polynomial.
type Polynomial = [u8; ECC_MAX + 1];

/// Returns the value of a polynomial.
#[inline(never)]
fn evaluate(polynomial: &[u8], at: u8) -> u8 {
    let horner = |value, coefficient: &u8| multiply(value, at) ^ coefficient;
    polynomial.iter().rev().fold(0, horner)
}

/// Multiplies a polynomial by its variable.
fn shift(polynomial: &mut Polynomial) {
    let mut carry = 0;
    for coefficient in polynomial {
        core::mem::swap(coefficient, &mut carry);
    }
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

/// The code for blocks with so much parity. `T` is the storage of its table, which belongs to the
/// caller.
#[derive(Debug)]
pub struct Code<T> {
    /// For each byte the product of it and the generator, highest coefficient first and padded with
    /// 0, in words.
    rows: T,
    ecc_size: usize,
}

impl<T: Deref<Target = [u64]>> Code<T> {
    /// Returns how many words the table needs.
    pub fn table_len(ecc_size: usize) -> usize {
        words(ecc_size).saturating_mul(VALUES)
    }
}

impl<T: DerefMut<Target = [u64]>> Code<T> {
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

impl<T: Deref<Target = [u64]>> Code<T> {
    /// Computes the parity of a block of at most 255 bytes, that included.
    pub fn encode(&self, block: &[u8], parity: &mut [u8]) {
        match words(self.ecc_size) {
            1 => self.remainder::<1>(block, parity),
            2 => self.remainder::<2>(block, parity),
            4 => self.remainder::<4>(block, parity),
            8 => self.remainder::<8>(block, parity),
            _ => self.remainder::<16>(block, parity),
        }
    }

    /// Divides by the generator: the parity is the remainder.
    fn remainder<const WORDS: usize>(&self, block: &[u8], parity: &mut [u8]) {
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

    /// Corrects a block and its parity in place. Returns how many bytes were wrong; `None`, and
    /// nothing changed, if there are too many.
    pub fn decode(
        &self,
        block: &mut [u8],
        parity: &mut [u8],
        scratch: &mut Scratch,
    ) -> Option<usize> {
        let len = block.len().checked_add(parity.len())?;
        if parity.len() != self.ecc_size || len > WORD_MAX {
            return None;
        }
        // Nearly always nothing is wrong, which the encoder tells much sooner.
        let mut expected = [0; ECC_MAX];
        let expected = expected.get_mut(..parity.len())?;
        self.encode(block, expected);
        if *expected == *parity {
            return Some(0);
        }
        scratch.find_syndromes(block, parity)?;
        let degree = scratch.find_locator(self.ecc_size)?;
        scratch.find_errors(len, degree)?;
        scratch.find_values(self.ecc_size, degree)?;
        if !scratch.explains_syndromes(self.ecc_size, degree) {
            return None;
        }
        let errors = scratch.errors.get(..degree)?;
        let mut wrong = 0usize;
        for error in errors.iter().filter(|error| error.value != 0) {
            wrong = wrong.saturating_add(1);
            // From the end of the word.
            let mut bytes = parity.iter_mut().rev().chain(block.iter_mut().rev());
            *bytes.nth(error.position.into())? ^= error.value;
        }
        Some(wrong)
    }
}

/// An error in a word.
#[derive(Clone, Copy, Debug, Default)]
struct Error {
    /// How far the byte is from the end of the word.
    position: u8,
    /// What is to be added to the byte.
    value: u8,
}

/// Room for what is computed to correct a word: much for a kernel stack.
#[derive(Debug)]
pub struct Scratch {
    /// The word's values at the roots of the generator.
    syndromes: Polynomial,
    /// Its roots tell the positions of the errors.
    locator: Polynomial,
    /// The correction to the locator.
    correction: Polynomial,
    /// The next locator; in the end, the derivative of the last one.
    next: Polynomial,
    evaluator: Polynomial,
    errors: [Error; ECC_MAX],
}

impl Default for Scratch {
    fn default() -> Self {
        Self {
            syndromes: [0; ECC_MAX + 1],
            locator: [0; ECC_MAX + 1],
            correction: [0; ECC_MAX + 1],
            next: [0; ECC_MAX + 1],
            evaluator: [0; ECC_MAX + 1],
            errors: [Error::default(); ECC_MAX],
        }
    }
}

impl Scratch {
    /// Evaluates a word at the roots of the generator.
    fn find_syndromes(&mut self, block: &[u8], parity: &[u8]) -> Option<()> {
        self.syndromes = [0; ECC_MAX + 1];
        for (syndrome, root) in self.syndromes.get_mut(..parity.len())?.iter_mut().zip(0..) {
            let root = power(root);
            for byte in block.iter().chain(parity) {
                *syndrome = multiply(*syndrome, root) ^ byte;
            }
        }
        Some(())
    }

    /// Finds the shortest polynomial that the syndromes agree with (Berlekamp and Massey). Returns
    /// its degree, which is not 0.
    fn find_locator(&mut self, ecc_size: usize) -> Option<usize> {
        self.locator = [0; ECC_MAX + 1];
        *self.locator.first_mut()? = 1;
        self.correction = self.locator;
        let mut errors = 0usize;
        for count in 1..=ecc_size {
            let syndromes = self.syndromes.get(..count)?;
            let products = self.locator.iter().zip(syndromes.iter().rev());
            let discrepancy = products.fold(0, |sum, (a, b)| sum ^ multiply(*a, *b));
            shift(&mut self.correction);
            if discrepancy == 0 {
                continue;
            }
            self.next = self.locator;
            for (next, correction) in self.next.iter_mut().zip(self.correction) {
                *next ^= multiply(discrepancy, correction);
            }
            if errors.saturating_mul(2) < count {
                errors = count.saturating_sub(errors);
                self.correction = self.locator;
                for coefficient in &mut self.correction {
                    *coefficient = divide(*coefficient, discrepancy);
                }
            }
            self.locator = self.next;
        }
        // With too many errors it may have become longer than there is parity.
        let locator = self.locator.get(..=ecc_size)?;
        let powers = locator.iter().zip(0usize..);
        let (_, degree) = powers
            .filter(|(coefficient, _)| **coefficient != 0)
            .last()?;
        (degree != 0).then_some(degree)
    }

    /// Finds the positions of the errors in a word of `len` bytes: as many as the locator's degree,
    /// each in the word (Chien).
    fn find_errors(&mut self, len: usize, degree: usize) -> Option<()> {
        let locator = self.locator.get(..=degree)?;
        let mut errors = self.errors.get_mut(..degree)?.iter_mut();
        // From the beginning of the longest word.
        let positions = (0..u8::MAX).rev();
        let is_error = |position: &u8| evaluate(locator, inverse_power(*position)) == 0;
        for position in positions.filter(is_error).take(degree) {
            if usize::from(position) >= len {
                return None;
            }
            errors.next()?.position = position;
        }
        errors.next().is_none().then_some(())
    }

    /// Computes the values of the errors (Forney).
    fn find_values(&mut self, ecc_size: usize, degree: usize) -> Option<()> {
        for (count, coefficient) in (1..=degree).zip(&mut self.evaluator) {
            let syndromes = self.syndromes.get(..count)?;
            let products = self.locator.iter().zip(syndromes.iter().rev());
            *coefficient = products.fold(0, |sum, (a, b)| sum ^ multiply(*a, *b));
        }
        let evaluator = self.evaluator.get(..degree)?;
        // The derivative of the locator has its odd coefficients, each one power lower.
        let end = degree.min(ecc_size.checked_sub(1)?) | 1;
        let derivative = self.next.get_mut(..end)?;
        let coefficients = self.locator.iter().skip(1).zip(0usize..);
        for (to, (coefficient, power)) in derivative.iter_mut().zip(coefficients) {
            *to = if power & 1 == 0 { *coefficient } else { 0 };
        }
        for error in self.errors.get_mut(..degree)? {
            let inverse = inverse_power(error.position);
            let numerator = evaluate(evaluator, inverse);
            let denominator = evaluate(derivative, inverse);
            let numerator = multiply(numerator, power(error.position.into()));
            // The kernel takes 0 for 1 here; the syndromes will not agree.
            error.value = divide(numerator, denominator.max(1));
        }
        Some(())
    }

    /// Whether the errors have the syndromes of the word.
    fn explains_syndromes(&self, ecc_size: usize, degree: usize) -> bool {
        let errors = self.errors.get(..degree).unwrap_or_default();
        let syndromes = self.syndromes.get(..ecc_size).unwrap_or_default();
        syndromes.iter().zip(0usize..).all(|(syndrome, root)| {
            let values = errors.iter().map(|error| {
                multiply(
                    error.value,
                    power(usize::from(error.position).wrapping_mul(root)),
                )
            });
            values.fold(0, |sum, value| sum ^ value) == *syndrome
        })
    }
}
