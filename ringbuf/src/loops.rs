// SPDX-License-Identifier: GPL-2.0

//! Loops of crashes: which crash began the loop that a new one continues.

use super::{
    layout::Seal,
    prefix::DumpInfo, //
};

/// The last of `enum kmsg_dump_reason` that is a crash: an emergency restart. A shutdown is none.
const LAST_CRASH: u32 = 3;

/// 2020 in nanoseconds since 1970: a clock that tells less was never set.
const CLOCK_MIN: u64 = 1_577_836_800_000_000_000;

/// The last crash before the store was opened, as far as the next ones need it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Previous {
    boot_id: [u8; 16],
    realtime_ns: u64,
    is_crash: bool,
    /// Number of the first crash of its loop, which may be this one.
    pub(super) loop_start: u64,
}

impl Previous {
    /// Makes it from the seal of that crash.
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

    /// Returns the number of the first crash of the loop that a dump of `info` continues; 0 if it
    /// continues none.
    pub(super) fn loop_start(&self, info: &DumpInfo<'_>, loop_ns: u64) -> u64 {
        let continues = self.is_crash
            && info.reason <= LAST_CRASH
            && self.boot_id != info.boot_id
            && info.boottime_ns < loop_ns
            && self
                .downtime(info)
                .is_none_or(|downtime| downtime < loop_ns);
        if continues {
            self.loop_start
        } else {
            0
        }
    }

    /// Returns how long it took from this crash to the start of the boot of another one. `None` if
    /// the clocks do not tell: one was never set, or was set back in between.
    fn downtime(&self, info: &DumpInfo<'_>) -> Option<u64> {
        let boot = info.realtime_ns.checked_sub(info.boottime_ns)?;
        if self.realtime_ns < CLOCK_MIN || boot < CLOCK_MIN {
            return None;
        }
        boot.checked_sub(self.realtime_ns)
    }
}
