// SPDX-License-Identifier: GPL-2.0

//! The kernel's Reed-Solomon code with the parameters of ramoops: GF(2^8), polynomial 0x11d, first
//! root 0, primitive element 1.
//!
//! Transcribed from `lib/reed_solomon`, so that words beyond repair are treated in the same way as
//! well. `ringbuf/tests/ecc.rs` compares it with what the kernel's code gave.

#![forbid(unsafe_code)]

use std::sync::{
    LazyLock,
    OnceLock, //
};

const NN: usize = 255;

/// How many bytes of a word without errors are looked at in one step.
const STEP: usize = 8;

/// Powers of the primitive element, and 0 at 255, which stands for the logarithm of 0.
static ALPHA_TO: LazyLock<[u8; 256]> = LazyLock::new(|| {
    let mut table = [0; 256];
    let mut power = 1u16;
    for entry in &mut table[..NN] {
        *entry = power as u8;
        power <<= 1;
        if power & 0x100 != 0 {
            power ^= 0x11d;
        }
    }
    table
});

/// Logarithms.
static INDEX_OF: LazyLock<[usize; 256]> = LazyLock::new(|| {
    let mut table = [NN; 256];
    for (log, power) in ALPHA_TO.iter().enumerate().take(NN) {
        table[usize::from(*power)] = log;
    }
    table
});

fn alpha(log: usize) -> u8 {
    ALPHA_TO[log % NN]
}

fn index(value: u8) -> usize {
    INDEX_OF[usize::from(value)]
}

fn multiply(a: u8, b: u8) -> u8 {
    match (a, b) {
        (0, _) | (_, 0) => 0,
        _ => alpha(index(a) + index(b)),
    }
}

struct Codec {
    /// The generator polynomial without its highest coefficient, which is 1.
    generator: Vec<u8>,
    /// For each root, what a byte becomes if multiplied by it.
    by_root: Vec<[u8; 256]>,
    /// The parity of a byte with 7 to 0 zeros behind it. `None` if parity has more than 16 bytes.
    parities: Option<Box<[[u128; 256]; STEP]>>,
}

impl Codec {
    fn new(nroots: usize) -> Self {
        let mut generator = vec![1u8];
        for root in 0..nroots {
            generator.insert(0, 0);
            for j in 0..generator.len() - 1 {
                generator[j] ^= multiply(generator[j + 1], alpha(root));
            }
        }
        generator.pop();
        let by_root = (0..nroots)
            .map(|root| std::array::from_fn(|byte| multiply(byte as u8, alpha(root))))
            .collect();
        let mut codec = Self {
            generator,
            by_root,
            parities: None,
        };
        if nroots <= 16 {
            codec.parities = Some(Box::new(std::array::from_fn(|at| {
                std::array::from_fn(|byte| {
                    let mut parity = [0; 16];
                    let mut data = [0; STEP];
                    data[at] = byte as u8;
                    codec.encode(&data, &mut parity[..nroots]);
                    u128::from_be_bytes(parity)
                })
            })));
        }
        codec
    }

    fn get(nroots: usize) -> &'static Self {
        static CODECS: [OnceLock<Codec>; 128] = [const { OnceLock::new() }; 128];
        CODECS[nroots].get_or_init(|| Self::new(nroots))
    }

    /// Whether there is no error. Takes eight bytes at a time, since that is so for nearly all words;
    /// `false` if the tables for that do not exist.
    fn is_whole(&self, data: &[u8], parity: &[u8]) -> bool {
        let Some(tables) = &self.parities else {
            return false;
        };
        let mut sum = 0u128;
        let mut pieces = data.chunks_exact(STEP);
        for piece in &mut pieces {
            let (first, last) = ((sum >> 64) as u64, sum as u64);
            let piece = u64::from_be_bytes(piece.try_into().expect("a piece has eight bytes"));
            sum = u128::from(last) << 64;
            for (table, byte) in tables.iter().zip((first ^ piece).to_be_bytes()) {
                sum ^= table[usize::from(byte)];
            }
        }
        let [.., table] = &**tables;
        for byte in pieces.remainder() {
            let [first, ..] = sum.to_be_bytes();
            sum = (sum << 8) ^ table[usize::from(first ^ byte)];
        }
        sum.to_be_bytes()[..parity.len()] == *parity
    }

    fn encode(&self, data: &[u8], parity: &mut [u8]) {
        parity.fill(0);
        let last = parity.len() - 1;
        for byte in data {
            let feedback = byte ^ parity[0];
            parity.copy_within(1.., 0);
            parity[last] = 0;
            if feedback != 0 {
                let log = index(feedback);
                for (to, factor) in parity.iter_mut().rev().zip(&self.generator) {
                    *to ^= match *factor {
                        0 => 0,
                        factor => alpha(log + index(factor)),
                    };
                }
            }
        }
    }

    fn decode(&self, data: &mut [u8], parity: &mut [u8]) -> Option<usize> {
        let nroots = parity.len();
        let pad = NN - nroots - data.len();

        if self.is_whole(data, parity) {
            return Some(0);
        }
        let mut s = [0; 128];
        for byte in data.iter().chain(&*parity) {
            for (s, root) in s.iter_mut().zip(&self.by_root) {
                *s = byte ^ root[usize::from(*s)];
            }
        }
        if s == [0; 128] {
            return Some(0);
        }
        let s: Vec<usize> = s[..nroots].iter().map(|s| index(*s)).collect();

        // Berlekamp-Massey; `b` holds logarithms.
        let mut lambda = vec![0u8; nroots + 1];
        lambda[0] = 1;
        let mut b: Vec<usize> = lambda.iter().map(|l| index(*l)).collect();
        let mut el = 0;
        for r in 1..=nroots {
            let mut discrepancy = 0;
            for i in 0..r {
                if lambda[i] != 0 && s[r - i - 1] != NN {
                    discrepancy ^= alpha(index(lambda[i]) + s[r - i - 1]);
                }
            }
            let shift = |b: &mut Vec<usize>| {
                b.insert(0, NN);
                b.pop();
            };
            if discrepancy == 0 {
                shift(&mut b);
                continue;
            }
            let log = index(discrepancy);
            let mut t = lambda.clone();
            for i in 0..nroots {
                if b[i] != NN {
                    t[i + 1] ^= alpha(log + b[i]);
                }
            }
            if 2 * el < r {
                el = r - el;
                for (b, l) in b.iter_mut().zip(&lambda) {
                    *b = match *l {
                        0 => NN,
                        l => (index(l) + NN - log) % NN,
                    };
                }
            } else {
                shift(&mut b);
            }
            lambda = t;
        }
        let lambda: Vec<usize> = lambda.iter().map(|l| index(*l)).collect();
        let degree = lambda.iter().rposition(|l| *l != NN)?;
        if degree == 0 {
            return None;
        }

        // Chien search.
        let mut errors = Vec::new();
        for root in 1..=NN {
            let value = (0..=degree).filter(|j| lambda[*j] != NN);
            let value = value.fold(0, |sum, j| sum ^ alpha(lambda[j] + j * root));
            if value != 0 {
                continue;
            }
            let place = root - 1;
            if place < pad {
                return None;
            }
            errors.push((root, place, 0u8));
            if errors.len() == degree {
                break;
            }
        }
        if errors.len() != degree {
            return None;
        }

        // Forney.
        let omega: Vec<usize> = (0..degree)
            .map(|i| {
                let terms = (0..=i).filter(|j| s[i - j] != NN && lambda[*j] != NN);
                index(terms.fold(0, |sum, j| sum ^ alpha(s[i - j] + lambda[j])))
            })
            .collect();
        for (root, _, value) in &mut errors {
            let terms = (0..degree).filter(|i| omega[*i] != NN);
            let num = terms.fold(0, |sum, i| sum ^ alpha(omega[i] + i * *root));
            if num == 0 {
                continue;
            }
            // The first root is 0: `alpha^(root * (0 - 1))`.
            let num2 = alpha(NN * NN - *root);
            let odd = (0..=degree.min(nroots - 1) & !1)
                .rev()
                .filter(|i| i % 2 == 0);
            let odd = odd.filter(|i| lambda[i + 1] != NN);
            let den = odd.fold(0, |sum, i| sum ^ alpha(lambda[i + 1] + i * *root));
            // The logarithm of 0 counts as 255 here, as it does in the kernel.
            *value = alpha(index(num) + index(num2) + NN - index(den));
        }

        // The syndrome of the errors must be the one of the word.
        for (i, s) in s.iter().enumerate() {
            let values = errors.iter().filter(|(.., value)| *value != 0);
            let sum = values.fold(0, |sum, (_, place, value)| {
                sum ^ alpha(index(*value) + i * (NN - place - 1))
            });
            if sum != ALPHA_TO[*s] {
                return None;
            }
        }
        for (_, place, value) in &errors {
            match data.get_mut(place - pad) {
                Some(byte) => *byte ^= value,
                None => parity[place - pad - data.len()] ^= value,
            }
        }
        Some(errors.iter().filter(|(.., value)| *value != 0).count())
    }
}

/// Whether there is a code for so much data and parity.
fn is_word(data: usize, parity: usize) -> bool {
    (1..=127).contains(&parity) && data <= NN - parity
}

/// Computes the parity of `data`: `encode_rs8()`, as `persistent_ram_encode_rs8()` calls it.
///
/// # Panics
///
/// If `parity` has not 1 to 127 bytes, or if it has more than 255 together with `data`.
pub fn encode(data: &[u8], parity: &mut [u8]) {
    assert!(is_word(data.len(), parity.len()), "no such code");
    Codec::get(parity.len()).encode(data, parity);
}

/// Corrects `data` and `parity` in place, and returns how many bytes were wrong: `decode_rs8()`, as
/// `persistent_ram_decode_rs8()` calls it, but with the parity corrected, too.
///
/// `None`, and nothing changed, if there are too many wrong bytes, or if [`encode`] knows no code
/// for these lengths.
pub fn decode(data: &mut [u8], parity: &mut [u8]) -> Option<usize> {
    if !is_word(data.len(), parity.len()) {
        return None;
    }
    Codec::get(parity.len()).decode(data, parity)
}
