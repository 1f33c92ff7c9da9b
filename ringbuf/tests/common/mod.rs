// SPDX-License-Identifier: GPL-2.0

//! What the tests share: memory, a reader, and what mainline does to the region.

#![allow(dead_code, unreachable_pub)]

pub mod cache;
pub mod cut;
pub mod worth;

use std::{
    cell::RefCell,
    collections::HashMap, //
};

use ringbuf::{
    classify,
    layout::{
        Header,
        HEADER_LEN,
        SEAL_LEN,
        SIG, //
    },
    read_text,
    store::LOOP_SECS,
    table_len,
    Census,
    Content,
    Dropped,
    DumpInfo,
    Geometry,
    Kind,
    Memory,
    Options,
    Params,
    Seal,
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

/// `rslib::decode()`, for tests that ask for the same few words millions of times.
pub fn decode(block: &mut [u8], parity: &mut [u8]) -> Option<usize> {
    DECODED.with_borrow_mut(|decoded| {
        let key = (block.len(), [&block[..], parity].concat());
        if decoded.len() >= WORDS {
            decoded.clear();
        }
        let (data, rest, errors) = decoded.entry(key).or_insert_with(|| {
            let errors = rslib::decode(block, parity);
            (block.to_vec(), parity.to_vec(), errors)
        });
        block.copy_from_slice(data);
        parity.copy_from_slice(rest);
        *errors
    })
}

/// The same for `rslib::encode()`.
pub fn encode(block: &[u8], parity: &mut [u8]) {
    ENCODED.with_borrow_mut(|encoded| {
        let key = [&[parity.len() as u8], block].concat();
        if encoded.len() >= WORDS {
            encoded.clear();
        }
        let known = encoded.entry(key).or_insert_with(|| {
            rslib::encode(block, parity);
            parity.to_vec()
        });
        parity.copy_from_slice(known);
    });
}

pub type TestStore<'a> = Store<&'a Ram, Vec<Slot>>;

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

pub fn table(geometry: &Geometry) -> [Vec<Slot>; 2] {
    [(); 2].map(|()| {
        (0..table_len(geometry.slots()))
            .map(|_| Slot::default())
            .collect()
    })
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
    let opened = Store::open(ram, *geometry, table(geometry), options).unwrap();
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

/// What mainline does, in the words of `fs/pstore/ram.c` and `ram_core.c`. Written for these
/// tests from mainline's source, so that no mistake is shared with the code under test.
pub mod mainline {
    use super::*;

    /// `struct persistent_ram_zone` of one zone.
    struct Prz<'a> {
        /// The buffer with its header, and the parity.
        zone: &'a mut [u8],
        buffer_size: usize,
        ecc_size: usize,
        par_header: usize,
        corrected_bytes: usize,
        bad_blocks: usize,
    }

    /// What is to be shown of one zone.
    #[derive(Clone, Debug, PartialEq)]
    pub struct Shown {
        /// The text, the stamp included.
        pub log: Vec<u8>,
        pub corrected_bytes: usize,
        pub bad_blocks: usize,
    }

    /// The part of `persistent_ram_init_ecc()` that computes: length of the data area, and how many
    /// blocks have parity. `None` if loading fails.
    pub fn ecc_geometry(zone: usize, ecc_size: usize) -> Option<(usize, usize)> {
        let buffer_size = zone - 12;
        if ecc_size == 0 {
            return Some((buffer_size, 0));
        }
        let ecc_blocks = buffer_size.checked_sub(ecc_size)?.div_ceil(128 + ecc_size);
        let ecc_total = (ecc_blocks + 1) * ecc_size;
        if ecc_total >= buffer_size {
            return None;
        }
        Some((buffer_size - ecc_total, ecc_blocks))
    }

    impl<'a> Prz<'a> {
        fn new(image: &'a mut [u8], geometry: &Geometry, slot: usize) -> Self {
            let stride = geometry.stride();
            let ecc_size = geometry.params().ecc_size;
            let (buffer_size, ecc_blocks) = ecc_geometry(stride, ecc_size).unwrap();
            let mut prz = Self {
                zone: &mut image[slot * stride..][..stride],
                buffer_size,
                ecc_size,
                par_header: 12 + buffer_size + ecc_blocks * ecc_size,
                corrected_bytes: 0,
                bad_blocks: 0,
            };
            if ecc_size != 0 {
                prz.decode(0, 12, prz.par_header);
            }
            prz
        }

        fn decode(&mut self, at: usize, len: usize, par: usize) {
            let (data, rest) = self.zone.split_at_mut(par);
            // Only the copy of the parity is corrected.
            let mut parity = rest[..self.ecc_size].to_vec();
            match super::decode(&mut data[at..at + len], &mut parity) {
                Some(numerr) => self.corrected_bytes += numerr,
                None => self.bad_blocks += 1,
            }
        }

        fn encode(&mut self, at: usize, len: usize, par: usize) {
            let (data, rest) = self.zone.split_at_mut(par);
            super::encode(&data[at..at + len], &mut rest[..self.ecc_size]);
        }

        /// Offset and length of a block, and where its parity is.
        fn block(&self, block: usize) -> (usize, usize, usize) {
            let at = block * 128;
            let len = 128.min(self.buffer_size - at);
            (12 + at, len, 12 + self.buffer_size + block * self.ecc_size)
        }

        fn word(&self, at: usize) -> u32 {
            u32::from_ne_bytes(self.zone[at..at + 4].try_into().unwrap())
        }

        fn size(&self) -> usize {
            self.word(8) as usize
        }

        fn start(&self) -> usize {
            self.word(4) as usize
        }

        fn set_header(&mut self, start: usize, size: usize) {
            let header = Header {
                sig: SIG,
                start: start as u32,
                size: size as u32,
            };
            self.zone[..HEADER_LEN].copy_from_slice(&header.encode());
            if self.ecc_size != 0 {
                self.encode(0, 12, self.par_header);
            }
        }

        fn save_old(&mut self) -> Vec<u8> {
            let (start, size) = (self.start(), self.size());
            if self.ecc_size != 0 {
                for block in 0..size.div_ceil(128) {
                    let (at, len, par) = self.block(block);
                    self.decode(at, len, par);
                }
            }
            let data = &self.zone[12..];
            [&data[start..size], &data[..start]].concat()
        }

        fn post_init(&mut self) -> Option<Vec<u8>> {
            if self.word(0) == 0x43474244 {
                if self.size() == 0 && self.start() == 0 {
                    return None;
                }
                if self.size() <= self.buffer_size && self.start() <= self.size() {
                    return Some(self.save_old());
                }
            }
            self.set_header(0, 0);
            None
        }

        fn write(&mut self, mut s: &[u8]) {
            let mut c = s.len();
            if c > self.buffer_size {
                s = &s[c - self.buffer_size..];
                c = self.buffer_size;
            }
            let size = self.buffer_size.min(self.size() + c);
            let mut start = self.start();
            self.set_header((start + c) % self.buffer_size, size);
            let rem = self.buffer_size - start;
            if rem < c {
                self.update(&s[..rem], start);
                s = &s[rem..];
                start = 0;
            }
            self.update(s, start);
            let (start, size) = (self.start(), self.size());
            self.set_header(start, size);
        }

        fn update(&mut self, s: &[u8], start: usize) {
            self.zone[12 + start..12 + start + s.len()].copy_from_slice(s);
            if self.ecc_size == 0 {
                return;
            }
            let mut block = start / 128;
            loop {
                let (at, len, par) = self.block(block);
                self.encode(at, len, par);
                block += 1;
                if block * 128 >= start + s.len() {
                    break;
                }
            }
        }
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
        // White space in the format takes any amount of it.
        end + log[end..]
            .iter()
            .take_while(|b| b.is_ascii_whitespace())
            .count()
    }

    /// A file of length 0, which hides all that follow.
    pub fn is_stamp_only(log: &[u8]) -> bool {
        log.len() == stamp(log)
    }

    /// What the user finds in /sys/fs/pstore for one slot.
    pub fn shown(image: &[u8], geometry: &Geometry, slot: usize) -> Option<Shown> {
        let shown = file(image, geometry, slot)?;
        assert!(!is_stamp_only(&shown.log), "slot {slot} has only a stamp");
        Some(shown)
    }

    /// The same, be it of length 0 or not.
    pub fn file(image: &[u8], geometry: &Geometry, slot: usize) -> Option<Shown> {
        let mut image = image[slot * geometry.stride()..][..geometry.stride()].to_vec();
        let mut prz = Prz::new(&mut image, geometry, 0);
        let log = prz.post_init()?;
        (stamp(&log) != 0).then_some(Shown {
            log,
            corrected_bytes: prz.corrected_bytes,
            bad_blocks: prz.bad_blocks,
        })
    }

    /// The text alone, the stamp included.
    pub fn record(image: &[u8], geometry: &Geometry, slot: usize) -> Option<Vec<u8>> {
        shown(image, geometry, slot).map(|shown| shown.log)
    }

    /// Loading the module and mounting pstore.
    pub fn load(image: &mut [u8], geometry: &Geometry) {
        for slot in 0..geometry.slots() {
            let mut prz = Prz::new(image, geometry, slot);
            match prz.post_init() {
                Some(log) if stamp(&log) != 0 => (),
                _ => prz.set_header(0, 0),
            }
        }
    }

    /// Deleting the file of a record, the module being loaded: `persistent_ram_zap()`.
    pub fn erase(image: &mut [u8], geometry: &Geometry, slot: usize) {
        Prz::new(image, geometry, slot).set_header(0, 0);
    }

    /// Writing a record, the module being loaded. `start` moves behind the text.
    pub fn write(image: &mut [u8], geometry: &Geometry, slot: usize, secs: u64, text: &[u8]) {
        let mut prz = Prz::new(image, geometry, slot);
        let stamp = format!("===={secs}.000042-D\n");
        let room = prz.buffer_size - stamp.len();
        prz.set_header(0, 0);
        prz.write(stamp.as_bytes());
        prz.write(&text[..text.len().min(room)]);
    }
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
