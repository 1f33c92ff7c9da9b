// SPDX-License-Identifier: GPL-2.0

//! A whole seal, and what follows from where it lies.

use ringbuf::{
    layout::{
        HEADER_LEN,
        SEAL_LEN, //
    },
    Geometry,
    Seal, //
};

use crate::image::Image;

/// Of a region that begins in front of the file, so much may be missing, or as much as is there.
const MISSING_MAX: usize = 16 << 20;

/// A whole seal: what is needed of it, since a file may hold many.
#[derive(Clone, Copy)]
pub(super) struct Whole {
    /// Where it lies in the file.
    pub(super) at: usize,
    /// Time and number of the record. The time comes first: numbers begin again when parameters
    /// change.
    pub(super) age: (u64, u64),
    /// How long the payload is.
    pub(super) size: usize,
    pub(super) slot: usize,
    pub(super) geometry: Geometry,
    /// Where its region begins. It may be in front of the file.
    pub(super) base: isize,
}

impl Whole {
    /// Returns what can be concluded from a seal that lies at `at`.
    pub(super) fn new(bytes: &[u8], at: usize, seal: Seal) -> Option<Self> {
        let geometry = Geometry::new(seal.params).ok()?;
        let offset = isize::try_from(geometry.seal_offset(seal.slot)?).ok()?;
        let base = isize::try_from(at).ok()?.checked_sub(offset)?;
        let missing = usize::try_from(base.checked_neg()?).unwrap_or(0);
        let size = usize::try_from(seal.size).ok()?;
        let is_right = *geometry.params() == seal.params
            && geometry.is_place_of(&seal, seal.slot)
            && missing <= bytes.len().max(MISSING_MAX);
        is_right.then_some(Self {
            at,
            age: (seal.realtime_ns, seal.seq),
            size,
            slot: seal.slot,
            geometry,
            base,
        })
    }

    /// Returns where its zone begins, if that is in the file.
    pub(super) fn zone(&self) -> Option<usize> {
        self.at
            .checked_sub(self.geometry.payload_capacity() + HEADER_LEN)
    }

    /// Returns the one that lies at `at`, if there is one.
    pub(super) fn read(bytes: &[u8], at: usize) -> Option<Self> {
        let raw = bytes.get(at..)?.first_chunk::<SEAL_LEN>()?;
        Self::new(bytes, at, Seal::decode::<Image<'_>>(raw)?)
    }
}
