// SPDX-License-Identifier: GPL-2.0

//! Tells what a slot holds, from the region alone.
//!
//! Everything in the region is hostile input: each length and offset is checked before use, and
//! the work for one slot is bounded by its length.

use super::{
    geometry::Geometry,
    kind::{
        extent_of,
        Content,
        Foreign,
        Kind, //
    },
    layout::{
        Header,
        Seal,
        SealTail,
        ECC_BLOCK,
        SEAL_LEN,
        SEAL_MAGIC_WRITING,
        SEAL_TAIL_LEN,
        SEAL_VERSION,
        SEQ_END,
        SIG, //
    },
    memory::Memory,
    prefix::{
        self,
        Stamp,
        STAMP_MAX, //
    },
    zone::{
        Extent,
        Tally,
        Zone, //
    }, //
};

/// What there is at the place of the seal.
#[expect(
    clippy::large_enum_variant,
    reason = "it is on the stack, and for a moment only"
)]
enum SealState {
    /// A seal of ours; the record may be incomplete if `is_writing` is set.
    Whole { seal: Seal, is_writing: bool },
    /// A whole seal of a later version.
    Newer { version: u16, seq: u64 },
    /// One that is damaged, or being written.
    Broken { is_writing: bool },
    /// No sign of a seal.
    None,
}

impl<M: Memory> Zone<'_, M> {
    /// Returns what there is at the place of the seal.
    ///
    /// The bytes count as they are, if they make a whole seal: the parity is that of a completed
    /// record, and would hide that it is not. Otherwise they are corrected.
    fn seal(&self) -> Option<SealState> {
        let mut raw = [0; SEAL_LEN];
        self.read_seal(&mut raw)?;
        let state = self.seal_in(&raw, Self::raw_crc)?;
        if !self.has_parity() || matches!(state, SealState::Whole { .. } | SealState::Newer { .. })
        {
            return Some(state);
        }
        let is_writing = SealTail::decode(&raw).magic == SEAL_MAGIC_WRITING;
        let pos = self.geometry.payload_capacity();
        if !self.copy(pos, &mut raw) {
            return None;
        }
        let corrected = self.seal_in(&raw, |zone, pos, len| {
            zone.crc(pos, len, &mut Tally::default())
        })?;
        Some(match (corrected, state) {
            (SealState::Whole { seal, .. }, _) if is_writing => {
                SealState::Whole { seal, is_writing }
            }
            // The decoder may have made things worse.
            (SealState::None, state) => state,
            (SealState::Broken { .. }, SealState::Broken { is_writing }) => {
                SealState::Broken { is_writing }
            }
            (corrected, _) => corrected,
        })
    }

    /// Returns what the bytes at the place of the seal are. `crc` returns the CRC of a range of the
    /// data area.
    fn seal_in(
        &self,
        raw: &[u8; SEAL_LEN],
        crc: impl Fn(&Self, usize, usize) -> Option<u32>,
    ) -> Option<SealState> {
        let tail = SealTail::decode(raw);
        let is_writing = tail.magic == SEAL_MAGIC_WRITING;
        let length = usize::from(tail.length);
        let capacity = self.geometry.data_capacity();
        Some(if !tail.is_seal() {
            SealState::None
        } else if tail.version == SEAL_VERSION {
            match Seal::decode::<M>(raw) {
                Some(seal) if self.geometry.is_place_of(&seal, self.slot) => {
                    SealState::Whole { seal, is_writing }
                }
                // Another zone has left it here.
                Some(_) => SealState::None,
                None => SealState::Broken { is_writing },
            }
        } else if !(SEAL_TAIL_LEN..=capacity).contains(&length) {
            SealState::Broken { is_writing }
        } else {
            // CRC and magic number are not covered.
            let covered = length.checked_sub(8)?;
            let is_whole = crc(self, capacity.checked_sub(length)?, covered)? == tail.crc;
            if is_whole && (1..SEQ_END).contains(&tail.seq) {
                SealState::Newer {
                    version: tail.version,
                    seq: tail.seq,
                }
            } else {
                SealState::Broken { is_writing }
            }
        })
    }

    /// Returns the record that mainline would see.
    fn foreign(&self, header: &Header) -> Option<Foreign> {
        if !header.is_plausible(self.geometry.data_capacity()) {
            return None;
        }
        let extent = Extent {
            start: header.start,
            size: header.size,
        };
        let mut buf = [0; STAMP_MAX];
        let len = self.text(extent, 0, &mut buf);
        let stamp = Stamp::parse(buf.get(..len)?)?;
        Some(Foreign {
            extent,
            stamp,
            covered_seq: None,
        })
    }

    /// Looks for text that begins like a record: a stamp, a line with the reason, and at least one
    /// line more. It ends at the first byte that is no text.
    fn salvage(&self, limit: usize, tally: &mut Tally) -> Option<(Extent, Stamp)> {
        let mut prefix = [0; ECC_BLOCK];
        let len = limit.min(prefix.len());
        let buf = prefix.get_mut(..len)?;
        if !self.copy(0, buf) {
            return None;
        }
        let (prefix, stamp) = prefix::parse_prefix(buf)?;
        let mut size = 0usize;
        let mut has_line = false;
        // `None` says that it ended before `limit`.
        let _ = self.walk(0, limit, tally, |piece| {
            for byte in piece {
                if !prefix::is_text(*byte) {
                    return false;
                }
                has_line |= *byte == b'\n' && size >= prefix;
                size = size.saturating_add(1);
            }
            true
        });
        let size = u32::try_from(size).ok().filter(|_| has_line)?;
        Some((Extent { start: 0, size }, stamp))
    }

    fn content(&self) -> Option<Content> {
        let mut tally = Tally::default();
        let (raw_header, header) = self.header(&mut tally)?;
        let capacity = self.geometry.payload_capacity();
        let state = self.seal()?;

        let kind = match state {
            // Mainline deleted the record. If `sig` is not there either, the header got lost. While
            // a record is incomplete, mainline sees none that could be deleted.
            SealState::Whole {
                seal,
                is_writing: false,
            } if header.sig == SIG && header.is_cleared() => Kind::Cleared(Some(seal)),
            SealState::Newer { .. } if header.sig == SIG && header.is_cleared() => {
                Kind::Cleared(None)
            }

            SealState::Whole { seal, is_writing } => {
                let size = usize::try_from(seal.size).ok()?;
                let mut payload = Tally::default();
                let crc = self.crc(0, size, &mut payload)?;
                let foreign = if crc == seal.payload_crc {
                    // The header may be wrong, the seal knows better.
                    None
                } else if header.start == 0 && header.size == seal.size {
                    // Mainline's headers of dmesg records have `start == size`: this one is ours.
                    None
                } else {
                    // Most likely mainline wrote a record which does not reach as far as the seal.
                    self.foreign(&header)
                };
                match foreign {
                    Some(foreign) => Kind::Foreign(Foreign {
                        covered_seq: Some(seal.seq),
                        ..foreign
                    }),
                    None => {
                        tally.add(payload);
                        // The blocks of the seal, unless they were counted.
                        let first = Geometry::block_of(capacity).max(Geometry::blocks_for(size));
                        let end = Geometry::blocks_for(self.geometry.data_capacity());
                        tally.add(self.tally(first..end));
                        match (crc == seal.payload_crc, is_writing) {
                            // All of it is there, be it said or not.
                            (true, _) => Kind::Sealed(seal),
                            (false, true) => Kind::Torn(Some(seal)),
                            (false, false) => Kind::Damaged(seal),
                        }
                    }
                }
            }
            SealState::Newer { version, seq } => Kind::Newer {
                version,
                seq,
                text: self.foreign(&header),
            },
            state => match (self.foreign(&header), state) {
                (Some(foreign), _) => Kind::Foreign(foreign),
                (None, SealState::Broken { is_writing }) => {
                    // While a seal is broken or written, `sig` is 0.
                    let salvaged = match is_writing || header.sig == 0 {
                        true => None,
                        false => self.salvage(capacity, &mut tally),
                    };
                    match salvaged {
                        Some((extent, stamp)) => Kind::Salvaged { extent, stamp },
                        None => Kind::Torn(None),
                    }
                }
                (None, _) if header.sig == SIG && header.is_cleared() => Kind::Empty,
                (None, _) => {
                    let mut raw_seal = [0; SEAL_LEN];
                    self.read_seal(&mut raw_seal)?;
                    match self.salvage(self.geometry.data_capacity(), &mut tally) {
                        Some((extent, stamp)) => Kind::Salvaged { extent, stamp },
                        None if is_filled(&raw_header, &raw_seal, 0x00) => Kind::Zero,
                        None if is_filled(&raw_header, &raw_seal, 0xff) => Kind::Erased,
                        None => Kind::Garbage,
                    }
                }
            },
        };

        match kind {
            Kind::Foreign(foreign)
            | Kind::Newer {
                text: Some(foreign),
                ..
            } => {
                let size = usize::try_from(foreign.extent.size).ok()?;
                tally.add(self.tally(0..Geometry::blocks_for(size)));
            }
            Kind::Sealed(_) | Kind::Damaged(_) | Kind::Torn(Some(_)) | Kind::Salvaged { .. } => (),
            _ => tally = Tally::default(),
        }
        Some(Content {
            kind,
            corrected: tally.corrected,
            bad_blocks: tally.bad_blocks,
        })
    }
}

/// Tells what `slot` holds. `None` if there is no such slot, or if it lies outside of `mem`.
pub fn classify<M: Memory>(mem: &M, geometry: &Geometry, slot: usize) -> Option<Content> {
    Zone::new(mem, geometry, slot)?.content()
}

/// Returns the header of `slot`, corrected. `None` if there is no such slot, or if it lies outside
/// of `mem`.
pub fn header<M: Memory>(mem: &M, geometry: &Geometry, slot: usize) -> Option<Header> {
    let (_, header) = Zone::new(mem, geometry, slot)?.header(&mut Tally::default())?;
    Some(header)
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
    Zone::new(mem, geometry, slot).map_or(0, |zone| zone.text(extent, pos, buf))
}

/// Returns where there is text in a slot that holds no whole record, or none any more.
///
/// Nothing vouches for it: it may be cut, mixed with older text, or deleted on purpose. Who shows
/// it must say so. It begins with the stamp of the record, if there is a seal; if the seal is not
/// whole, it may be an earlier record's, and end in one that is older still.
pub fn salvage_extent<M: Memory>(
    mem: &M,
    geometry: &Geometry,
    slot: usize,
    kind: &Kind,
) -> Option<Extent> {
    let zone = Zone::new(mem, geometry, slot)?;
    let limit = match kind {
        Kind::Salvaged { extent, .. } => return Some(*extent),
        Kind::Damaged(seal) | Kind::Cleared(Some(seal)) => return Some(extent_of(seal)),
        Kind::Torn(Some(seal)) => {
            let extent = extent_of(seal);
            let mut start = [0; STAMP_MAX];
            let len = zone.text(extent, 0, &mut start);
            let stamp = Stamp::parse(start.get(..len)?)?;
            return (stamp.micros() == seal.micros()).then_some(extent);
        }
        Kind::Torn(None) | Kind::Cleared(None) | Kind::Newer { text: None, .. } => {
            geometry.payload_capacity()
        }
        Kind::Empty => geometry.data_capacity(),
        _ => return None,
    };
    let (extent, _) = zone.salvage(limit, &mut Tally::default())?;
    Some(extent)
}

fn is_filled(header: &[u8], seal: &[u8], value: u8) -> bool {
    header.iter().chain(seal).all(|byte| *byte == value)
}
