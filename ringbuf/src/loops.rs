// SPDX-License-Identifier: GPL-2.0

//! Loops of crashes: which dump began the one that a new dump continues.

use super::{
    cell::FIRSTS_MAX,
    layout::Seal,
    prefix::DumpInfo,
    seq, //
};

/// The last of `enum kmsg_dump_reason` that is a crash: an emergency restart. A shutdown is none.
const LAST_CRASH: u32 = 3;

/// 2020 in nanoseconds since 1970: a clock that tells less was never set.
const CLOCK_MIN: u64 = 1_577_836_800_000_000_000;

/// What matters of the last dump before the store was opened for the next ones.
#[derive(Clone, Copy, Debug)]
pub(super) struct Previous {
    boot_id: [u8; 16],
    realtime_ns: u64,
    is_crash: bool,
    /// The dump with which the loop began, if the next one continues it: this one or that in
    /// [`Seal::loop_start`].
    pub(super) loop_start: u64,
}

impl Previous {
    /// Makes it from the seal of that dump.
    pub(super) fn new(seal: &Seal) -> Self {
        Self {
            boot_id: seal.boot_id,
            realtime_ns: seal.realtime_ns,
            is_crash: seal.reason <= LAST_CRASH,
            loop_start: match seal.loop_start {
                0 => seal.dump,
                start => start,
            },
        }
    }

    /// Returns the dump with which the loop began that a dump of `info`, with that number,
    /// continues; 0 if there is none.
    pub(super) fn loop_start(&self, info: &DumpInfo<'_>, dump: u64, loop_ns: u64) -> u64 {
        let continues = self.is_crash
            && info.reason <= LAST_CRASH
            && self.boot_id != info.boot_id
            && info.boottime_ns < loop_ns
            && self
                .downtime(info)
                .is_none_or(|downtime| downtime < loop_ns);
        // A forged seal may name one that is too far away.
        match continues && seq::is_before(self.loop_start, dump) {
            true => self.loop_start,
            false => 0,
        }
    }

    /// Returns how long it took from this dump to the start of the boot of another one. `None` if
    /// the clocks do not tell: one was never set, or was set back in between.
    fn downtime(&self, info: &DumpInfo<'_>) -> Option<u64> {
        let boot = info.realtime_ns.checked_sub(info.boottime_ns)?;
        if self.realtime_ns < CLOCK_MIN || boot < CLOCK_MIN {
            return None;
        }
        boot.checked_sub(self.realtime_ns)
    }
}

/// The ranks of the dumps with which loops began. If there are many, the latest ones: that bounds
/// the work, whatever the seals claim.
#[derive(Debug, Default)]
pub(super) struct Firsts([u64; FIRSTS_MAX]);

impl Firsts {
    /// Adds one.
    pub(super) fn add(&mut self, mut start: u64) {
        if self.0.contains(&start) {
            return;
        }
        // From the latest to the earliest one; 0 stands for none.
        for slot in &mut self.0 {
            if *slot < start {
                core::mem::swap(slot, &mut start);
            }
        }
    }

    pub(super) fn dumps(&self) -> &[u64] {
        &self.0
    }
}
