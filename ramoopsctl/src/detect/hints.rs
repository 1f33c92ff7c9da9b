// SPDX-License-Identifier: GPL-2.0

//! What the user knows about a region.

use ringbuf::Params;

/// Which format it is, if the user says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The zones of ramoops and rust_ramoops.
    Ramoops,
    /// The pages of mtdoops.
    Mtdoops,
}

/// What the user knows; the rest is found out. Sizes have the meaning of the module parameters.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hints {
    /// Which format it is.
    pub format: Option<Format>,
    /// The region begins and ends where the bytes do: if there is one that does, it is meant.
    pub is_placed: bool,
    /// The size of a record, or of a page of mtdoops.
    pub record_size: Option<usize>,
    /// The size of the console zone.
    pub console_size: Option<usize>,
    /// The size of the ftrace zones together.
    pub ftrace_size: Option<usize>,
    /// The size of the pmsg zone.
    pub pmsg_size: Option<usize>,
    /// Bytes of parity per block; 1 means 16, as it does for the module.
    pub ecc: Option<usize>,
}

impl Hints {
    /// Returns the bytes of parity per block.
    pub(super) fn ecc_size(&self) -> Option<usize> {
        self.ecc.map(|ecc| if ecc == 1 { 16 } else { ecc })
    }

    /// Whether parameters in effect may be those that the user means.
    pub(super) fn allow(&self, params: &Params) -> bool {
        let sizes = [
            (self.record_size, params.record_size),
            (self.console_size, params.console_size),
            (self.ftrace_size, params.ftrace_size),
            (self.pmsg_size, params.pmsg_size),
        ];
        sizes
            .into_iter()
            .all(|(hint, size)| hint.is_none_or(|hint| round_down(hint) == size))
            && self.ecc_size().is_none_or(|ecc| ecc == params.ecc_size)
    }
}

/// Rounds down to a power of two, as the module does; 0 stays 0.
pub(super) fn round_down(size: usize) -> usize {
    size.checked_ilog2().map_or(0, |log| 1 << log)
}
