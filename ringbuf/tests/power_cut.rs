// SPDX-License-Identifier: GPL-2.0

//! Cuts the power at every point of a dump, and looks at what is left.
//!
//! A barrier settles the writes that lie within its range. What was written since may have reached
//! RAM or not, in any order: every subset of those writes is tried, and also with one of them torn
//! at each byte, either its beginning or its end being there. With parity there are too many writes
//! between two barriers for that: there it is every subset, and every sequence that ends in a torn
//! write or follows one.

mod common;

use common::{
    append,
    geometry_with_ecc,
    look,
    mainline,
    open,
    params,
    strip_prefix,
    Op,
    Ram,
    INFO, //
};
use ringbuf::{
    layout::SEAL_MAGIC_OFFSET,
    read_text,
    Extent,
    Geometry,
    Kind, //
};

/// What readers see of one slot.
#[derive(Clone, Debug, PartialEq)]
struct View {
    kind: Kind,
    payload: Vec<u8>,
    /// The text, and the number of blocks that it says to be bad.
    mainline: Option<(Vec<u8>, usize)>,
}

impl View {
    fn of(image: &[u8], geometry: &Geometry) -> Vec<View> {
        (0..geometry.slots())
            .map(|slot| View::of_slot(image, geometry, slot))
            .collect()
    }

    fn of_slot(image: &[u8], geometry: &Geometry, slot: usize) -> View {
        let ram = Ram::new(image.to_vec());
        let (kind, payload) = look(&&ram, geometry, slot);
        View {
            kind,
            payload,
            mainline: mainline::shown(image, geometry, slot)
                .map(|shown| (shown.log, shown.bad_blocks)),
        }
    }

    fn mainline_text(&self) -> Option<&Vec<u8>> {
        self.mainline.as_ref().map(|(text, _)| text)
    }

    /// Whether a reader would show it as a record.
    fn is_record(&self) -> bool {
        matches!(self.kind, Kind::Sealed(_) | Kind::Foreign(_))
    }
}

fn apply(image: &mut [u8], offset: usize, data: &[u8]) {
    image[offset..offset + data.len()].copy_from_slice(data);
}

/// Calls `check` with each state of the region that a cut may leave, if `settled` has reached RAM
/// and `pending` was written since.
fn cut(settled: &[u8], pending: &[(usize, Vec<u8>)], check: &mut dyn FnMut(&[u8])) {
    if pending.len() > 3 {
        return cut_many(settled, pending, check);
    }
    for subset in 0u32..1 << pending.len() {
        let chosen = || {
            let chosen = move |(i, _): &(usize, _)| subset & (1 << i) != 0;
            pending.iter().enumerate().filter(chosen)
        };
        // The last round tears nothing.
        for torn in chosen().map(|(i, _)| i).chain([usize::MAX]) {
            let len = pending.get(torn).map_or(1, |(_, data)| data.len());
            for keep_end in [false, true] {
                for at in 1..len.max(2) {
                    let mut image = settled.to_vec();
                    for (i, (offset, data)) in chosen() {
                        match (i == torn, keep_end) {
                            (false, _) => apply(&mut image, *offset, data),
                            (true, false) => apply(&mut image, *offset, &data[..at]),
                            (true, true) => apply(&mut image, offset + at, &data[at..]),
                        }
                    }
                    check(&image);
                }
                if torn == usize::MAX {
                    break;
                }
            }
        }
    }
}

/// The same for many writes.
fn cut_many(settled: &[u8], pending: &[(usize, Vec<u8>)], check: &mut dyn FnMut(&[u8])) {
    assert!(pending.len() <= 14, "too many states: {}", pending.len());
    for subset in 0u32..1 << pending.len() {
        let mut image = settled.to_vec();
        for (i, (offset, data)) in pending.iter().enumerate() {
            if subset & (1 << i) != 0 {
                apply(&mut image, *offset, data);
            }
        }
        check(&image);
    }
    let all: Vec<(usize, u8)> = pending
        .iter()
        .flat_map(|(offset, data)| (*offset..).zip(data.iter().copied()))
        .collect();
    for at in 0..all.len() {
        for part in [&all[..at], &all[at..]] {
            let mut image = settled.to_vec();
            for (offset, byte) in part {
                image[*offset] = *byte;
            }
            check(&image);
        }
    }
}

/// One dump to be cut.
struct Case<'a> {
    name: &'a str,
    geometry: Geometry,
    images: [Vec<u8>; 2],
    before: Vec<View>,
    /// The parts, with the slot of each and the number of operations when it was complete.
    parts: Vec<(usize, usize)>,
    after: Vec<View>,
}

impl Case<'_> {
    /// What is in the slots. A zone with known bytes is not looked at again.
    fn views(&self, image: &[u8]) -> Vec<View> {
        let zone = |slot| slot * self.geometry.stride()..(slot + 1) * self.geometry.stride();
        (0..self.geometry.slots())
            .map(|slot| {
                for (known, views) in self.images.iter().zip([&self.before, &self.after]) {
                    if image[zone(slot)] == known[zone(slot)] {
                        return views[slot].clone();
                    }
                }
                View::of_slot(image, &self.geometry, slot)
            })
            .collect()
    }

    /// Checks what is left by a cut before operation `op`.
    fn check(&self, image: &[u8], settled: &[u8], op: usize, state: usize) {
        let views = self.views(image);
        for (slot, view) in views.iter().enumerate() {
            let (before, after) = (&self.before[slot], &self.after[slot]);
            let name = || {
                format!(
                    "{}: slot {slot}, before operation {op}: {view:?}",
                    self.name
                )
            };
            let begun = match self.parts.iter().position(|(s, _)| *s == slot) {
                Some(0) => true,
                Some(part) => self.parts[part - 1].1 <= op,
                None => false,
            };
            let complete = self.parts.iter().any(|(s, end)| *s == slot && *end <= op);
            if complete {
                assert_eq!(view, after, "{}", name());
            } else if !begun {
                assert_eq!(view, before, "{}", name());
            } else {
                // The old record, the new one, or none.
                let same =
                    |other: &View| (view.kind, &view.payload) == (other.kind, &other.payload);
                if view.is_record() {
                    assert!(same(before) || same(after), "{}", name());
                } else if is_seal_broken(settled, &self.geometry, slot) {
                    assert_eq!(view.kind, Kind::Torn, "{}", name());
                } else {
                    // A record of mainline is gone as soon as its header is. A record of ours and
                    // a free slot are what they were until the seal is broken.
                    let gone = matches!(before.kind, Kind::Foreign(_)) || !before.is_record();
                    assert!(gone || view.kind == Kind::Torn, "{}", name());
                }
                if let (Kind::Salvaged { extent, .. }, Kind::Foreign(_)) = (view.kind, before.kind)
                {
                    let text = salvaged(image, &self.geometry, slot, extent);
                    assert!(before.payload.starts_with(&text), "{}", name());
                } else {
                    assert!(!matches!(view.kind, Kind::Salvaged { .. }), "{}", name());
                }
                let seen = &view.mainline;
                let old_or_new = *seen == before.mainline || *seen == after.mainline;
                assert!(seen.is_none() || old_or_new, "{}", name());
                // What mainline shows is not older than what we show.
                if same(after) {
                    let new = seen.is_none() || *seen == after.mainline;
                    assert!(new, "{}", name());
                }
            }
        }

        // What follows takes long with parity, and depends on little.
        if self.geometry.ecc_size() != 0 && state % 32 != 0 {
            return;
        }
        let ram = Ram::new(image.to_vec());
        let (store, census) = open(&ram, &self.geometry);
        let records = views.iter().filter(|view| view.is_record()).count();
        assert_eq!(records, census.sealed + census.foreign);

        // The next dump works, and takes nothing but what it may.
        let newest = newest(&views);
        let next = append(&store, b"next dump").unwrap();
        let now = View::of(&ram.image(), &self.geometry);
        for (slot, view) in now.iter().enumerate() {
            if slot == next {
                let Kind::Sealed(seal) = view.kind else {
                    panic!("{}: the next dump is {view:?}", self.name);
                };
                assert_eq!(strip_prefix(&view.payload), b"next dump");
                assert_eq!(view.mainline_text(), Some(&view.payload));
                assert!(Some(seal.seq) > census.newest_seq);
            } else {
                assert_eq!(*view, views[slot], "{}", self.name);
            }
        }
        if views.len() > 1 {
            assert_ne!(newest, Some(next), "{}", self.name);
            // A slot that the cut left without a record is preferred to one with a record.
            if views.iter().any(|view| !view.is_record()) {
                assert!(!views[next].is_record(), "{}", self.name);
            }
        }

        // If mainline is loaded next, it finds its own view, and destroys no other record.
        let mut image = image.to_vec();
        mainline::load(&mut image, &self.geometry);
        for (slot, view) in View::of(&image, &self.geometry).iter().enumerate() {
            let text = view.mainline_text();
            assert_eq!(text, views[slot].mainline_text(), "{}", self.name);
            // Mainline resets a zone in which it sees nothing.
            if view.is_record() || (views[slot].is_record() && view.mainline.is_some()) {
                assert_eq!(view.payload, views[slot].payload, "{}", self.name);
            }
        }
    }
}

fn salvaged(image: &[u8], geometry: &Geometry, slot: usize, extent: Extent) -> Vec<u8> {
    let ram = Ram::new(image.to_vec());
    let mut text = vec![0; extent.size as usize];
    let len = read_text(&&ram, geometry, slot, extent, 0, &mut text);
    assert_eq!(len, text.len());
    text
}

/// Whether the seal has been broken for certain.
fn is_seal_broken(settled: &[u8], geometry: &Geometry, slot: usize) -> bool {
    let magic = geometry.seal_offset(slot).unwrap() + SEAL_MAGIC_OFFSET;
    &settled[magic..magic + 4] == b"SEAW"
}

/// The slot with part 1 of the newest dump.
fn newest(views: &[View]) -> Option<usize> {
    let seals = views.iter().enumerate().filter_map(|(slot, view)| {
        let Kind::Sealed(seal) = view.kind else {
            return None;
        };
        Some(((seal.dump, u32::MAX - seal.part), slot))
    });
    seals.max().map(|(_, slot)| slot)
}

/// Cuts a dump of `parts` into `image`. Returns the number of states.
fn run(name: &str, geometry: &Geometry, image: &[u8], parts: usize) -> usize {
    let ram = Ram::new(image.to_vec());
    let (store, _) = open(&ram, geometry);
    let mut dump = store.begin(&INFO);
    let mut slots = Vec::new();
    for part in 1..=parts {
        // Shorter and longer than what is there already, and the longest.
        let len = [dump.room(), 61][part % 2];
        let text: Vec<u8> = (0..len).map(|i| b'A' + ((i * part) % 23) as u8).collect();
        let slot = dump.append(&text, part == parts).unwrap();
        slots.push((slot, ram.log.borrow().len()));
    }
    let case = Case {
        name,
        geometry: *geometry,
        images: [image.to_vec(), ram.image()],
        before: View::of(image, geometry),
        parts: slots,
        after: View::of(&ram.image(), geometry),
    };
    for (slot, _) in &case.parts {
        let after = &case.after[*slot];
        assert!(matches!(after.kind, Kind::Sealed(_)));
        assert_eq!(after.mainline_text(), Some(&after.payload));
    }

    let mut states = 0;
    let mut settled = image.to_vec();
    let mut pending: Vec<(usize, Vec<u8>)> = Vec::new();
    for (op, what) in ram.log.borrow().iter().enumerate() {
        match what {
            Op::Write { offset, data } => pending.push((*offset, data.clone())),
            Op::Barrier { offset, len } => {
                cut(&settled, &pending, &mut |image| {
                    states += 1;
                    case.check(image, &settled, op, states);
                });
                pending.retain(|(at, data)| {
                    let covered = offset <= at && at + data.len() <= offset + len;
                    if covered {
                        apply(&mut settled, *at, data);
                    }
                    !covered
                });
            }
        }
    }
    assert!(pending.is_empty(), "the last writes were not settled");
    assert_eq!(settled, ram.image());
    case.check(&settled, &settled, usize::MAX, 0);
    states
}

/// Stores `count` dumps of one part.
fn filled(geometry: &Geometry, count: usize) -> Vec<u8> {
    let ram = Ram::new(vec![0; geometry.mem_size()]);
    let (store, _) = open(&ram, geometry);
    for i in 0..count {
        let text = format!("record {i} ").repeat(1 + i * 5 % 17);
        append(&store, text.as_bytes()).unwrap();
    }
    ram.image()
}

/// All starting points for a number of slots.
fn starts(geometry: &Geometry) -> Vec<(String, Vec<u8>)> {
    let slots = geometry.slots();
    let len = geometry.mem_size();
    let mut starts = vec![
        ("zero".into(), vec![0; len]),
        ("erased".into(), vec![0xff; len]),
        ("garbage".into(), vec![0x47; len]),
    ];
    let mut prepared = vec![0; len];
    mainline::load(&mut prepared, geometry);
    starts.push(("prepared by mainline".into(), prepared));
    for count in [slots, slots + 1, 2 * slots + 1] {
        starts.push((format!("{count} records"), filled(geometry, count)));
    }

    // Each slot in each state that is not a record of ours.
    let full = filled(geometry, slots);
    for slot in 0..slots {
        let mut add = |name: &str, change: &dyn Fn(&mut [u8])| {
            let mut image = full.clone();
            change(&mut image);
            starts.push((format!("{name} in slot {slot}"), image));
        };
        let zone = slot * geometry.stride();
        let seal = geometry.seal_offset(slot).unwrap();
        let short = "Oops#1 Part1\nshort\n";
        for text in [short, &"x".repeat(400), &"x".repeat(500)] {
            let name = format!("foreign record of {}", text.len());
            add(&name, &|image| {
                mainline::write(image, geometry, slot, 9, text.as_bytes());
            });
        }
        add("deleted record", &|image| {
            mainline::erase(image, geometry, slot);
        });
        add("deleted foreign record", &|image| {
            mainline::write(image, geometry, slot, 9, b"short");
            mainline::erase(image, geometry, slot);
        });
        add("damaged record", &|image| image[zone + 12 + 40] ^= 1);
        add("record with a damaged seal", &|image| image[seal] ^= 1);
        add("record with a damaged header", &|image| image[zone] ^= 1);
        add("header of a deleted record being written anew", &|image| {
            mainline::erase(image, geometry, slot);
            image[zone..zone + 4].fill(0);
        });
        add("torn record", &|image| {
            image[zone..zone + 4].fill(0);
            image[seal + SEAL_MAGIC_OFFSET + 3] = b'W';
        });
    }

    // Foreign records only.
    let mut image = vec![0; len];
    mainline::load(&mut image, geometry);
    for slot in 0..slots {
        mainline::write(&mut image, geometry, slot, 9, b"mainline's record");
    }
    starts.push(("foreign records".into(), image));
    starts
}

fn run_all(slots: usize, parts: usize) {
    // Zones that are not aligned to anything but 2.
    let geometry = Geometry::new(params(slots * 514, 512)).unwrap();
    assert_eq!((geometry.slots(), geometry.stride()), (slots, 514));
    let mut states = 0;
    for (name, image) in starts(&geometry) {
        states += run(&name, &geometry, &image, parts);
    }
    println!("{slots} slots, {parts} parts: {states} states");
}

#[test]
fn one_slot() {
    run_all(1, 1);
}

#[test]
fn two_slots() {
    run_all(2, 1);
}

#[test]
fn four_slots() {
    run_all(4, 1);
}

#[test]
fn two_parts() {
    run_all(4, 2);
}

#[test]
fn three_parts() {
    run_all(4, 3);
}

/// All starting points, with parity, for numbers of slots and parts. Of two parts the second one is as long as can be.
fn run_with_ecc(stride: usize, ecc_size: usize, cases: &[(usize, usize)]) {
    let mut states = 0;
    for (slots, parts) in cases.iter().copied() {
        let geometry = geometry_with_ecc(slots, stride, ecc_size);
        for (name, image) in starts(&geometry) {
            states += run(&format!("ecc {ecc_size}, {name}"), &geometry, &image, parts);
        }
    }
    println!("ecc {ecc_size}: {states} states");
}

#[test]
fn two_bytes_of_parity() {
    run_with_ecc(514, 2, &[(2, 1), (3, 2)]);
}

#[test]
fn four_bytes_of_parity() {
    run_with_ecc(514, 4, &[(2, 1), (3, 2)]);
}

/// With 8 bytes the decoder can restore `sig` alone, and with 7 it guesses that well.
#[test]
fn seven_and_eight_bytes_of_parity() {
    run_with_ecc(514, 7, &[(2, 1)]);
    run_with_ecc(514, 8, &[(2, 1)]);
}

#[test]
fn sixteen_bytes_of_parity() {
    run_with_ecc(602, 16, &[(2, 1), (3, 2)]);
}
