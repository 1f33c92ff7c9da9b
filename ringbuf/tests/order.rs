// SPDX-License-Identifier: GPL-2.0

//! What is overwritten first, and that choosing it takes the same time whatever the table is like.

use std::{
    cell::Cell,
    collections::BTreeSet,
    ops::Deref,
    panic::{
        catch_unwind,
        resume_unwind,
        AssertUnwindSafe, //
    }, //
};

use crate::common::{
    append,
    forge,
    geometry,
    look,
    mainline,
    open,
    open_with,
    strip_prefix,
    table,
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
    Slot,
    Store, //
};

/// Stores a dump of parts in a store without loops.
fn dump(ram: &Ram, geometry: &Geometry, parts: &[&str]) -> Vec<usize> {
    let (store, _) = open_with(ram, geometry, Options::default());
    let mut dump = store.begin(&INFO);
    let last = parts.len() - 1;
    let append = |(i, text): (usize, &&str)| dump.append(text.as_bytes(), i == last).unwrap();
    parts.iter().enumerate().map(append).collect()
}

/// Breaks the seal as a cut after the first steps of a dump does.
fn tear(ram: &Ram, geometry: &Geometry, slot: usize) {
    let mut image = ram.bytes.borrow_mut();
    image[slot * geometry.stride()] = 0;
    let magic = geometry.seal_offset(slot).unwrap() + SEAL_MAGIC_OFFSET;
    image[magic - 4..magic + 4].copy_from_slice(b"\0\0\0\0SEAW");
}

/// The slots in the order in which dumps of one part each take them.
fn order(ram: &Ram, geometry: &Geometry, options: Options) -> Vec<usize> {
    let (store, census) = open_with(ram, geometry, options);
    // None of these dumps belongs to a loop.
    let info = DumpInfo {
        boottime_ns: u64::MAX,
        ..INFO
    };
    let slots: Vec<usize> = (0..geometry.slots())
        .map(|_| store.begin(&info).append(b"new", true).unwrap())
        .collect();
    assert_eq!(census.next, Some(slots[0]));
    slots
}

/// The slots in the order in which one dump takes them, and how many it takes.
fn order_of_parts(ram: &Ram, geometry: &Geometry, options: Options) -> Vec<usize> {
    let (store, _) = open_with(ram, geometry, options);
    let mut dump = store.begin(&INFO);
    let mut slots = Vec::new();
    loop {
        match dump.append(b"new", false) {
            Ok(slot) => slots.push(slot),
            Err(Dropped::NoSlot) => return slots,
            Err(err) => panic!("{err:?}"),
        }
    }
}

const LOOP: Options = Options {
    loop_ns: 60_000_000_000,
};

/// One of each, none of them where it would be if only the place counted.
#[test]
fn least_worth_first() {
    let geometry = geometry(12);
    let ram = Ram::new(vec![0; geometry.mem_size()]);
    let boot = |n: u8, text: &str| {
        let (store, _) = open_with(&ram, &geometry, LOOP);
        let info = DumpInfo {
            boot_id: [n; 16],
            boottime_ns: if n == 1 { u64::MAX } else { 1 },
            realtime_ns: u64::from(n) * 1_000_000_000,
            ..INFO
        };
        let mut dump = store.begin(&info);
        dump.append(text.as_bytes(), true).unwrap()
    };
    // 0 begins a loop, 1 to 4 continue it.
    for n in 0..5 {
        assert_eq!(boot(n + 1, "text"), usize::from(n));
    }
    // 5, 6 and 7 are of one dump, the newest one of ours.
    let (store, _) = open(&ram, &geometry);
    let info = DumpInfo {
        realtime_ns: 6_000_000_000,
        ..INFO
    };
    let mut newest = store.begin(&info);
    for slot in 5..8 {
        assert_eq!(newest.append(b"text", slot == 7), Ok(slot));
    }
    let image = ram.image();
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
    let with_newest = ram.image();
    let is = |slot: usize| classify(&&ram, &geometry, slot).unwrap().kind;
    assert!(matches!(is(1), Kind::Damaged(_)) && matches!(is(2), Kind::Foreign(_)));
    assert!(matches!(is(3), Kind::Torn(_)) && matches!(is(8), Kind::Salvaged { .. }));

    // One dump takes all that may be taken: the oldest text of the newest dump last, and its part 1
    // not at all.
    let parts = order_of_parts(&ram, &geometry, LOOP);
    assert_eq!(parts, [10, 11, 8, 9, 1, 2, 3, 4, 0, 7, 6]);

    // The next dump is the newest one, and a dump that is not has no part that stands out.
    *ram.bytes.borrow_mut() = with_newest;
    let dumps = order(&ram, &geometry, LOOP);
    assert_eq!(dumps, [10, 11, 8, 9, 1, 2, 3, 4, 7, 6, 5, 10]);

    // A younger one of somebody else is the newest one.
    *ram.bytes.borrow_mut() = image;
    mainline::write(&mut ram.bytes.borrow_mut(), &geometry, 9, 7, b"text");
    let parts = order_of_parts(&ram, &geometry, LOOP);
    assert_eq!(parts, [8, 10, 11, 1, 2, 3, 4, 7, 6, 5, 0]);
}

/// A flipped bit or a cut makes no record older.
#[test]
fn damage_lowers_nothing() {
    let geometry = geometry(5);
    let whole = Ram::new(vec![0; geometry.mem_size()]);
    for i in 0..5 {
        dump(&whole, &geometry, &[&format!("text {i}")]);
    }
    let flip = |slot: usize, at: usize| {
        let ram = Ram::new(whole.image());
        ram.bytes.borrow_mut()[slot * 512 + at] ^= 0x10;
        ram
    };
    for slot in 0..4 {
        let torn = Ram::new(whole.image());
        tear(&torn, &geometry, slot);
        let mut rams = vec![("torn", torn)];
        // Header, payload, seal, and its magic number.
        for at in [0, 5, 9, 40, 330, 400, 490, 505, 511] {
            rams.push(("flipped", flip(slot, at)));
        }
        for (name, ram) in rams {
            let kind = classify(&&ram, &geometry, slot).unwrap().kind;
            let slots = order(&ram, &geometry, Options::default());
            // Without a number, what is in the first slot may well be younger than what is in the last.
            let expected = match (slot, kind) {
                (0, Kind::Torn(_) | Kind::Foreign(_)) => [1, 2, 3, 0, 4],
                _ => [0, 1, 2, 3, 4],
            };
            assert_eq!(slots, expected, "{name} {slot}: {kind:?}");
        }
    }
    // The newest one is out of reach even if it is damaged, ...
    let ram = flip(4, 40);
    assert!(matches!(
        classify(&&ram, &geometry, 4).unwrap().kind,
        Kind::Damaged(_)
    ));
    assert_eq!(
        order_of_parts(&ram, &geometry, Options::default()),
        [0, 1, 2, 3]
    );
    // ... or torn, and so is every other one of which it is known what it was going to be, ...
    for slot in 0..5 {
        let ram = flip(slot, 40);
        ram.bytes.borrow_mut()[slot * 512 + 511] = b'W';
        ram.bytes.borrow_mut()[slot * 512..slot * 512 + 4].fill(0);
        assert!(matches!(
            classify(&&ram, &geometry, slot).unwrap().kind,
            Kind::Torn(Some(_))
        ));
        assert_eq!(
            order_of_parts(&ram, &geometry, Options::default()),
            [0, 1, 2, 3]
        );
    }
    // ... and a torn one is not the newest: that is whole.
    let ram = Ram::new(whole.image());
    tear(&ram, &geometry, 0);
    assert_eq!(
        order_of_parts(&ram, &geometry, Options::default()),
        [1, 2, 3, 0]
    );
}

/// Whatever the records claim to be, only one of them is out of reach.
#[test]
fn hostile_claims_protect_nothing() {
    let geometry = geometry(6);
    for (name, number) in [
        (
            "all the same",
            &(|_| (77u64, 0u64)) as &dyn Fn(u64) -> (u64, u64),
        ),
        ("in the middle", &|slot| ((1 << 63) - 3 + slot, 0)),
        ("all begin loops", &|slot| (10 + slot, 9 + slot)),
        ("the highest", &|slot| {
            (u64::MAX - slot, u64::MAX - slot - 1)
        }),
        ("of part 1 only", &|slot| (77 + slot, 76)),
    ] {
        let ram = Ram::new(vec![0; geometry.mem_size()]);
        for slot in 0..6 {
            let (seq, loop_start) = number(slot);
            forge(&ram, &geometry, slot as usize, (seq, seq, loop_start, 1));
        }
        let image = ram.image();
        let slots = order_of_parts(&ram, &geometry, LOOP);
        assert!(slots.len() >= 5, "{name}: {slots:?}");
        // Once there is a dump of ours, that is the newest one, and all others may be taken.
        *ram.bytes.borrow_mut() = image;
        let boot = |_| {
            let (store, _) = open_with(&ram, &geometry, LOOP);
            append(&store, b"new").unwrap()
        };
        let mut slots: Vec<usize> = (0..12).map(boot).collect();
        slots.sort_unstable();
        slots.dedup();
        assert!(slots.len() >= 5, "{name}: {slots:?}");
        let (_, census) = open(&ram, &geometry);
        assert!(census.sealed > 0);
    }

    // Foreign ones with any time.
    let ram = Ram::new(vec![0; geometry.mem_size()]);
    for slot in 0..6 {
        let secs = u64::MAX / 2 - slot as u64 % 2;
        mainline::write(&mut ram.bytes.borrow_mut(), &geometry, slot, secs, b"text");
    }
    assert_eq!(order_of_parts(&ram, &geometry, LOOP).len(), 5);
}

/// A slot table that counts how often it is looked at, and whose user stops for ever at one look.
struct Table(Vec<Slot>);

thread_local! {
    static LOOKS: Cell<usize> = const { Cell::new(0) };
    static STOP: Cell<Option<usize>> = const { Cell::new(None) };
}

impl Deref for Table {
    type Target = [Slot];

    fn deref(&self) -> &[Slot] {
        LOOKS.set(LOOKS.get() + 1);
        if STOP.get() == Some(LOOKS.get()) {
            STOP.set(None);
            // Does not print a message.
            resume_unwind(Box::new("stopped"));
        }
        &self.0
    }
}

/// A region that is not there, but for its length: what is read from it are zeros.
struct Nothing(usize);

type NothingStore = Store<Nothing, Table>;

thread_local! {
    /// A store that has four more dumps before something is written.
    static BEFORE_WRITE: Cell<Option<&'static NothingStore>> = const { Cell::new(None) };
}

impl Memory for Nothing {
    fn len(&self) -> usize {
        self.0
    }

    fn read(&self, _offset: usize, buf: &mut [u8]) -> bool {
        buf.fill(0);
        true
    }

    fn write(&self, _offset: usize, _data: &[u8]) -> bool {
        if let Some(store) = BEFORE_WRITE.take() {
            for _ in 0..4 {
                store.begin(&INFO).append(b"fast", true).unwrap();
            }
        }
        true
    }

    fn barrier(&self, _offset: usize, _len: usize) {}

    fn crc32c(_crc: u32, _data: &[u8]) -> u32 {
        0
    }

    fn encode(&self, _block: &[u8], _parity: &mut [u8]) {
        unreachable!("there is no parity");
    }

    fn decode(&self, _block: &mut [u8], _parity: &mut [u8]) -> Option<usize> {
        unreachable!("there is no parity");
    }
}

/// How often the table is looked at for one part, at most, when dumps of so many parts fill the table
/// and go round it.
fn looks(slots: usize, parts: usize) -> (usize, usize) {
    let geometry = geometry(slots);
    let memory = Nothing(geometry.mem_size());
    let table = table(&geometry).map(Table);
    let (store, _) = Store::open(memory, geometry, table, Options::default()).unwrap();
    let mut stored = 0;
    let (mut empty, mut full) = (0, 0);
    while stored < 3 * slots {
        let mut dump = store.begin(&INFO);
        for part in 1..=parts {
            LOOKS.set(0);
            dump.append(b"text", part == parts).unwrap();
            let most = match stored < slots {
                true => &mut empty,
                false => &mut full,
            };
            *most = LOOKS.get().max(*most);
            stored += 1;
        }
    }
    (empty, full)
}

/// Each part costs the same number of looks: with few slots or many, empty or full, one part or 64.
#[test]
fn choosing_a_slot_costs_the_same() {
    let few = looks(128, 1);
    println!("looks at the table, empty and full: {few:?}");
    for (slots, parts) in [(128, 64), (1024, 1), (1024, 64), (16_384, 1), (16_384, 64)] {
        let (empty, full) = looks(slots, parts);
        println!("{slots} slots, {parts} parts: {empty}, {full}");
        // A position that is used up costs a few more: it is passed once.
        assert!(empty <= few.1 && full <= few.1, "{slots}, {parts}");
    }
}

/// Slots of a dump whose part 1 is overwritten by others before it ends are not lost.
#[test]
fn overtaken() {
    let geometry = geometry(4);
    let ram = Ram::new(vec![0; geometry.mem_size()]);
    let (store, _) = open(&ram, &geometry);
    let mut slow = store.begin(&INFO);
    assert_eq!(slow.append(b"slow", false), Ok(0));
    for i in 0..4 {
        append(&store, format!("fast {i}").as_bytes()).unwrap();
    }
    // What is left of it is not worth a slot.
    assert_eq!(slow.append(b"slow", false), Err(Dropped::NoSlot));
    let mut slots: Vec<usize> = (0..4).map(|_| append(&store, b"x").unwrap()).collect();
    slots.sort_unstable();
    assert_eq!(slots, [0, 1, 2, 3]);
    let texts = (0..4).map(|slot| look(&&ram, &geometry, slot).1);
    assert!(texts.into_iter().all(|text| strip_prefix(&text) == b"x"));
}

/// A CPU stops for ever wherever a dump looks at the table. One slot is out of use then, at most, and a
/// panic finds that as well.
#[test]
fn stopped_at_any_look() {
    let panic = DumpInfo {
        urgent: true,
        ..INFO
    };
    for slots in 3..6 {
        for filled in 0..3 * slots {
            for parts in 1..3 {
                for stop in 1.. {
                    let geometry = geometry(slots);
                    let table = table(&geometry).map(Table);
                    let memory = Nothing(geometry.mem_size());
                    let options = Options::default();
                    let (store, _) = Store::open(memory, geometry, table, options).unwrap();
                    let append = |info| store.begin(info).append(b"text", true);
                    for _ in 0..filled {
                        append(&INFO).unwrap();
                    }
                    LOOKS.set(0);
                    STOP.set(Some(stop));
                    let dump = AssertUnwindSafe(|| {
                        let mut dump = store.begin(&INFO);
                        (1..=parts).all(|part| dump.append(b"text", part == parts).is_ok())
                    });
                    if catch_unwind(dump).is_ok() {
                        STOP.set(None);
                        break;
                    }
                    let name = format!("{filled} in {slots}, part {parts}, look {stop}");
                    let mut last = None;
                    let mut seen = BTreeSet::new();
                    for _ in 0..3 * slots {
                        let slot = append(&INFO).unwrap_or_else(|err| panic!("{name}: {err:?}"));
                        assert_ne!(Some(slot), last, "{name}");
                        last = Some(slot);
                        seen.insert(slot);
                    }
                    assert!(seen.len() >= slots - 1, "{name}: {seen:?}");
                    // A panic takes all but the newest one, and in the end that of the stopped CPU.
                    let mut dump = store.begin(&panic);
                    let mut taken = BTreeSet::new();
                    while let Ok(slot) = dump.append(b"text", false) {
                        assert!(taken.insert(slot) && Some(slot) != last, "{name}");
                    }
                    assert_eq!(taken.len(), slots - 1, "{name}");
                }
            }
        }
    }
}

/// The same while a part is being written: it is older than all others then, and goes first.
#[test]
fn overtaken_in_the_middle() {
    let geometry = geometry(4);
    let table = table(&geometry).map(Table);
    let memory = Nothing(geometry.mem_size());
    let (store, _) = Store::open(memory, geometry, table, Options::default()).unwrap();
    // Leaked, because the memory needs the store that it is a part of.
    let store: &NothingStore = Box::leak(Box::new(store));
    let mut slow = store.begin(&INFO);
    assert_eq!(slow.append(b"slow", false), Ok(0));
    BEFORE_WRITE.set(Some(store));
    assert_eq!(slow.append(b"slow", false), Ok(1));
    assert_eq!(slow.append(b"slow", false), Err(Dropped::NoSlot));
    let slots: Vec<usize> = (0..4)
        .map(|_| store.begin(&INFO).append(b"x", true).unwrap())
        .collect();
    assert_eq!(slots, [1, 3, 0, 2]);
}
