// SPDX-License-Identifier: GPL-2.0

//! The module rust_ramoops, if it is loaded.

use std::{
    fs,
    io::ErrorKind,
    thread,
    time::Duration, //
};

/// To write a 1 to it has the module read the region again.
const RESCAN: &str = "/sys/module/rust_ramoops/parameters/rescan";

/// How often the module is asked while a record is being stored.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(100);

/// Has the module, if there is one, see that records were deleted: their slots are free then.
pub(crate) fn rescan() {
    for _ in 0..TRIES {
        match fs::write(RESCAN, "1") {
            Err(error) if error.kind() == ErrorKind::ResourceBusy => thread::sleep(PAUSE),
            Err(error) if error.kind() != ErrorKind::NotFound => return complain(&error),
            _ => return,
        }
    }
    complain(&"it is storing records");
}

fn complain(why: &dyn std::fmt::Display) {
    eprintln!(
        "ramoopsctl: rust_ramoops was not told ({why}): it uses what was deleted when `echo 1 > {RESCAN}` is done, \
         or from its next load on."
    );
}
