// SPDX-License-Identifier: GPL-2.0

//! Tells what a slot holds, from the region alone.
//!
//! Everything in the region is hostile input: each length and offset is checked before use, and
//! the work for one slot is bounded by its length.

use super::{
    layout::{
        Geometry,
        Header,
        Seal,
        SealTail,
        Stamp,
        HEADER_LEN,
        SEAL_LEN,
        SEAL_MAGIC,
        SEAL_MAGIC_WRITING,
        SEAL_TAIL_LEN,
        SEAL_VERSION,
        SIG,
        STAMP_MAX, //
    },
    store::Memory, //
};

/// Where the payload of a record lies in the data area of its zone.
///
/// `size` bytes of it are in use. The oldest byte is at `start`, and byte 0 follows byte
/// `size - 1`, as mainline reads it. Dmesg records are linear: `start` is 0 or `size`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Offset of the first byte.
    pub start: u32,
    /// Length of the payload.
    pub size: u32,
}

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
        /// The record as mainline would read it.
        text: Option<Foreign>,
    },
    /// The seal is whole, but the payload does not match it.
    Damaged(Seal),
    /// The record was deleted in mainline's way. Its seal, if of our version, is still there.
    Cleared(Option<Seal>),
    /// Writing a record began, but did not end.
    Torn,
    /// A zone which mainline prepared for use.
    Empty,
    /// Header and seal are all 0x00.
    Zero,
    /// Header and seal are all 0xff.
    Erased,
    /// None of these.
    Garbage,
}

impl Kind {
    /// Returns where the payload lies, if it is worth reading. That of a damaged record is not.
    pub fn extent(&self) -> Option<Extent> {
        match self {
            Kind::Sealed(seal) => Some(Extent {
                start: 0,
                size: seal.size,
            }),
            Kind::Foreign(foreign)
            | Kind::Newer {
                text: Some(foreign),
                ..
            } => Some(foreign.extent),
            _ => None,
        }
    }
}

/// What there is at the place of the seal.
enum SealState {
    /// A seal of ours.
    Valid(Seal),
    /// A whole seal of a later version.
    Newer(u16),
    /// One that is being written, or damaged.
    Broken,
    /// No sign of a seal.
    None,
}

/// Tells what `slot` holds. `None` if there is no such slot, or if it lies outside of `mem`.
pub fn classify<M: Memory>(mem: &M, geometry: &Geometry, slot: usize) -> Option<Kind> {
    let mut raw_header = [0; HEADER_LEN];
    let mut raw_seal = [0; SEAL_LEN];
    let data = geometry.data_offset(slot)?;
    if !mem.read(geometry.slot_offset(slot)?, &mut raw_header)
        || !mem.read(geometry.seal_offset(slot)?, &mut raw_seal)
    {
        return None;
    }
    let header = Header::decode(&raw_header);

    Some(match seal_state(mem, geometry, slot, &raw_seal)? {
        // Our writer never lets a good seal meet such a header, so mainline deleted the record.
        // `sig` does not matter: it is also what breaks first when the slot is written anew, and a
        // deleted record must not come back then.
        SealState::Valid(seal) if header.is_cleared() => Kind::Cleared(Some(seal)),
        SealState::Newer(_) if header.is_cleared() => Kind::Cleared(None),

        SealState::Valid(seal) => {
            let size = usize::try_from(seal.size).ok()?;
            if crc_of(mem, data, size)? == seal.payload_crc {
                // The header may be wrong, the seal knows better.
                Kind::Sealed(seal)
            } else if header.start == 0 && header.size == seal.size {
                // Mainline's headers of dmesg records have `start == size`: this one is ours.
                Kind::Damaged(seal)
            } else {
                // Most likely mainline wrote a record which does not reach as far as the seal.
                match foreign(mem, geometry, slot, &header) {
                    Some(foreign) => Kind::Foreign(Foreign {
                        covered_seq: Some(seal.seq),
                        ..foreign
                    }),
                    None => Kind::Damaged(seal),
                }
            }
        }
        SealState::Newer(version) => Kind::Newer {
            version,
            text: foreign(mem, geometry, slot, &header),
        },
        state => match foreign(mem, geometry, slot, &header) {
            Some(foreign) => Kind::Foreign(foreign),
            None if matches!(state, SealState::Broken) => Kind::Torn,
            None if header.sig == SIG && header.is_cleared() => Kind::Empty,
            None if is_filled(&raw_header, &raw_seal, 0x00) => Kind::Zero,
            None if is_filled(&raw_header, &raw_seal, 0xff) => Kind::Erased,
            None => Kind::Garbage,
        },
    })
}

/// Copies a piece of the payload of a record, as one line of bytes: `buf` gets what begins `pos`
/// bytes after its first byte. Returns how much was copied; it is less than `buf` at the end.
pub fn read_text<M: Memory>(
    mem: &M,
    geometry: &Geometry,
    slot: usize,
    extent: Extent,
    pos: usize,
    buf: &mut [u8],
) -> usize {
    let mut done = 0usize;
    // There are two pieces at most, see `Extent`.
    for _ in 0..2 {
        let piece = piece_at(geometry, slot, extent, pos.saturating_add(done));
        let (Some((offset, len)), Some(rest)) = (piece, buf.get_mut(done..)) else {
            break;
        };
        let len = len.min(rest.len());
        let Some(rest) = rest.get_mut(..len) else {
            break;
        };
        if !mem.read(offset, rest) {
            break;
        }
        done = done.saturating_add(len);
    }
    done
}

/// Returns where byte `pos` of a payload lies in the region, and how many bytes from there on
/// lie side by side.
fn piece_at(
    geometry: &Geometry,
    slot: usize,
    extent: Extent,
    pos: usize,
) -> Option<(usize, usize)> {
    let start = usize::try_from(extent.start).ok()?;
    let size = usize::try_from(extent.size).ok()?;
    if size > geometry.data_capacity() {
        return None;
    }
    let before_wrap = size.checked_sub(start)?;
    let (offset, len) = match pos.checked_sub(before_wrap) {
        None => (start.checked_add(pos)?, before_wrap.checked_sub(pos)?),
        Some(pos) => (pos, start.checked_sub(pos)?),
    };
    Some((geometry.data_offset(slot)?.checked_add(offset)?, len))
}

/// Returns the record that mainline would see in `slot`.
fn foreign<M: Memory>(
    mem: &M,
    geometry: &Geometry,
    slot: usize,
    header: &Header,
) -> Option<Foreign> {
    if !header.is_plausible(geometry.data_capacity()) {
        return None;
    }
    let extent = Extent {
        start: header.start,
        size: header.size,
    };
    let mut buf = [0; STAMP_MAX];
    let len = read_text(mem, geometry, slot, extent, 0, &mut buf);
    let stamp = Stamp::parse(buf.get(..len)?)?;
    Some(Foreign {
        extent,
        stamp,
        covered_seq: None,
    })
}

fn seal_state<M: Memory>(
    mem: &M,
    geometry: &Geometry,
    slot: usize,
    raw: &[u8; SEAL_LEN],
) -> Option<SealState> {
    let tail = SealTail::decode(raw);
    let length = usize::from(tail.length);
    Some(match tail.magic {
        SEAL_MAGIC_WRITING => SealState::Broken,
        SEAL_MAGIC if tail.version == SEAL_VERSION => {
            match Seal::decode::<M>(raw, geometry.payload_capacity()) {
                Some(seal) => SealState::Valid(seal),
                None => SealState::Broken,
            }
        }
        SEAL_MAGIC if (SEAL_TAIL_LEN..=geometry.data_capacity()).contains(&length) => {
            let end = geometry.seal_offset(slot)?.checked_add(SEAL_LEN)?;
            // The CRC field itself is not covered.
            let covered = length.checked_sub(4)?;
            if crc_of(mem, end.checked_sub(length)?, covered)? == tail.crc {
                SealState::Newer(tail.version)
            } else {
                SealState::Broken
            }
        }
        SEAL_MAGIC => SealState::Broken,
        _ => SealState::None,
    })
}

/// Returns the CRC-32C of a range of the region. `None` if the range leaves it.
fn crc_of<M: Memory>(mem: &M, offset: usize, len: usize) -> Option<u32> {
    // Small, because it is on the stack.
    let mut buf = [0; 256];
    let mut crc = !0;
    let mut offset = offset;
    let mut left = len;
    while left > 0 {
        let len = left.min(buf.len());
        let chunk = buf.get_mut(..len)?;
        if !mem.read(offset, chunk) {
            return None;
        }
        crc = M::crc32c(crc, chunk);
        offset = offset.checked_add(len)?;
        left = left.checked_sub(len)?;
    }
    Some(!crc)
}

fn is_filled(header: &[u8], seal: &[u8], value: u8) -> bool {
    header.iter().chain(seal).all(|byte| *byte == value)
}
