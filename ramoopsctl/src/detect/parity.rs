// SPDX-License-Identifier: GPL-2.0

//! Finds seals that have to be corrected before they are whole.
//!
//! Where the parity of a seal lies follows from the parameters, which are in the seal itself. Of all
//! bits of a seal few are wrong, and hardly ever more than one of those that the parameters take: they
//! are tried as they are, and with each bit changed. If the parity was there, the corrected seal has the
//! right CRC.

use std::collections::BTreeSet;

use memchr::memmem;
use ringbuf::{
    layout::{
        ECC_BLOCK,
        SEAL_CRC_OFFSET,
        SEAL_KIND,
        SEAL_KIND_OFFSET,
        SEAL_LEN,
        SEAL_MAGIC,
        SEAL_MAGIC_OFFSET, //
    },
    Geometry,
    Memory,
    Seal, //
};

use super::{
    ranges::Ranges,
    whole::Whole, //
};
use crate::image::Image;

/// At most so many places are looked at, of each kind.
pub(super) const PLACES_MAX: usize = 1 << 16;

/// At so many of them the parity is asked.
const CORRECTIONS_MAX: usize = 4096;

/// At so many of them bits are changed. One is enough to know the region.
const REPAIRS_MAX: usize = 16;

/// Returns the seals that can be corrected, in the order in which they lie. `broken` are places with a
/// magic number, `vouched` is what whole ones vouch for; none of them is needed there. If there is no
/// other seal, more is tried.
pub(super) fn find(bytes: &[u8], broken: &[usize], vouched: &Ranges, is_only: bool) -> Vec<Whole> {
    let kinds =
        memmem::find_iter(bytes, &SEAL_KIND).filter_map(|at| at.checked_sub(SEAL_KIND_OFFSET));
    let is_free = |at: &usize| is_likely(bytes, *at) && !vouched.overlap(*at..*at + SEAL_LEN);
    let places = broken.iter().copied().filter(is_free);
    let places: BTreeSet<usize> = places
        .chain(kinds.filter(is_free).take(PLACES_MAX))
        .collect();
    let claims = places.iter().filter_map(|at| {
        let raw = bytes.get(*at..)?.first_chunk()?;
        Some((*at, claimed(raw)?))
    });
    let found: Vec<Whole> = claims
        .take(CORRECTIONS_MAX)
        .filter_map(|(at, geometry)| correct(bytes, at, &geometry))
        .collect();
    if !found.is_empty() || !is_only {
        return found;
    }
    let mut places = places.into_iter().take(REPAIRS_MAX);
    places
        .find_map(|at| repair(bytes, at))
        .into_iter()
        .collect()
}

/// Whether a seal may lie at `at`, if there is a magic number, or length and version.
///
/// No text is one. It has no zero bytes, of which a seal has two here, not both wrong.
pub(super) fn is_likely(bytes: &[u8], at: usize) -> bool {
    let kind = bytes.get(at + SEAL_KIND_OFFSET..).unwrap_or(&[]).iter();
    at + SEAL_LEN <= bytes.len()
        && kind
            .zip(SEAL_KIND)
            .any(|(is, right)| right == 0 && *is == 0)
}

/// Returns the zone map that a broken seal tells of, if there is such a one with parity.
fn claimed(raw: &[u8; SEAL_LEN]) -> Option<Geometry> {
    let mut raw = *raw;
    raw[SEAL_KIND_OFFSET..SEAL_CRC_OFFSET].copy_from_slice(&SEAL_KIND);
    let crc = !Image::crc32c(!0, &raw[..SEAL_CRC_OFFSET]);
    raw[SEAL_CRC_OFFSET..SEAL_MAGIC_OFFSET].copy_from_slice(&crc.to_le_bytes());
    raw[SEAL_MAGIC_OFFSET..].copy_from_slice(&SEAL_MAGIC.to_le_bytes());
    let params = Seal::decode::<Image<'_>>(&raw)?.params;
    let geometry = Geometry::new(params).ok()?;
    (*geometry.params() == params && params.ecc_size != 0).then_some(geometry)
}

/// Corrects the seal at `at`, if its parity lies where `geometry` says.
fn correct(bytes: &[u8], at: usize, geometry: &Geometry) -> Option<Whole> {
    let len = geometry.data_capacity();
    let end = at + SEAL_LEN;
    let ecc = geometry.ecc_size();
    let mut corrected = Vec::new();
    // The blocks that the seal is in.
    for block in geometry.payload_capacity() / ECC_BLOCK..len.div_ceil(ECC_BLOCK) {
        let begin = end.checked_sub(len - block * ECC_BLOCK)?;
        let block_end = end.min(begin + ECC_BLOCK);
        let mut data = bytes.get(begin..block_end)?.to_owned();
        let parity = bytes.get(end + block * ecc..)?.get(..ecc)?;
        crate::parity::decode(&mut data, &mut parity.to_owned())?;
        corrected.extend(data);
    }
    let seal = Seal::decode::<Image<'_>>(corrected.last_chunk()?)?;
    Whole::new(bytes, at, seal)
}

/// Corrects the seal at `at`, even if one bit of what it says about the region is wrong.
fn repair(bytes: &[u8], at: usize) -> Option<Whole> {
    let raw: [u8; SEAL_LEN] = *bytes.get(at..)?.first_chunk()?;
    // Most bits are of something else. The parity lies where it lay before.
    let mut tried = BTreeSet::new();
    (0..SEAL_KIND_OFFSET * 8).find_map(|bit| {
        let mut raw = raw;
        raw[bit / 8] ^= 1 << (bit % 8);
        let geometry = claimed(&raw)?;
        let is_new = tried.insert((geometry.mem_size(), geometry.stride(), geometry.ecc_size()));
        is_new.then(|| correct(bytes, at, &geometry)).flatten()
    })
}
