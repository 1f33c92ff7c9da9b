// SPDX-License-Identifier: GPL-2.0

//! Stops a dump in the middle. Only in modules that were built with `make TEST_HOOKS=1`.
//!
//! `hook_at` counts down the writes into the region; the one that takes it to zero does what `hook`
//! says. Both are set through sysfs.

use super::linux::param::{
    Int,
    Param,
    ParamLock, //
};
use core::sync::atomic::{
    AtomicU32,
    Ordering, //
};
use kernel::{
    fmt,
    prelude::*, //
};

crate::module_params! { "rust_ramoops":
    /// How many writes from now; 0 for never.
    hook_at: Int = Int::new(0), 0o600, 0, "int", "test: the write of a dump at which to act";
    /// What to do then.
    hook: Action = Action(AtomicU32::new(SPIN)), 0o600, 0, "string",
        "test: spin (for ever) or fault (inside of the dumper)";
}

const SPIN: u32 = 0;
const FAULT: u32 = 1;

/// What happens in the middle of a dump.
pub struct Action(AtomicU32);

impl Param for Action {
    fn set(&'static self, arg: &[u8], _lock: &mut ParamLock) -> Result {
        let action = match arg {
            b"spin" => SPIN,
            b"fault" => FAULT,
            _ => return Err(EINVAL),
        };
        self.0.store(action, Ordering::Relaxed);
        Ok(())
    }

    fn show(&self, f: &mut dyn fmt::Write) -> fmt::Result {
        f.write_str(match self.0.load(Ordering::Relaxed) {
            SPIN => "spin",
            _ => "fault",
        })
    }
}

/// Called before each write into the region.
pub fn before_write() {
    let left = hook_at.value();
    if left == 0 {
        return;
    }
    hook_at.set_effective(left.wrapping_sub(1));
    if left != 1 {
        return;
    }
    if hook.0.load(Ordering::Relaxed) == FAULT {
        panic!("rust_ramoops: test fault in the middle of a dump");
    }
    loop {
        core::hint::spin_loop();
    }
}
