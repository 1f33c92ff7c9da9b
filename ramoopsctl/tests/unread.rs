// SPDX-License-Identifier: GPL-2.0

//! Seals that were not read, since others were too many, are told.

use crate::{
    common::{
        store,
        *, //
    },
    detect::{
        dmesg_only,
        stderr, //
    },
    others::follow, //
};
use ramoopsctl::image::Image;
use ringbuf::{
    layout::SEAL_LEN,
    Geometry,
    Seal, //
};

/// So many bytes of payloads are read at most in a file that is not large.
const BUDGET: usize = 256 << 20;

/// Seals in the memory of a process, each of which claims a large payload.
#[test]
fn records_that_forged_seals_keep_from_being_read() {
    let region = three_crashes();
    let mut memory = vec![7; 2 << 20];
    memory[0x1_0001..][..1 << 20].copy_from_slice(&region.image());
    let forged = Geometry::new(dmesg_only(16 << 20, 16 << 20)).unwrap();
    let mut left = BUDGET;
    let mut at = memory.len();
    // The last ones are not read either.
    for _ in 0..40 {
        let size = forged.payload_capacity().min(left.saturating_sub(SEAL_LEN));
        let seal = Seal {
            seq: 1 << 40,
            size: size as u32,
            params: *forged.params(),
            slot: 0,
            ..store::seal(&region.ram, &region.geometry, 0)
        };
        at -= 512;
        memory[at..][..SEAL_LEN].copy_from_slice(&seal.encode::<Image<'_>>());
        left = left.saturating_sub(size + SEAL_LEN);
    }
    let files = Files::new(&memory);
    let said = stderr(&files.run(&["list"]));
    let line = said
        .lines()
        .find(|line| line.contains("3 records, all of them not checked, in another region: --"));
    let line = line.unwrap_or_else(|| panic!("{said}"));
    let (states, _) = follow(&files, line);
    assert_eq!(states, ["complete"; 3]);
}
