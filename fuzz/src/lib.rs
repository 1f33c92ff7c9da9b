// SPDX-License-Identifier: GPL-2.0

//! What the fuzz targets share: memory, parameters from the fuzzer's bytes, and a store to start
//! from.

pub mod corrupt;
pub mod open;
pub mod scan;

use std::{
    cell::{
        Cell,
        RefCell, //
    },
    sync::atomic::AtomicU32, //
};

use ramoopsctl::parity;
use ringbuf::{
    classify,
    layout::{
        Header,
        SEAL_LEN, //
    },
    read_text,
    salvage_extent,
    store::LOOP_SECS,
    Census,
    DumpInfo,
    Extent,
    Geometry,
    Kind,
    Memory,
    Options,
    Params,
    Ranked,
    Seal,
    Store, //
};

/// The region.
pub struct Ram {
    pub bytes: RefCell<Vec<u8>>,
    /// Bytes read so far.
    pub read: Cell<usize>,
}

impl Ram {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self {
            bytes: RefCell::new(bytes),
            read: Cell::new(0),
        }
    }
}

impl Memory for &Ram {
    fn len(&self) -> usize {
        self.bytes.borrow().len()
    }

    fn read(&self, offset: usize, buf: &mut [u8]) -> bool {
        self.read.set(self.read.get() + buf.len() + 1);
        match self.bytes.borrow().get(offset..offset + buf.len()) {
            Some(bytes) => buf.copy_from_slice(bytes),
            None => panic!("read of {} at {offset}", buf.len()),
        }
        true
    }

    fn write(&self, offset: usize, data: &[u8]) -> bool {
        match self.bytes.borrow_mut().get_mut(offset..offset + data.len()) {
            Some(bytes) => bytes.copy_from_slice(data),
            None => panic!("write of {} at {offset}", data.len()),
        }
        true
    }

    fn barrier(&self, offset: usize, len: usize) {
        assert!(offset + len <= self.len());
    }

    fn crc32c(crc: u32, data: &[u8]) -> u32 {
        !crc32c::crc32c_append(!crc, data)
    }

    fn encode(&self, block: &[u8], parity: &mut [u8]) {
        parity::encode(block, parity);
    }

    fn decode(&self, block: &mut [u8], parity: &mut [u8]) -> Option<usize> {
        parity::decode(block, parity)
    }
}

/// Takes the fuzzer's bytes from the front; zeros follow.
pub struct Bytes<'a>(pub &'a [u8]);

impl Bytes<'_> {
    pub fn u8(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    pub fn u16(&mut self) -> usize {
        usize::from(u16::from_le_bytes([self.u8(), self.u8()]))
    }

    pub fn u64(&mut self) -> u64 {
        u64::from_le_bytes([(); 8].map(|()| self.u8()))
    }

    /// Any number, those near a power of two among them.
    pub fn number(&mut self) -> u64 {
        match self.u8() {
            shift @ 0..=127 => (1u64 << (shift & 63)).wrapping_sub(u64::from(shift >> 6)),
            128..=191 => self.u8().into(),
            _ => self.u64(),
        }
    }

    /// Any size, those of few digits among them.
    pub fn size(&mut self) -> usize {
        let (mantissa, shift) = (self.u16(), self.u8());
        (mantissa << (shift & 63)).wrapping_sub(usize::from(shift >> 7))
    }
}

/// What the module sets if nobody says otherwise (`loop_secs=600`).
pub const OPTIONS: Options = Options {
    loop_ns: LOOP_SECS * 1_000_000_000,
};

/// Opens the store, and looks whether what it counts can be.
pub fn open<'a>(
    ram: &'a Ram,
    geometry: &Geometry,
    options: Options,
) -> (Store<&'a Ram, Vec<AtomicU32>>, Census) {
    let mut scratch = vec![Ranked::default(); geometry.slots()];
    let order = scratch.iter().map(|_| AtomicU32::new(0)).collect();
    let before = ram.bytes.borrow().clone();
    let (store, census) = Store::open(ram, *geometry, order, &mut scratch, options).unwrap();
    let sum = [
        census.sealed,
        census.foreign,
        census.newer,
        census.damaged,
        census.salvaged,
        census.torn,
        census.cleared,
        census.empty,
        census.blank,
        census.garbage,
    ];
    assert_eq!(sum.iter().sum::<usize>(), geometry.slots());
    assert!(*ram.bytes.borrow() == before, "opening wrote something");
    (store, census)
}

pub const INFO: DumpInfo<'static> = DumpInfo {
    reason: 1,
    reason_name: b"Panic",
    count: 1,
    realtime_ns: 1_700_000_000_123_456_789,
    boottime_ns: 42_000_000_001,
    boot_id: *b"0123456789abcdef",
    description: b"description",
    release: b"7.3.4",
    urgent: false,
};

/// Returns the payload at an extent, read in pieces.
pub fn payload(ram: &Ram, geometry: &Geometry, slot: usize, extent: Extent) -> Vec<u8> {
    let mut payload = Vec::new();
    let mut piece = [0; 300];
    loop {
        let len = read_text(&ram, geometry, slot, extent, payload.len(), &mut piece);
        if len == 0 {
            break;
        }
        payload.extend_from_slice(&piece[..len]);
        assert!(payload.len() <= geometry.data_capacity());
    }
    assert_eq!(payload.len(), extent.size as usize);
    payload
}

/// Returns what a slot holds, and its payload. Reads all else that is offered.
pub fn look(ram: &Ram, geometry: &Geometry, slot: usize) -> (Kind, Vec<u8>) {
    let content = classify(&ram, geometry, slot).unwrap();
    let words = geometry.data_capacity().div_ceil(128) + 1;
    assert!(content.bad_blocks <= words);
    assert!(content.corrected <= words * (geometry.ecc_size() / 2 + 1));
    if let Some(extent) = salvage_extent(&ram, geometry, slot, &content.kind) {
        assert!(content.kind.extent().is_none());
        payload(ram, geometry, slot, extent);
    }
    match content.kind.extent() {
        Some(extent) => (content.kind, payload(ram, geometry, slot, extent)),
        None => (content.kind, Vec::new()),
    }
}

/// Records: the sequence number of those of ours, and the payload.
pub type Written = Vec<(Option<u64>, Vec<u8>)>;

/// A dump of the boot of that number.
pub fn info_of_boot(boot: u8) -> DumpInfo<'static> {
    DumpInfo {
        boot_id: [boot; 16],
        ..INFO
    }
}

/// Fills a store with records of ours, a boot each, and some of mainline's. Returns what is in each
/// slot then, and all of ours that were ever stored.
pub fn fill(ram: &Ram, geometry: &Geometry, input: &mut Bytes<'_>) -> (Written, Written) {
    let mut written = vec![(None, Vec::new()); geometry.slots()];
    let mut stored = Vec::new();
    let dumps = input.u8() % 8;
    for i in 0..dumps {
        let (store, _) = open(ram, geometry, OPTIONS);
        let info = info_of_boot(i);
        let mut dump = store.begin(&info);
        let len = input.u16() % (dump.room() + 1);
        let text: Vec<u8> = (0..len).map(|at| b' ' + (at as u8 ^ i) % 90).collect();
        let slot = dump.append(&text, true).unwrap();
        let (kind, payload) = look(ram, geometry, slot);
        let Kind::Sealed(seal) = kind else {
            panic!("{kind:?}");
        };
        stored.push((Some(seal.seq), payload.clone()));
        written[slot] = (Some(seal.seq), payload);
    }
    let foreign = input.u8();
    for (slot, written) in written.iter_mut().enumerate().take(4) {
        if foreign & (1 << slot) == 0 {
            continue;
        }
        let stamp = format!("===={}.000042-D\nOops#1 Part1\n", 1000 + slot);
        let mut text = stamp.into_bytes();
        let len = text.len() + input.u16() % (geometry.data_capacity() - text.len());
        text.resize(len, b'm');
        write_foreign(ram, geometry, slot, &text);
        *written = (None, text);
    }
    (written, stored)
}

/// Writes a record, its header and all parity of the zone as mainline does.
fn write_foreign(ram: &Ram, geometry: &Geometry, slot: usize, text: &[u8]) {
    let mut bytes = ram.bytes.borrow_mut();
    let zone = &mut bytes[slot * geometry.stride()..][..geometry.stride()];
    let (ecc_size, capacity) = (geometry.ecc_size(), geometry.data_capacity());
    let header = Header {
        sig: ringbuf::layout::SIG,
        start: (text.len() % capacity) as u32,
        size: text.len() as u32,
    };
    zone[..12].copy_from_slice(&header.encode());
    zone[12..12 + text.len()].copy_from_slice(text);
    if ecc_size == 0 {
        return;
    }
    let (data, parity) = zone.split_at_mut(12 + capacity);
    let blocks = (data.len() + parity.len() - 12 - ecc_size).div_ceil(128 + ecc_size);
    parity::encode(&data[..12], &mut parity[blocks * ecc_size..][..ecc_size]);
    let written = (text.len().div_ceil(128) * 128).min(capacity);
    let parity = parity.chunks_mut(ecc_size);
    for (block, parity) in data[12..12 + written].chunks(128).zip(parity) {
        parity::encode(block, parity);
    }
}

/// Puts a seal with a right CRC into a slot, whatever it says. Its parity is wrong, so that nobody
/// can correct it.
///
/// Its numbers are near `base`, or any.
pub fn forge(ram: &Ram, geometry: &Geometry, input: &mut Bytes<'_>, base: Option<u64>) {
    let slot = usize::from(input.u8()) % geometry.slots();
    let flags = input.u8();
    let mut number = || input.number();
    let size = number() as u32;
    let mut bytes = ram.bytes.borrow_mut();
    let payload = &bytes[geometry.data_offset(slot).unwrap()..];
    let payload_crc = match payload.get(..size as usize) {
        Some(payload) if flags & 1 != 0 => crc32c::crc32c(payload),
        _ => number() as u32,
    };
    let mut near = || match base {
        Some(base) => base.wrapping_add(number() % 1024).max(1),
        None => number(),
    };
    let (seq, other) = (near(), near());
    let part = number() as u32;
    let seal = Seal {
        seq,
        dump: if flags & 2 != 0 { seq } else { other },
        realtime_ns: number(),
        boottime_ns: number(),
        boot_id: [flags; 16],
        part,
        parts: if flags & 4 != 0 {
            part
        } else {
            number() as u32
        },
        size,
        payload_crc,
        reason: number() as u32,
        description: [flags; 60],
        release: [flags; 40],
        loop_start: number(),
        params: *geometry.params(),
        slot,
    };
    let seal_at = geometry.seal_offset(slot).unwrap();
    bytes[seal_at..seal_at + SEAL_LEN].copy_from_slice(&seal.encode::<&Ram>());
}

/// A geometry with a few small zones.
pub fn small_geometry(input: &mut Bytes<'_>) -> Option<Geometry> {
    let slots = 1 + usize::from(input.u8() % 5);
    let stride = 512 + usize::from(input.u8());
    let ecc_size = match input.u8() {
        ecc_size @ 0..=127 => usize::from(ecc_size),
        _ => 0,
    };
    Geometry::new(Params {
        mem_size: slots * stride,
        record_size: 512,
        console_size: 0,
        ftrace_size: 0,
        pmsg_size: 0,
        ecc_size,
    })
    .ok()
}
