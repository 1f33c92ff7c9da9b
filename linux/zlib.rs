// SPDX-License-Identifier: GPL-2.0

//! Compression by the kernel's zlib, for code that must not allocate.
//!
//! C header: [`include/linux/zlib.h`](srctree/include/linux/zlib.h)

use super::{
    array::Array,
    bindings, //
};
use kernel::prelude::*;

/// Makes raw deflate streams, as pstore does: default level, window of 32 KiB.
///
/// # Examples
///
/// ```
/// use kernel::zlib::Deflate;
///
/// let mut out = [0; 64];
/// let len = Deflate::new()?.compress([b"aaaaaaaaaaaaaaaa", &[b'b'; 1000]], &mut out);
/// assert!(len.is_some_and(|len| len < out.len()));
/// # Ok::<(), Error>(())
/// ```
///
/// # Invariants
///
/// `workspace` is as long as `zlib_deflate_workspacesize` says for these settings.
pub struct Deflate {
    workspace: Array<u64>,
}

impl Deflate {
    const WINDOW_BITS: c_int = bindings::MAX_WBITS as c_int;
    const MEM_LEVEL: c_int = bindings::DEF_MEM_LEVEL as c_int;

    /// Allocates the workspace: about 260 KiB. May sleep.
    #[inline]
    pub fn new() -> Result<Self> {
        // SAFETY: The function only computes.
        let len =
            unsafe { bindings::zlib_deflate_workspacesize(Self::WINDOW_BITS, Self::MEM_LEVEL) };
        // INVARIANT: Rounded up.
        Ok(Self {
            workspace: Array::new(usize::try_from(len)?.div_ceil(size_of::<u64>()))?,
        })
    }

    /// Compresses the pieces as one text. Returns the length of the stream; if that is more than
    /// `out` has, what is in there is of no use. `None` if zlib fails. Can be called in any
    /// context.
    #[inline]
    pub fn compress(&mut self, pieces: [&[u8]; 2], out: &mut [u8]) -> Option<usize> {
        let mut stream = bindings::z_stream_s {
            workspace: self.workspace.as_mut_ptr().cast(),
            ..Default::default()
        };
        // SAFETY: `stream` is zero but for the workspace, which is long enough by the type
        // invariant, and stays for as long as `stream` is used.
        let result = unsafe {
            bindings::zlib_deflateInit2(
                &mut stream,
                bindings::Z_DEFAULT_COMPRESSION,
                bindings::Z_DEFLATED as c_int,
                // Negative: no header.
                -Self::WINDOW_BITS,
                Self::MEM_LEVEL,
                bindings::Z_DEFAULT_STRATEGY as c_int,
            )
        };
        if result != bindings::Z_OK as c_int || out.is_empty() {
            return None;
        }

        for (piece, flush) in pieces
            .into_iter()
            .zip([bindings::Z_NO_FLUSH, bindings::Z_FINISH])
        {
            stream.next_in = piece.as_ptr();
            stream.avail_in = piece.len() as c_ulong;
            // Z_FINISH goes on until the end of the stream.
            while stream.avail_in != 0 || flush == bindings::Z_FINISH {
                // What is too much is written over the beginning, for the length alone counts then.
                if stream.avail_out == 0 {
                    stream.next_out = out.as_mut_ptr();
                    stream.avail_out = out.len() as c_ulong;
                }
                let before = (stream.avail_in, stream.total_out);
                // SAFETY: `stream` was initialised, reads `avail_in` bytes of `piece`, and writes
                // `avail_out` bytes of `out` at most.
                let result = unsafe { bindings::zlib_deflate(&mut stream, flush as c_int) };
                if result == bindings::Z_STREAM_END as c_int {
                    return Some(stream.total_out);
                }
                // A call that does nothing would be repeated for ever.
                if result != bindings::Z_OK as c_int
                    || before == (stream.avail_in, stream.total_out)
                {
                    return None;
                }
            }
        }
        None
    }
}
