// SPDX-License-Identifier: GPL-2.0

//! A zone map that may be the right one.

use std::collections::BTreeSet;

use ringbuf::layout::ZONE_MIN;

/// The sizes of console, pmsg and ftrace zone that `ramoops` has unless told otherwise, and of a
/// record.
pub(super) const DEFAULT_SIZE: usize = 4096;

/// A geometry that is to be compared with the evidence.
#[derive(Clone, Copy)]
pub(super) struct Candidate {
    pub(super) record_size: usize,
    /// Console, pmsg, ftrace.
    pub(super) others: [usize; 3],
    pub(super) stride: usize,
    pub(super) slots: usize,
}

impl Candidate {
    /// Divides a region as `Geometry` does, in a few instructions.
    pub(super) fn new(mem_size: usize, record_size: usize, others: [usize; 3]) -> Option<Self> {
        let dump_mem = mem_size.checked_sub(others.iter().sum())?;
        let slots = dump_mem.checked_div(record_size)?;
        let stride = dump_mem.checked_div(slots)? & !1;
        (stride >= ZONE_MIN).then_some(Self {
            record_size,
            others,
            stride,
            slots,
        })
    }

    pub(super) fn dmesg_len(&self) -> usize {
        self.stride * self.slots
    }

    /// How usual the sizes are; less is more usual.
    pub(super) fn oddity(&self) -> usize {
        let used: BTreeSet<usize> = self.others.into_iter().filter(|size| *size != 0).collect();
        match self.others {
            [DEFAULT_SIZE, DEFAULT_SIZE, DEFAULT_SIZE] => 0,
            [0, 0, 0] => 1,
            [console, pmsg, ftrace] if console == pmsg && pmsg == ftrace => 4,
            _ => 2 + used.len(),
        }
    }
}
