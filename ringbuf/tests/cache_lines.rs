// SPDX-License-Identifier: GPL-2.0

//! Power cuts with a cache in front of the RAM: which barriers there are, and how far they reach, is
//! what decides here. Zones share lines.

use std::collections::BTreeMap;

use crate::common::{
    cache::{
        cut_lines,
        LINE, //
    },
    cut::{
        delete,
        dump,
        Case,
        World, //
    },
    geometry_with_ecc,
    starts::starts,
    Op, //
};

/// Strides that are no multiple of a line: headers begin anywhere in one, and end in the next one.
/// Each with the number of bytes of parity.
const STRIDES: [(usize, usize); 6] = [(538, 0), (572, 0), (572, 4), (602, 16), (538, 4), (636, 16)];

fn world(slots: usize, stride: usize, ecc_size: usize) -> World {
    assert_ne!(stride % LINE, 0);
    World::new(geometry_with_ecc(slots, stride, ecc_size))
}

/// Cuts everywhere, and wants nothing to be wrong.
fn cut(name: &str, case: &Case<'_>, image: &[u8], log: &[Op]) {
    let cut = cut_lines(image, log, &|_, _| false, &mut |image, settled, op| {
        case.check(image, settled, op)
    });
    let (_, cache) = cut.unwrap_or_else(|err| panic!("{name}: {err}"));
    assert_eq!(
        cache.dirty(),
        Vec::<usize>::new(),
        "{name}: not all has reached the RAM"
    );
}

#[test]
fn dumps() {
    // The others are much like these.
    for (stride, ecc_size) in STRIDES.into_iter().take(4) {
        for (slots, parts) in [(1, 1), (3, 2)] {
            let world = world(slots, stride, ecc_size);
            for (name, image) in starts(&world.geometry) {
                let (case, log) = dump(&world, &image, parts);
                cut(&name, &case, &image, &log);
            }
            println!(
                "{stride}, {ecc_size}, {slots}, {parts}: {:?} states",
                world.states()
            );
        }
    }
}

#[test]
fn deleting() {
    for (stride, ecc_size) in STRIDES {
        let world = world(2, stride, ecc_size);
        for (name, image) in starts(&world.geometry) {
            for slot in 0..2 {
                let (case, log) = delete(&world, &image, slot);
                cut(&format!("{name}, slot {slot} deleted"), &case, &image, &log);
            }
        }
        println!("{stride}, {ecc_size}: {:?} states", world.states());
    }
}

/// What of a barrier is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    All,
    FirstLine,
    LastLine,
}

/// Which barrier of how many, which part of it, and whether it is missed if it is left out.
type Missed = BTreeMap<(usize, usize, Part), bool>;

/// Leaves out each barrier, and of each the first and the last line in which something was written.
/// `period` is after how many barriers they repeat.
fn leave_out(case: &Case<'_>, image: &[u8], log: &[Op], period: usize, missed: &mut Missed) {
    let cut = cut_lines(image, log, &|_, _| false, &mut |_, _, _| Ok(()));
    let (useful, _) = cut.unwrap();
    let is_barrier = |op: &&Op| matches!(op, Op::Barrier { .. });
    for barrier in 0..log.iter().filter(is_barrier).count() {
        let lines = || {
            let lines = useful.iter().filter(|(b, _)| *b == barrier);
            lines.map(|(_, line)| *line)
        };
        let mut leave = |part, is_left_out: &dyn Fn(usize) -> bool| {
            let missed = missed.entry((period, barrier % period, part)).or_default();
            // Once is enough.
            if !*missed {
                let omit = |b, line| b == barrier && is_left_out(line);
                let cut = cut_lines(image, log, &omit, &mut |image, settled, op| {
                    case.check_slots(image, settled, op).map(|_| ())
                });
                *missed = cut.is_err();
            }
        };
        leave(Part::All, &|_| true);
        if let (Some(first), Some(last)) = (lines().min(), lines().max()) {
            leave(Part::FirstLine, &|line| line == first);
            leave(Part::LastLine, &|line| line == last);
        }
    }
}

/// What nobody misses.
fn needless(missed: &Missed) -> Vec<(usize, usize, Part)> {
    let needless = missed.iter().filter(|(_, missed)| !**missed);
    needless.map(|(what, _)| *what).collect()
}

#[test]
fn every_barrier_of_a_dump_counts() {
    use Part::*;
    // Intent and payload may have a last line with nothing but parity. The next barrier settles it, too,
    // before mainline sees the record; we take a word that cannot be corrected as it is.
    let parity = [(7, 4, LastLine)];
    // With so little parity a header cannot be corrected without `sig`.
    let little_parity = [(7, 1, All), (7, 1, FirstLine), (7, 1, LastLine)];
    for (ecc_size, expected) in [
        (0, vec![]),
        (4, [&little_parity[..], &parity].concat()),
        (16, vec![(7, 3, LastLine)]),
    ] {
        let mut missed = Missed::new();
        let period = if ecc_size == 0 { 6 } else { 7 };
        for (stride, _) in STRIDES.into_iter().filter(|(_, ecc)| *ecc == ecc_size) {
            let world = world(3, stride, ecc_size);
            for (_, image) in starts(&world.geometry) {
                for parts in [1, 2] {
                    let (case, log) = dump(&world, &image, parts);
                    leave_out(&case, &image, &log, period, &mut missed);
                }
            }
        }
        assert_eq!(needless(&missed), expected, "{ecc_size} bytes of parity");
    }
}

#[test]
fn every_barrier_of_a_delete_counts() {
    // What has no record is erased. A record that cannot only be emptied is erased afterwards, so that
    // its header is written again; and `sig` was right before, if the record is not one of ours. That
    // ours loses its `sig` first matters if the next write is torn within a line.
    let emptied = |len, parts: &[(usize, &[Part])]| -> Vec<(usize, usize, Part)> {
        let mut list = Vec::new();
        for (barrier, parts) in parts {
            list.extend(parts.iter().map(|part| (len, *barrier, *part)));
        }
        list
    };
    let all: &[Part] = &[Part::All, Part::FirstLine, Part::LastLine];
    let sig: &[Part] = &[Part::All];
    let plain = [
        emptied(2, &[(1, sig)]),
        emptied(4, &[(0, all)]),
        emptied(5, &[(1, sig)]),
    ]
    .concat();
    // With so little parity a header cannot be corrected back.
    let little_parity = [emptied(5, &[(0, all)]), emptied(6, &[(1, all), (2, sig)])].concat();
    let parity = [emptied(5, &[(0, all)]), emptied(6, &[(2, sig)])].concat();
    for (ecc_size, expected) in [(0, &plain), (4, &little_parity), (16, &parity)] {
        let mut missed = Missed::new();
        for (stride, _) in STRIDES.into_iter().filter(|(_, ecc)| *ecc == ecc_size) {
            let world = world(2, stride, ecc_size);
            for (_, image) in starts(&world.geometry) {
                for slot in 0..2 {
                    let (case, log) = delete(&world, &image, slot);
                    let is_barrier = |op: &&Op| matches!(op, Op::Barrier { .. });
                    let barriers = log.iter().filter(is_barrier).count();
                    leave_out(&case, &image, &log, barriers, &mut missed);
                }
            }
        }
        assert_eq!(&needless(&missed), expected, "{ecc_size} bytes of parity");
    }
}
