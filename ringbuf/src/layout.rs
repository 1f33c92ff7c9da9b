// SPDX-License-Identifier: GPL-2.0

//! The layout on media: what the bytes of a dmesg zone mean.
//!
//! Nothing here touches the region. No other file knows an offset or a magic number.

use super::memory::Memory;

/// Length of the header of a zone: `u32 sig, u32 start, u32 size`.
pub const HEADER_LEN: usize = 12;

/// Value of `sig` in the header of a zone in use.
pub const SIG: u32 = 0x4347_4244;

/// Offset of `start` (and of `size`, which follows it) in the header of a zone.
pub const HEADER_START: usize = 4;

/// Length of the seal, which is the last thing in the data area of a dmesg zone.
pub const SEAL_LEN: usize = 220;

/// Length of the part of a seal that lies at the same distance from the end in every version:
/// `u64 seq, u16 length, u16 version, u32 crc, u32 magic`.
pub const SEAL_TAIL_LEN: usize = 20;

/// Version of the seal that this code writes and reads.
pub const SEAL_VERSION: u16 = 1;

/// Magic number of a seal.
pub const SEAL_MAGIC: u32 = u32::from_le_bytes(*b"SEAL");

/// Magic number in place of [`SEAL_MAGIC`] while the record is being written.
///
/// The two differ in one byte only, so that a write of one over the other cannot be torn, and in
/// more than one bit of it.
pub const SEAL_MAGIC_WRITING: u32 = u32::from_le_bytes(*b"SEAW");

/// Offset of the magic number in a seal of version 1: it comes last. The CRC does not cover it.
pub const SEAL_MAGIC_OFFSET: usize = SEAL_LEN - 4;

/// Offset of the CRC in a seal of version 1, and how much it covers.
pub const SEAL_CRC_OFFSET: usize = SEAL_LEN - 8;

/// Length and version in a seal of version 1, and where they are.
pub const SEAL_KIND: [u8; 4] = {
    let [a, b, ..] = SEAL_LEN.to_le_bytes();
    let [c, d] = SEAL_VERSION.to_le_bytes();
    [a, b, c, d]
};
/// See [`SEAL_KIND`].
pub const SEAL_KIND_OFFSET: usize = SEAL_CRC_OFFSET - SEAL_KIND.len();

/// The end of the sequence numbers. Nobody writes so many records.
pub const SEQ_END: u64 = 1 << 63;

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

/// Copies as much of `src` as fits into `dst` at `offset`.
///
/// The lengths being the same, the compiler knows that `copy_from_slice` does not panic.
#[inline]
pub(super) fn put(dst: &mut [u8], offset: usize, src: &[u8]) {
    if let Some(dst) = dst.get_mut(offset..) {
        let len = dst.len().min(src.len());
        if let (Some(dst), Some(src)) = (dst.get_mut(..len), src.get(..len)) {
            dst.copy_from_slice(src);
        }
    }
}

/// Returns the `N` bytes at `offset` of `src`; bytes beyond its end are zero.
pub(super) fn get<const N: usize>(src: &[u8], offset: usize) -> [u8; N] {
    let mut out = [0; N];
    if let Some(src) = src.get(offset..) {
        put(&mut out, 0, src);
    }
    out
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

/// What a seal says about its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal {
    /// Sequence number of this record, less than [`SEQ_END`]. It grows with each record and across
    /// reboots.
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
    /// Panic description; cut, and padded.
    pub description: [u8; DESCRIPTION_LEN],
    /// Kernel release; cut, and padded.
    pub release: [u8; RELEASE_LEN],
    /// If this dump continues a loop of crashes: sequence number of part 1 of the dump with which
    /// the loop began. Otherwise 0.
    pub loop_start: u64,
    /// How the region is divided.
    pub params: Params,
    /// Number of the zone that the record is in.
    pub slot: usize,
}

/// Offsets of the fields of a seal of version 1, see `FORMAT.md`.
mod at {
    pub(super) const DUMP: usize = 0;
    pub(super) const REALTIME_NS: usize = 8;
    pub(super) const BOOTTIME_NS: usize = 16;
    pub(super) const BOOT_ID: usize = 24;
    pub(super) const PART: usize = 40;
    pub(super) const PARTS: usize = 44;
    pub(super) const SIZE: usize = 48;
    pub(super) const PAYLOAD_CRC: usize = 52;
    pub(super) const REASON: usize = 56;
    pub(super) const DESCRIPTION: usize = 60;
    pub(super) const RELEASE: usize = 120;
    pub(super) const LOOP_START: usize = 160;
    pub(super) const MEM_SIZE: usize = 168;
    pub(super) const RECORD_SIZE: usize = 176;
    pub(super) const CONSOLE_SIZE: usize = 180;
    pub(super) const FTRACE_SIZE: usize = 184;
    pub(super) const PMSG_SIZE: usize = 188;
    pub(super) const ECC: usize = 192;
    pub(super) const SLOT: usize = 196;
    pub(super) const SEQ: usize = 200;
}

/// The part of a seal that all versions share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealTail {
    /// Sequence number of the record.
    pub seq: u64,
    /// Length of the whole seal.
    pub length: u16,
    /// Version of the seal.
    pub version: u16,
    /// CRC-32C of all bytes of the seal before this field.
    pub crc: u32,
    /// [`SEAL_MAGIC`] or [`SEAL_MAGIC_WRITING`].
    pub magic: u32,
}

impl SealTail {
    /// Makes the tail from the bytes of a seal of version 1, or of the last so many bytes of a
    /// longer one.
    pub fn decode(raw: &[u8; SEAL_LEN]) -> Self {
        Self {
            seq: u64::from_le_bytes(get(raw, at::SEQ)),
            length: u16::from_le_bytes(get(raw, SEAL_KIND_OFFSET)),
            version: u16::from_le_bytes(get(raw, SEAL_KIND_OFFSET + 2)),
            crc: u32::from_le_bytes(get(raw, SEAL_CRC_OFFSET)),
            magic: u32::from_le_bytes(get(raw, SEAL_MAGIC_OFFSET)),
        }
    }

    /// Whether it is that of a seal, of which the record may be incomplete.
    pub fn is_seal(&self) -> bool {
        matches!(self.magic, SEAL_MAGIC | SEAL_MAGIC_WRITING)
    }
}

impl Seal {
    /// Makes the bytes of a seal. It is little-endian, and bytes only: zones have no alignment.
    pub fn encode<M: Memory>(&self) -> [u8; SEAL_LEN] {
        let small = |value: usize| u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes();
        let params = &self.params;
        let mut raw = [0; SEAL_LEN];
        put(&mut raw, at::DUMP, &self.dump.to_le_bytes());
        put(&mut raw, at::REALTIME_NS, &self.realtime_ns.to_le_bytes());
        put(&mut raw, at::BOOTTIME_NS, &self.boottime_ns.to_le_bytes());
        put(&mut raw, at::BOOT_ID, &self.boot_id);
        put(&mut raw, at::PART, &self.part.to_le_bytes());
        put(&mut raw, at::PARTS, &self.parts.to_le_bytes());
        put(&mut raw, at::SIZE, &self.size.to_le_bytes());
        put(&mut raw, at::PAYLOAD_CRC, &self.payload_crc.to_le_bytes());
        put(&mut raw, at::REASON, &self.reason.to_le_bytes());
        put(&mut raw, at::DESCRIPTION, &self.description);
        put(&mut raw, at::RELEASE, &self.release);
        put(&mut raw, at::LOOP_START, &self.loop_start.to_le_bytes());
        put(
            &mut raw,
            at::MEM_SIZE,
            &(params.mem_size as u64).to_le_bytes(),
        );
        put(&mut raw, at::RECORD_SIZE, &small(params.record_size));
        put(&mut raw, at::CONSOLE_SIZE, &small(params.console_size));
        put(&mut raw, at::FTRACE_SIZE, &small(params.ftrace_size));
        put(&mut raw, at::PMSG_SIZE, &small(params.pmsg_size));
        put(&mut raw, at::ECC, &small(params.ecc_size));
        put(&mut raw, at::SLOT, &small(self.slot));
        put(&mut raw, at::SEQ, &self.seq.to_le_bytes());
        put(&mut raw, SEAL_KIND_OFFSET, &SEAL_KIND);
        let crc = Self::crc::<M>(&raw);
        put(&mut raw, SEAL_CRC_OFFSET, &crc.to_le_bytes());
        put(&mut raw, SEAL_MAGIC_OFFSET, &SEAL_MAGIC.to_le_bytes());
        raw
    }

    /// Makes a seal from its bytes. `None` if it is not a valid seal of version 1.
    ///
    /// Whether the record was completed is another question, see [`SealTail::magic`]; whether it
    /// belongs where it lies is one for [`Geometry::is_place_of`](super::Geometry::is_place_of).
    pub fn decode<M: Memory>(raw: &[u8; SEAL_LEN]) -> Option<Self> {
        let tail = SealTail::decode(raw);
        if !tail.is_seal()
            || tail.version != SEAL_VERSION
            || usize::from(tail.length) != SEAL_LEN
            || tail.crc != Self::crc::<M>(raw)
        {
            return None;
        }

        let small = |offset| usize::try_from(u32::from_le_bytes(get(raw, offset))).ok();
        let seal = Self {
            seq: tail.seq,
            dump: u64::from_le_bytes(get(raw, at::DUMP)),
            realtime_ns: u64::from_le_bytes(get(raw, at::REALTIME_NS)),
            boottime_ns: u64::from_le_bytes(get(raw, at::BOOTTIME_NS)),
            boot_id: get(raw, at::BOOT_ID),
            part: u32::from_le_bytes(get(raw, at::PART)),
            parts: u32::from_le_bytes(get(raw, at::PARTS)),
            size: u32::from_le_bytes(get(raw, at::SIZE)),
            payload_crc: u32::from_le_bytes(get(raw, at::PAYLOAD_CRC)),
            reason: u32::from_le_bytes(get(raw, at::REASON)),
            description: get(raw, at::DESCRIPTION),
            release: get(raw, at::RELEASE),
            loop_start: u64::from_le_bytes(get(raw, at::LOOP_START)),
            params: Params {
                mem_size: usize::try_from(u64::from_le_bytes(get(raw, at::MEM_SIZE))).ok()?,
                record_size: small(at::RECORD_SIZE)?,
                console_size: small(at::CONSOLE_SIZE)?,
                ftrace_size: small(at::FTRACE_SIZE)?,
                pmsg_size: small(at::PMSG_SIZE)?,
                ecc_size: small(at::ECC)?,
            },
            slot: small(at::SLOT)?,
        };
        // A forger can make the CRC right, so that nothing follows from it about the fields.
        let valid = (1..SEQ_END).contains(&seal.seq)
            && (1..=seal.seq).contains(&seal.dump)
            && (0..seal.dump).contains(&seal.loop_start)
            && (1..=PART_MAX).contains(&seal.part)
            && (seal.parts == 0 || seal.parts == seal.part);
        valid.then_some(seal)
    }

    /// Returns the CRC of a seal of version 1, whatever is in its CRC field.
    fn crc<M: Memory>(raw: &[u8; SEAL_LEN]) -> u32 {
        let (covered, _) = raw.split_at_checked(SEAL_CRC_OFFSET).unwrap_or_default();
        !M::crc32c(!0, covered)
    }

    /// Returns the wall-clock time in microseconds, as the stamp of the record has it.
    pub fn micros(&self) -> i64 {
        (self.realtime_ns / 1000) as i64
    }

    /// Returns the panic description without its padding.
    pub fn description(&self) -> &[u8] {
        self.description.trim_ascii_end()
    }

    /// Returns the kernel release without its padding.
    pub fn release(&self) -> &[u8] {
        self.release.trim_ascii_end()
    }
}

/// Cuts or pads a text. What is not printable ASCII is replaced.
pub(super) fn pad<const N: usize>(text: &[u8]) -> [u8; N] {
    let mut out = [b' '; N];
    for (to, from) in out.iter_mut().zip(text) {
        *to = match from {
            byte @ b' '..=b'~' => *byte,
            _ => b'?',
        };
    }
    out
}
