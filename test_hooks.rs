// SPDX-License-Identifier: GPL-2.0

//! Stops a dump in the middle. Only in modules that were built with `make TEST_HOOKS=1`.
//!
//! `hook_at` counts down the writes into the region; the one that takes it to zero does what `hook`
//! says. Both are set through sysfs.

use crate::linux::param::{
    Int,
    Param,
    ParamLock, //
};
use crate::LocalModule;
use kernel::{
    fmt,
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};

crate::module_params! { LocalModule, "rust_ramoops":
    /// How many writes from now; 0 for never.
    hook_at: Int = Int::new(0), 0o600, 0, "int", "test: the write of a dump at which to act";
    /// What to do then.
    hook: Action = Action(Atomic::new(SPIN)), 0o600, 0, "string",
        "test: spin (for ever) or fault (inside of the dumper)";
}

const SPIN: u32 = 0;
const FAULT: u32 = 1;

/// What happens in the middle of a dump.
pub struct Action(Atomic<u32>);

impl Param<LocalModule> for Action {
    fn set(&'static self, arg: &[u8], _lock: &mut ParamLock<LocalModule>) -> Result {
        let action = match arg {
            b"spin" => SPIN,
            b"fault" => FAULT,
            _ => return Err(EINVAL),
        };
        self.0.store(action, Relaxed);
        Ok(())
    }

    fn show(&self, f: &mut dyn fmt::Write) -> fmt::Result {
        f.write_str(match self.0.load(Relaxed) {
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
    if hook.0.load(Relaxed) == FAULT {
        panic!("rust_ramoops: test fault in the middle of a dump");
    }
    loop {
        core::hint::spin_loop();
    }
}
