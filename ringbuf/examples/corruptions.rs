// SPDX-License-Identifier: GPL-2.0

//! Prints ways to spoil one field of a record in the image of a region, one JSON object per line:
//!
//! ```text
//! corruptions <image> slot=N [mem_size=N] [record_size=N] ...
//! ```
//!
//! Each puts `bytes` at `offset` into the region, which changes `length` bytes. If it is `forged`, the CRC of
//! the seal is right. Parity is left as it is.

mod common;

use std::{
    collections::BTreeSet,
    process::ExitCode, //
};

use common::{
    Arguments,
    Image, //
};
use ringbuf::{
    layout::{HEADER_LEN, SEAL_CRC_OFFSET, SEAL_LEN, SEAL_MAGIC_OFFSET, SEAL_TAIL_LEN},
    Geometry,
    Memory,
    Seal, //
};
use serde::Serialize;

#[derive(Serialize)]
struct Line<'a> {
    field: &'a str,
    value: &'a str,
    forged: bool,
    offset: usize,
    bytes: &'a [u8],
    length: usize,
}

type Set<T> = fn(&mut Seal, T);

/// Fields that are numbers. Values are cut to the width of the field.
const NUMBERS: [(&str, Set<u64>); 18] = [
    ("seq", |seal, n| seal.seq = n),
    ("dump", |seal, n| seal.dump = n),
    ("realtime_ns", |seal, n| seal.realtime_ns = n),
    ("boottime_ns", |seal, n| seal.boottime_ns = n),
    ("part", |seal, n| seal.part = n as u32),
    ("parts", |seal, n| seal.parts = n as u32),
    ("size", |seal, n| seal.size = n as u32),
    ("payload_crc", |seal, n| seal.payload_crc = n as u32),
    ("reason", |seal, n| seal.reason = n as u32),
    ("loop_start", |seal, n| seal.loop_start = n),
    ("mem_size", |seal, n| seal.params.mem_size = n as usize),
    ("record_size", |seal, n| {
        seal.params.record_size = n as u32 as usize
    }),
    ("console_size", |seal, n| {
        seal.params.console_size = n as u32 as usize
    }),
    ("ftrace_size", |seal, n| {
        seal.params.ftrace_size = n as u32 as usize
    }),
    ("pmsg_size", |seal, n| {
        seal.params.pmsg_size = n as u32 as usize
    }),
    ("ecc_size", |seal, n| {
        seal.params.ecc_size = n as u32 as usize
    }),
    ("slot", |seal, n| seal.slot = n as u32 as usize),
    // Numbers that fit each other, and so are believed.
    ("seq and dump", |seal, n| (seal.seq, seal.dump) = (n, n)),
];

/// Fields that are bytes. With all but a blank a text has no end.
const BYTES: [(&str, Set<u8>); 3] = [
    ("boot_id", |seal, byte| seal.boot_id.fill(byte)),
    ("description", |seal, byte| seal.description.fill(byte)),
    ("release", |seal, byte| seal.release.fill(byte)),
];

/// Fields that [`Seal`] does not have, with their offset and width.
const OTHERS: [(&str, usize, usize); 4] = [
    ("length", SEAL_LEN - SEAL_TAIL_LEN + 8, 2),
    ("version", SEAL_LEN - SEAL_TAIL_LEN + 10, 2),
    ("magic", SEAL_MAGIC_OFFSET, 4),
    ("crc", SEAL_CRC_OFFSET, 4),
];

fn main() -> ExitCode {
    common::exit("corruptions", run())
}

fn run() -> Result<(), String> {
    let Arguments {
        image,
        geometry,
        other,
    } = common::arguments(&["slot"])?;
    let slot = *other.get("slot").ok_or("slot=N is missing")?;
    let header_at = geometry.slot_offset(slot).ok_or("no such slot")?;
    let seal_at = geometry.seal_offset(slot).ok_or("no such slot")?;

    let mut header = [0; HEADER_LEN];
    let mut raw = [0; SEAL_LEN];
    if !image.read(header_at, &mut header) || !image.read(seal_at, &mut raw) {
        return Err("the image is too short".into());
    }
    let seal = Seal::decode::<Image>(&raw)
        .filter(|seal| geometry.is_place_of(seal, slot))
        .ok_or("there is no record of ours in this slot")?;
    let values = bombs(&geometry, &seal);

    let mut spoilt = Spoilt::default();
    for (field, at) in [("header sig", 0), ("header start", 4), ("header size", 8)] {
        for value in &values {
            let mut new = header;
            new[at..at + 4].copy_from_slice(&(*value as u32).to_ne_bytes());
            spoilt.add(field, &value.to_string(), false, header_at, &header, &new)?;
        }
    }
    for (field, set) in NUMBERS {
        for value in &values {
            let mut new = seal;
            set(&mut new, *value);
            let new = new.encode::<Image>();
            spoilt.add_seal(field, &value.to_string(), seal_at, &raw, new)?;
        }
    }
    for (field, set) in BYTES {
        for byte in [0, 1, b' ', b'%', b'\n', 0xff] {
            let mut new = seal;
            set(&mut new, byte);
            let new = new.encode::<Image>();
            spoilt.add_seal(field, &format!("all {byte}"), seal_at, &raw, new)?;
        }
    }
    for (field, at, width) in OTHERS {
        for value in &values {
            let mut new = raw;
            new[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
            if at < SEAL_CRC_OFFSET {
                let crc = !Image::crc32c(!0, &new[..SEAL_CRC_OFFSET]);
                new[SEAL_CRC_OFFSET..SEAL_MAGIC_OFFSET].copy_from_slice(&crc.to_le_bytes());
            }
            spoilt.add_seal(field, &value.to_string(), seal_at, &raw, new)?;
        }
    }
    Ok(())
}

/// Numbers that are likely to break something.
fn bombs(geometry: &Geometry, seal: &Seal) -> BTreeSet<u64> {
    let capacity = geometry.payload_capacity() as u64;
    let data = geometry.data_capacity() as u64;
    let size = u64::from(seal.size);
    let mut values = BTreeSet::from([0, 1, 0xffff, 0x1_0000, u64::MAX]);
    // Adding the length of a header to the last one wraps.
    values.extend([0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0xffff_fff4]);
    values.extend([size - 1, size + 1, capacity + 1, data + 1]);
    values.extend([seal.seq - 1, seal.seq, seal.seq + 1]);
    values.extend([(1 << 63) - 1, 1 << 63, u64::MAX - 1]);
    values
}

/// What was printed.
#[derive(Default)]
struct Spoilt(BTreeSet<(usize, Vec<u8>)>);

impl Spoilt {
    /// Prints a seal with its right CRC, and with the old one.
    fn add_seal(
        &mut self,
        field: &str,
        value: &str,
        at: usize,
        old: &[u8; SEAL_LEN],
        new: [u8; SEAL_LEN],
    ) -> Result<(), String> {
        let mut torn = new;
        let crc = SEAL_CRC_OFFSET..SEAL_MAGIC_OFFSET;
        torn[crc.clone()].copy_from_slice(&old[crc]);
        // `crc` itself has no right value but the old one.
        let forged = new[..SEAL_CRC_OFFSET] != old[..SEAL_CRC_OFFSET];
        self.add(field, value, forged, at, old, &new)?;
        // With a wrong CRC only these are looked at, so that a few values will do for the others.
        let tail = ["length", "version", "magic", "crc"].contains(&field);
        if tail || ["0", "1", "all 0", "all 255"].contains(&value) || value == u64::MAX.to_string()
        {
            self.add(field, value, false, at, old, &torn)?;
        }
        Ok(())
    }

    /// Prints a corruption, unless nothing changes or it was printed before.
    fn add(
        &mut self,
        field: &str,
        value: &str,
        forged: bool,
        offset: usize,
        old: &[u8],
        new: &[u8],
    ) -> Result<(), String> {
        if old == new || !self.0.insert((offset, new.to_vec())) {
            return Ok(());
        }
        let length = old.iter().zip(new).filter(|(a, b)| a != b).count();
        common::print(&Line {
            field,
            value,
            forged,
            offset,
            bytes: new,
            length,
        })
    }
}
