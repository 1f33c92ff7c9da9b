// SPDX-License-Identifier: GPL-2.0

//! Whatever the region and the parameters are: nothing panics, the work is bounded, and what is
//! stored then is found: by the next boot as well, whose dump does not take it. No dump takes what is
//! worth something while there is a slot with nothing.

use crate::{
    fill,
    forge,
    info_of_boot,
    look,
    open,
    small_geometry,
    Bytes,
    Ram,
    OPTIONS, //
};
use ringbuf::{
    layout::SEQ_END,
    Geometry,
    Kind,
    Options,
    Params,
    Seal, //
};

/// Parameters as they come: most of them make no zone map.
fn any_geometry(input: &mut Bytes<'_>) -> Option<Geometry> {
    let params = Params {
        mem_size: input.size(),
        record_size: input.size(),
        console_size: input.size(),
        ftrace_size: input.size(),
        pmsg_size: input.size(),
        ecc_size: input.size(),
    };
    let geometry = Geometry::new(params).ok()?;
    let last = geometry.slots() - 1;
    assert!(geometry.slot_offset(last).unwrap() + geometry.stride() <= geometry.console().0);
    let (ftrace, len) = geometry.ftrace();
    assert!(ftrace + len <= params.mem_size);
    assert_eq!(geometry.slot_offset(geometry.slots()), None);
    Some(geometry)
}

fn look_at_all(ram: &Ram, geometry: &Geometry) -> Vec<(Kind, Vec<u8>)> {
    (0..geometry.slots())
        .map(|slot| look(ram, geometry, slot))
        .collect()
}

/// No dump takes anything else while there is a slot with such a thing.
fn is_nothing(kind: &Kind) -> bool {
    matches!(
        kind,
        Kind::Zero | Kind::Erased | Kind::Empty | Kind::Cleared(_) | Kind::Garbage
    )
}

/// Something without a seal that tells a later time: somebody else has stored it since then.
fn is_later(kind: &Kind, seal: &Seal) -> bool {
    matches!(kind, Kind::Foreign(foreign) if foreign.stamp.micros() > seal.micros())
}

/// Run the target on one input.
pub fn run(data: &[u8]) {
    let mut input = Bytes(data);
    let mode = input.u8();
    let geometry = match mode & 1 {
        0 => small_geometry(&mut input),
        _ => any_geometry(&mut input),
    };
    let Some(geometry) = geometry.filter(|geometry| geometry.mem_size() <= 1 << 16) else {
        return;
    };
    let options = match mode & 2 {
        0 => Options::default(),
        _ => OPTIONS,
    };
    let dumps = 1 + ((mode >> 5) & 1);
    let parts = 1 + ((mode >> 6) & 1);

    let ram = Ram::new(vec![0; geometry.mem_size()]);
    if mode & 4 != 0 {
        fill(&ram, &geometry, &mut input);
    }
    if mode & 16 != 0 {
        // Where numbers begin and end, or anywhere.
        let bases = [0, SEQ_END - 512];
        let base = bases
            .get(usize::from(input.u8()) % (bases.len() + 1))
            .copied();
        for _ in 0..1 + input.u8() % 4 {
            forge(&ram, &geometry, &mut input, base);
        }
    }
    // Either from the start on, or pieces at any place.
    if mode & 8 != 0 {
        let mut bytes = ram.bytes.borrow_mut();
        for (to, from) in bytes.iter_mut().zip(input.0) {
            *to = *from;
        }
    } else {
        let mut bytes = ram.bytes.borrow_mut();
        while !input.0.is_empty() {
            let (at, len) = (input.u16() % bytes.len(), input.u8() % 32);
            for to in bytes.iter_mut().skip(at).take(len.into()) {
                *to = input.u8();
            }
        }
    }

    // What is to be found by the next boot, and not to be taken by its first dump.
    let mut newest: Option<(usize, Seal, Vec<u8>)> = None;
    let mut newest_seq = None;
    for boot in [100, 101, 102] {
        ram.read.set(0);
        let (store, census) = open(&ram, &geometry, options);
        let mut views = look_at_all(&ram, &geometry);
        // The seal may be looked at several times, and blocks be read for each piece of text.
        let mem_size = geometry.mem_size();
        let guesses = usize::BITS as usize * 64 * 16;
        assert!(ram.read.get() <= 64 * mem_size + guesses, "too much work");
        if let Some((slot, seal, payload)) = &newest {
            assert_eq!(views[*slot], (Kind::Sealed(*seal), payload.clone()));
            assert_eq!(census.newest_seq, newest_seq);
        }
        if census.newest_seq >= Some(SEQ_END - 16) {
            // Only a forger gets there. There are no numbers for what comes next.
            return;
        }

        let info = info_of_boot(boot);
        let parts_max = store.parts_max(info.urgent);
        // Of the dump before, in this boot, but for part 1.
        let mut parts_before = 0;
        for _ in 0..dumps {
            let mut dump = store.begin(&info);
            let mut part_1 = None;
            let mut stored = 0;
            for part in 1..=parts {
                let text = [boot, part];
                let Ok(slot) = dump.append(&text, part == parts) else {
                    // The next slot holds part 1 of the dump before, or of this one.
                    assert!(part > 1 && parts_before + u64::from(part) > parts_max);
                    break;
                };
                stored = u64::from(part);
                assert!(stored <= parts_max);
                let before = views;
                views = look_at_all(&ram, &geometry);
                let (Kind::Sealed(seal), payload) = &views[slot] else {
                    panic!("{:?}", views[slot]);
                };
                assert!(payload.ends_with(&text));
                newest_seq = Some(seal.seq);
                part_1.get_or_insert_with(|| (slot, *seal, payload.clone()));

                for (other, view) in before.iter().enumerate() {
                    assert!(
                        other == slot || views[other] == *view,
                        "slot {other} changed"
                    );
                }
                let (evicted, _) = &before[slot];
                assert!(
                    is_nothing(evicted) || before.iter().all(|(kind, _)| !is_nothing(kind)),
                    "slot {slot} was taken: {before:?}"
                );
                if let Some((newest, seal, _)) = newest {
                    assert!(
                        slot != newest
                            || geometry.slots() == 1
                            || before.iter().any(|(kind, _)| is_later(kind, &seal)),
                        "the newest was taken: {before:?}"
                    );
                }
            }
            newest = part_1;
            parts_before = stored.saturating_sub(1);
        }
    }
}
