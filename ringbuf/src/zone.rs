// SPDX-License-Identifier: GPL-2.0

//! Reads one zone of the region.
//!
//! If there is parity, blocks are corrected in copies on the stack, never in the region. A block
//! with too many errors is taken as it is.

use super::{
    geometry::Geometry,
    layout::{
        self,
        Header,
        ECC_BLOCK,
        ECC_MAX,
        HEADER_LEN,
        SEAL_LEN,
        SIG, //
    },
    memory::Memory, //
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

/// Counts errors.
#[derive(Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) corrected: usize,
    pub(super) bad_blocks: usize,
}

impl Tally {
    fn count(&mut self, decoded: Option<usize>) {
        match decoded {
            Some(bytes) => self.corrected = self.corrected.saturating_add(bytes),
            None => self.bad_blocks = self.bad_blocks.saturating_add(1),
        }
    }

    pub(super) fn add(&mut self, other: Tally) {
        self.corrected = self.corrected.saturating_add(other.corrected);
        self.bad_blocks = self.bad_blocks.saturating_add(other.bad_blocks);
    }
}

/// Reads one zone.
pub(super) struct Zone<'a, M> {
    pub(super) mem: &'a M,
    pub(super) geometry: &'a Geometry,
    pub(super) slot: usize,
    /// Where the data area begins.
    data: usize,
}

impl<'a, M: Memory> Zone<'a, M> {
    pub(super) fn new(mem: &'a M, geometry: &'a Geometry, slot: usize) -> Option<Self> {
        let data = geometry.data_offset(slot)?;
        Some(Self {
            mem,
            geometry,
            slot,
            data,
        })
    }

    pub(super) fn has_parity(&self) -> bool {
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
    pub(super) fn header(&self, tally: &mut Tally) -> Option<([u8; HEADER_LEN], Header)> {
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
            // counts then is that nobody sees a record there.
            Some(_) => Header {
                sig: corrected.sig,
                ..header
            },
            None => header,
        };
        Some((raw, header))
    }

    /// Reads and corrects a block of the data area. Returns its length.
    pub(super) fn block(&self, block: usize, buf: &mut [u8], tally: &mut Tally) -> Option<usize> {
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
    pub(super) fn walk(
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
    pub(super) fn copy(&self, pos: usize, buf: &mut [u8]) -> bool {
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
    pub(super) fn crc(&self, pos: usize, len: usize, tally: &mut Tally) -> Option<u32> {
        let mut crc = !0;
        self.walk(pos, len, tally, |piece| {
            crc = M::crc32c(crc, piece);
            true
        })?;
        Some(!crc)
    }

    /// The same, of the bytes as they are.
    pub(super) fn raw_crc(&self, pos: usize, len: usize) -> Option<u32> {
        let mut crc = !0;
        let mut buf = [0; 64];
        let mut pos = self.data.checked_add(pos)?;
        let end = pos.checked_add(len)?;
        while pos < end {
            let piece = buf.get_mut(..end.checked_sub(pos)?.min(64))?;
            if !self.mem.read(pos, piece) {
                return None;
            }
            crc = M::crc32c(crc, piece);
            pos = pos.checked_add(piece.len())?;
        }
        Some(!crc)
    }

    /// Counts the errors in blocks.
    pub(super) fn tally(&self, blocks: core::ops::Range<usize>) -> Tally {
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

    /// Reads the seal as it is.
    pub(super) fn read_seal(&self, raw: &mut [u8; SEAL_LEN]) -> Option<()> {
        let offset = self.geometry.seal_offset(self.slot)?;
        self.mem.read(offset, raw).then_some(())
    }

    /// Copies a piece of a payload, beginning `pos` bytes after its first byte. Returns how much
    /// was copied.
    pub(super) fn text(&self, extent: Extent, pos: usize, buf: &mut [u8]) -> usize {
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
}
