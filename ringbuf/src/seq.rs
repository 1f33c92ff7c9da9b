// SPDX-License-Identifier: GPL-2.0

//! Sequence numbers of records. 0 is none.
//!
//! Nobody writes 2^64 records, but who forges a seal can claim any number, and the next record has
//! to be the newest all the same. So the numbers wrap: 1 follows the highest one.

const HALF: u64 = 1 << 63;
const QUARTER: u64 = 1 << 62;
const HIGH: u64 = HALF + QUARTER;

/// Returns the number after another one.
pub fn after(seq: u64) -> u64 {
    seq.wrapping_add(1).max(1)
}

/// Whether `a` comes before `b`, if both are of one writer.
pub(super) fn is_before(a: u64, b: u64) -> bool {
    a != b && b.wrapping_sub(a) < HALF
}

/// The order of the numbers in a region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Order {
    has_low: bool,
    has_middle: bool,
    has_high: bool,
}

impl Order {
    /// Takes in a number of the region.
    pub fn note(&mut self, seq: u64) {
        match seq {
            0..QUARTER => self.has_low = true,
            QUARTER..HIGH => self.has_middle = true,
            HIGH.. => self.has_high = true,
        }
    }

    /// Whether the numbers have wrapped: they are at the lower end and at the upper one. If some
    /// are in the middle, too, they may have come from there.
    pub fn wraps(&self) -> bool {
        self.has_low && self.has_high && !self.has_middle
    }

    /// Returns what is higher the later a number comes. The rank of a rank is the number.
    pub fn rank(&self, seq: u64) -> u64 {
        match self.wraps() {
            true => seq ^ HALF,
            false => seq,
        }
    }
}
