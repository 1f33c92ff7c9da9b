// SPDX-License-Identifier: GPL-2.0

//! The code for parity of any length.

use std::sync::OnceLock;

use ringbuf::{
    ecc::{
        Code,
        Scratch, //
    },
    layout::ECC_MAX, //
};

/// Returns the code for so many bytes of parity, if there is one.
fn code(ecc_size: usize) -> Option<&'static Code<Vec<u64>>> {
    static CODES: [OnceLock<Option<Code<Vec<u64>>>>; ECC_MAX + 1] =
        [const { OnceLock::new() }; ECC_MAX + 1];
    let new = || Code::new(ecc_size, vec![0; Code::<Vec<u64>>::table_len(ecc_size)]);
    CODES.get(ecc_size)?.get_or_init(new).as_ref()
}

/// Computes the parity of a block, see [`ringbuf::Memory::encode`].
///
/// # Panics
///
/// If there is no code with so much parity.
pub fn encode(block: &[u8], parity: &mut [u8]) {
    code(parity.len())
        .expect("no such code")
        .encode(block, parity);
}

/// Corrects a block and its parity, see [`ringbuf::Memory::decode`].
pub fn decode(block: &mut [u8], parity: &mut [u8]) -> Option<usize> {
    code(parity.len())?.decode(block, parity, &mut Scratch::default())
}
