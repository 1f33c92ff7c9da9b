// SPDX-License-Identifier: GPL-2.0

//! What the tests share: memory, a reader, and what mainline does to the region.

#![allow(dead_code, unreachable_pub)]

use std::cell::RefCell;

use ringbuf::{
    classify,
    layout::{
        Header,
        HEADER_LEN,
        SIG, //
    },
    read_text,
    Census,
    Dropped,
    DumpInfo,
    Geometry,
    Kind,
    Memory,
    Params,
    Slot,
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
}

pub type TestStore<'a> = Store<&'a Ram, Vec<Slot>>;

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

/// `slots` zones of 512 bytes.
pub fn geometry(slots: usize) -> Geometry {
    Geometry::new(params(slots * 512, 512)).unwrap()
}

pub fn table(geometry: &Geometry) -> Vec<Slot> {
    (0..geometry.slots()).map(|_| Slot::default()).collect()
}

pub fn open<'a>(ram: &'a Ram, geometry: &Geometry) -> (TestStore<'a>, Census) {
    let log = ram.log.borrow().len();
    let opened = Store::open(ram, *geometry, table(geometry)).unwrap();
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
    let kind = classify(mem, geometry, slot).unwrap();
    let payload = payload(mem, geometry, slot, &kind);
    (kind, payload)
}

/// Returns the text of the record in a slot, which must be sealed.
pub fn sealed_text(ram: &Ram, geometry: &Geometry, slot: usize) -> Vec<u8> {
    let (kind, payload) = look(&ram, geometry, slot);
    assert!(matches!(kind, Kind::Sealed(_)), "slot {slot}: {kind:?}");
    strip_prefix(&payload).to_vec()
}

/// Removes stamp and reason line.
pub fn strip_prefix(payload: &[u8]) -> &[u8] {
    payload.splitn(3, |byte| *byte == b'\n').nth(2).unwrap()
}

/// What mainline does, in the words of `fs/pstore/ram.c` and `ram_core.c`. Written for these
/// tests from mainline's source, so that no mistake is shared with the code under test.
pub mod mainline {
    use super::*;

    fn header(image: &[u8], zone: usize) -> (u32, usize, usize) {
        let word = |at: usize| u32::from_ne_bytes(image[at..at + 4].try_into().unwrap());
        (word(zone), word(zone + 4) as usize, word(zone + 8) as usize)
    }

    fn set_header(image: &mut [u8], zone: usize, start: usize, size: usize) {
        let header = Header {
            sig: SIG,
            start: start as u32,
            size: size as u32,
        };
        image[zone..zone + HEADER_LEN].copy_from_slice(&header.encode());
    }

    /// `persistent_ram_post_init()` of one zone: returns the old log.
    pub fn post_init(image: &mut [u8], geometry: &Geometry, slot: usize) -> Option<Vec<u8>> {
        let zone = slot * geometry.stride();
        let capacity = geometry.stride() - 12;
        let (sig, start, size) = header(image, zone);
        if sig == 0x43474244 {
            if size == 0 && start == 0 {
                return None;
            }
            if size <= capacity && start <= size {
                // `persistent_ram_save_old()`
                let data = &image[zone + 12..];
                return Some([&data[start..size], &data[..start]].concat());
            }
        }
        set_header(image, zone, 0, 0);
        None
    }

    /// The length of the stamp, as `sscanf()` finds it; 0 if there is none.
    fn stamp(log: &[u8]) -> usize {
        let digits = |at: usize| log[at..].iter().take_while(|b| b.is_ascii_digit()).count();
        if !log.starts_with(b"====") {
            return 0;
        }
        let secs = digits(4);
        let dot = 4 + secs;
        if secs == 0 || log.get(dot) != Some(&b'.') {
            return 0;
        }
        let micros = digits(dot + 1);
        if micros == 0 {
            return 0;
        }
        let mut end = dot + 1 + micros;
        if log.get(end) == Some(&b'-') && log.len() > end + 1 {
            end += 2;
        }
        end
    }

    /// What the user finds in /sys/fs/pstore for one slot, the stamp included.
    pub fn record(image: &[u8], geometry: &Geometry, slot: usize) -> Option<Vec<u8>> {
        let log = post_init(&mut image.to_vec(), geometry, slot)?;
        (stamp(&log) != 0).then_some(log)
    }

    /// Loading the module and mounting pstore.
    pub fn load(image: &mut [u8], geometry: &Geometry) {
        for slot in 0..geometry.slots() {
            match post_init(image, geometry, slot) {
                Some(log) if stamp(&log) != 0 => (),
                _ => erase(image, geometry, slot),
            }
        }
    }

    /// Deleting the file of a record, the module being loaded.
    pub fn erase(image: &mut [u8], geometry: &Geometry, slot: usize) {
        set_header(image, slot * geometry.stride(), 0, 0);
    }

    /// Writing a record, the module being loaded. `start` moves behind the text.
    pub fn write(image: &mut [u8], geometry: &Geometry, slot: usize, secs: u64, text: &[u8]) {
        let zone = slot * geometry.stride();
        let capacity = geometry.stride() - 12;
        let mut log = format!("===={secs}.000042-D\n").into_bytes();
        log.extend_from_slice(text);
        log.truncate(capacity);
        image[zone + 12..zone + 12 + log.len()].copy_from_slice(&log);
        set_header(image, zone, log.len() % capacity, log.len());
    }
}
