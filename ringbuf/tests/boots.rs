// SPDX-License-Identifier: GPL-2.0

//! A machine's life: crashes, power cuts, flipped bits, stock ramoops in between, other parameters,
//! clocks that jump, deleted records, loops of crashes.
//!
//! A ledger knows what was really written and looks at the bytes, not at what the store says of them:
//!
//! - what is still there, byte for byte or so that its parity can correct it, is shown as it was
//!   written;
//! - what is shown as whole was written like that, at that place;
//! - no slot is overwritten while one of less worth may be.
//!
//! If all that is in the slots is certain, the slot taken is the one that `FORMAT.md` says: a damaged
//! record has its age, a torn one that of the record before it, the newest dump goes last, and its
//! part 1 never. Otherwise what cannot be known has a range of worth: a record that is hurt or
//! torn may be worth nothing or be the newest, and one of mainline may be older or newer than ours.
//! So may a slot in which records of other parameters lie; they are there again with theirs if their
//! bytes are.
//!
//! The seed is fixed. `RINGBUF_SEED` is another one, `RINGBUF_STEPS` how many steps there are.

use std::{
    cell::Cell,
    collections::HashMap,
    env,
    ops::Range, //
};

use crate::common::{
    cache::{
        lines,
        Cache,
        Random, //
    },
    kernel_crc32c,
    look,
    mainline,
    open,
    worth::{
        Order,
        State, //
    },
    Op as Access,
    Ram,
    DEFAULT,
    INFO, //
};
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{
        Config,
        RngSeed,
        TestRunner, //
    }, //
};
use ringbuf::{
    classify,
    clear,
    layout::{
        HEADER_LEN,
        SEAL_LEN,
        SEAL_MAGIC_OFFSET,
        SIG, //
    },
    Dropped,
    DumpInfo,
    Geometry,
    Kind,
    Params,
    Seal, //
};

const MEM_SIZE: usize = 4400;

/// Other parameters for the same region: slots of 550 and of 1100 bytes, of 562 before a console, and
/// with parity.
const PARAMS: [(usize, usize, usize); 4] = [(512, 0, 0), (1024, 0, 0), (512, 1024, 0), (512, 0, 4)];

fn geometry(which: usize) -> Geometry {
    let (record_size, console_size, ecc_size) = PARAMS[which];
    Geometry::new(Params {
        mem_size: MEM_SIZE,
        record_size,
        console_size,
        ftrace_size: 0,
        pmsg_size: 0,
        ecc_size,
    })
    .unwrap()
}

/// Where power fails, in thousandths of what was to be done, and what was in the cache then.
type Failure = Option<(usize, u64)>;

#[derive(Clone, Debug)]
enum Op {
    /// A boot with dumps, of parts that have these lengths in percent of the room.
    Boot {
        dumps: Vec<Vec<usize>>,
        early: bool,
        /// The region is read again before each dump but the first.
        rescan: bool,
        cut: Failure,
    },
    /// So many boots with a crash soon after.
    Loop(usize),
    Flip {
        bits: usize,
        seed: u64,
    },
    /// A boot with stock ramoops, which writes a record.
    Mainline {
        slot: usize,
        len: usize,
    },
    /// The same, and a record is deleted.
    MainlineDeletes {
        slot: usize,
    },
    Clear {
        slot: usize,
        cut: Failure,
    },
    Params(usize),
    /// By so many seconds.
    Clock(i64),
    Fill(u8),
}

fn op() -> impl Strategy<Value = Op> {
    let cut = || (0..=1000usize, any::<u64>());
    let dumps = || vec(vec(0..=100usize, 1..4), 1..4);
    let slot = || 0..8usize;
    prop_oneof![
        12 => (dumps(), any::<bool>(), any::<bool>(), prop::option::of(cut()))
            .prop_map(|(dumps, early, rescan, cut)| Op::Boot { dumps, early, rescan, cut }),
        1 => (1..12usize).prop_map(Op::Loop),
        3 => (1..4usize, any::<u64>()).prop_map(|(bits, seed)| Op::Flip { bits, seed }),
        2 => (slot(), 1..1200usize).prop_map(|(slot, len)| Op::Mainline { slot, len }),
        1 => slot().prop_map(|slot| Op::MainlineDeletes { slot }),
        2 => (slot(), prop::option::of(cut())).prop_map(|(slot, cut)| Op::Clear { slot, cut }),
        1 => (0..PARAMS.len()).prop_map(Op::Params),
        1 => (-2_000_000_000..2_000_000_000i64).prop_map(Op::Clock),
        1 => prop_oneof![Just(0), Just(0xff), Just(0x5a)].prop_map(Op::Fill),
    ]
}

/// What was written into a slot.
#[derive(Clone, Debug)]
struct Record {
    payload: Vec<u8>,
    /// What it was written with; `None` if by mainline.
    seal: Option<Seal>,
    /// The zone when it was complete, or as a cut left it.
    zone: Vec<u8>,
    /// The header was written to its end.
    is_complete: bool,
}

impl Record {
    /// Whether it is there, going by the bytes alone.
    fn is_whole(&self, geometry: &Geometry, zone: &[u8]) -> bool {
        let data = geometry.data_capacity();
        let ecc = geometry.ecc_size();
        let end = self.payload.len();
        let wrong = |range: Range<usize>| {
            let pairs = zone[range.clone()].iter().zip(&self.zone[range]);
            pairs.filter(|(one, other)| one != other).count()
        };
        // Mainline knows no seal.
        let seal = match self.seal {
            Some(_) => data - SEAL_LEN..data,
            None => 0..0,
        };
        let at = |pos| HEADER_LEN + pos;
        if ecc == 0 {
            let header = match self.seal {
                // It counts only if it says that the record is deleted.
                Some(_) => !says_deleted(zone) || zone[at(data) - 1] == b'W',
                None => wrong(0..HEADER_LEN) == 0,
            };
            return header
                && wrong(at(0)..at(end)) == 0
                && wrong(at(seal.start)..at(seal.end)) == 0;
        }
        let parity_at = at(data);
        let (_, blocks) = mainline::ecc_geometry(geometry.stride(), ecc).unwrap();
        let is_used = |block: usize| {
            let begin = block * 128;
            begin < end || (!seal.is_empty() && begin + 128 > seal.start)
        };
        let header =
            wrong(0..HEADER_LEN) + wrong(parity_at + blocks * ecc..parity_at + (blocks + 1) * ecc);
        let correctable = if self.is_complete { ecc / 2 } else { 0 };
        header <= correctable
            && (0..data.div_ceil(128))
                .filter(|block| is_used(*block))
                .all(|block| {
                    let begin = block * 128;
                    let parity = parity_at + block * ecc;
                    let data = wrong(at(begin)..at(data.min(begin + 128)));
                    data + wrong(parity..parity + ecc) <= correctable
                })
    }
}

/// A part of a dump.
struct Part {
    slot: usize,
    payload: Vec<u8>,
    /// What is there afterwards.
    zone: Vec<u8>,
    /// How many operations there were before it, and when it was complete.
    begin: usize,
    complete: usize,
}

/// What a slot is worth: nothing, text, a record, the first one of a loop, the newest. Among records
/// the age, then the part.
type Worth = (u8, u64, u32);

const NOTHING: Worth = (0, 0, 0);
const RECORD: u8 = 2;
const FIRST: u8 = 3;
const NEWEST: Worth = (4, 0, 0);

/// A slot when a store is opened, or after a dump.
#[derive(Clone, Debug)]
struct Known {
    /// The lowest and the highest that it may be.
    least: Worth,
    most: Worth,
    seal: Option<Seal>,
}

impl Known {
    /// There is something that we cannot tell the age of.
    fn is_hurt(&self) -> bool {
        self.seal.is_none() && self.most == NEWEST
    }

    /// It is one of those with which a loop began.
    fn mark(&mut self, firsts: &[u64]) {
        if let (Some(seal), true) = (self.seal, self.most < NEWEST) {
            if firsts.contains(&seal.dump) {
                self.least.0 = FIRST;
                self.most = self.least;
            }
        }
    }
}

struct Machine {
    image: Vec<u8>,
    params: usize,
    /// By parameters and slot. What was deleted, or torn, remains: it may be there again after a
    /// bit flips.
    ledger: HashMap<(usize, usize), Record>,
    /// What is deleted, with the zone as it was left.
    deleted: HashMap<(usize, usize), Vec<u8>>,
    clock: i64,
    boots: u64,
    /// How many of them found nothing but what is certain.
    certain: usize,
    time: usize,
}

impl Machine {
    fn geometry(&self) -> Geometry {
        geometry(self.params)
    }

    fn zone(&self, slot: usize) -> Range<usize> {
        let stride = self.geometry().stride();
        slot * stride..(slot + 1) * stride
    }

    /// The record in a slot, if it is whole.
    fn whole(&self, slot: usize) -> Option<&Record> {
        let record = self.ledger.get(&(self.params, slot))?;
        let zone = &self.image[self.zone(slot)];
        record.is_whole(&self.geometry(), zone).then_some(record)
    }

    /// What is in a slot, going by the bytes. `None` if that is not certain.
    fn state(&self, slot: usize) -> Option<State> {
        let geometry = self.geometry();
        let zone = &self.image[self.zone(slot)];
        let record = self.ledger.get(&(self.params, slot));
        let filled = |value| zone.iter().all(|byte| *byte == value);
        if self.deleted.get(&(self.params, slot)).map(Vec::as_slice) == Some(zone)
            || filled(0)
            || filled(0xff)
        {
            return Some(State::Nothing);
        }
        if let Some(record) = self.whole(slot) {
            return Some(match record.seal {
                Some(seal) => State::Ours(seal),
                None => State::Foreign(stamp(&record.payload)),
            });
        }
        if geometry.ecc_size() != 0 {
            return None;
        }
        let end = HEADER_LEN + geometry.data_capacity();
        let (header, raw) = (&zone[4..HEADER_LEN], &zone[end - SEAL_LEN..end]);
        let is_hidden = zone[..4] != SIG.to_ne_bytes();
        if let Some(seal) = raw_seal(raw, &geometry, slot) {
            if raw.ends_with(b"W") {
                // It says what it was going to be.
                return is_hidden.then_some(State::Ours(seal));
            }
            // By mainline, which resets a zone without a signature.
            if says_deleted(zone) {
                return Some(State::Nothing);
            }
            // The payload is hurt.
            let record = record.filter(|record| record.zone[end - SEAL_LEN..end] == *raw)?;
            let is_damaged = record.zone[4..HEADER_LEN] == *header;
            return record.seal.filter(|_| is_damaged).map(State::Ours);
        }
        match &raw[SEAL_MAGIC_OFFSET..][..4] {
            b"SEAW" if is_hidden => Some(State::Torn),
            b"SEAL" if zone[..4] == [0; 4] => Some(State::Torn),
            _ => None,
        }
    }

    /// Whether a record of other parameters lies in a slot.
    fn has_other(&self, slot: usize) -> bool {
        self.has_other_in(self.zone(slot))
    }

    fn has_other_in(&self, zone: Range<usize>) -> bool {
        (0..PARAMS.len())
            .filter(|params| *params != self.params)
            .any(|params| {
                let other = geometry(params);
                let stride = other.stride();
                (zone.start / stride..zone.end.div_ceil(stride).min(other.slots())).any(|slot| {
                    let zone = &self.image[slot * stride..(slot + 1) * stride];
                    let end = HEADER_LEN + other.data_capacity();
                    // What parity can correct is not looked into.
                    let is_hurt = other.ecc_size() != 0
                        && self.ledger.contains_key(&(params, slot))
                        && !zone.iter().all(|byte| *byte == zone[0]);
                    is_hurt || raw_seal(&zone[end - SEAL_LEN..end], &other, slot).is_some()
                })
            })
    }

    /// The dump with which the loop began that a dump soon after boot continues; 0 if there is none.
    /// `None` if the highest number is there twice: the one was out of sight with other parameters.
    fn loop_start(&self, states: &[State], boot: u64) -> Option<u64> {
        let geometry = self.geometry();
        let end = HEADER_LEN + geometry.data_capacity();
        let seq = |slot: &usize| {
            let raw = &self.image[self.zone(*slot)][end - SEAL_LEN..end];
            Some(raw_seal(raw, &geometry, *slot)?.seq)
        };
        let highest = (0..states.len()).filter_map(|slot| seq(&slot)).max();
        let last = |slot: &usize| highest.is_some() && seq(slot) == highest;
        let last: Vec<usize> = (0..states.len()).filter(last).collect();
        match (last.len(), last.first().map(|slot| &states[*slot])) {
            (2.., _) => None,
            // The machine was off for longer, if the clocks tell.
            (_, Some(State::Ours(seal)))
                if seal.realtime_ns >= CLOCK_MIN
                    && boot >= CLOCK_MIN
                    && boot >= seal.realtime_ns + DEFAULT.loop_ns =>
            {
                Some(0)
            }
            (_, Some(State::Ours(seal))) if seal.loop_start == 0 => Some(seal.dump),
            (_, Some(State::Ours(seal))) => Some(seal.loop_start),
            _ => Some(0),
        }
    }

    /// What the slots are worth.
    fn known(&self) -> Vec<Known> {
        let slots = 0..self.geometry().slots();
        let whole: Vec<Option<&Record>> = slots.map(|slot| self.whole(slot)).collect();
        let seals: Vec<Seal> = whole
            .iter()
            .flatten()
            .filter_map(|record| record.seal)
            .collect();
        let newest = seals
            .iter()
            .map(|seal| (seal.dump, u32::MAX - seal.part))
            .max();
        let known = whole.iter().enumerate().map(|(slot, record)| {
            let zone = &self.image[self.zone(slot)];
            let is_deleted =
                self.deleted.get(&(self.params, slot)).map(Vec::as_slice) == Some(zone);
            let filled = |value| zone.iter().all(|byte| *byte == value);
            let (least, most) = match record {
                None if is_deleted || filled(0) || filled(0xff) => (NOTHING, NOTHING),
                None => (NOTHING, NEWEST),
                Some(Record { seal: None, .. }) => ((1, 0, 0), NEWEST),
                Some(Record {
                    seal: Some(seal), ..
                }) => {
                    let age = (seal.dump, u32::MAX - seal.part);
                    let is_first = seals.iter().any(|other| other.loop_start == seal.dump);
                    let worth = match (newest == Some(age), is_first) {
                        (true, _) => NEWEST,
                        (false, true) => (FIRST, age.0, age.1),
                        (false, false) => (RECORD, age.0, age.1),
                    };
                    // The rest of the newest dump is worth no less than what is older.
                    let most = match newest {
                        Some((dump, _)) if dump == seal.dump => NEWEST,
                        _ => worth,
                    };
                    (worth, most)
                }
            };
            let seal = record.and_then(|record| record.seal);
            match (self.has_other(slot), seal) {
                (false, _) => Known { least, most, seal },
                // What else lies here is worth as much, or more. It may also be the newest one.
                (true, seal) => Known {
                    least: seal.map_or(NOTHING, |seal| (RECORD, seal.dump, u32::MAX - seal.part)),
                    most: NEWEST,
                    seal: None,
                },
            }
        });
        let mut known: Vec<Known> = known.collect();
        // One that is hurt may be newer, and may name the first of its loop. So may one behind the slots.
        if known.iter().any(Known::is_hurt) || self.has_other_in(0..MEM_SIZE) {
            for slot in &mut known {
                if let Some(seal) = slot.seal {
                    let (dump, part) = (seal.dump, u32::MAX - seal.part);
                    slot.least = slot.least.min((RECORD, dump, part));
                    slot.most = slot.most.max((FIRST, dump, part));
                }
            }
        }
        known
    }

    /// Does what was done to a copy of the region, until power fails. Returns the number of the
    /// operation at which it did.
    fn perform(&mut self, log: &[Access], cut: Failure) -> usize {
        let (permille, seed) = cut.unwrap_or((1000, 0));
        let end = log.len() * permille / 1000;
        let mut random = Random(seed);
        let mut cache = Cache::new(&self.image);
        for access in &log[..end] {
            match access {
                Access::Write { offset, data } => cache.write(*offset, data),
                Access::Barrier { offset, len } => {
                    lines(*offset, *len).for_each(|line| cache.write_back(line));
                }
            }
            if cut.is_some() {
                // Any line may be written back at any time.
                for line in cache.dirty() {
                    if random.below(8) == 0 {
                        cache.write_back(line);
                    }
                }
            }
        }
        self.image = match cut {
            Some(_) => cache.lose(&mut random),
            None => cache.ram,
        };
        end
    }

    fn boot(&mut self, dumps: &[Vec<usize>], early: bool, rescan: bool, cut: Failure) {
        self.boots += 1;
        let geometry = self.geometry();
        let mut boot_id = [0; 16];
        boot_id[..8].copy_from_slice(&self.boots.to_le_bytes());
        let realtime = (1_700_000_000 + self.clock) as u64;
        let info = DumpInfo {
            boot_id,
            realtime_ns: realtime * 1_000_000_000,
            boottime_ns: if early {
                DEFAULT.loop_ns - 1
            } else {
                DEFAULT.loop_ns
            },
            ..INFO
        };
        let ram = Ram::new(self.image.clone());
        let (store, census) = open(&ram, &geometry);
        let mut known = self.known();
        let highest = known.iter().filter_map(|slot| Some(slot.seal?.seq)).max();
        assert!(census.newest_seq >= highest);
        let has_others = self.has_other_in(0..MEM_SIZE);
        let was_hurt = has_others || known.iter().any(Known::is_hurt);
        let states: Option<Vec<State>> = (0..known.len())
            .map(|slot| self.state(slot).filter(|_| !has_others))
            .collect();
        let loop_start = states
            .as_ref()
            .filter(|_| geometry.ecc_size() == 0)
            .and_then(|states| match early {
                true => self.loop_start(states, info.realtime_ns - info.boottime_ns),
                false => Some(0),
            });
        let mut order = states.and_then(Order::new);
        self.certain += usize::from(order.is_some());

        // The dumps with which loops began.
        let mut firsts: Vec<u64> = known
            .iter()
            .filter_map(|slot| Some(slot.seal?.loop_start))
            .collect();
        let mut written: Vec<Part> = Vec::new();
        for (number, parts) in dumps.iter().enumerate() {
            // Otherwise more is uncertain than the ranges of worth tell.
            if rescan && number > 0 && order.is_some() {
                store.rescan().unwrap();
                order = order.and_then(Order::reopened);
                if order.is_none() {
                    break;
                }
            }
            let mut used = Vec::new();
            Self::rank(&mut known, &firsts, was_hurt);
            if let Some(order) = &mut order {
                order.begin();
            }
            let mut dump = store.begin(&info);
            for (i, percent) in parts.iter().enumerate() {
                self.time += 1;
                let part = i + 1;
                // Each text is another one: see `PARAMS`.
                let unit = format!("{}.", self.time);
                let len = (dump.room() * percent / 100).max(unit.len());
                let text: Vec<u8> = unit.bytes().cycle().take(len).collect();
                let begin = ram.log.borrow().len();
                let result = dump.append(&text, part == parts.len());
                if let Some(order) = &order {
                    order.justify(result.ok(), &used);
                }
                let slot = match result {
                    Ok(slot) => slot,
                    Err(err) => {
                        assert_eq!(err, Dropped::NoSlot);
                        // All of the newest dump is kept.
                        let free =
                            |slot: &usize| !used.contains(slot) && known[*slot].most < NEWEST;
                        let free = (0..known.len()).find(free);
                        assert_eq!(free, None, "part {part}: {known:?}");
                        break;
                    }
                };
                if order.is_none() {
                    Self::justify(&known, slot, &used);
                }
                let prefix = format!("===={realtime}.000000-D\nPanic#1 Part{part}\n");
                let payload = [prefix.as_bytes(), &text].concat();
                written.push(Part {
                    slot,
                    payload: payload.clone(),
                    zone: ram.image()[self.zone(slot)].to_vec(),
                    begin,
                    complete: ram.log.borrow().len(),
                });

                let (Kind::Sealed(seal), shown) = look(&&ram, &geometry, slot) else {
                    panic!("slot {slot} has no record");
                };
                assert_eq!(shown, payload);
                assert!(highest < Some(seal.seq));
                if let Some(loop_start) = loop_start {
                    assert_eq!(seal.loop_start, loop_start);
                }
                if let Some(order) = &mut order {
                    order.store(slot, seal);
                }
                firsts.push(seal.loop_start);
                let worth = match part {
                    1 => NEWEST,
                    _ => (RECORD, seal.dump, u32::MAX - seal.part),
                };
                known[slot] = Known {
                    least: worth,
                    most: NEWEST,
                    seal: Some(seal),
                };
                used.push(slot);
                for known in &mut known {
                    known.mark(&firsts);
                }
            }
        }

        let log = ram.log.take();
        let end = self.perform(&log, cut);
        written.retain(|part| part.begin < end);
        let media = Ram::new(self.image.clone());
        for slot in 0..geometry.slots() {
            let here: Vec<&Part> = written.iter().filter(|part| part.slot == slot).collect();
            let Some(last) = here.last() else {
                continue;
            };
            let is_complete = last.complete <= end;
            let zone = self.image[self.zone(slot)].to_vec();
            let (kind, shown) = look(&&media, &geometry, slot);
            if is_complete {
                assert!(zone == last.zone, "slot {slot} is not in RAM");
                assert!(shown == last.payload, "{kind:?}");
            }
            // The old one is there, or one of those that were written since, or none.
            let key = (self.params, slot);
            match kind {
                Kind::Sealed(seal) if here.iter().any(|part| part.payload == shown) => {
                    let record = Record {
                        payload: shown,
                        seal: Some(seal),
                        zone,
                        is_complete,
                    };
                    self.ledger.insert(key, record);
                }
                _ if self.whole(slot).is_some() => (),
                // It is hidden from mainline already.
                Kind::Sealed(seal) => {
                    let record = self.ledger.get_mut(&key).unwrap();
                    assert_eq!((record.seal, &record.payload), (Some(seal), &shown));
                    record.zone = zone;
                    record.is_complete = false;
                }
                _ => (),
            }
        }
    }

    /// Before a dump, only one record is the newest.
    fn rank(known: &mut [Known], firsts: &[u64], was_hurt: bool) {
        let age = |known: &Known| known.seal.map(|seal| (seal.dump, u32::MAX - seal.part));
        let newest = known.iter().filter_map(age).max();
        for known in known {
            if let (NEWEST, Some(age)) = (known.most, age(known)) {
                if newest.is_some_and(|(dump, _)| dump != age.0) {
                    known.least = (RECORD, age.0, age.1);
                    known.most = known.least;
                    if was_hurt {
                        // What is hurt may name it.
                        known.most.0 = FIRST;
                    }
                    known.mark(firsts);
                }
            }
        }
    }

    /// Nothing of less worth could have been taken.
    fn justify(known: &[Known], taken: usize, used: &[usize]) {
        if known.len() == 1 {
            return;
        }
        assert!(!used.contains(&taken), "slot {taken} twice in one dump");
        // One that is hurt may be newer.
        let uncertain = known
            .iter()
            .any(|other| other.least < NEWEST && other.most == NEWEST);
        assert!(
            uncertain || known[taken].least < NEWEST,
            "the newest was taken: {taken} {known:?}"
        );
        for (slot, other) in known.iter().enumerate() {
            if !used.contains(&slot) && other.most < NEWEST {
                assert!(
                    known[taken].least <= other.most,
                    "slot {taken} was taken, and not {slot}: {known:?}"
                );
            }
        }
    }

    fn mainline(&mut self, f: impl FnOnce(&mut Vec<u8>, &Geometry) -> usize) -> usize {
        let geometry = self.geometry();
        mainline::load(&mut self.image, &geometry);
        f(&mut self.image, &geometry)
    }

    fn run(&mut self, op: &Op) {
        let geometry = self.geometry();
        let slots = geometry.slots();
        match *op {
            Op::Boot {
                ref dumps,
                early,
                rescan,
                cut,
            } => self.boot(dumps, early, rescan, cut),
            Op::Loop(count) => {
                for _ in 0..count {
                    self.boot(&[vec![50]], true, false, None);
                    self.check();
                }
            }
            Op::Flip { bits, seed } => {
                let mut random = Random(seed);
                for _ in 0..bits {
                    let at = random.below(self.image.len());
                    self.image[at] ^= 1 << random.below(8);
                }
            }
            Op::Mainline { slot, len } => {
                self.time += 1;
                let (time, secs) = (self.time, (1_700_000_000 + self.clock) as u64);
                let text = format!("Oops#1 Part1\n{time} ").repeat(len / 10 + 1);
                let slot = self.mainline(|image, geometry| {
                    mainline::write(image, geometry, slot % slots, secs, &text.as_bytes()[..len]);
                    slot % slots
                });
                let payload = mainline::record(&self.image, &geometry, slot).unwrap();
                self.deleted.remove(&(self.params, slot));
                let zone = self.image[self.zone(slot)].to_vec();
                let record = Record {
                    payload,
                    seal: None,
                    zone,
                    is_complete: true,
                };
                self.ledger.insert((self.params, slot), record);
            }
            Op::MainlineDeletes { slot } => {
                self.mainline(|image, geometry| {
                    mainline::erase(image, geometry, slot % slots);
                    slot % slots
                });
            }
            Op::Clear { slot, cut } => {
                let slot = slot % slots;
                let ram = Ram::new(self.image.clone());
                clear(&&ram, &geometry, slot).unwrap();
                let log = ram.log.take();
                let end = self.perform(&log, cut);
                if end == log.len() && cut.is_none() {
                    let zone = self.image[self.zone(slot)].to_vec();
                    self.deleted.insert((self.params, slot), zone);
                }
            }
            Op::Params(params) => self.params = params,
            Op::Clock(seconds) => self.clock = seconds / 2,
            Op::Fill(value) => self.image.fill(value),
        }
        self.check();
    }

    /// Everything that is there is shown, and nothing else.
    fn check(&self) {
        let geometry = self.geometry();
        let ram = Ram::new(self.image.clone());
        for slot in 0..geometry.slots() {
            let (kind, payload) = look(&&ram, &geometry, slot);
            let whole = self.whole(slot);
            let name = || format!("slot {slot}: {kind:?}");
            match (whole, kind) {
                (
                    Some(Record {
                        seal: Some(seal),
                        payload: written,
                        ..
                    }),
                    _,
                ) => {
                    assert_eq!(kind, Kind::Sealed(*seal));
                    assert_eq!(payload, *written);
                }
                (
                    Some(Record {
                        payload: written, ..
                    }),
                    Kind::Foreign(_),
                ) => {
                    assert_eq!(payload, *written, "{}", name());
                }
                (Some(record), _) => panic!("{}: {record:?}", name()),
                (None, Kind::Sealed(seal)) => {
                    // More is wrong than can be corrected for sure, or only the header.
                    let record = self.ledger.get(&(self.params, slot));
                    let record = record.unwrap_or_else(|| panic!("{}", name()));
                    assert_eq!(record.seal, Some(seal), "{}", name());
                    assert_eq!(record.payload, payload, "{}", name());
                }
                (None, _) => (),
            }
            let zone = &self.image[self.zone(slot)];
            let deleted = self.deleted.get(&(self.params, slot));
            if deleted.is_some_and(|deleted| deleted == zone) {
                let deleted = matches!(kind, Kind::Cleared(_) | Kind::Empty | Kind::Erased);
                assert!(deleted, "{}", name());
                assert_eq!(mainline::record(&self.image, &geometry, slot), None);
            }
            // What mainline shows of a record that is whole is that record.
            if let (Some(record), Some(shown)) =
                (whole, mainline::file(&self.image, &geometry, slot))
            {
                if ram_header_is_whole(record, zone) {
                    assert_eq!(shown.log, record.payload, "{}", name());
                }
            }
            assert!(classify(&&ram, &geometry, slot).is_some());
        }
    }
}

/// A clock that tells less was never set: 2020.
const CLOCK_MIN: u64 = 1_577_836_800_000_000_000;

/// Whether this is the header of a record that mainline deleted.
fn says_deleted(zone: &[u8]) -> bool {
    zone[..4] == SIG.to_ne_bytes() && zone[4..HEADER_LEN].iter().all(|byte| *byte == 0)
}

/// A seal, if its CRC is right, and it is the one of this slot.
fn raw_seal(raw: &[u8], geometry: &Geometry, slot: usize) -> Option<Seal> {
    let (covered, rest) = raw.split_at(SEAL_LEN - 8);
    let is_whole = rest[..4] == (!kernel_crc32c(!0, covered)).to_le_bytes()
        && [b"SEAL", b"SEAW"].contains(&rest[4..].first_chunk().unwrap());
    let seal = Seal::decode::<&Ram>(raw.first_chunk().unwrap()).filter(|_| is_whole)?;
    (seal.params == *geometry.params() && seal.slot == slot).then_some(seal)
}

/// The stamp of a record in microseconds.
fn stamp(payload: &[u8]) -> i64 {
    let digits = |text: &[u8]| {
        let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
        digits.fold(0, |number, byte| number * 10 + i64::from(byte - b'0'))
    };
    let dot = payload.iter().position(|byte| *byte == b'.').unwrap();
    digits(&payload[4..]) * 1_000_000 + digits(&payload[dot + 1..])
}

fn ram_header_is_whole(record: &Record, zone: &[u8]) -> bool {
    record.zone[..HEADER_LEN] == zone[..HEADER_LEN]
}

fn number(name: &str, default: u64) -> u64 {
    match env::var(name) {
        Ok(value) => value.parse().unwrap_or_else(|_| panic!("{name}={value}")),
        Err(_) => default,
    }
}

#[test]
fn random_lives() {
    const STEPS_PER_LIFE: usize = 40;
    let seed = number("RINGBUF_SEED", 7);
    let steps = number("RINGBUF_STEPS", 100_000);
    let lives = (steps as usize).div_ceil(STEPS_PER_LIFE);
    println!("RINGBUF_SEED={seed} RINGBUF_STEPS={steps}");
    let config = Config {
        cases: lives as u32,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(seed),
        ..Config::default()
    };
    let life = (0..PARAMS.len(), vec(op(), 1..2 * STEPS_PER_LIFE));
    let boots = Cell::new((0, 0));
    let result = TestRunner::new(config).run(&life, |(params, ops)| {
        let mut machine = Machine {
            image: vec![0; MEM_SIZE],
            params,
            ledger: HashMap::new(),
            deleted: HashMap::new(),
            clock: 0,
            boots: 0,
            certain: 0,
            time: 0,
        };
        for op in &ops {
            machine.run(op);
        }
        let (all, certain) = boots.get();
        boots.set((all + machine.boots, certain + machine.certain));
        Ok(())
    });
    if let Err(err) = result {
        panic!("RINGBUF_SEED={seed}: {err}");
    }
    println!(
        "boots, and how many found nothing but what is certain: {:?}",
        boots.get()
    );
}
