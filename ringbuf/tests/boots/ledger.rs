// SPDX-License-Identifier: GPL-2.0

//! What was really written.

use std::ops::Range;

use crate::common::{
    kernel_crc32c,
    mainline,
    Ram, //
};
use ringbuf::{
    layout::{
        HEADER_LEN,
        SEAL_LEN,
        SIG, //
    },
    Geometry,
    Seal, //
};

/// What was written into a slot.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) payload: Vec<u8>,
    /// What it was written with; `None` if by mainline.
    pub(super) seal: Option<Seal>,
    /// The zone when it was complete, or as a cut left it.
    pub(super) zone: Vec<u8>,
    /// The header was written to its end.
    pub(super) is_complete: bool,
}

impl Record {
    /// Whether it is there, going by the bytes alone.
    pub(super) fn is_whole(&self, geometry: &Geometry, zone: &[u8]) -> bool {
        let data = geometry.data_capacity();
        let ecc = geometry.ecc_size();
        let end = self.payload.len();
        let wrong = |range: Range<usize>| {
            let pairs = zone[range.clone()].iter().zip(&self.zone[range]);
            pairs.filter(|(one, other)| one != other).count()
        };
        // Mainline knows no seal.
        let seal = match self.seal {
            Some(_) => data - SEAL_LEN..data,
            None => 0..0,
        };
        let at = |pos| HEADER_LEN + pos;
        if ecc == 0 {
            let header = match self.seal {
                // It counts only if it says that the record is deleted.
                Some(_) => !says_deleted(zone) || zone[at(data) - 1] == b'W',
                None => wrong(0..HEADER_LEN) == 0,
            };
            return header
                && wrong(at(0)..at(end)) == 0
                && wrong(at(seal.start)..at(seal.end)) == 0;
        }
        let parity_at = at(data);
        let (_, blocks) = mainline::ecc_geometry(geometry.stride(), ecc).unwrap();
        let is_used = |block: usize| {
            let begin = block * 128;
            begin < end || (!seal.is_empty() && begin + 128 > seal.start)
        };
        let header =
            wrong(0..HEADER_LEN) + wrong(parity_at + blocks * ecc..parity_at + (blocks + 1) * ecc);
        let correctable = if self.is_complete { ecc / 2 } else { 0 };
        header <= correctable
            && (0..data.div_ceil(128))
                .filter(|block| is_used(*block))
                .all(|block| {
                    let begin = block * 128;
                    let parity = parity_at + block * ecc;
                    let data = wrong(at(begin)..at(data.min(begin + 128)));
                    data + wrong(parity..parity + ecc) <= correctable
                })
    }
}

/// A part of a dump.
pub(super) struct Part {
    pub(super) slot: usize,
    pub(super) payload: Vec<u8>,
    /// What is there afterwards.
    pub(super) zone: Vec<u8>,
    /// How many operations there were before it, and when it was complete.
    pub(super) begin: usize,
    pub(super) complete: usize,
}

/// A clock that tells less was never set: 2020.
pub(super) const CLOCK_MIN: u64 = 1_577_836_800_000_000_000;

/// Whether this is the header of a record that mainline deleted.
pub(super) fn says_deleted(zone: &[u8]) -> bool {
    zone[..4] == SIG.to_ne_bytes() && zone[4..HEADER_LEN].iter().all(|byte| *byte == 0)
}

/// A seal, if its CRC is right, and it is the one of this slot.
pub(super) fn raw_seal(raw: &[u8], geometry: &Geometry, slot: usize) -> Option<Seal> {
    let (covered, rest) = raw.split_at(SEAL_LEN - 8);
    let is_whole = rest[..4] == (!kernel_crc32c(!0, covered)).to_le_bytes()
        && [b"SEAL", b"SEAW"].contains(&rest[4..].first_chunk().unwrap());
    let seal = Seal::decode::<&Ram>(raw.first_chunk().unwrap()).filter(|_| is_whole)?;
    (seal.params == *geometry.params() && seal.slot == slot).then_some(seal)
}

/// The stamp of a record in microseconds.
pub(super) fn stamp(payload: &[u8]) -> i64 {
    let digits = |text: &[u8]| {
        let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
        digits.fold(0, |number, byte| number * 10 + i64::from(byte - b'0'))
    };
    let dot = payload.iter().position(|byte| *byte == b'.').unwrap();
    digits(&payload[4..]) * 1_000_000 + digits(&payload[dot + 1..])
}

pub(super) fn ram_header_is_whole(record: &Record, zone: &[u8]) -> bool {
    record.zone[..HEADER_LEN] == zone[..HEADER_LEN]
}
