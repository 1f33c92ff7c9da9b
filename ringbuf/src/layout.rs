// SPDX-License-Identifier: GPL-2.0

//! The layout on media: where zones lie, and what the bytes in a dmesg zone mean.
//!
//! Nothing here touches the region. No other file knows an offset or a magic number.

use super::store::{
    DumpInfo,
    Memory, //
};

/// Length of the header of a zone: `u32 sig, u32 start, u32 size`.
pub const HEADER_LEN: usize = 12;

/// Value of `sig` in the header of a zone in use.
pub const SIG: u32 = 0x4347_4244;

/// Offset of `start` (and of `size`, which follows it) in the header of a zone.
pub const HEADER_START: usize = 4;

/// Length of the seal, which is the last thing in the data area of a dmesg zone.
pub const SEAL_LEN: usize = 192;

/// Length of the part of a seal that lies at the same distance from the end in every version:
/// `u16 length, u16 version, u32 magic, u32 crc`.
pub const SEAL_TAIL_LEN: usize = 12;

/// Version of the seal that this code writes and reads.
pub const SEAL_VERSION: u16 = 1;

/// Magic number of a seal.
pub const SEAL_MAGIC: u32 = u32::from_le_bytes(*b"SEAL");

/// Magic number in place of [`SEAL_MAGIC`] while a record is being written.
///
/// The two differ in one byte only, so that a write of one over the other cannot be torn.
pub const SEAL_MAGIC_WRITING: u32 = u32::from_le_bytes(*b"SEAW");

/// Offset of the magic number in a seal of version 1. The CRC follows it.
pub const SEAL_MAGIC_OFFSET: usize = 184;

/// Offset in a seal of version 1 of the copy of the header's `start`. It is always 0: our records
/// are linear.
pub const SEAL_START: usize = 56;

/// Sequence numbers in a seal are below this one, so that a rank in the slot table fits 63 bits.
pub const SEQ_LIMIT: u64 = 1 << 47;

/// The highest number of a part.
pub const PART_MAX: u32 = 0xffff;

/// Length of the panic description in a seal.
pub const DESCRIPTION_LEN: usize = 60;

/// Length of the kernel release in a seal.
pub const RELEASE_LEN: usize = 40;

/// Upper bound of the length of the lines in front of the text of a record.
///
/// That is `====`, 11 digits, `.`, 6 digits, `-D\n`, and a name of at most [`REASON_NAME_MAX`]
/// bytes, `#`, 10 digits, ` Part`, 5 digits, `\n`: 79 bytes.
pub const PREFIX_MAX: usize = 80;

/// Longer names of a reason are cut.
pub const REASON_NAME_MAX: usize = 32;

/// Every record has room for at least this much text.
pub const TEXT_MIN: usize = 128;

/// The smallest data area of a dmesg zone.
pub const DATA_MIN: usize = PREFIX_MAX + TEXT_MIN + SEAL_LEN;

/// The smallest dmesg zone. With parity it is longer.
pub const ZONE_MIN: usize = HEADER_LEN + DATA_MIN;

/// Length of the blocks which have parity of their own.
pub const ECC_BLOCK: usize = 128;

/// The most bytes of parity per block: a word of the code has 255 bytes.
pub const ECC_MAX: usize = 255 - ECC_BLOCK;

/// The largest zone. Sizes on media are `u32`, and `int` in places in mainline.
pub const ZONE_MAX: usize = i32::MAX as usize;

/// Bytes that are enough to parse the longest stamp, see [`Stamp::parse`].
pub const STAMP_MAX: usize = 64;

/// Copies as much of `src` as fits into `dst` at `offset`.
///
/// The lengths being the same, the compiler knows that `copy_from_slice` does not panic.
pub(super) fn put(dst: &mut [u8], offset: usize, src: &[u8]) {
    if let Some(dst) = dst.get_mut(offset..) {
        let len = dst.len().min(src.len());
        if let (Some(dst), Some(src)) = (dst.get_mut(..len), src.get(..len)) {
            dst.copy_from_slice(src);
        }
    }
}

/// Returns the `N` bytes at `offset` of `src`; bytes beyond its end are zero.
fn get<const N: usize>(src: &[u8], offset: usize) -> [u8; N] {
    let mut out = [0; N];
    if let Some(src) = src.get(offset..) {
        put(&mut out, 0, src);
    }
    out
}

/// The module parameters that determine a zone map, with mainline's meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params {
    /// Size of the region.
    pub mem_size: usize,
    /// Size of one dmesg record.
    pub record_size: usize,
    /// Size of the console zone; 0 for none.
    pub console_size: usize,
    /// Size of the ftrace zones together; 0 for none.
    pub ftrace_size: usize,
    /// Size of the pmsg zone; 0 for none.
    pub pmsg_size: usize,
    /// Bytes of parity per block; 0 for none.
    pub ecc_size: usize,
}

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

/// The header of a zone. It has the byte order of the CPU, as in mainline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// [`SIG`] if mainline is to see anything in the zone.
    pub sig: u32,
    /// Where the oldest byte lies, if the data wraps.
    pub start: u32,
    /// How much data there is.
    pub size: u32,
}

impl Header {
    /// Makes a header from its bytes.
    pub fn decode(raw: &[u8; HEADER_LEN]) -> Self {
        Self {
            sig: u32::from_ne_bytes(get(raw, 0)),
            start: u32::from_ne_bytes(get(raw, HEADER_START)),
            size: u32::from_ne_bytes(get(raw, 8)),
        }
    }

    /// Makes the bytes of a header.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut raw = [0; HEADER_LEN];
        put(&mut raw, 0, &self.sig.to_ne_bytes());
        put(&mut raw, HEADER_START, &self.start.to_ne_bytes());
        put(&mut raw, 8, &self.size.to_ne_bytes());
        raw
    }

    /// Whether the zone is empty, if its header is valid.
    pub fn is_cleared(&self) -> bool {
        self.start == 0 && self.size == 0
    }

    /// Whether mainline would take the zone to hold something.
    pub fn is_plausible(&self, data_capacity: usize) -> bool {
        self.sig == SIG
            && self.size != 0
            && self.start <= self.size
            && usize::try_from(self.size).is_ok_and(|size| size <= data_capacity)
    }
}

/// What a seal says about its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal {
    /// Sequence number of this record. It grows with each record and across reboots.
    pub seq: u64,
    /// Sequence number of part 1 of the dump that this record belongs to.
    pub dump: u64,
    /// Wall-clock time of the dump.
    pub realtime_ns: u64,
    /// Time since boot of the dump.
    pub boottime_ns: u64,
    /// Random number, drawn when the module is loaded: it stands for the boot.
    pub boot_id: [u8; 16],
    /// Number of this part; part 1 holds the newest text.
    pub part: u32,
    /// 0 if more parts follow, otherwise the same as `part`: the dump has that many.
    pub parts: u32,
    /// Length of the payload.
    pub size: u32,
    /// CRC-32C of the payload.
    pub payload_crc: u32,
    /// `enum kmsg_dump_reason`.
    pub reason: u32,
    /// Panic description; cut, and padded with NUL.
    pub description: [u8; DESCRIPTION_LEN],
    /// If this dump continues a loop of crashes: sequence number of part 1 of the dump with which
    /// the loop began. Otherwise 0.
    pub loop_start: u64,
    /// Kernel release; cut, and padded with NUL.
    pub release: [u8; RELEASE_LEN],
}

/// The part of a seal that all versions share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealTail {
    /// Length of the whole seal.
    pub length: u16,
    /// Version of the seal.
    pub version: u16,
    /// [`SEAL_MAGIC`] or [`SEAL_MAGIC_WRITING`].
    pub magic: u32,
    /// CRC-32C of all bytes of the seal before this field.
    pub crc: u32,
}

impl SealTail {
    /// Makes the tail from the bytes of a seal of version 1, or of the last so many bytes of a
    /// longer one.
    pub fn decode(raw: &[u8; SEAL_LEN]) -> Self {
        Self {
            length: u16::from_le_bytes(get(raw, 180)),
            version: u16::from_le_bytes(get(raw, 182)),
            magic: u32::from_le_bytes(get(raw, SEAL_MAGIC_OFFSET)),
            crc: u32::from_le_bytes(get(raw, 188)),
        }
    }
}

/// The magic number and CRC which break a seal, to be written at [`SEAL_MAGIC_OFFSET`].
pub fn broken_seal() -> [u8; 8] {
    let mut raw = [0; 8];
    put(&mut raw, 0, &SEAL_MAGIC_WRITING.to_le_bytes());
    raw
}

impl Seal {
    /// Makes the bytes of a seal. It is little-endian, and bytes only: zones have no alignment.
    pub fn encode<M: Memory>(&self) -> [u8; SEAL_LEN] {
        let mut raw = [0; SEAL_LEN];
        put(&mut raw, 0, &self.seq.to_le_bytes());
        put(&mut raw, 8, &self.dump.to_le_bytes());
        put(&mut raw, 16, &self.realtime_ns.to_le_bytes());
        put(&mut raw, 24, &self.boottime_ns.to_le_bytes());
        put(&mut raw, 32, &self.boot_id);
        put(&mut raw, 48, &self.part.to_le_bytes());
        put(&mut raw, 52, &self.parts.to_le_bytes());
        // `start` is 0, see `SEAL_START`.
        put(&mut raw, 60, &self.size.to_le_bytes());
        put(&mut raw, 64, &self.payload_crc.to_le_bytes());
        put(&mut raw, 68, &self.reason.to_le_bytes());
        put(&mut raw, 72, &self.description);
        put(&mut raw, 132, &self.loop_start.to_le_bytes());
        put(&mut raw, 140, &self.release);
        put(&mut raw, 180, &192u16.to_le_bytes());
        put(&mut raw, 182, &SEAL_VERSION.to_le_bytes());
        put(&mut raw, SEAL_MAGIC_OFFSET, &SEAL_MAGIC.to_le_bytes());
        let crc = Self::crc::<M>(&raw);
        put(&mut raw, 188, &crc.to_le_bytes());
        raw
    }

    /// Makes a seal from its bytes. `None` if it is not a valid seal of version 1.
    pub fn decode<M: Memory>(raw: &[u8; SEAL_LEN], payload_capacity: usize) -> Option<Self> {
        let tail = SealTail::decode(raw);
        if tail.magic != SEAL_MAGIC
            || tail.version != SEAL_VERSION
            || usize::from(tail.length) != SEAL_LEN
            || tail.crc != Self::crc::<M>(raw)
        {
            return None;
        }

        let seal = Self {
            seq: u64::from_le_bytes(get(raw, 0)),
            dump: u64::from_le_bytes(get(raw, 8)),
            realtime_ns: u64::from_le_bytes(get(raw, 16)),
            boottime_ns: u64::from_le_bytes(get(raw, 24)),
            boot_id: get(raw, 32),
            part: u32::from_le_bytes(get(raw, 48)),
            parts: u32::from_le_bytes(get(raw, 52)),
            size: u32::from_le_bytes(get(raw, 60)),
            payload_crc: u32::from_le_bytes(get(raw, 64)),
            reason: u32::from_le_bytes(get(raw, 68)),
            description: get(raw, 72),
            loop_start: u64::from_le_bytes(get(raw, 132)),
            release: get(raw, 140),
        };
        let start = u32::from_le_bytes(get(raw, SEAL_START));
        // A forger can make the CRC right, so that nothing follows from it about the fields.
        let valid = (1..SEQ_LIMIT).contains(&seal.seq)
            && (1..=seal.seq).contains(&seal.dump)
            && (1..=PART_MAX).contains(&seal.part)
            && (seal.parts == 0 || seal.parts == seal.part)
            && seal.loop_start < seal.dump
            && start == 0
            && usize::try_from(seal.size).is_ok_and(|size| size <= payload_capacity);
        valid.then_some(seal)
    }

    /// Returns the CRC of a seal of version 1, whatever is in its CRC field.
    fn crc<M: Memory>(raw: &[u8; SEAL_LEN]) -> u32 {
        let covered: [u8; 188] = get(raw, 0);
        !M::crc32c(!0, &covered)
    }

    /// Returns the panic description without its padding.
    pub fn description(&self) -> &[u8] {
        trim(&self.description)
    }

    /// Returns the kernel release without its padding.
    pub fn release(&self) -> &[u8] {
        trim(&self.release)
    }
}

/// Returns what stands before the first NUL.
fn trim(padded: &[u8]) -> &[u8] {
    padded.split(|byte| *byte == 0).next().unwrap_or(&[])
}

/// Cuts or pads with NUL.
pub(super) fn pad<const N: usize>(bytes: &[u8]) -> [u8; N] {
    get(bytes, 0)
}

/// How the text of a record is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Stamp, title and text.
    Plain,
    /// The stamp, then title and text as one raw deflate stream.
    Deflate,
}

/// The lines in front of the text of a record: mainline's stamp, and the title, a line that pstore
/// puts in front of the text of a dump.
#[derive(Clone, Copy, Debug)]
pub struct Prefix {
    bytes: [u8; PREFIX_MAX],
    len: usize,
}

impl Prefix {
    const EMPTY: Self = Self {
        bytes: [0; PREFIX_MAX],
        len: 0,
    };

    /// Makes what one part of a dump begins with: stamp and title, or the stamp if the rest is
    /// compressed.
    pub fn new(info: &DumpInfo<'_>, part: u32, encoding: Encoding) -> Self {
        let mut prefix = Self::EMPTY;
        let micros = info.realtime_ns / 1000;
        prefix.push(b"====");
        prefix.push_decimal(micros / 1_000_000, 1);
        prefix.push(b".");
        prefix.push_decimal(micros % 1_000_000, 6);
        match encoding {
            Encoding::Plain => {
                prefix.push(b"-D\n");
                prefix.push_title(info, part);
            }
            Encoding::Deflate => prefix.push(b"-C\n"),
        }
        prefix
    }

    /// Makes the title of one part of a dump.
    pub fn title(info: &DumpInfo<'_>, part: u32) -> Self {
        let mut prefix = Self::EMPTY;
        prefix.push_title(info, part);
        prefix
    }

    /// Returns the lines.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }

    fn push_title(&mut self, info: &DumpInfo<'_>, part: u32) {
        let name = info.reason_name;
        self.push(name.get(..REASON_NAME_MAX).unwrap_or(name));
        self.push(b"#");
        self.push_decimal(info.count.into(), 1);
        self.push(b" Part");
        self.push_decimal(part.into(), 1);
        self.push(b"\n");
    }

    /// Appends `bytes`. They fit, see [`PREFIX_MAX`]; if not, they would be cut.
    fn push(&mut self, bytes: &[u8]) {
        put(&mut self.bytes, self.len, bytes);
        self.len = self.len.saturating_add(bytes.len()).min(PREFIX_MAX);
    }

    /// Appends a number with at least `width` digits.
    fn push_decimal(&mut self, mut value: u64, width: usize) {
        // The largest `u64` has 20 digits.
        let mut digits = [b'0'; 20];
        let mut used = 0usize;
        for digit in digits.iter_mut().rev() {
            if value == 0 && used >= width {
                break;
            }
            let [low, ..] = (value % 10).to_le_bytes();
            *digit = low.wrapping_add(b'0');
            value /= 10;
            used = used.wrapping_add(1);
        }
        let first = digits.len().saturating_sub(used);
        self.push(digits.get(first..).unwrap_or(&[]));
    }
}

/// The stamp that mainline writes in front of a dmesg record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Seconds since 1970.
    pub secs: i64,
    /// Nanoseconds within the second.
    pub nanos: u32,
    /// Whether the text is compressed.
    pub compressed: bool,
    /// Length of the stamp.
    pub len: usize,
}

impl Stamp {
    /// Parses `====%lld.%lu-%c\n`, or `====%lld.%lu\n` as older kernels wrote it, at the start of
    /// `text`.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let rest = text.strip_prefix(b"====")?;
        let (negative, rest) = match rest.strip_prefix(b"-") {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let (secs, rest) = parse_decimal(rest)?;
        let secs = i64::try_from(secs).ok()?;
        let secs = if negative { secs.wrapping_neg() } else { secs };
        let (micros, rest) = parse_decimal(rest.strip_prefix(b".")?)?;
        let micros = u32::try_from(micros).ok().filter(|n| *n < 1_000_000)?;
        let (compressed, rest) = match rest {
            [b'-', kind, rest @ ..] => (*kind == b'C', rest),
            _ => (false, rest),
        };
        let rest = rest.strip_prefix(b"\n")?;
        Some(Self {
            secs,
            nanos: micros.checked_mul(1000)?,
            compressed,
            len: text.len().checked_sub(rest.len())?,
        })
    }
}

/// Splits a decimal number off. `None` if there is none, or it overflows.
fn parse_decimal(text: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    let mut rest = text;
    while let [digit @ b'0'..=b'9', tail @ ..] = rest {
        let digit = digit.wrapping_sub(b'0');
        value = value.checked_mul(10)?.checked_add(digit.into())?;
        rest = tail;
    }
    (rest.len() != text.len()).then_some((value, rest))
}

/// The line that pstore writes between the stamp and the text of a dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Title<'a> {
    /// The name of the reason: "Panic", "Oops", ...
    pub reason: &'a [u8],
    /// Which dump of its boot this is, from 1 on.
    pub count: u64,
    /// Number of the part; part 1 holds the newest text.
    pub part: u64,
    /// Length of the line.
    pub len: usize,
}

impl<'a> Title<'a> {
    /// Parses `<Reason>#<n> Part<k>\n` at the start of `text`.
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let mut rest = text;
        let mut named = false;
        while let [byte @ (b' '..=b'"' | b'$'..=b'~'), tail @ ..] = rest {
            named |= *byte != b' ';
            rest = tail;
        }
        let reason = text.get(..text.len().checked_sub(rest.len())?)?;
        let (count, rest) = parse_decimal(rest.strip_prefix(b"#")?)?;
        let (part, rest) = parse_decimal(rest.strip_prefix(b" Part")?)?;
        let rest = rest.strip_prefix(b"\n")?;
        let len = text.len().checked_sub(rest.len())?;
        named.then_some(Self {
            reason,
            count,
            part,
            len,
        })
    }
}

/// Returns the length of the stamp and the line `<Reason>#<n> Part<k>` at the start of `text`, with
/// what the stamp says. `None` if they are not there, or if the text after them is compressed.
pub(super) fn parse_prefix(text: &[u8]) -> Option<(usize, Stamp)> {
    let stamp = Stamp::parse(text).filter(|stamp| !stamp.compressed)?;
    let title = Title::parse(text.get(stamp.len..)?)?;
    Some((stamp.len.checked_add(title.len)?, stamp))
}

/// Whether a byte may be part of a log: printable, white space, an escape character, or part of a
/// character in UTF-8.
pub(super) fn is_text(byte: u8) -> bool {
    matches!(byte, b'\t' | b'\n' | b'\r' | 0x1b | b' '..=b'~' | 0x80..=0xbf | 0xc2..=0xf4)
}
