// SPDX-License-Identifier: GPL-2.0

//! A pattern that tells how much of it survived. Nothing else has to be remembered: each block says
//! which pattern it belongs to.

use std::{
    collections::HashMap,
    ops::Range, //
};

/// A block begins with a mark and the key of the pattern; the rest follows from the key and the
/// number of the block.
const BLOCK: usize = 4096;
const MARK: [u8; 8] = *b"RETENT1\n";
const HEAD: usize = 16;

/// Lost ranges that are closer together than this are reported as one.
const GAP: usize = 64;

/// At most so many lost ranges are reported.
pub const RANGES_MAX: usize = 1000;

/// Something that looks random and has no long runs: splitmix64.
fn mix(state: u64) -> u64 {
    let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Fills one block of the pattern `key`. `block` may be shorter at the end of a region.
fn fill_block(key: u64, number: usize, block: &mut [u8]) {
    let seed = mix(key ^ mix(number as u64));
    for (index, word) in block.chunks_mut(8).enumerate() {
        let random = mix(seed.wrapping_add((index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let bytes = match index {
            0 => MARK,
            1 => key.to_le_bytes(),
            _ => random.to_le_bytes(),
        };
        word.copy_from_slice(&bytes[..word.len()]);
    }
}

/// Makes the pattern `key` for a region.
pub fn make(key: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    for (number, block) in bytes.chunks_mut(BLOCK).enumerate() {
        fill_block(key, number, block);
    }
    bytes
}

/// Whether the bytes hold a pattern, or what is left of one.
pub fn find_key(bytes: &[u8]) -> Option<u64> {
    let mut votes: HashMap<u64, usize> = HashMap::new();
    for block in bytes.chunks(BLOCK) {
        let key = block
            .strip_prefix(&MARK)
            .and_then(|rest| rest.first_chunk::<8>());
        if let Some(key) = key {
            *votes.entry(u64::from_le_bytes(*key)).or_default() += 1;
        }
    }
    votes
        .into_iter()
        .max_by_key(|(key, count)| (*count, *key))
        .map(|(key, _)| key)
}

/// What became of a pattern.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Bytes that are as they were.
    pub intact: usize,
    /// Wrong bits in the others.
    pub wrong_bits: u64,
    /// Where the others are; at most [`RANGES_MAX`], and near ones as one.
    pub lost: Vec<Range<usize>>,
    /// More ranges than could be listed.
    pub more: usize,
}

/// Compares the bytes with the pattern `key`.
pub fn compare(bytes: &[u8], key: u64) -> Outcome {
    let mut outcome = Outcome::default();
    let mut expected = [0; BLOCK];
    for (number, block) in bytes.chunks(BLOCK).enumerate() {
        let expected = &mut expected[..block.len()];
        fill_block(key, number, expected);
        if block == expected {
            outcome.intact += block.len();
            continue;
        }
        for (at, (is, was)) in (number * BLOCK..).zip(block.iter().zip(&*expected)) {
            if is == was {
                outcome.intact += 1;
                continue;
            }
            outcome.wrong_bits += u64::from((is ^ was).count_ones());
            let is_full = outcome.lost.len() >= RANGES_MAX;
            match outcome.lost.last_mut() {
                Some(last) if at - last.end < GAP => last.end = at + 1,
                _ if is_full => outcome.more += 1,
                _ => outcome.lost.push(at..at + 1),
            }
        }
    }
    outcome
}

/// Whether a region is so short that the pattern would not name its key.
pub fn is_too_short(len: usize) -> bool {
    len < HEAD
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_or_not() {
        let key = 1_700_000_000_000_000_000;
        let mut bytes = make(key, 3 * BLOCK + 100);
        assert_eq!(find_key(&bytes), Some(key));
        assert_eq!(compare(&bytes, key).intact, bytes.len());
        assert_eq!(compare(&bytes, key).lost, []);

        bytes[5000] ^= 0x81;
        bytes[5010] ^= 1;
        bytes[0..16].fill(0);
        let outcome = compare(&bytes, find_key(&bytes).unwrap());
        assert_eq!(outcome.lost.len(), 2);
        assert_eq!(outcome.lost[1], 5000..5011);
        assert!(outcome.intact >= bytes.len() - 18);

        bytes.fill(0);
        assert_eq!(find_key(&bytes), None);
    }
}
