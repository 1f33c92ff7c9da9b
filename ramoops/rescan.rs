// SPDX-License-Identifier: GPL-2.0

//! Reads the region again when that is asked for: records in it may have been deleted since.

use super::{
    media::Opened,
    status::Found, //
};
use crate::linux::param::{
    Locked,
    Param,
    ParamLock, //
};
use crate::LocalModule;
use kernel::{
    fmt,
    prelude::*,
    sync::Arc, //
};

/// The region, while the module is loaded.
static REGION: Locked<Option<Arc<Opened>>, LocalModule> = Locked::new(None);

/// `/sys/module/rust_ramoops/parameters/rescan`: to write a 1 reads the region again.
pub(crate) struct Rescan;

impl Param<LocalModule> for Rescan {
    fn set(&'static self, arg: &[u8], lock: &mut ParamLock<LocalModule>) -> Result {
        if arg != b"1" {
            pr_err!("rescan: write a 1 to read the region again\n");
            return Err(EINVAL);
        }
        let Some(region) = REGION.access(lock) else {
            pr_err!("rescan: not while the module is being loaded, which reads the region\n");
            return Err(EINVAL);
        };
        // Whoever asked may ask again.
        let census = region.store.rescan().map_err(|_| EBUSY)?;
        pr_info!("read again: {}\n", Found(&census));
        Ok(())
    }

    fn show(&self, f: &mut dyn fmt::Write) -> fmt::Result {
        f.write_str("0")
    }
}

/// While this is there, the region can be read again.
pub(crate) struct Enabled(());

impl Enabled {
    pub(crate) fn new(region: Arc<Opened>) -> Self {
        *REGION.access(&mut ParamLock::take()) = Some(region);
        Self(())
    }
}

impl Drop for Enabled {
    fn drop(&mut self) {
        *REGION.access(&mut ParamLock::take()) = None;
    }
}
