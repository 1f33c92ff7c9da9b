// SPDX-License-Identifier: GPL-2.0

//! Deletes the record in a slot.

use super::{
    geometry::Geometry,
    kind::Kind,
    layout::{
        Header,
        ECC_MAX,
        HEADER_START,
        SEAL_MAGIC,
        SIG, //
    },
    memory::Memory,
    read::classify, //
};

/// How long a piece of a zone is that is overwritten at once.
const PIECE: usize = 256;

/// Deletes what is in `slot`, so that neither we nor mainline find a record there.
///
/// A record with a whole seal, or one of mainline, goes in mainline's way: `start` and `size`
/// become 0. Its text and its seal stay, so that its number is not given again. Of anything else
/// nothing stays: the whole zone is erased to 0xff.
///
/// If it is interrupted, the record is there or it is not. `None` if there is no such slot, or if
/// the memory refused a write.
pub fn clear<M: Memory>(mem: &M, geometry: &Geometry, slot: usize) -> Option<()> {
    let zone = geometry.slot_offset(slot)?;
    let kind = classify(mem, geometry, slot)?.kind;
    let has_seal = matches!(
        kind,
        Kind::Sealed(_) | Kind::Damaged(_) | Kind::Torn(Some(_)) | Kind::Newer { .. }
    );
    if has_seal {
        // With a part of another header a record of ours would be one of mainline.
        write(mem, zone, &[0; HEADER_START])?;
    }
    if has_seal || matches!(kind, Kind::Foreign(_)) {
        empty(mem, geometry, slot, zone)?;
    }
    if let Kind::Sealed(_) | Kind::Torn(Some(_)) = kind {
        // Of a record that is said to be incomplete it cannot be said that it was deleted.
        write(mem, geometry.magic_offset(slot)?, &SEAL_MAGIC.to_le_bytes())?;
    }
    match classify(mem, geometry, slot)?.kind {
        Kind::Cleared(_) | Kind::Empty => Some(()),
        // What is left of a seal behind a record of mainline would make it a torn one.
        _ => erase(mem, geometry, zone),
    }
}

/// Makes the header that of an empty zone.
fn empty<M: Memory>(mem: &M, geometry: &Geometry, slot: usize, zone: usize) -> Option<()> {
    let raw = Header {
        sig: SIG,
        start: 0,
        size: 0,
    }
    .encode();
    // `sig` last: it is what says that the record was deleted, and not lost.
    let fields = raw.get(HEADER_START..)?;
    write(mem, zone.checked_add(HEADER_START)?, fields)?;
    if geometry.ecc_size() != 0 {
        let mut parity = [0; ECC_MAX];
        let parity = parity.get_mut(..geometry.ecc_size())?;
        mem.encode(&raw, parity);
        write(mem, geometry.header_parity_offset(slot)?, parity)?;
    }
    write(mem, zone, raw.get(..HEADER_START)?)
}

/// Fills a zone with 0xff.
fn erase<M: Memory>(mem: &M, geometry: &Geometry, zone: usize) -> Option<()> {
    let piece = [0xff; PIECE];
    let end = zone.checked_add(geometry.stride())?;
    let mut at = zone;
    while at < end {
        let len = end.checked_sub(at)?.min(PIECE);
        write(mem, at, piece.get(..len)?)?;
        at = at.checked_add(len)?;
    }
    Some(())
}

/// Writes, and waits until it is in RAM.
fn write<M: Memory>(mem: &M, offset: usize, data: &[u8]) -> Option<()> {
    if !mem.write(offset, data) {
        return None;
    }
    mem.barrier(offset, data.len());
    Some(())
}
