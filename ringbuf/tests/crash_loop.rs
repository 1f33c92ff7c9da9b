// SPDX-License-Identifier: GPL-2.0

//! In a loop of crashes the first one is the interesting one: it is kept while the loop goes on.

use std::collections::BTreeMap;

use crate::common::{
    geometry,
    geometry_with_ecc,
    look,
    mainline,
    open_with,
    strip_prefix,
    Ram,
    INFO, //
};
use ringbuf::{
    Dropped,
    DumpInfo,
    Geometry,
    Kind,
    Options,
    Seal, //
};

const SECOND: u64 = 1_000_000_000;
const LOOP: Options = Options {
    loop_ns: 300 * SECOND,
};

struct Machine {
    ram: Ram,
    geometry: Geometry,
    options: Options,
    boots: u64,
}

impl Machine {
    fn new(slots: usize) -> Self {
        let geometry = geometry(slots);
        Self {
            ram: Ram::new(vec![0; geometry.mem_size()]),
            geometry,
            options: LOOP,
            boots: 0,
        }
    }

    /// A boot, with dumps of so many parts, each so many seconds after boot.
    fn boot(&mut self, dumps: &[(u64, usize, &str)]) -> Vec<Result<usize, Dropped>> {
        self.boots += 1;
        let (store, _) = open_with(&self.ram, &self.geometry, self.options);
        let mut results = Vec::new();
        for (secs, parts, text) in dumps {
            let mut boot_id = [0; 16];
            boot_id[..8].copy_from_slice(&self.boots.to_le_bytes());
            let info = DumpInfo {
                boot_id,
                boottime_ns: secs * SECOND,
                ..INFO
            };
            let mut dump = store.begin(&info);
            for part in 1..=*parts {
                let text = format!("{text}.{part}");
                results.push(dump.append(text.as_bytes(), part == *parts));
            }
        }
        results
    }

    fn crash(&mut self, secs: u64, text: &str) {
        for result in self.boot(&[(secs, 1, text)]) {
            result.unwrap();
        }
    }

    fn texts(&self) -> BTreeMap<String, Seal> {
        let sealed = (0..self.geometry.slots()).filter_map(|slot| {
            let (Kind::Sealed(seal), payload) = look(&&self.ram, &self.geometry, slot) else {
                return None;
            };
            let text = String::from_utf8(strip_prefix(&payload).to_vec()).unwrap();
            Some((text, seal))
        });
        sealed.collect()
    }

    fn has(&self, text: &str) -> bool {
        self.texts().contains_key(&format!("{text}.1"))
    }

    fn erase(&mut self, text: &str) {
        let slot = (0..self.geometry.slots()).find(|slot| {
            let (_, payload) = look(&&self.ram, &self.geometry, *slot);
            payload.ends_with(format!("\n{text}.1").as_bytes())
        });
        mainline::erase(
            &mut self.ram.bytes.borrow_mut(),
            &self.geometry,
            slot.unwrap(),
        );
    }
}

#[test]
fn first_and_newest_of_a_hundred() {
    // The first crash may itself come soon after boot.
    for first in [10, 100_000] {
        for before in [0, 1, 7, 15, 20] {
            let mut machine = Machine::new(15);
            for i in 0..before {
                machine.crash(50_000, &format!("before {i}"));
            }
            machine.crash(first, "first");
            let mut seen = Vec::new();
            for i in 0..100 {
                let name = format!("again {i}");
                machine.crash(20 + i % 7, &name);
                seen.push(name);
                // The first one of all begins the loop, if it counts as one.
                let begins = first >= 300 || before == 0;
                let kept = match begins {
                    true => "first".into(),
                    false => format!("before {}", before - 1),
                };
                assert!(machine.has(&kept), "{first}, {before} before, {i}");
                // The newest ones are all there but for its slot.
                for name in seen.iter().rev().take(14) {
                    assert!(machine.has(name), "{first}, {before} before, {i}: {name}");
                }
            }
            // All of the loop name it.
            let texts = machine.texts();
            let starts: Vec<u64> = texts.values().map(|seal| seal.loop_start).collect();
            let begin = starts.iter().max().unwrap();
            assert_eq!(starts.iter().filter(|start| *start == begin).count(), 14);
            assert_eq!(texts.len(), 15);
        }
    }
}

#[test]
fn off() {
    let mut machine = Machine::new(15);
    machine.options = Options::default();
    machine.crash(100_000, "first");
    for i in 0..15 {
        assert!(machine.has("first"));
        machine.crash(20, &format!("{i}"));
    }
    assert!(!machine.has("first"));
    assert!(machine.texts().values().all(|seal| seal.loop_start == 0));
}

#[test]
fn crashes_far_apart_are_no_loop() {
    let mut machine = Machine::new(4);
    for i in 0..20 {
        machine.crash(300, &format!("{i}"));
        assert!(machine.texts().values().all(|seal| seal.loop_start == 0));
    }
    assert_eq!(machine.texts().len(), 4);
    assert!((16..20).all(|i| machine.has(&format!("{i}"))));
}

#[test]
fn two_loops() {
    let mut machine = Machine::new(15);
    for (name, crashes) in [("first", 40), ("second", 40), ("third", 5)] {
        machine.crash(100_000, name);
        for i in 0..crashes {
            machine.crash(20, &format!("{name} {i}"));
        }
    }
    // A loop that is over keeps nothing.
    assert!(machine.has("third") && !machine.has("first") && !machine.has("second"));
    assert!((0..5).all(|i| machine.has(&format!("third {i}"))));
    assert_eq!(machine.texts().len(), 15);
}

#[test]
fn with_parity() {
    let mut machine = Machine::new(5);
    machine.geometry = geometry_with_ecc(5, 602, 16);
    machine.ram = Ram::new(vec![0; machine.geometry.mem_size()]);
    machine.crash(100_000, "first");
    for i in 0..20 {
        machine.crash(20, &format!("{i}"));
        // A wrong byte in each seal.
        for slot in 0..5 {
            let at = machine.geometry.seal_offset(slot).unwrap() + 135;
            machine.ram.bytes.borrow_mut()[at] ^= 1;
        }
        assert!(machine.has("first"));
    }
}

#[test]
fn deleting_ends_it() {
    let mut machine = Machine::new(5);
    machine.crash(100_000, "first");
    for i in 0..10 {
        machine.crash(20, &format!("{i}"));
    }
    machine.erase("first");
    // Its slot is free.
    machine.crash(20, "10");
    assert!((6..=10).all(|i| machine.has(&format!("{i}"))));
    machine.crash(20, "11");
    assert!((7..=11).all(|i| machine.has(&format!("{i}"))));

    // Someone deletes the newest record: the next crash begins a new loop.
    machine.erase("11");
    machine.crash(20, "new first");
    assert_eq!(machine.texts()["new first.1"].loop_start, 0);
    for i in 20..40 {
        machine.crash(20, &format!("{i}"));
        assert!(machine.has("new first"));
    }
}

#[test]
fn dumps_that_span_slots() {
    let mut machine = Machine::new(8);
    machine.boot(&[(100_000, 3, "first")]);
    for i in 0..30 {
        machine.boot(&[(20, 2, &format!("{i}"))]);
        // Part 1 is what is kept.
        assert!(machine.has("first"), "{i}");
        let texts = machine.texts();
        assert!(texts.contains_key(&format!("{i}.1")));
        assert!(texts.contains_key(&format!("{i}.2")));
    }
}

/// Two dumps in one boot: an oops, then a panic.
#[test]
fn several_dumps_per_boot() {
    let mut machine = Machine::new(6);
    machine.boot(&[(99_000, 1, "oops"), (100_000, 1, "first")]);
    for i in 0..30 {
        let (oops, panic) = (format!("oops {i}"), format!("panic {i}"));
        machine.boot(&[(20, 1, &oops), (21, 1, &panic)]);
        assert!(machine.has("first") && machine.has(&oops) && machine.has(&panic));
        // The panics of the loop do not begin loops of their own.
        let texts = machine.texts();
        assert!((5..=6).contains(&texts.len()) || i < 2);
        assert_eq!(texts[&format!("{panic}.1")].loop_start, 2);
    }
    // Late in a boot that began in the loop, it is over.
    machine.boot(&[(20, 1, "early"), (100_000, 1, "late")]);
    assert_eq!(machine.texts()["early.1"].loop_start, 2);
    assert_eq!(machine.texts()["late.1"].loop_start, 0);
}

#[test]
fn at_run_time() {
    // The mark counts for the rest of the boot already.
    let mut machine = Machine::new(4);
    machine.crash(100_000, "first");
    let again: Vec<(u64, usize, String)> = (0..9).map(|i| (20, 1, format!("{i}"))).collect();
    let again: Vec<(u64, usize, &str)> = again
        .iter()
        .map(|(secs, parts, text)| (*secs, *parts, text.as_str()))
        .collect();
    assert!(machine.boot(&again).iter().all(|result| result.is_ok()));
    assert!(machine.has("first") && machine.has("6") && machine.has("7") && machine.has("8"));
}

#[test]
fn the_only_one_that_names_it_is_damaged() {
    let mut machine = Machine::new(4);
    machine.crash(100_000, "first");
    machine.crash(20, "1");
    let payload = machine.geometry.data_offset(1).unwrap();
    machine.ram.bytes.borrow_mut()[payload + 40] ^= 1;
    let again: Vec<_> = (0..9).map(|_| (20, 1, "again")).collect();
    assert!(machine.boot(&again).iter().all(|result| result.is_ok()));
    assert!(machine.has("first"));
}

#[test]
fn nothing_else_to_take() {
    // The first one, and the newest, which is never overwritten.
    let mut machine = Machine::new(2);
    machine.crash(100_000, "first");
    machine.crash(20, "1");
    machine.crash(20, "2");
    assert!(!machine.has("first") && machine.has("1") && machine.has("2"));

    let mut machine = Machine::new(1);
    for i in 0..4 {
        machine.crash(20, &format!("{i}"));
        assert!(machine.has(&format!("{i}")));
    }
}

#[test]
fn free_and_foreign_slots_go_first() {
    let mut machine = Machine::new(4);
    machine.crash(100_000, "first");
    machine.crash(20, "1");
    {
        let mut image = machine.ram.bytes.borrow_mut();
        mainline::load(&mut image, &machine.geometry);
        mainline::write(&mut image, &machine.geometry, 3, 5, b"foreign");
    }
    machine.crash(20, "2");
    assert!(machine.has("first") && machine.has("1") && machine.has("2"));
    machine.crash(20, "3");
    assert!(machine.has("first") && machine.has("1") && machine.has("2") && machine.has("3"));
    machine.crash(20, "4");
    assert!(machine.has("first") && !machine.has("1"));
}

/// With the option off, a loop is over with the next crash.
#[test]
fn turned_off() {
    let mut machine = Machine::new(4);
    machine.crash(100_000, "first");
    for i in 0..10 {
        machine.crash(20, &format!("{i}"));
    }
    assert!(machine.has("first"));
    machine.options = Options::default();
    machine.crash(20, "10");
    // The newest crash then belonged to the loop, and this one does not.
    assert!(machine.has("first"));
    machine.crash(20, "11");
    assert!(!machine.has("first"));
}

/// The module was loaded again, and there was no boot between the dumps.
#[test]
fn opened_twice_in_a_boot() {
    let mut machine = Machine::new(4);
    for i in 0..3 {
        machine.boots = 7;
        machine.crash(20, &format!("{i}"));
    }
    assert!(machine.texts().values().all(|seal| seal.loop_start == 0));
}
