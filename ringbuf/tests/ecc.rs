// SPDX-License-Identifier: GPL-2.0

//! Parity: what is corrected, told and refused.

use crate::common::{
    append,
    geometry_with_ecc,
    look,
    mainline,
    open,
    strip_prefix,
    Op,
    Ram,
    INFO, //
};
use ringbuf::{
    classify,
    layout::{
        Header,
        SEAL_LEN, //
    },
    Content,
    Geometry,
    Kind, //
};

/// A linear congruential generator, the same as in the program that made the golden values.
pub(super) struct Lcg(pub(super) u32);

impl Lcg {
    pub(super) fn byte(&mut self) -> u8 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 24) as u8
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        let (high, low) = (self.byte(), self.byte());
        usize::from(u16::from_be_bytes([high, low])) % limit
    }

    /// A byte other than 0.
    pub(super) fn flip(&mut self) -> u8 {
        self.byte().max(1)
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    hex.concat()
}

/// Records of ours and of mainline, of several lengths.
struct Sample {
    image: Vec<u8>,
    geometry: Geometry,
    slot: usize,
    kind: Kind,
    payload: Vec<u8>,
    /// The ranges of the zone which make up one word each, with their parity.
    words: Vec<Vec<usize>>,
}

fn samples(ecc_size: usize, stride: usize) -> Vec<Sample> {
    let geometry = geometry_with_ecc(2, stride, ecc_size);
    let ram = Ram::new(vec![0x5a; geometry.mem_size()]);
    let (store, _) = open(&ram, &geometry);
    let room = store.begin(&INFO).room();
    let mut samples = Vec::new();
    let full = geometry.data_capacity();
    for (len, foreign) in [
        (1, false),
        (90, false),
        (91, false),
        (room - 1, false),
        (room, false),
        (60, true),
        (full, true),
    ] {
        let text: Vec<u8> = (0..len).map(|i| b'a' + (i % 26) as u8).collect();
        let slot = 1;
        if foreign {
            mainline::write(&mut ram.bytes.borrow_mut(), &geometry, slot, 9, &text);
        } else {
            append(&store, b"the other slot").unwrap();
            assert_eq!(append(&store, &text), Ok(slot));
        }
        let image = ram.image();
        let (kind, payload) = look(&&ram, &geometry, slot);
        assert_eq!(matches!(kind, Kind::Foreign(_)), foreign, "{kind:?}");

        let (data, blocks) = mainline::ecc_geometry(stride, ecc_size).unwrap();
        let zone = stride;
        let parity = |at: usize| at..at + ecc_size;
        let mut words = vec![(zone..zone + 12)
            .chain(parity(zone + 12 + data + blocks * ecc_size))
            .collect()];
        for block in 0..data.div_ceil(128) {
            let payload = block * 128 < payload.len();
            let seal = (block + 1) * 128 > data - SEAL_LEN;
            if payload || (seal && !foreign) {
                let begin = zone + 12 + block * 128;
                let end = zone + 12 + data.min((block + 1) * 128);
                let word = (begin..end).chain(parity(zone + 12 + data + block * ecc_size));
                words.push(word.collect());
            }
        }
        samples.push(Sample {
            image,
            geometry,
            slot,
            kind,
            payload,
            words,
        });
    }
    samples
}

impl Sample {
    fn look(&self, image: Vec<u8>) -> (Content, Vec<u8>) {
        let ram = Ram::new(image);
        let content = classify(&&ram, &self.geometry, self.slot).unwrap();
        let payload = crate::common::payload(&&ram, &self.geometry, self.slot, &content.kind);
        (content, payload)
    }

    /// Checks that so many errors are corrected and told.
    fn check(&self, errors: &[(usize, u8)]) {
        let mut image = self.image.clone();
        for (at, flip) in errors {
            image[*at] ^= flip;
        }
        let (content, payload) = self.look(image.clone());
        let expected = Content {
            kind: self.kind,
            corrected: errors.len(),
            bad_blocks: 0,
        };
        assert_eq!(content, expected, "{errors:?}");
        assert_eq!(payload, self.payload, "{errors:?}");
        // Mainline knows nothing of the seal.
        let shown = mainline::shown(&image, &self.geometry, self.slot).unwrap();
        assert_eq!(shown.log, self.payload);
        assert_eq!(shown.bad_blocks, 0);
        assert!(shown.corrected_bytes <= errors.len());
        if let Kind::Foreign(_) = self.kind {
            assert_eq!(shown.corrected_bytes, errors.len());
        }
    }
}

/// Ours, and those that mainline makes.
#[test]
fn records_without_errors() {
    for (ecc_size, stride) in [
        (1, 514),
        (2, 514),
        (3, 600),
        (16, 602),
        (16, 4096),
        (127, 2048),
    ] {
        for sample in samples(ecc_size, stride) {
            sample.check(&[]);
        }
    }
}

#[test]
fn one_and_two_errors_anywhere() {
    let mut cases = 0;
    for (ecc_size, stride) in [(2, 514), (4, 514), (16, 602)] {
        for sample in samples(ecc_size, stride) {
            for word in &sample.words {
                for (i, at) in word.iter().enumerate() {
                    for flip in [1, 0x1b, 0x80, 0xff] {
                        sample.check(&[(*at, flip)]);
                        cases += 1;
                    }
                    if ecc_size < 4 {
                        continue;
                    }
                    // All pairs in the header; elsewhere one in 16.
                    let step = if word.len() < 30 { 1 } else { 16 };
                    for other in word[..i].iter().skip(i % step).step_by(step) {
                        sample.check(&[(*at, 0x21), (*other, 0x1b)]);
                        cases += 1;
                    }
                }
            }
        }
    }
    println!("{cases} cases");
}

/// Picks `count` different bytes of a word.
fn errors_in(word: &[usize], count: usize, lcg: &mut Lcg) -> Vec<(usize, u8)> {
    let mut places = word.to_vec();
    (0..count)
        .map(|_| {
            let at = places.swap_remove(lcg.below(places.len()));
            (at, lcg.flip())
        })
        .collect()
}

#[test]
fn as_many_errors_as_the_code_corrects() {
    let mut lcg = Lcg(7);
    for (ecc_size, stride) in [(2, 514), (4, 514), (8, 602), (16, 602), (64, 2048)] {
        for sample in samples(ecc_size, stride) {
            for round in 0..30 {
                // In one word, or in all of them at once.
                let errors: Vec<(usize, u8)> = sample
                    .words
                    .iter()
                    .enumerate()
                    .filter(|(i, _)| round % 2 == 0 || round / 2 % sample.words.len() == *i)
                    .flat_map(|(_, word)| errors_in(word, ecc_size / 2, &mut lcg))
                    .collect();
                sample.check(&errors);
            }
        }
    }
}

/// With more errors there is no way to be sure, but nothing wrong is passed off as whole.
#[test]
fn more_errors_than_the_code_corrects() {
    let mut lcg = Lcg(11);
    let (mut damaged, mut lost, mut whole, mut told) = (0, 0, 0, 0);
    for (ecc_size, stride) in [(1, 514), (2, 514), (3, 514), (4, 514), (16, 602)] {
        for sample in samples(ecc_size, stride) {
            for round in 0..200 {
                let word = &sample.words[round % sample.words.len()];
                let count = ecc_size / 2 + 1 + lcg.below(ecc_size + 4);
                let mut image = sample.image.clone();
                for (at, flip) in errors_in(word, count.min(word.len()), &mut lcg) {
                    image[at] ^= flip;
                }
                let (content, payload) = sample.look(image.clone());
                let Content {
                    corrected,
                    bad_blocks,
                    ..
                } = content;
                match content.kind {
                    // The data may be right: it was the parity, or the header.
                    Kind::Sealed(_) => {
                        assert_eq!((content.kind, &payload), (sample.kind, &sample.payload));
                        whole += 1;
                    }
                    // Without a checksum, the decoder's word is all there is. Mainline says the same.
                    Kind::Foreign(_) => {
                        let shown = mainline::shown(&image, &sample.geometry, sample.slot).unwrap();
                        assert_eq!(shown.log, payload);
                        if let Kind::Foreign(_) = sample.kind {
                            assert_eq!(
                                (shown.corrected_bytes, shown.bad_blocks),
                                (corrected, bad_blocks)
                            );
                        }
                        told += 1;
                    }
                    Kind::Damaged(_) => {
                        // A single byte of parity cannot even detect all.
                        assert!(corrected != 0 || bad_blocks != 0 || ecc_size == 1);
                        damaged += 1;
                    }
                    _ => lost += 1,
                }
            }
        }
    }
    println!("{damaged} damaged, {whole} whole, {told} foreign, {lost} other");
    assert!(damaged > 500 && whole > 100 && told > 500);
}

#[test]
fn census_sums_up() {
    let geometry = geometry_with_ecc(4, 602, 16);
    let ram = Ram::new(vec![0; geometry.mem_size()]);
    let (store, census) = open(&ram, &geometry);
    assert_eq!(
        (census.blank, census.corrected, census.bad_blocks),
        (4, 0, 0)
    );
    for text in [b"a", b"b", b"c"] {
        append(&store, text).unwrap();
    }
    {
        let mut image = ram.bytes.borrow_mut();
        image[0] ^= 1;
        image[14] ^= 1;
        image[15] ^= 1;
        image[602 + 12 + 420 - 1] ^= 1;
        image[2 * 602 + 12..][..20].fill(0x11);
        // No record.
        image[3 * 602..][..602].fill(0x11);
    }
    let (_, census) = open(&ram, &geometry);
    assert_eq!((census.sealed, census.damaged, census.garbage), (2, 1, 1));
    assert_eq!((census.corrected, census.bad_blocks), (4, 1));
    assert!(matches!(look(&&ram, &geometry, 2).0, Kind::Damaged(_)));
}

/// What mainline says of our records is "No errors detected", and the other way round.
#[test]
fn mainline_and_back() {
    for (ecc_size, stride) in [(2, 514), (16, 602), (16, 4096)] {
        let geometry = geometry_with_ecc(3, stride, ecc_size);
        let ram = Ram::new(vec![0x99; geometry.mem_size()]);
        mainline::load(&mut ram.bytes.borrow_mut(), &geometry);
        let (store, census) = open(&ram, &geometry);
        assert_eq!(census.empty, 3);
        for len in 0..130 {
            let text = vec![b'x'; len];
            let slot = append(&store, &text).unwrap();
            let shown = mainline::shown(&ram.image(), &geometry, slot).unwrap();
            assert_eq!(strip_prefix(&shown.log), text);
            assert_eq!((shown.corrected_bytes, shown.bad_blocks), (0, 0));
            let (kind, _) = look(&&ram, &geometry, slot);
            assert!(matches!(kind, Kind::Sealed(_)));
        }
        // A short record leaves our seal behind it, a long one does not.
        let long = "y".repeat(geometry.payload_capacity());
        mainline::write(&mut ram.bytes.borrow_mut(), &geometry, 0, 7, b"short");
        mainline::write(
            &mut ram.bytes.borrow_mut(),
            &geometry,
            1,
            8,
            long.as_bytes(),
        );
        mainline::erase(&mut ram.bytes.borrow_mut(), &geometry, 2);
        let content = |slot| classify(&&ram, &geometry, slot).unwrap();
        let seal = match content(0) {
            Content {
                kind: Kind::Foreign(foreign),
                corrected: 0,
                bad_blocks: 0,
            } => foreign.covered_seq,
            content => panic!("{content:?}"),
        };
        assert!(seal.is_some());
        assert!(matches!(content(1).kind, Kind::Foreign(f) if f.covered_seq.is_none()));
        assert!(matches!(content(2).kind, Kind::Cleared(Some(_))));
    }
}

/// A deleted record does not come back, and a record that is being overwritten is no other one, for
/// each number of bytes of parity.
#[test]
fn slot_of_a_deleted_record() {
    for ecc_size in 1..=40 {
        let geometry = geometry_with_ecc(1, 1024, ecc_size);
        let ram = Ram::new(vec![0; geometry.mem_size()]);
        let (store, _) = open(&ram, &geometry);
        append(&store, b"deleted").unwrap();
        mainline::erase(&mut ram.bytes.borrow_mut(), &geometry, 0);
        let mut image = ram.image();
        ram.log.borrow_mut().clear();
        append(&store, b"next").unwrap();
        let log = ram.log.borrow();
        let mut barriers = 0;
        for op in log.iter() {
            let (offset, data) = match op {
                Op::Write { offset, data } => (*offset, data),
                Op::Barrier { .. } => {
                    barriers += 1;
                    continue;
                }
            };
            for (at, byte) in (offset..).zip(data) {
                image[at] = *byte;
                let (kind, payload) = look(&&Ram::new(image.clone()), &geometry, 0);
                match kind {
                    Kind::Cleared(_) => assert!(barriers < 2),
                    // It may come back, but no other one.
                    Kind::Sealed(_) if barriers < 4 => assert!(payload.ends_with(b"deleted")),
                    Kind::Torn(_) => assert!((3..5).contains(&barriers)),
                    Kind::Sealed(_) => assert!(payload.ends_with(b"next")),
                    kind => panic!("ecc {ecc_size}, {barriers} barriers: {kind:?}"),
                }
            }
        }
        assert_eq!(barriers, 7);
    }
}

/// Records written with another `ecc` are not taken for whole ones.
#[test]
fn other_parity() {
    let with = |ecc_size| geometry_with_ecc(2, 1024, ecc_size);
    for written in [0, 2, 16, 32] {
        for opened in [0, 2, 16, 32] {
            let ram = Ram::new(vec![0; 2048]);
            let (store, _) = open(&ram, &with(written));
            append(&store, b"text\n").unwrap();
            let geometry = with(opened);
            let content = classify(&&ram, &geometry, 0).unwrap();
            if written == opened {
                assert!(matches!(content.kind, Kind::Sealed(_)));
            } else {
                // If the decoder spoils the header, mainline sees nothing.
                let seen = mainline::record(&ram.image(), &geometry, 0).is_some();
                match content.kind {
                    Kind::Foreign(_) => assert!(seen),
                    Kind::Salvaged { .. } => assert!(!seen),
                    kind => panic!("{kind:?}"),
                }
                let errors = content.bad_blocks != 0 || content.corrected != 0;
                assert_eq!(errors, opened != 0);
            }
        }
    }
}

/// Blocks with neither payload nor seal are not touched.
#[test]
fn only_what_is_needed_is_written() {
    let geometry = geometry_with_ecc(1, 4096, 16);
    let ram = Ram::new(vec![0x77; 4096]);
    let (store, _) = open(&ram, &geometry);
    append(&store, &[b'x'; 200]).unwrap();
    let image = ram.image();
    let data = geometry.data_capacity();
    let payload = look(&&ram, &geometry, 0).1.len();
    assert_eq!(payload, 238);
    assert!(image[12 + payload..12 + 256].iter().all(|byte| *byte == 0));
    let seal_block = (data - SEAL_LEN) / 128 * 128;
    assert!(image[12 + 256..12 + seal_block]
        .iter()
        .all(|byte| *byte == 0x77));
    assert!(image[12 + seal_block..12 + data - SEAL_LEN]
        .iter()
        .all(|byte| *byte == 0));
    let parity = 12 + data;
    let between = parity + 2 * 16..parity + seal_block / 128 * 16;
    assert!(image[between].iter().all(|byte| *byte == 0x77));
    let mut raw = [0; 12];
    raw.copy_from_slice(&image[..12]);
    assert_eq!(Header::decode(&raw).size, 238);
}
