// SPDX-License-Identifier: GPL-2.0

//! Which slot is next: the order at load, storms, dumps that are stopped at each step, deletion.

use std::{
    cell::Cell,
    collections::BTreeSet,
    ops::Deref,
    panic::{
        catch_unwind,
        resume_unwind,
        AssertUnwindSafe, //
    },
    sync::atomic::AtomicU32, //
};

use crate::common::{
    cache::Random,
    evict::{
        Eviction,
        State, //
    },
    forge,
    geometry,
    kernel_crc32c,
    look,
    mainline,
    open_with,
    order,
    scratch,
    strip_prefix,
    Ram,
    INFO, //
};
use ringbuf::{
    classify,
    layout::SEAL_MAGIC_OFFSET,
    Dropped,
    DumpInfo,
    Geometry,
    Kind,
    Memory,
    Options,
    Store, //
};

const LOOP: Options = Options {
    loop_ns: 60_000_000_000,
};

const PANIC: DumpInfo<'static> = DumpInfo {
    urgent: true,
    ..INFO
};

/// Breaks the seal as a cut after the first steps of a dump does.
fn tear(ram: &Ram, geometry: &Geometry, slot: usize) {
    let mut image = ram.bytes.borrow_mut();
    image[slot * geometry.stride()] = 0;
    let magic = geometry.seal_offset(slot).unwrap() + SEAL_MAGIC_OFFSET;
    image[magic - 4..magic + 4].copy_from_slice(b"\0\0\0\0SEAW");
}

/// Boots with one crash each, of one part. Returns the slots.
fn boots(ram: &Ram, geometry: &Geometry, count: u8) -> Vec<usize> {
    let boot = |n: u8| {
        let (store, _) = open_with(ram, geometry, Options::default());
        let info = DumpInfo {
            boot_id: [n; 16],
            realtime_ns: (u64::from(n) + 1) * 1_000_000_000,
            ..INFO
        };
        let mut dump = store.begin(&info);
        dump.append(format!("boot {n}").as_bytes(), true).unwrap()
    };
    (0..count).map(boot).collect()
}

/// The slots that dumps of one part take, one after the other.
fn taken(ram: &Ram, geometry: &Geometry, dumps: usize) -> Vec<usize> {
    let (store, census) = open_with(ram, geometry, Options::default());
    let dump = |_| {
        assert_eq!(*store.memory().reads.borrow(), *ram.reads.borrow());
        store.begin(&INFO).append(b"new", true).unwrap()
    };
    let slots: Vec<usize> = (0..dumps).map(dump).collect();
    assert_eq!(census.next, slots.first().copied());
    slots
}

/// One of each kind, none of them where it would be if only the place counted.
#[test]
fn lowest_rank_first() {
    let geometry = geometry(12);
    let ram = Ram::new(vec![0; geometry.mem_size()]);
    assert_eq!(boots(&ram, &geometry, 5), [0, 1, 2, 3, 4]);
    // 5, 6 and 7 are of one crash, the newest one of ours.
    let (store, _) = open_with(&ram, &geometry, Options::default());
    let info = DumpInfo {
        realtime_ns: 6_000_000_000,
        ..INFO
    };
    let mut newest = store.begin(&info);
    for slot in 5..8 {
        assert_eq!(newest.append(b"text", slot == 7), Ok(slot));
    }
    {
        let mut image = ram.bytes.borrow_mut();
        // 1 is damaged, 2 has lost its seal.
        image[512 + 12 + 30] ^= 1;
        image[geometry.seal_offset(2).unwrap()] ^= 1;
        // 9 is older than our newest one, 8 is salvaged, and 10 and 11 are nothing.
        mainline::write(&mut image, &geometry, 9, 5, b"text");
        mainline::write(&mut image, &geometry, 8, 7, b"Oops#1 Part1\ntext\n");
        image[8 * 512..8 * 512 + 12].fill(0x33);
        image[11 * 512..].fill(0x5a);
    }
    // 3 is torn.
    tear(&ram, &geometry, 3);
    let is = |slot: usize| classify(&&ram, &geometry, slot).unwrap().kind;
    assert!(matches!(is(1), Kind::Damaged(_)) && matches!(is(2), Kind::Foreign(_)));
    assert!(matches!(is(3), Kind::Torn(_)) && matches!(is(8), Kind::Salvaged { .. }));

    // Part 1 of the newest crash, in slot 5, is kept.
    let image = ram.image();
    let expected = [10, 11, 8, 9, 0, 1, 2, 3, 4, 7, 6];
    assert_eq!(taken(&ram, &geometry, 11), expected);

    // A newer stock record is the newest of all.
    *ram.bytes.borrow_mut() = image;
    mainline::write(&mut ram.bytes.borrow_mut(), &geometry, 9, 7, b"text");
    let expected = [10, 11, 8, 0, 1, 2, 3, 4, 7, 6];
    assert_eq!(taken(&ram, &geometry, 10), expected);
    assert!(matches!(is(9), Kind::Foreign(_)));
}

/// A flipped bit or a cut makes no record older, and what tells no age is not the newest.
#[test]
fn damage_lowers_nothing() {
    let geometry = geometry(5);
    let whole = Ram::new(vec![0; geometry.mem_size()]);
    boots(&whole, &geometry, 5);
    for slot in 0..5 {
        let torn = Ram::new(whole.image());
        tear(&torn, &geometry, slot);
        let mut rams = vec![("torn", torn)];
        // Header, payload, seal, and its magic number.
        for at in [0, 5, 9, 40, 330, 400, 490, 505, 511] {
            let ram = Ram::new(whole.image());
            ram.bytes.borrow_mut()[slot * 512 + at] ^= 0x10;
            rams.push(("flipped", ram));
        }
        for (name, ram) in rams {
            let kind = classify(&&ram, &geometry, slot).unwrap().kind;
            let has_age = !matches!(kind, Kind::Torn(_) | Kind::Foreign(_));
            let expected = match (slot, has_age) {
                // Without a number, what is in the first slot may well be newer than what is in
                // the last one, but it is not the newest.
                (0, false) => [1, 2, 3, 0],
                // The one before it is the newest that tells its age.
                (4, false) => [0, 1, 2, 4],
                _ => [0, 1, 2, 3],
            };
            let slots = taken(&ram, &geometry, 4);
            assert_eq!(slots, expected, "{name} {slot}: {kind:?}");
        }
    }
}

/// Random regions: the slots are taken in the order that the oracle says.
#[test]
fn any_region() {
    let mut random = Random(3);
    for round in 0..4000 {
        let slots = 1 + random.below(20);
        let geometry = geometry(slots);
        let ram = Ram::new(vec![0; geometry.mem_size()]);
        let mut states = Vec::new();
        let mut last = None;
        let mut latest = None;
        for slot in 0..slots {
            let kind = random.below(8);
            states.push(match kind {
                0 => State::Nothing,
                // Before and after the time of the forged ones.
                1 | 2 => {
                    let secs = [1_000, 100_000][kind - 1] + slot;
                    mainline::write(
                        &mut ram.bytes.borrow_mut(),
                        &geometry,
                        slot,
                        secs as u64,
                        b"x",
                    );
                    let stamp = secs as i64 * 1_000_000 + 42;
                    latest = latest.max(Some((stamp, slot)));
                    State::Stock(stamp)
                }
                _ => {
                    // Not the same twice.
                    let crash = (random.below(100) * 20 + slot + 1) as u64;
                    let loop_start = [0, random.next() % crash][random.below(2)];
                    let part = 1 + random.below(3) as u32;
                    forge(&ram, &geometry, slot, (crash, crash, loop_start, part));
                    let (Kind::Sealed(seal), _) = look(&&ram, &geometry, slot) else {
                        panic!("a forged record is not whole");
                    };
                    if kind == 3 {
                        tear(&ram, &geometry, slot);
                        State::Ageless
                    } else {
                        last = last.max(Some((crash, slot, loop_start)));
                        State::Ours(seal)
                    }
                }
            });
        }
        let start = match (last, latest) {
            (Some((_, slot, _)), _) | (None, Some((_, slot))) => slot + 1,
            (None, None) => 0,
        };
        let loop_start = last.map(|(crash, _, start)| if start == 0 { crash } else { start });
        let mut eviction = Eviction::new(&states, start, loop_start);
        let (store, census) = open_with(&ram, &geometry, LOOP);
        let name = format!("round {round}: {states:?}");
        assert_eq!(census.next, eviction.list.first().copied(), "{name}");
        for _ in 0..2 * slots {
            let is_panic = random.below(4) == 0;
            let mut dump = store.begin(if is_panic { &PANIC } else { &INFO });
            let limit = eviction.begin(is_panic);
            for part in 1..=1 + random.below(22) as u32 {
                let slot = dump.append(b"new", false);
                let expected = eviction.claim(part, limit);
                assert_eq!(slot, expected.ok_or(Dropped::NoSlot), "{name}");
                if slot.is_err() {
                    break;
                }
            }
        }
    }
}

/// Whatever the records claim to be, at most two slots are kept, and numbers go on.
#[test]
fn claims_keep_two_slots() {
    let geometry = geometry(6);
    for number in [
        &(|_| (77u64, 77u64, 0u64)) as &dyn Fn(u64) -> (u64, u64, u64),
        &|slot| (10 + slot, 10 + slot, 9 + slot),
        &|slot| (77 + slot, 77, 76),
        &|slot| ((1 << 62) + slot, 5, 1),
    ] {
        let ram = Ram::new(vec![0; geometry.mem_size()]);
        for slot in 0..6 {
            let (seq, crash, start) = number(slot);
            forge(&ram, &geometry, slot as usize, (seq, crash, start, 1));
        }
        let (store, census) = open_with(&ram, &geometry, LOOP);
        let slots: BTreeSet<usize> = (0..12)
            .map(|_| store.begin(&INFO).append(b"new", true).unwrap())
            .collect();
        assert!(slots.len() >= 4, "{slots:?}");
        let (_, again) = open_with(&ram, &geometry, LOOP);
        assert_eq!(again.newest_seq, census.newest_seq.map(|seq| seq + 12));
    }
}

/// In each of two boots ten times as many crashes as slots: what is to be there in the end is there.
#[test]
fn storms() {
    for slots in 1..=20 {
        for options in [LOOP, Options::default()] {
            let geometry = geometry(slots);
            let ram = Ram::new(vec![0; geometry.mem_size()]);
            let storm = |boot: u8| {
                let (store, _) = open_with(&ram, &geometry, options);
                for n in 0..10 * slots {
                    let info = DumpInfo {
                        boot_id: [boot; 16],
                        urgent: n + 1 == 10 * slots,
                        ..INFO
                    };
                    let text = format!("boot {boot}, crash {n}");
                    store.begin(&info).append(text.as_bytes(), true).unwrap();
                }
            };
            let texts = || -> BTreeSet<String> {
                let text = |slot| look(&&ram, &geometry, slot).1;
                let text = |slot| String::from_utf8(strip_prefix(&text(slot)).to_vec()).unwrap();
                (0..slots).map(text).collect()
            };
            let last = 10 * slots - 1;
            storm(1);
            let before = texts();
            // Nothing is kept in an empty region.
            let once = slots / 4;
            let expected = (0..once).chain(10 * slots - (slots - once)..10 * slots);
            let expected: BTreeSet<_> = expected.map(|n| format!("boot 1, crash {n}")).collect();
            assert_eq!(before, expected);
            storm(2);
            let now = texts();
            // The newest crash of the boot before it, which is the first of the loop.
            let kept = usize::from(slots >= 4);
            assert_eq!(now.contains(&format!("boot 1, crash {last}")), kept == 1);
            let list = slots - kept;
            let once = list / 4;
            for n in (0..once).chain(10 * slots - (list - once)..10 * slots) {
                assert!(
                    now.contains(&format!("boot 2, crash {n}")),
                    "{slots}: {n}, {now:?}"
                );
            }
            storm(3);
            let now = texts();
            let first = format!("boot 1, crash {last}");
            let newest = format!("boot 2, crash {last}");
            let is_loop = options == LOOP;
            assert_eq!(now.contains(&newest), slots > 4 || (slots == 4 && !is_loop));
            assert_eq!(
                now.contains(&first),
                slots >= 4 && is_loop,
                "{slots}: {now:?}"
            );
        }
    }
}

thread_local! {
    /// Steps until the CPU stops for ever.
    static STEPS: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// Before each look at the list of slots, and at each write.
fn step() {
    let left = STEPS.get();
    STEPS.set(left.wrapping_sub(1));
    if left == 0 {
        // Does not print a message.
        resume_unwind(Box::new("stopped"));
    }
}

/// A list of slots, and memory, whose user stops at one of the steps.
struct Steps<T>(T);

impl Deref for Steps<Vec<AtomicU32>> {
    type Target = [AtomicU32];

    fn deref(&self) -> &[AtomicU32] {
        step();
        &self.0
    }
}

impl Memory for Steps<&Ram> {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn read(&self, offset: usize, buf: &mut [u8]) -> bool {
        self.0.read(offset, buf)
    }

    fn write(&self, offset: usize, data: &[u8]) -> bool {
        step();
        self.0.write(offset, data)
    }

    fn barrier(&self, offset: usize, len: usize) {
        self.0.barrier(offset, len);
    }

    fn crc32c(crc: u32, data: &[u8]) -> u32 {
        kernel_crc32c(crc, data)
    }

    fn encode(&self, _block: &[u8], _parity: &mut [u8]) {
        unreachable!("there is no parity");
    }

    fn decode(&self, _block: &mut [u8], _parity: &mut [u8]) -> Option<usize> {
        unreachable!("there is no parity");
    }
}

type StepStore<'a> = Store<Steps<&'a Ram>, Steps<Vec<AtomicU32>>>;

/// A machine that was in use for a while.
struct Machine<'a> {
    ram: &'a Ram,
    geometry: Geometry,
    store: StepStore<'a>,
}

impl<'a> Machine<'a> {
    /// Some boots with some crashes, of some parts each.
    fn new(ram: &'a Ram, slots: usize, random: &mut Random) -> Self {
        let geometry = geometry(slots);
        *ram.bytes.borrow_mut() = vec![0; geometry.mem_size()];
        let open = || {
            let (memory, list) = (Steps(ram), Steps(order(&geometry)));
            Store::open(memory, geometry, list, &mut scratch(&geometry), LOOP)
                .unwrap()
                .0
        };
        let mut machine = Self {
            ram,
            geometry,
            store: open(),
        };
        for boot in 0..random.below(4) as u8 {
            for _ in 0..random.below(3 * slots) {
                machine.dump(&INFO, 1 + random.below(4), boot);
            }
            machine.store = open();
        }
        machine
    }

    /// Stores a crash of so many parts, as far as it may. Returns its slots.
    fn dump(&self, info: &DumpInfo<'_>, parts: usize, boot: u8) -> Vec<usize> {
        let info = DumpInfo {
            boot_id: [boot; 16],
            ..*info
        };
        let mut dump = self.store.begin(&info);
        let append = |part| {
            dump.append(format!("part {part}").as_bytes(), part == parts)
                .ok()
        };
        (1..=parts).map_while(append).collect()
    }

    fn zone(&self, slot: usize) -> Vec<u8> {
        let stride = self.geometry.stride();
        self.ram.bytes.borrow()[slot * stride..][..stride].to_vec()
    }

    /// The slot of part 1 of the crash with the highest number that is whole.
    fn newest(&self) -> Option<usize> {
        let seals = (0..self.geometry.slots()).filter_map(|slot| {
            match look(&self.ram, &self.geometry, slot).0 {
                Kind::Sealed(seal) if seal.part == 1 => Some((seal.seq, slot)),
                _ => None,
            }
        });
        seals.max().map(|(_, slot)| slot)
    }

    /// A panic of so many parts. Its record is whole, and it hurts nothing but the slots it takes,
    /// which are neither `kept` nor part 1 of the crash before it.
    fn panic(&self, parts: usize, kept: &[usize], name: &str) {
        let slots = self.geometry.slots();
        let before: Vec<Vec<u8>> = (0..slots).map(|slot| self.zone(slot)).collect();
        let newest = self.newest();
        let taken = self.dump(&PANIC, parts, 99);
        let distinct: BTreeSet<&usize> = taken.iter().collect();
        assert!(
            !taken.is_empty() && distinct.len() == taken.len(),
            "{name}: {taken:?}"
        );
        for (slot, part) in taken.iter().zip(1..) {
            let (kind, payload) = look(&self.ram, &self.geometry, *slot);
            let is_whole = matches!(kind, Kind::Sealed(seal) if seal.part == part);
            assert!(
                is_whole && payload.ends_with(format!("part {part}").as_bytes()),
                "{name}"
            );
        }
        for slot in (0..slots).filter(|slot| !taken.contains(slot)) {
            assert!(
                self.zone(slot) == before[slot],
                "{name}: slot {slot} has changed"
            );
        }
        if slots >= 3 {
            let hurt = taken
                .iter()
                .find(|slot| newest == Some(**slot) || kept.contains(slot));
            assert_eq!(hurt, None, "{name}: {taken:?}, {newest:?}, {kept:?}");
        }
    }
}

/// Lets `work` run until the CPU stops at the n-th step. Returns whether it did.
fn stopped_at(n: usize, work: impl FnOnce()) -> bool {
    STEPS.set(n);
    let result = catch_unwind(AssertUnwindSafe(work));
    STEPS.set(usize::MAX);
    result.is_err()
}

/// A CPU stops for ever at each step of a dump, and another one panics; or it is interrupted there by
/// an NMI that panics. No slot that the dump was writing to is taken.
#[test]
fn stopped_at_each_step_of_a_dump() {
    let ram = Ram::default();
    let mut cases = 0;
    for slots in 1..=20 {
        for seed in 0..12 {
            let parts = 1 + Random(seed).below(22);
            for stop in 0.. {
                let mut random = Random(seed * 100 + slots as u64);
                let machine = Machine::new(&ram, slots, &mut random);
                let newest = machine.newest();
                let start = ram.image();
                if !stopped_at(stop, || drop(machine.dump(&INFO, parts, 50))) {
                    break;
                }
                cases += 1;
                let name = format!("{slots} slots, seed {seed}, {parts} parts, step {stop}");
                let is_torn =
                    |slot: &usize| matches!(look(&&ram, &machine.geometry, *slot).0, Kind::Torn(_));
                let torn: Vec<usize> = (0..slots).filter(is_torn).collect();
                assert!(torn.len() <= 1, "{name}: {torn:?}");
                // The crash before is whole until part 1 of the dump is.
                let stride = machine.geometry.stride();
                let is_same = |slot: usize| machine.zone(slot) == start[slot * stride..][..stride];
                if slots >= 3 {
                    assert!(
                        newest.is_none_or(is_same) || machine.newest() != newest,
                        "{name}"
                    );
                }
                machine.panic(parts, &torn, &name);
            }
        }
    }
    println!("{cases} cases");
}

/// The slots that are taken from now on, in the order in which each is taken first.
fn turns(machine: &Machine<'_>) -> Vec<usize> {
    let mut turns = Vec::new();
    for slot in (0..2 * machine.geometry.slots()).flat_map(|_| machine.dump(&INFO, 1, 60)) {
        if !turns.contains(&slot) {
            turns.push(slot);
        }
    }
    turns
}

/// A deleted slot is the next one, and the others remain in turn. Wherever that is interrupted, a panic
/// finds a list that does no harm.
#[test]
fn freed() {
    let ram = Ram::default();
    let mut cases = 0;
    for slots in 1..=20 {
        for seed in 0..12 {
            let used = || {
                let mut random = Random(seed * 100 + slots as u64);
                let machine = Machine::new(&ram, slots, &mut random);
                for _ in 0..random.below(3 * slots) {
                    machine.dump(&INFO, 1 + random.below(3), 40);
                }
                (machine, random.below(slots), 1 + random.below(22))
            };
            let (machine, slot, parts) = used();
            let is_newest = machine.newest() == Some(slot);
            let before = turns(&machine);

            let (machine, ..) = used();
            machine.store.free(slot);
            let after = turns(&machine);
            let name = format!("{slots} slots, seed {seed}, slot {slot}");
            match before.iter().position(|other| *other == slot) {
                Some(at) => {
                    let mut expected = before.clone();
                    expected.remove(at);
                    expected.insert(0, slot);
                    assert_eq!(after, expected, "{name}");
                }
                // It was not to come again in this boot: the last one takes its place.
                None if after.contains(&slot) => {
                    let (_, rest) = before.split_last().unwrap();
                    assert_eq!(after, [&[slot], rest].concat(), "{name}");
                }
                // It is kept.
                None => assert_eq!(after, before, "{name}"),
            }

            for stop in 0.. {
                let (machine, ..) = used();
                if is_newest || !stopped_at(stop, || machine.store.free(slot)) {
                    break;
                }
                cases += 1;
                machine.panic(parts, &[], &format!("{name}, step {stop}"));
            }
        }
    }
    println!("{cases} cases");
}

/// To choose a slot costs the same number of looks at the list: with few slots or many.
#[test]
fn choosing_a_slot_costs_the_same() {
    for slots in [128, 1024, 16_384] {
        let geometry = geometry(slots);
        let ram = Ram::new(vec![0; geometry.mem_size()]);
        let list = Steps(order(&geometry));
        let (store, _) = Store::open(&ram, geometry, list, &mut scratch(&geometry), LOOP).unwrap();
        for n in 0..300 {
            STEPS.set(1000);
            store.begin(&INFO).append(b"text", true).unwrap();
            let looks = 1000 - STEPS.get();
            assert!(looks <= 2, "{slots} slots, dump {n}: {looks} looks");
        }
        STEPS.set(usize::MAX);
    }
}
