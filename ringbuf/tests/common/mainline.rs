// SPDX-License-Identifier: GPL-2.0

//! What mainline does, in the words of `fs/pstore/ram.c` and `ram_core.c`. Written for these
//! tests from mainline's source, so that no mistake is shared with the code under test.

use ringbuf::{
    layout::{
        Header,
        HEADER_LEN,
        SIG, //
    },
    Geometry, //
};

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
