// SPDX-License-Identifier: GPL-2.0

//! The kinds of things that a slot may hold.

use super::{
    layout::Seal,
    prefix::Stamp,
    zone::Extent, //
};

/// A record without a seal of ours, as mainline writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// Where the payload lies. It begins with `stamp`.
    pub extent: Extent,
    /// The stamp at the start of the payload.
    pub stamp: Stamp,
    /// The sequence number in the seal of ours which is still behind the record, if there is one.
    pub covered_seq: Option<u64>,
}

/// What a slot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A whole record of ours: seal and payload match.
    Sealed(Seal),
    /// A record written by mainline, or one of ours whose seal got lost.
    Foreign(Foreign),
    /// A record whose seal is whole, but of a later version. The text is there if mainline would
    /// find it.
    Newer {
        /// The version of the seal.
        version: u16,
        /// The sequence number of the record.
        seq: u64,
        /// The record as mainline would read it.
        text: Option<Foreign>,
    },
    /// The seal is whole and says that the record was completed, but the payload does not match it.
    Damaged(Seal),
    /// The record was deleted in mainline's way. Its seal, if of our version, is still there.
    Cleared(Option<Seal>),
    /// Text without a valid header and without a seal, which looks like a record. Where it ends is
    /// guessed.
    Salvaged {
        /// Where the payload lies. It begins with `stamp`. See
        /// [`salvage_extent`](super::salvage_extent).
        extent: Extent,
        /// The stamp at the start of the payload.
        stamp: Stamp,
    },
    /// Writing a record began, but did not end. The seal says what it was going to be, unless that
    /// was not written yet; then what text there is belongs to an earlier record.
    Torn(Option<Seal>),
    /// A zone which mainline prepared for use.
    Empty,
    /// Header and seal are all 0x00.
    Zero,
    /// Header and seal are all 0xff.
    Erased,
    /// None of these.
    Garbage,
}

/// What a slot holds, and how well it was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    /// What it is.
    pub kind: Kind,
    /// How many bytes of header, payload and seal, parity included, were wrong and could be
    /// corrected. 0 if there is no record.
    pub corrected: usize,
    /// How many blocks, the header being one, had too many wrong bytes. 0 if there is no record.
    pub bad_blocks: usize,
}

impl Kind {
    /// Returns where the payload lies, if it is a record's. What is left of other ones must be
    /// asked for with [`salvage_extent`](super::salvage_extent).
    pub fn extent(&self) -> Option<Extent> {
        match self {
            Kind::Sealed(seal) => Some(extent_of(seal)),
            Kind::Foreign(foreign)
            | Kind::Newer {
                text: Some(foreign),
                ..
            } => Some(foreign.extent),
            _ => None,
        }
    }
}

/// Where the payload lies that a seal is about.
pub(super) fn extent_of(seal: &Seal) -> Extent {
    Extent {
        start: 0,
        size: seal.size,
    }
}
