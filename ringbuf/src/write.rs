// SPDX-License-Identifier: GPL-2.0

//! Writes one record: the order of the steps is what makes a power cut harmless, see `FORMAT.md`.

use super::{
    geometry::Geometry,
    layout::{
        self,
        Header,
        Seal,
        ECC_BLOCK,
        ECC_MAX,
        HEADER_LEN,
        HEADER_START,
        SEAL_MAGIC,
        SEAL_MAGIC_OFFSET,
        SEAL_MAGIC_WRITING,
        SIG, //
    },
    memory::Memory, //
};

/// Writes into the region.
#[derive(Debug)]
pub(super) struct Writer<'a, M> {
    pub(super) mem: &'a M,
    pub(super) geometry: &'a Geometry,
}

impl<M: Memory> Writer<'_, M> {
    /// Writes one record. `None` if the memory refused a write.
    ///
    /// The steps whose number has a `p` are for zones with parity only.
    pub(super) fn record(
        &self,
        slot: usize,
        prefix: &[u8],
        text: &[u8],
        seal: &Seal,
    ) -> Option<()> {
        let geometry = self.geometry;
        let has_parity = geometry.ecc_size() != 0;
        let zone = geometry.slot_offset(slot)?;
        let data = geometry.data_offset(slot)?;
        let seal_at = geometry.seal_offset(slot)?;
        let seal_pos = geometry.payload_capacity();
        let raw_header = Header {
            sig: SIG,
            start: 0,
            size: seal.size,
        }
        .encode();
        let [_, _, _, _, start_and_size @ ..] = raw_header;
        let raw_seal = seal.encode::<M>();
        let payload_len = prefix.len().checked_add(text.len())?;
        let zone_len = geometry.stride();
        let zone_end = zone.checked_add(zone_len)?;
        let magic_at = geometry.magic_offset(slot)?;
        // The first block with a part of the seal may have a part of the payload.
        let seal_block = Geometry::block_of(seal_pos);
        let blocks = Geometry::blocks_for(geometry.data_capacity());
        let pieces = [
            (0, prefix),
            (prefix.len(), text),
            (seal_pos, raw_seal.as_slice()),
        ];

        // 0. Hide the zone from mainline. To us, it still is what it was.
        self.write(zone, &0u32.to_ne_bytes())?;
        self.mem.barrier(zone, HEADER_LEN);

        if has_parity {
            // 0p. Mainline could still correct the header with its parity, and find the old record.
            let parity_at = geometry.header_parity_offset(slot)?;
            self.write_parity(parity_at, |_| ())?;
            self.mem.barrier(parity_at, geometry.ecc_size());
        }

        // 1. What is said from here on need not be true yet.
        self.write(magic_at, &SEAL_MAGIC_WRITING.to_le_bytes())?;
        self.mem.barrier(magic_at, 4);

        // 2. What the record is going to be. The old record is gone.
        if has_parity {
            for block in seal_block..blocks {
                self.write_block(slot, block, &pieces)?;
            }
            let (begin, _) = geometry.block(seal_block)?;
            let begin = data.checked_add(begin)?;
            self.mem.barrier(begin, zone_end.checked_sub(begin)?);
        } else {
            self.write(seal_at, raw_seal.get(..SEAL_MAGIC_OFFSET)?)?;
            self.mem.barrier(seal_at, SEAL_MAGIC_OFFSET);
        }

        // 3. The record, and its length for mainline, which does not look at it without `sig`.
        self.write(zone.checked_add(HEADER_START)?, &start_and_size)?;
        if has_parity {
            for block in 0..Geometry::blocks_for(payload_len).min(seal_block) {
                self.write_block(slot, block, &pieces)?;
            }
            self.mem.barrier(zone, zone_len);
        } else {
            self.write(data, prefix)?;
            self.write(data.checked_add(prefix.len())?, text)?;
            self.mem.barrier(zone, HEADER_LEN.checked_add(payload_len)?);
        }

        // 4. Commit for us. The parity of the seal is right from now on.
        self.write(magic_at, &SEAL_MAGIC.to_le_bytes())?;
        if has_parity {
            // With many bytes of parity this is what commits for mainline already.
            let parity_at = geometry.header_parity_offset(slot)?;
            self.write_parity(parity_at, |parity| self.mem.encode(&raw_header, parity))?;
        }
        self.mem.barrier(magic_at, zone_end.checked_sub(magic_at)?);

        // 5. Commit for mainline.
        self.write(zone, &SIG.to_ne_bytes())?;
        self.mem.barrier(zone, HEADER_LEN);
        Some(())
    }

    /// Writes one block of the data area, but for the magic number, and its parity. It is put
    /// together from `pieces`, of which each has its place in the data area; the rest is zero.
    fn write_block(&self, slot: usize, block: usize, pieces: &[(usize, &[u8])]) -> Option<()> {
        let (begin, len) = self.geometry.block(block)?;
        let mut buf = [0; ECC_BLOCK];
        let buf = buf.get_mut(..len)?;
        for (at, piece) in pieces {
            match begin.checked_sub(*at) {
                Some(skip) => layout::put(buf, 0, piece.get(skip..).unwrap_or(&[])),
                None => layout::put(buf, at.checked_sub(begin)?, piece),
            }
        }
        let at = self.geometry.data_offset(slot)?.checked_add(begin)?;
        let until_magic = self.geometry.magic_offset(slot)?.saturating_sub(at);
        self.write(at, buf.get(..until_magic.min(len))?)?;
        self.write_parity(self.geometry.parity_offset(slot, block)?, |parity| {
            self.mem.encode(buf, parity)
        })
    }

    /// Writes the parity that `f` makes from zeros.
    fn write_parity(&self, offset: usize, f: impl FnOnce(&mut [u8])) -> Option<()> {
        let mut parity = [0; ECC_MAX];
        let parity = parity.get_mut(..self.geometry.ecc_size())?;
        f(parity);
        self.write(offset, parity)
    }

    fn write(&self, offset: usize, data: &[u8]) -> Option<()> {
        self.mem.write(offset, data).then_some(())
    }
}
