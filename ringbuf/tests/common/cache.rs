// SPDX-License-Identifier: GPL-2.0

//! Memory behind a cache: what a cut leaves there.
//!
//! What is written stays in a line of the cache until a barrier covers a byte of that line, or until
//! the line is written back for no reason that we know, which may happen at any time, also between
//! two words of one write. Lines are written back as a whole, and one by one: a cut leaves each of
//! them as any of the things it was since it was last written back. Lines know nothing of zones.

use std::collections::BTreeMap;

use super::Op;

pub const LINE: usize = 64;

/// Stores are made of words.
const WORD: usize = 8;

/// If there are more combinations of lines than this, it is a selection of them.
const ALL: usize = 512;

/// What a dirty line was since it was last written back.
#[derive(Default)]
struct Line {
    /// After each write.
    whole: Vec<Vec<u8>>,
    /// In the middle of one.
    torn: Vec<Vec<u8>>,
}

pub struct Cache {
    /// What is in RAM for certain.
    pub ram: Vec<u8>,
    /// What the CPU sees.
    pub bytes: Vec<u8>,
    dirty: BTreeMap<usize, Line>,
}

fn add(versions: &mut Vec<Vec<u8>>, version: &[u8]) {
    if !versions.iter().any(|known| known == version) {
        versions.push(version.to_vec());
    }
}

/// The lines with a byte of a range.
pub fn lines(offset: usize, len: usize) -> std::ops::Range<usize> {
    offset / LINE..(offset + len).div_ceil(LINE)
}

impl Cache {
    pub fn new(bytes: &[u8]) -> Self {
        Self {
            ram: bytes.to_vec(),
            bytes: bytes.to_vec(),
            dirty: BTreeMap::new(),
        }
    }

    fn range(&self, line: usize) -> std::ops::Range<usize> {
        line * LINE..((line + 1) * LINE).min(self.ram.len())
    }

    pub fn write(&mut self, offset: usize, data: &[u8]) {
        for number in lines(offset, data.len()) {
            let range = self.range(number);
            let old = self.bytes[range.clone()].to_vec();
            let mut new = old.clone();
            let begin = offset.max(range.start);
            let end = (offset + data.len()).min(range.end);
            let (first, last) = (begin - range.start, end - range.start);
            new[first..last].copy_from_slice(&data[begin - offset..end - offset]);
            if new == old {
                continue;
            }
            let line = self.dirty.entry(number).or_default();
            for at in (first + 1..last).filter(|at| at % WORD == 0) {
                add(&mut line.torn, &[&new[..at], &old[at..]].concat());
                add(&mut line.torn, &[&old[..at], &new[at..]].concat());
            }
            add(&mut line.whole, &new);
            self.bytes[range].copy_from_slice(&new);
        }
    }

    /// Writes a line back.
    pub fn write_back(&mut self, line: usize) {
        let range = self.range(line);
        self.dirty.remove(&line);
        self.ram[range.clone()].copy_from_slice(&self.bytes[range]);
    }

    /// The dirty lines.
    pub fn dirty(&self) -> Vec<usize> {
        self.dirty.keys().copied().collect()
    }

    /// Cuts the power: returns one of the things that this may leave.
    pub fn lose(&self, random: &mut Random) -> Vec<u8> {
        let mut ram = self.ram.clone();
        for (number, line) in &self.dirty {
            let versions: Vec<&Vec<u8>> = line.whole.iter().chain(&line.torn).collect();
            // What is in RAM is as likely as all others together.
            if let Some(version) = versions.get(random.below(2 * versions.len())) {
                ram[self.range(*number)].copy_from_slice(version);
            }
        }
        ram
    }

    /// Calls `check` with what a cut may leave now.
    pub fn cut(&self, check: &mut dyn FnMut(&[u8]) -> Result<(), String>) -> Result<(), String> {
        // What each line may be, what is in RAM being the first.
        let choices: Vec<(usize, Vec<&[u8]>)> = self
            .dirty
            .iter()
            .map(|(number, line)| {
                let ram = &self.ram[self.range(*number)];
                let whole = line.whole.iter().map(Vec::as_slice);
                let whole = whole.filter(|version| *version != ram);
                (*number, [ram].into_iter().chain(whole).collect())
            })
            .collect();
        let mut image = self.ram.clone();
        let set = |image: &mut [u8], line: usize, bytes: &[u8]| {
            image[self.range(line)].copy_from_slice(bytes);
        };
        let mut random = Random(self.dirty.len() as u64);

        let count = |(_, versions): &(usize, Vec<&[u8]>)| versions.len();
        let product = choices
            .iter()
            .map(count)
            .try_fold(1usize, |product, count| product.checked_mul(count))
            .filter(|product| *product <= ALL);
        if let Some(product) = product {
            for mut which in 0..product {
                for (line, versions) in &choices {
                    set(&mut image, *line, versions[which % versions.len()]);
                    which /= versions.len();
                }
                check(&image)?;
            }
        } else {
            // All of them old or new but for one, and a part of the rest.
            for newest in [false, true] {
                for odd in 0..choices.len() {
                    for odd_version in &choices[odd].1 {
                        for (i, (line, versions)) in choices.iter().enumerate() {
                            let version = match (i == odd, newest) {
                                (true, _) => odd_version,
                                (false, false) => versions[0],
                                (false, true) => versions[versions.len() - 1],
                            };
                            set(&mut image, *line, version);
                        }
                        check(&image)?;
                    }
                }
            }
            for _ in 0..ALL / 2 {
                for (line, versions) in &choices {
                    set(&mut image, *line, versions[random.below(versions.len())]);
                }
                check(&image)?;
            }
        }

        // A torn line among old ones, among new ones, and among both.
        for (number, line) in &self.dirty {
            for torn in &line.torn {
                for round in 0..3 {
                    for (line, versions) in &choices {
                        let which = match round {
                            0 => 0,
                            1 => versions.len() - 1,
                            _ => random.below(versions.len()),
                        };
                        set(&mut image, *line, versions[which]);
                    }
                    set(&mut image, *number, torn);
                    check(&image)?;
                }
            }
        }
        Ok(())
    }
}

/// Always the same numbers: splitmix64.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

/// Looks at a region, given what is settled and the number of the operation.
pub type Check<'a> = dyn FnMut(&[u8], &[u8], usize) -> Result<(), String> + 'a;

/// Does what `log` says to `image`, and calls `check` with what a cut may leave before each barrier
/// and at the end, with what is settled if the barriers work, and with the number of the operation.
///
/// `omit` says for which lines a barrier does nothing, given its number. Returns the lines that were
/// dirty when a barrier covered them, and the cache in the end.
pub fn cut_lines(
    image: &[u8],
    log: &[Op],
    omit: &dyn Fn(usize, usize) -> bool,
    check: &mut Check<'_>,
) -> Result<(Vec<(usize, usize)>, Cache), String> {
    let mut cache = Cache::new(image);
    let mut believed = Cache::new(image);
    let mut barriers = 0;
    let mut useful = Vec::new();
    for (op, what) in log.iter().enumerate() {
        match what {
            Op::Write { offset, data } => {
                cache.write(*offset, data);
                believed.write(*offset, data);
            }
            Op::Barrier { offset, len } => {
                cache.cut(&mut |image| check(image, &believed.ram, op))?;
                for line in lines(*offset, *len) {
                    if cache.dirty.contains_key(&line) {
                        useful.push((barriers, line));
                    }
                    believed.write_back(line);
                    if !omit(barriers, line) {
                        cache.write_back(line);
                    }
                }
                barriers += 1;
            }
        }
    }
    cache.cut(&mut |image| check(image, &believed.ram, usize::MAX))?;
    Ok((useful, cache))
}
