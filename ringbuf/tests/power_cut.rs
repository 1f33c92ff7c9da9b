// SPDX-License-Identifier: GPL-2.0

//! Cuts the power at every point of a dump, and looks at what is left.
//!
//! A barrier settles the writes that lie within its range. What was written since may have reached
//! RAM or not, in any order: every subset of those writes is tried, and also with one of them torn
//! at each byte, either its beginning or its end being there. With parity there are too many writes
//! between two barriers for that: there it is every subset, and each of them torn at each byte among
//! all that come before or after it, and among some of the others.

use crate::common::{
    cache::Random,
    cut::{
        dump,
        World, //
    },
    geometry_with_ecc,
    params,
    starts::starts,
    Op, //
};
use ringbuf::Geometry;

fn apply(image: &mut [u8], offset: usize, data: &[u8]) {
    image[offset..offset + data.len()].copy_from_slice(data);
}

/// Calls `check` with each state of the region that a cut may leave, if `settled` has reached RAM
/// and `pending` was written since.
fn cut(
    settled: &[u8],
    pending: &[(usize, Vec<u8>)],
    random: &mut Random,
    check: &mut dyn FnMut(&[u8]),
) {
    if pending.len() > 3 {
        return cut_many(settled, pending, random, check);
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
fn cut_many(
    settled: &[u8],
    pending: &[(usize, Vec<u8>)],
    random: &mut Random,
    check: &mut dyn FnMut(&[u8]),
) {
    assert!(pending.len() <= 14, "too many states: {}", pending.len());
    let mut subset_with = |subset: u64, torn: usize, from: usize, to: usize| {
        let mut image = settled.to_vec();
        for (i, (offset, data)) in pending.iter().enumerate() {
            if i == torn {
                apply(&mut image, offset + from, &data[from..to]);
            } else if subset & (1 << i) != 0 {
                apply(&mut image, *offset, data);
            }
        }
        check(&image);
    };
    for subset in 0..1 << pending.len() {
        subset_with(subset, usize::MAX, 0, 0);
    }
    for (torn, (_, data)) in pending.iter().enumerate() {
        let before = (1 << torn) - 1;
        for at in 1..data.len() {
            subset_with(before, torn, 0, at);
            subset_with(!before, torn, at, data.len());
            subset_with(random.next(), torn, 0, at);
            subset_with(random.next(), torn, at, data.len());
        }
    }
}

/// Cuts a dump of `parts` into `image`.
fn run(name: &str, world: &World, image: &[u8], parts: usize) {
    let (case, log) = dump(world, image, parts);
    // Different subsets for each starting point.
    let mut random = Random(name.len() as u64);
    let mut settled = image.to_vec();
    let mut pending: Vec<(usize, Vec<u8>)> = Vec::new();
    for (op, what) in log.iter().enumerate() {
        match what {
            Op::Write { offset, data } => pending.push((*offset, data.clone())),
            Op::Barrier { offset, len } => {
                cut(&settled, &pending, &mut random, &mut |image| {
                    if let Err(err) = case.check(image, &settled, op) {
                        panic!("{name}: {err}");
                    }
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
    case.check(&settled, &settled, usize::MAX).unwrap();
    assert_eq!(world.views(&settled), case.after);
}

/// Cuts dumps into so many of the starting points.
fn run_all(slots: usize, parts: usize, count: usize) {
    // Zones that are not aligned to anything but 2.
    let geometry = Geometry::new(params(slots * 514, 512)).unwrap();
    assert_eq!((geometry.slots(), geometry.stride()), (slots, 514));
    let world = World::new(geometry);
    for (name, image) in starts(&geometry).into_iter().take(count) {
        run(&name, &world, &image, parts);
    }
    println!("{slots} slots, {parts} parts: {:?} states", world.states());
}

#[test]
fn one_slot() {
    run_all(1, 1, usize::MAX);
}

#[test]
fn two_slots() {
    run_all(2, 1, usize::MAX);
}

#[test]
fn four_slots() {
    run_all(4, 1, usize::MAX);
}

#[test]
fn two_parts() {
    run_all(4, 2, usize::MAX);
}

#[test]
fn three_parts() {
    // Fewer slots have no room for them. What single slots hold is the matter of the others.
    run_all(7, 3, 7);
}

/// All starting points, with parity, for numbers of slots and parts. Of two parts the second one is as long as can be.
fn run_with_ecc(stride: usize, ecc_size: usize, cases: &[(usize, usize)]) {
    for (slots, parts) in cases.iter().copied() {
        let geometry = geometry_with_ecc(slots, stride, ecc_size);
        let world = World::new(geometry);
        for (name, image) in starts(&geometry) {
            run(&name, &world, &image, parts);
        }
        println!(
            "ecc {ecc_size}, {slots} slots, {parts} parts: {:?} states",
            world.states()
        );
    }
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
