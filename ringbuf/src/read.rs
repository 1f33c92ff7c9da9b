// SPDX-License-Identifier: GPL-2.0

//! Tells what a slot holds, from the region alone.
//!
//! Everything in the region is hostile input: each length and offset is checked before use, and
//! the work for one slot is bounded by its length.

use super::{
    geometry::Geometry,
    layout::{
        Header,
        Seal,
        SealTail,
        ECC_BLOCK,
        SEAL_LEN,
        SEAL_MAGIC,
        SEAL_MAGIC_WRITING,
        SEAL_TAIL_LEN,
        SEAL_VERSION,
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
    /// Text without a valid header and without a seal, which looks like a record. Where it ends is
    /// guessed.
    Salvaged {
        /// Where the payload lies. It begins with `stamp`. See [`salvage_extent`].
        extent: Extent,
        /// The stamp at the start of the payload.
        stamp: Stamp,
    },
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
    /// Returns where the payload lies, if it is a record's. What is left of other ones must be asked
    /// for with [`salvage_extent`].
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
    /// One that is being written.
    Writing,
    /// One that is damaged, or being written.
    Broken,
    /// No sign of a seal.
    None,
}

impl<M: Memory> Zone<'_, M> {
    /// Returns what there is at the place of the seal.
    fn seal(&self) -> Option<SealState> {
        let pos = self.geometry.payload_capacity();
        let mut raw = [0; SEAL_LEN];
        if !self.copy(pos, &mut raw) {
            return None;
        }
        let tail = SealTail::decode(&raw);
        let length = usize::from(tail.length);
        let state = match tail.magic {
            SEAL_MAGIC_WRITING => SealState::Writing,
            SEAL_MAGIC if tail.version == SEAL_VERSION => match Seal::decode::<M>(&raw, pos) {
                Some(seal) => SealState::Valid(seal),
                None => SealState::Broken,
            },
            SEAL_MAGIC if (SEAL_TAIL_LEN..=self.geometry.data_capacity()).contains(&length) => {
                let begin = self.geometry.data_capacity().checked_sub(length)?;
                // The CRC field itself is not covered.
                let covered = length.checked_sub(4)?;
                if self.crc(begin, covered, &mut Tally::default())? == tail.crc {
                    SealState::Newer(tail.version)
                } else {
                    SealState::Broken
                }
            }
            SEAL_MAGIC => SealState::Broken,
            _ => SealState::None,
        };
        if !self.has_parity() || matches!(state, SealState::Valid(_) | SealState::Newer(_)) {
            return Some(state);
        }
        // The decoder may have made things worse.
        self.read_seal(&mut raw)?;
        Some(match (SealTail::decode(&raw).magic, state) {
            (SEAL_MAGIC_WRITING, _) => SealState::Writing,
            (SEAL_MAGIC, SealState::None) => SealState::Broken,
            (_, state) => state,
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
            // Our writer never lets a good seal meet such a header, so mainline deleted the
            // record. `sig` does not matter: it is also what breaks first when the slot is written
            // anew, and a deleted record must not come back then.
            SealState::Valid(seal) if header.is_cleared() => Kind::Cleared(Some(seal)),
            SealState::Newer(_) if header.is_cleared() => Kind::Cleared(None),

            SealState::Valid(seal) => {
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
                        match crc == seal.payload_crc {
                            true => Kind::Sealed(seal),
                            false => Kind::Damaged(seal),
                        }
                    }
                }
            }
            SealState::Newer(version) => Kind::Newer {
                version,
                text: self.foreign(&header),
            },
            state => match (self.foreign(&header), state) {
                (Some(foreign), _) => Kind::Foreign(foreign),
                (None, SealState::Writing) => Kind::Torn,
                // While a seal is broken or written, `sig` is 0.
                (None, SealState::Broken) if header.sig == 0 => Kind::Torn,
                (None, SealState::Broken) => match self.salvage(capacity, &mut tally) {
                    Some((extent, stamp)) => Kind::Salvaged { extent, stamp },
                    None => Kind::Torn,
                },
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
            Kind::Sealed(_) | Kind::Damaged(_) | Kind::Salvaged { .. } => (),
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

/// Returns the header of `slot`, corrected. `None` if there is no such slot, or if it lies outside of
/// `mem`.
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
/// it must say so.
pub fn salvage_extent<M: Memory>(
    mem: &M,
    geometry: &Geometry,
    slot: usize,
    kind: &Kind,
) -> Option<Extent> {
    match kind {
        Kind::Salvaged { extent, .. } => Some(*extent),
        Kind::Damaged(seal) => Some(Extent {
            start: 0,
            size: seal.size,
        }),
        Kind::Torn | Kind::Cleared(_) | Kind::Empty | Kind::Newer { text: None, .. } => {
            let limit = match kind {
                Kind::Empty => geometry.data_capacity(),
                _ => geometry.payload_capacity(),
            };
            let zone = Zone::new(mem, geometry, slot)?;
            let (extent, _) = zone.salvage(limit, &mut Tally::default())?;
            Some(extent)
        }
        _ => None,
    }
}

fn is_filled(header: &[u8], seal: &[u8], value: u8) -> bool {
    header.iter().chain(seal).all(|byte| *byte == value)
}
