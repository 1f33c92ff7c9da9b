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
        SEAL_MAGIC_OFFSET,
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
        let seal_to_end = zone.checked_add(zone_len)?.checked_sub(seal_at)?;
        // The first block with a part of the seal may have a part of the payload. The others have
        // neither, and the seal ends in one of them.
        let seal_block = Geometry::block_of(seal_pos);
        let tail_block = seal_block.checked_add(1)?;
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

        // 1. Break the seal. From here on, the old record is gone and the new one is torn.
        let magic_at = seal_at.checked_add(SEAL_MAGIC_OFFSET)?;
        self.write(magic_at, &layout::broken_seal())?;
        if has_parity {
            // It could be corrected, too.
            for block in tail_block..blocks {
                self.write_parity(geometry.parity_offset(slot, block)?, |_| ())?;
            }
        }
        self.mem.barrier(seal_at, seal_to_end);

        // 2. The record, and its length for mainline, which does not look at it without `sig`.
        self.write(zone.checked_add(HEADER_START)?, &start_and_size)?;
        if has_parity {
            let payload_blocks = Geometry::blocks_for(payload_len).min(seal_block);
            for block in (0..payload_blocks).chain([seal_block]) {
                self.write_block(slot, block, &pieces)?;
            }
            self.mem.barrier(zone, zone_len);
        } else {
            self.write(data, prefix)?;
            self.write(data.checked_add(prefix.len())?, text)?;
            self.mem.barrier(zone, HEADER_LEN.checked_add(payload_len)?);
        }

        // 3. Commit for us.
        if has_parity {
            for block in tail_block..blocks {
                self.write_block(slot, block, &pieces)?;
            }
        } else {
            self.write(seal_at, &raw_seal)?;
        }
        self.mem.barrier(seal_at, seal_to_end);

        if has_parity {
            // 3p. With many bytes of parity this is what commits for mainline already.
            let parity_at = geometry.header_parity_offset(slot)?;
            self.write_parity(parity_at, |parity| self.mem.encode(&raw_header, parity))?;
            self.mem.barrier(parity_at, geometry.ecc_size());
        }

        // 4. Commit for mainline.
        self.write(zone, &SIG.to_ne_bytes())?;
        self.mem.barrier(zone, HEADER_LEN);
        Some(())
    }

    /// Writes one block of the data area and its parity. It is put together from `pieces`, of which
    /// each has its place in the data area; the rest is zero.
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
        self.write(self.geometry.data_offset(slot)?.checked_add(begin)?, buf)?;
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
