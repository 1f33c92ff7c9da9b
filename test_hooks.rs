// SPDX-License-Identifier: GPL-2.0

//! Stops a dump in the middle, and compares our parity with the kernel's. Only in modules that were
//! built with `make TEST_HOOKS=1`.
//!
//! `hook_at` counts down the writes into the region; the one that takes it to zero does what `hook`
//! says. Both are set through sysfs.

use crate::linux::{
    array::Array,
    param::{
        Int,
        Param,
        ParamLock, //
    },
    rslib::{
        Codec,
        PARITY_MAX, //
    }, //
};
use crate::ringbuf::{
    layout::ECC_BLOCK,
    Encoder, //
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
    /// Whether to compare parity at load.
    compare_parity: Int = Int::new(0), 0o400, 0, "int", "test: 1 to compare our parity with rslib's";
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

/// Computes parity of all lengths for random blocks of all lengths, and has rslib do it as well.
pub fn on_load() -> Result {
    if compare_parity.value() == 0 {
        return Ok(());
    }
    let (mut same, mut different) = (0u32, 0u32);
    let mut random = 1u32;
    for ecc_size in 1..=PARITY_MAX {
        let codec = Codec::new(ecc_size)?;
        let table = Array::new(Encoder::<Array<u64>>::table_len(ecc_size))?;
        let encoder = Encoder::new(ecc_size, table).ok_or(EINVAL)?;
        for len in 1..=ECC_BLOCK {
            let mut block = [0; ECC_BLOCK];
            for byte in &mut block {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                [.., *byte] = random.to_le_bytes();
            }
            let mut ours = [0; PARITY_MAX];
            let mut theirs = [0; PARITY_MAX];
            let block = block.get(..len).ok_or(EINVAL)?;
            encoder.encode(block, ours.get_mut(..ecc_size).ok_or(EINVAL)?);
            codec.encode(block, theirs.get_mut(..ecc_size).ok_or(EINVAL)?);
            let count = if ours == theirs {
                &mut same
            } else {
                &mut different
            };
            *count = count.wrapping_add(1);
        }
    }
    pr_info!(
        "test: parity of {} blocks is rslib's, of {} it is not\n",
        same,
        different
    );
    Ok(())
}
