// SPDX-License-Identifier: GPL-2.0

//! Tells what a slot holds, from the region alone.
//!
//! Everything in the region is hostile input: each length and offset is checked before use, and
//! the work for one slot is bounded by its length.
//!
//! If there is parity, blocks are corrected in copies on the stack, never in the region. A block
//! with too many errors is taken as it is.

use super::{
    layout::{
        self,
        Geometry,
        Header,
        Seal,
        SealTail,
        Stamp,
        ECC_BLOCK,
        ECC_MAX,
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

/// Counts errors.
#[derive(Clone, Copy, Default)]
struct Tally {
    corrected: usize,
    bad_blocks: usize,
}

impl Tally {
    fn count(&mut self, decoded: Option<usize>) {
        match decoded {
            Some(bytes) => self.corrected = self.corrected.saturating_add(bytes),
            None => self.bad_blocks = self.bad_blocks.saturating_add(1),
        }
    }

    fn add(&mut self, other: Tally) {
        self.corrected = self.corrected.saturating_add(other.corrected);
        self.bad_blocks = self.bad_blocks.saturating_add(other.bad_blocks);
    }
}

/// Reads one zone.
struct Zone<'a, M> {
    mem: &'a M,
    geometry: &'a Geometry,
    slot: usize,
    /// Where the data area begins.
    data: usize,
}

impl<'a, M: Memory> Zone<'a, M> {
    fn new(mem: &'a M, geometry: &'a Geometry, slot: usize) -> Option<Self> {
        let data = geometry.data_offset(slot)?;
        Some(Self {
            mem,
            geometry,
            slot,
            data,
        })
    }

    fn has_parity(&self) -> bool {
        self.geometry.ecc_size() != 0
    }

    /// Corrects a block. `None` if it has too many errors; then it stays as it is.
    fn decode(&self, block: &mut [u8], parity_at: usize) -> Option<usize> {
        let mut parity = [0; ECC_MAX];
        let parity = parity.get_mut(..self.geometry.ecc_size())?;
        if !self.mem.read(parity_at, parity) {
            return None;
        }
        self.mem.decode(block, parity)
    }

    /// Reads the header, as it is and corrected.
    fn header(&self, tally: &mut Tally) -> Option<([u8; HEADER_LEN], Header)> {
        let mut raw = [0; HEADER_LEN];
        if !self
            .mem
            .read(self.geometry.slot_offset(self.slot)?, &mut raw)
        {
            return None;
        }
        let header = Header::decode(&raw);
        if !self.has_parity() {
            return Some((raw, header));
        }
        let mut corrected = raw;
        let decoded = self.decode(
            &mut corrected,
            self.geometry.header_parity_offset(self.slot)?,
        );
        tally.count(decoded);
        let corrected = Header::decode(&corrected);
        let header = match decoded {
            Some(_) if corrected.sig == SIG => corrected,
            // While a record is written, `sig` and the parity belong to different headers. What
            // counts then is that nobody sees a record there, and that a deleted one, which has
            // `start` and `size` 0, remains so.
            Some(_) => Header {
                sig: corrected.sig,
                ..header
            },
            None => header,
        };
        Some((raw, header))
    }

    /// Reads and corrects a block of the data area. Returns its length.
    fn block(&self, block: usize, buf: &mut [u8], tally: &mut Tally) -> Option<usize> {
        let (begin, len) = self.geometry.block(block)?;
        let buf = buf.get_mut(..len)?;
        if !self.mem.read(self.data.checked_add(begin)?, buf) {
            return None;
        }
        tally.count(self.decode(buf, self.geometry.parity_offset(self.slot, block)?));
        Some(len)
    }

    /// Calls `f` with pieces of a range of the data area, corrected, one after the other. If `f`
    /// returns `false`, or the range leaves the data area, it ends.
    fn walk(
        &self,
        pos: usize,
        len: usize,
        tally: &mut Tally,
        mut f: impl FnMut(&[u8]) -> bool,
    ) -> Option<()> {
        let end = pos.checked_add(len)?;
        if end > self.geometry.data_capacity() {
            return None;
        }
        // Small, because it is on the stack.
        let mut buf = [0; 256];
        let mut pos = pos;
        while pos < end {
            let left = end.checked_sub(pos)?;
            let piece = if self.has_parity() {
                let block = Geometry::block_of(pos);
                let len = self.block(block, &mut buf, tally)?;
                let (begin, _) = self.geometry.block(block)?;
                let rest = buf.get(..len)?.get(pos.checked_sub(begin)?..)?;
                rest.get(..left.min(rest.len()))?
            } else {
                let piece = buf.get_mut(..left.min(256))?;
                if !self.mem.read(self.data.checked_add(pos)?, piece) {
                    return None;
                }
                piece
            };
            // The piece is not empty: `pos` is less than the end of its block, and than `end`.
            if piece.is_empty() || !f(piece) {
                return None;
            }
            pos = pos.checked_add(piece.len())?;
        }
        Some(())
    }

    /// Copies a range of the data area, corrected.
    fn copy(&self, pos: usize, buf: &mut [u8]) -> bool {
        if !self.has_parity() {
            // `Geometry` knows no zone that ends beyond the region.
            return pos
                .checked_add(buf.len())
                .is_some_and(|end| end <= self.geometry.data_capacity())
                && self
                    .data
                    .checked_add(pos)
                    .is_some_and(|offset| self.mem.read(offset, buf));
        }
        let len = buf.len();
        let mut done = 0usize;
        self.walk(pos, len, &mut Tally::default(), |piece| {
            layout::put(buf, done, piece);
            done = done.saturating_add(piece.len());
            true
        })
        .is_some()
    }

    /// Returns the CRC-32C of a range of the data area.
    fn crc(&self, pos: usize, len: usize, tally: &mut Tally) -> Option<u32> {
        let mut crc = !0;
        self.walk(pos, len, tally, |piece| {
            crc = M::crc32c(crc, piece);
            true
        })?;
        Some(!crc)
    }

    /// Counts the errors in blocks.
    fn tally(&self, blocks: core::ops::Range<usize>) -> Tally {
        let mut tally = Tally::default();
        if self.has_parity() {
            let mut buf = [0; ECC_BLOCK];
            for block in blocks {
                if self.block(block, &mut buf, &mut tally).is_none() {
                    break;
                }
            }
        }
        tally
    }

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

    /// Reads the seal as it is.
    fn read_seal(&self, raw: &mut [u8; SEAL_LEN]) -> Option<()> {
        let offset = self.geometry.seal_offset(self.slot)?;
        self.mem.read(offset, raw).then_some(())
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

    /// See [`read_text`].
    fn text(&self, extent: Extent, pos: usize, buf: &mut [u8]) -> usize {
        let mut done = 0usize;
        // There are two pieces at most, see `Extent`.
        for _ in 0..2 {
            let piece = self.piece_at(extent, pos.saturating_add(done));
            let (Some((pos, len)), Some(rest)) = (piece, buf.get_mut(done..)) else {
                break;
            };
            let len = len.min(rest.len());
            let Some(rest) = rest.get_mut(..len) else {
                break;
            };
            if !self.copy(pos, rest) {
                break;
            }
            done = done.saturating_add(len);
        }
        done
    }

    /// Returns where byte `pos` of a payload lies in the data area, and how many bytes from there
    /// on lie side by side.
    fn piece_at(&self, extent: Extent, pos: usize) -> Option<(usize, usize)> {
        let start = usize::try_from(extent.start).ok()?;
        let size = usize::try_from(extent.size).ok()?;
        if size > self.geometry.data_capacity() {
            return None;
        }
        let before_wrap = size.checked_sub(start)?;
        match pos.checked_sub(before_wrap) {
            None => Some((start.checked_add(pos)?, before_wrap.checked_sub(pos)?)),
            Some(pos) => Some((pos, start.checked_sub(pos)?)),
        }
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
        let (prefix, stamp) = layout::parse_prefix(buf)?;
        let mut size = 0usize;
        let mut has_line = false;
        // `None` says that it ended before `limit`.
        let _ = self.walk(0, limit, tally, |piece| {
            for byte in piece {
                if !layout::is_text(*byte) {
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

/// Returns the seal in a slot, whatever its record is like.
pub(super) fn seal_of<M: Memory>(mem: &M, geometry: &Geometry, slot: usize) -> Option<Seal> {
    match Zone::new(mem, geometry, slot)?.seal()? {
        SealState::Valid(seal) => Some(seal),
        _ => None,
    }
}

fn is_filled(header: &[u8], seal: &[u8], value: u8) -> bool {
    header.iter().chain(seal).all(|byte| *byte == value)
}
