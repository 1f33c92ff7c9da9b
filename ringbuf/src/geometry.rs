// SPDX-License-Identifier: GPL-2.0

//! Where zones lie in the region, from the parameters: as mainline lays them out.

use super::layout::{
    Params,
    Seal,
    DATA_MIN,
    ECC_BLOCK,
    ECC_MAX,
    HEADER_LEN,
    SEAL_LEN,
    SEAL_MAGIC_OFFSET,
    ZONE_MAX,
    ZONE_MIN, //
};

/// Why there is no zone map for some [`Params`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GeometryError {
    /// `record_size` is 0.
    RecordSizeZero,
    /// A zone of `record_size` cannot hold a header, a seal and a little text.
    RecordSizeTooSmall {
        /// The smallest `record_size` which always can.
        min: usize,
    },
    /// The other zones leave no room for a single record in `mem_size`.
    NoRoom {
        /// The smallest `mem_size` which has room for one.
        needed: usize,
    },
    /// A zone other than the dmesg ones cannot even hold a header.
    ZoneTooSmall {
        /// The parameter at fault.
        parameter: &'static str,
        /// Its smallest value other than 0.
        min: usize,
    },
    /// The size of a zone does not fit the fields on media.
    ZoneTooLarge {
        /// The parameter at fault.
        parameter: &'static str,
        /// Its largest value.
        max: usize,
    },
    /// `ecc_size` is more than the code can have.
    EccTooLarge {
        /// Its largest value.
        max: usize,
    },
    /// A zone of `record_size` cannot hold the parity as well.
    EccDoesNotFit {
        /// The smallest `record_size` which always can.
        min: usize,
    },
}

/// Rounds down to a power of two; 0 stays 0.
fn round_down(size: usize) -> usize {
    match size.checked_ilog2() {
        Some(log) => 1usize.checked_shl(log).unwrap_or(0),
        None => 0,
    }
}

/// Returns the length of the data area of a zone, and of how many blocks there is parity, in the
/// same steps as mainline's `persistent_ram_init_ecc()`. `None` if there is no room for data.
fn data_area(zone: usize, ecc_size: usize) -> Option<(usize, usize)> {
    let buffer = zone.checked_sub(HEADER_LEN)?;
    if ecc_size == 0 {
        return (buffer > 0).then_some((buffer, 0));
    }
    let block = ecc_size.checked_add(ECC_BLOCK)?;
    let blocks = buffer
        .checked_sub(ecc_size)?
        .checked_add(block.checked_sub(1)?)?
        .checked_div(block)?;
    let total = blocks.checked_add(1)?.checked_mul(ecc_size)?;
    let data = buffer.checked_sub(total).filter(|data| *data > 0)?;
    Some((data, blocks))
}

/// Returns the smallest power of two that is enough for a zone with so much data.
fn smallest_zone(data_min: usize, ecc_size: usize) -> usize {
    let mut zone = HEADER_LEN.next_power_of_two();
    while data_area(zone, ecc_size).is_none_or(|(data, _)| data < data_min) {
        zone = match zone.checked_mul(2) {
            Some(zone) => zone,
            None => break,
        };
    }
    zone
}

/// A zone map. It is the same as the one that mainline makes from the same parameters.
///
/// # Invariants
///
/// `slots >= 1`, `ZONE_MIN <= stride <= ZONE_MAX`, `DATA_MIN <= data_len`, and all zones lie
/// within `params.mem_size`. `params.ecc_size <= ECC_MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// The parameters after rounding.
    params: Params,
    /// The number of dmesg zones.
    slots: usize,
    /// The distance of two dmesg zones, and their length.
    stride: usize,
    /// Where the dmesg zones end.
    dmesg_len: usize,
    /// The length of the data area of a dmesg zone.
    data_len: usize,
    /// Of how many blocks there is parity; the last one may have no data.
    ecc_blocks: usize,
}

impl Geometry {
    /// Computes the zone map, in the same steps as mainline's `ramoops_probe()`.
    pub fn new(params: Params) -> Result<Self, GeometryError> {
        let ecc_size = params.ecc_size;
        if ecc_size > ECC_MAX {
            return Err(GeometryError::EccTooLarge { max: ECC_MAX });
        }
        if params.record_size == 0 {
            return Err(GeometryError::RecordSizeZero);
        }

        let params = Params {
            mem_size: params.mem_size,
            record_size: round_down(params.record_size),
            console_size: round_down(params.console_size),
            ftrace_size: round_down(params.ftrace_size),
            pmsg_size: round_down(params.pmsg_size),
            ecc_size,
        };
        for (parameter, size) in [
            ("console_size", params.console_size),
            ("ftrace_size", params.ftrace_size),
            ("pmsg_size", params.pmsg_size),
        ] {
            if size != 0 && data_area(size, ecc_size).is_none() {
                let min = smallest_zone(1, ecc_size);
                return Err(GeometryError::ZoneTooSmall { parameter, min });
            }
            if size > ZONE_MAX {
                let max = round_down(ZONE_MAX);
                return Err(GeometryError::ZoneTooLarge { parameter, max });
            }
        }

        let others = params
            .console_size
            .saturating_add(params.ftrace_size)
            .saturating_add(params.pmsg_size);
        let no_room = GeometryError::NoRoom {
            needed: others.saturating_add(params.record_size),
        };
        let dump_mem = params.mem_size.checked_sub(others).ok_or(no_room)?;
        let slots = dump_mem.checked_div(params.record_size).ok_or(no_room)?;
        // The division fails if there is not a single slot.
        let stride = dump_mem.checked_div(slots).ok_or(no_room)? & !1;
        let min = smallest_zone(DATA_MIN, ecc_size);
        if stride < ZONE_MIN {
            return Err(GeometryError::RecordSizeTooSmall { min });
        }
        if stride > ZONE_MAX {
            let parameter = "record_size";
            let max = round_down(ZONE_MAX);
            return Err(GeometryError::ZoneTooLarge { parameter, max });
        }
        let (data_len, ecc_blocks) = data_area(stride, ecc_size)
            .filter(|(data_len, _)| *data_len >= DATA_MIN)
            .ok_or(GeometryError::EccDoesNotFit { min })?;
        let dmesg_len = stride.checked_mul(slots).ok_or(no_room)?;

        // INVARIANT: All but `slots` were checked just above, and that one when dividing by it.
        // `dmesg_len` is at most `dump_mem`, and the other zones fit in the rest of `mem_size`.
        Ok(Self {
            params,
            slots,
            stride,
            dmesg_len,
            data_len,
            ecc_blocks,
        })
    }

    /// Returns the parameters with the sizes in effect, that is after rounding.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Returns the number of dmesg zones.
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// Returns the length of a dmesg zone, which is also the distance of two of them.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// Returns the size of the region.
    pub fn mem_size(&self) -> usize {
        self.params.mem_size
    }

    /// Returns the length of the data area of a dmesg zone: all but header and parity. The seal is
    /// part of it.
    pub fn data_capacity(&self) -> usize {
        self.data_len
    }

    /// Returns the number of bytes of parity per block; 0 if there is none.
    pub fn ecc_size(&self) -> usize {
        self.params.ecc_size
    }

    /// Returns the length of the longest record: the data area without the seal.
    pub fn payload_capacity(&self) -> usize {
        self.data_capacity().saturating_sub(SEAL_LEN)
    }

    /// Returns the length of the longest title and text that may be compressed into a record:
    /// mainline's reader inflates no more.
    pub fn inflated_max(&self) -> usize {
        self.data_capacity().saturating_mul(3)
    }

    /// Returns where dmesg zone `slot` begins.
    pub fn slot_offset(&self, slot: usize) -> Option<usize> {
        if slot >= self.slots {
            return None;
        }
        slot.checked_mul(self.stride)
    }

    /// Returns where the data area of dmesg zone `slot` begins.
    pub fn data_offset(&self, slot: usize) -> Option<usize> {
        self.slot_offset(slot)?.checked_add(HEADER_LEN)
    }

    /// Returns where the seal of dmesg zone `slot` begins.
    pub fn seal_offset(&self, slot: usize) -> Option<usize> {
        self.data_offset(slot)?.checked_add(self.payload_capacity())
    }

    /// Returns where the magic number of dmesg zone `slot` begins: at the end of its data area.
    pub(super) fn magic_offset(&self, slot: usize) -> Option<usize> {
        self.seal_offset(slot)?.checked_add(SEAL_MAGIC_OFFSET)
    }

    /// Whether a seal that lies where that of dmesg zone `slot` belongs is about this very zone.
    ///
    /// Other parameters may give the same zone; then it is.
    pub fn is_place_of(&self, seal: &Seal, slot: usize) -> bool {
        let is_zone = || {
            let other = Self::new(seal.params).ok()?;
            (other.slot_offset(seal.slot)? == self.slot_offset(slot)?
                && other.stride == self.stride
                && other.ecc_size() == self.ecc_size())
            .then_some(())
        };
        let fits = usize::try_from(seal.size).is_ok_and(|size| size <= self.payload_capacity());
        let is_same = seal.params == self.params && seal.slot == slot && slot < self.slots;
        fits && (is_same || is_zone().is_some())
    }

    /// Returns the number of the block that byte `pos` of the data area belongs to.
    pub(super) fn block_of(pos: usize) -> usize {
        pos / ECC_BLOCK
    }

    /// Returns how many blocks `len` bytes at the start of the data area need.
    pub(super) fn blocks_for(len: usize) -> usize {
        len.saturating_add(ECC_BLOCK.saturating_sub(1)) / ECC_BLOCK
    }

    /// Returns where block `block` begins in the data area, and its length.
    pub(super) fn block(&self, block: usize) -> Option<(usize, usize)> {
        let begin = block.checked_mul(ECC_BLOCK)?;
        let rest = self.data_len.checked_sub(begin)?;
        (rest > 0).then_some((begin, rest.min(ECC_BLOCK)))
    }

    /// Returns where the parity of block `block` of dmesg zone `slot` begins.
    pub(super) fn parity_offset(&self, slot: usize, block: usize) -> Option<usize> {
        if block >= self.ecc_blocks {
            return None;
        }
        self.data_offset(slot)?
            .checked_add(self.data_len)?
            .checked_add(block.checked_mul(self.params.ecc_size)?)
    }

    /// Returns where the parity of the header of dmesg zone `slot` begins.
    pub(super) fn header_parity_offset(&self, slot: usize) -> Option<usize> {
        self.data_offset(slot)?
            .checked_add(self.data_len)?
            .checked_add(self.ecc_blocks.checked_mul(self.params.ecc_size)?)
    }

    /// Returns offset and length of the console zone; the length is 0 if there is none.
    pub fn console(&self) -> (usize, usize) {
        (self.dmesg_len, self.params.console_size)
    }

    /// Returns offset and length of the pmsg zone; the length is 0 if there is none.
    pub fn pmsg(&self) -> (usize, usize) {
        let (offset, len) = self.console();
        (offset.saturating_add(len), self.params.pmsg_size)
    }

    /// Returns offset and length of the ftrace zones; the length is 0 if there are none.
    pub fn ftrace(&self) -> (usize, usize) {
        let (offset, len) = self.pmsg();
        (offset.saturating_add(len), self.params.ftrace_size)
    }
}
