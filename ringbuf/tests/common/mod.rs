// SPDX-License-Identifier: GPL-2.0

//! What the tests share: memory, a reader, and what mainline does to the region.

#![allow(dead_code, unreachable_pub)]

pub mod cache;
pub mod cut;
pub mod evict;
pub mod mainline;
#[path = "../../../ramoopsctl/src/parity.rs"]
pub mod parity;
pub mod starts;
pub mod view;

use std::{
    cell::RefCell,
    collections::HashMap,
    sync::atomic::AtomicU32, //
};

use ringbuf::{
    classify,
    layout::SEAL_LEN,
    read_text,
    store::LOOP_SECS,
    Census,
    Content,
    Dropped,
    DumpInfo,
    Geometry,
    Kind,
    Memory,
    Options,
    Params,
    Ranked,
    Seal,
    Store, //
};

/// The kernel's `crc32c()`; the crate inverts before and after.
pub fn kernel_crc32c(crc: u32, data: &[u8]) -> u32 {
    !crc32c::crc32c_append(!crc, data)
}

/// What was done to a [`Ram`].
#[derive(Clone, Debug)]
pub enum Op {
    Write { offset: usize, data: Vec<u8> },
    Barrier { offset: usize, len: usize },
}

/// Memory which records what is done to it.
#[derive(Debug, Default)]
pub struct Ram {
    pub bytes: RefCell<Vec<u8>>,
    pub log: RefCell<Vec<Op>>,
    pub reads: RefCell<usize>,
}

impl Ram {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self {
            bytes: RefCell::new(bytes),
            ..Self::default()
        }
    }

    pub fn image(&self) -> Vec<u8> {
        self.bytes.borrow().clone()
    }
}

impl Memory for &Ram {
    fn len(&self) -> usize {
        self.bytes.borrow().len()
    }

    fn read(&self, offset: usize, buf: &mut [u8]) -> bool {
        *self.reads.borrow_mut() += 1;
        match self.bytes.borrow().get(offset..offset + buf.len()) {
            Some(bytes) => buf.copy_from_slice(bytes),
            None => return false,
        }
        true
    }

    fn write(&self, offset: usize, data: &[u8]) -> bool {
        match self.bytes.borrow_mut().get_mut(offset..offset + data.len()) {
            Some(bytes) => bytes.copy_from_slice(data),
            None => return false,
        }
        let data = data.to_vec();
        self.log.borrow_mut().push(Op::Write { offset, data });
        true
    }

    fn barrier(&self, offset: usize, len: usize) {
        assert!(offset + len <= self.len());
        self.log.borrow_mut().push(Op::Barrier { offset, len });
    }

    fn crc32c(crc: u32, data: &[u8]) -> u32 {
        kernel_crc32c(crc, data)
    }

    fn encode(&self, block: &[u8], parity: &mut [u8]) {
        assert!(block.len() <= 128 && parity.iter().all(|byte| *byte == 0));
        encode(block, parity);
    }

    fn decode(&self, block: &mut [u8], parity: &mut [u8]) -> Option<usize> {
        decode(block, parity)
    }
}

/// More words than this are not remembered.
const WORDS: usize = 50_000;

/// A block and its parity, and how many bytes were wrong.
type Word = (Vec<u8>, Vec<u8>, Option<usize>);

thread_local! {
    static DECODED: RefCell<HashMap<(usize, Vec<u8>), Word>> = RefCell::default();
    static ENCODED: RefCell<HashMap<Vec<u8>, Vec<u8>>> = RefCell::default();
}

/// [`parity::decode`], for tests that ask for the same few words millions of times.
pub fn decode(block: &mut [u8], parity: &mut [u8]) -> Option<usize> {
    DECODED.with_borrow_mut(|decoded| {
        let key = (block.len(), [&block[..], parity].concat());
        if decoded.len() >= WORDS {
            decoded.clear();
        }
        let (data, rest, errors) = decoded.entry(key).or_insert_with(|| {
            let errors = parity::decode(block, parity);
            (block.to_vec(), parity.to_vec(), errors)
        });
        block.copy_from_slice(data);
        parity.copy_from_slice(rest);
        *errors
    })
}

/// The same for [`parity::encode`].
pub fn encode(block: &[u8], parity: &mut [u8]) {
    ENCODED.with_borrow_mut(|encoded| {
        let key = [&[parity.len() as u8], block].concat();
        if encoded.len() >= WORDS {
            encoded.clear();
        }
        let known = encoded.entry(key).or_insert_with(|| {
            parity::encode(block, parity);
            parity.to_vec()
        });
        parity.copy_from_slice(known);
    });
}

pub type TestStore<'a> = Store<&'a Ram, Vec<AtomicU32>>;

/// What the module does unless it is told otherwise.
pub const DEFAULT: Options = Options {
    loop_ns: LOOP_SECS * 1_000_000_000,
};

/// Dmesg zones only.
pub fn params(mem_size: usize, record_size: usize) -> Params {
    Params {
        mem_size,
        record_size,
        console_size: 0,
        ftrace_size: 0,
        pmsg_size: 0,
        ecc_size: 0,
    }
}

/// Zones of so many bytes with parity.
pub fn geometry_with_ecc(slots: usize, stride: usize, ecc_size: usize) -> Geometry {
    let params = Params {
        ecc_size,
        ..params(slots * stride, stride)
    };
    let geometry = Geometry::new(params).unwrap();
    assert_eq!((geometry.slots(), geometry.stride()), (slots, stride));
    geometry
}

/// `slots` zones of 512 bytes.
pub fn geometry(slots: usize) -> Geometry {
    Geometry::new(params(slots * 512, 512)).unwrap()
}

/// Room for the list of slots.
pub fn order(geometry: &Geometry) -> Vec<AtomicU32> {
    (0..geometry.slots()).map(|_| AtomicU32::new(0)).collect()
}

/// Room to sort them.
pub fn scratch(geometry: &Geometry) -> Vec<Ranked> {
    vec![Ranked::default(); geometry.slots()]
}

pub fn open<'a>(ram: &'a Ram, geometry: &Geometry) -> (TestStore<'a>, Census) {
    open_with(ram, geometry, DEFAULT)
}

pub fn open_with<'a>(
    ram: &'a Ram,
    geometry: &Geometry,
    options: Options,
) -> (TestStore<'a>, Census) {
    let log = ram.log.borrow().len();
    let mut scratch = scratch(geometry);
    let opened = Store::open(ram, *geometry, order(geometry), &mut scratch, options).unwrap();
    assert_eq!(log, ram.log.borrow().len(), "opening wrote something");
    opened
}

pub const INFO: DumpInfo<'static> = DumpInfo {
    reason: 1,
    reason_name: b"Panic",
    count: 1,
    realtime_ns: 1_700_000_000_123_456_789,
    boottime_ns: 42_000_000_001,
    boot_id: *b"0123456789abcdef",
    description: b"sysrq triggered crash",
    release: b"7.3.4",
    urgent: false,
};

/// Stores a dump of one part.
pub fn append(store: &TestStore<'_>, text: &[u8]) -> Result<usize, Dropped> {
    let reads = *store.memory().reads.borrow();
    let slot = store.begin(&INFO).append(text, true);
    assert_eq!(
        reads,
        *store.memory().reads.borrow(),
        "appending read the region"
    );
    slot
}

/// Returns the whole payload of a record.
pub fn payload<M: Memory>(mem: &M, geometry: &Geometry, slot: usize, kind: &Kind) -> Vec<u8> {
    let Some(extent) = kind.extent() else {
        return Vec::new();
    };
    let mut buf = vec![0; extent.size as usize + 7];
    let len = read_text(mem, geometry, slot, extent, 0, &mut buf);
    assert_eq!(len, extent.size as usize);
    buf.truncate(len);
    buf
}

/// Returns what a slot holds, and the payload if there is one.
pub fn look<M: Memory>(mem: &M, geometry: &Geometry, slot: usize) -> (Kind, Vec<u8>) {
    let Content { kind, .. } = classify(mem, geometry, slot).unwrap();
    let payload = payload(mem, geometry, slot, &kind);
    (kind, payload)
}

/// Returns the text of the record in a slot, which must be sealed.
pub fn seal(ram: &Ram, geometry: &Geometry, slot: usize) -> Seal {
    match look(&ram, geometry, slot).0 {
        Kind::Sealed(seal) => seal,
        kind => panic!("slot {slot}: {kind:?}"),
    }
}

pub fn sealed_text(ram: &Ram, geometry: &Geometry, slot: usize) -> Vec<u8> {
    let (kind, payload) = look(&ram, geometry, slot);
    assert!(matches!(kind, Kind::Sealed(_)), "slot {slot}: {kind:?}");
    strip_prefix(&payload).to_vec()
}

/// Removes stamp and reason line.
pub fn strip_prefix(payload: &[u8]) -> &[u8] {
    payload.splitn(3, |byte| *byte == b'\n').nth(2).unwrap()
}

/// Writes a whole record with any numbers: `seq`, `dump`, `loop_start` and `part`.
pub fn forge(ram: &Ram, geometry: &Geometry, slot: usize, numbers: (u64, u64, u64, u32)) {
    let (seq, dump, loop_start, part) = numbers;
    let payload = b"====99999.000000-D\nPanic#1 Part1\nforged";
    let seal = Seal {
        seq,
        dump,
        realtime_ns: u64::MAX,
        boottime_ns: 0,
        boot_id: [9; 16],
        part,
        parts: 0,
        size: payload.len() as u32,
        payload_crc: !kernel_crc32c(!0, payload),
        reason: 1,
        description: [b' '; 60],
        release: [b' '; 40],
        loop_start,
        params: *geometry.params(),
        slot,
    };
    let mut bytes = ram.bytes.borrow_mut();
    let at = geometry.data_offset(slot).unwrap();
    bytes[at..at + payload.len()].copy_from_slice(payload);
    let at = geometry.seal_offset(slot).unwrap();
    bytes[at..at + SEAL_LEN].copy_from_slice(&seal.encode::<&Ram>());
}
