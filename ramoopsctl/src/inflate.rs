// SPDX-License-Identifier: GPL-2.0

//! Raw deflate, as pstore compresses records.

use miniz_oxide::inflate::{
    core::{
        decompress,
        inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF,
        DecompressorOxide, //
    },
    TINFLStatus, //
};

/// Decompresses at most `limit` bytes. Returns what could be had, and what was wrong.
pub fn inflate(packed: &[u8], limit: usize) -> (Vec<u8>, Option<String>) {
    let mut text = vec![0; limit];
    let (status, _, len) = decompress(
        &mut DecompressorOxide::new(),
        packed,
        &mut text,
        0,
        TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF,
    );
    text.truncate(len);
    let problem = match status {
        TINFLStatus::Done => None,
        TINFLStatus::HasMoreOutput => Some(format!("cut after {limit} bytes, as the kernel does")),
        TINFLStatus::FailedCannotMakeProgress | TINFLStatus::NeedsMoreInput => {
            Some("the compressed text ends too early".to_owned())
        }
        _ => Some("the compressed text is damaged; this is what precedes the damage".to_owned()),
    };
    (text, problem)
}
