// SPDX-License-Identifier: GPL-2.0

//! A boot of the machine, and what its dumps may take.

use std::ops::Range;

use super::ledger::{
    raw_seal,
    says_deleted,
    stamp,
    Known,
    Part,
    Record,
    CLOCK_MIN,
    FIRST,
    NEWEST,
    NOTHING,
    RECORD, //
};
use super::{
    geometry,
    Failure,
    Machine,
    MEM_SIZE,
    PARAMS, //
};
use crate::common::{
    cache::{
        lines,
        Cache,
        Random, //
    },
    look,
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
use ringbuf::{
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
    Seal, //
};

impl Machine {
    pub(super) fn geometry(&self) -> Geometry {
        geometry(self.params)
    }

    pub(super) fn zone(&self, slot: usize) -> Range<usize> {
        let stride = self.geometry().stride();
        slot * stride..(slot + 1) * stride
    }

    /// The record in a slot, if it is whole.
    pub(super) fn whole(&self, slot: usize) -> Option<&Record> {
        let record = self.ledger.get(&(self.params, slot))?;
        let zone = &self.image[self.zone(slot)];
        record.is_whole(&self.geometry(), zone).then_some(record)
    }

    /// What is in a slot, going by the bytes. `None` if that is not certain.
    pub(super) fn state(&self, slot: usize) -> Option<State> {
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
    pub(super) fn has_other(&self, slot: usize) -> bool {
        self.has_other_in(self.zone(slot))
    }

    pub(super) fn has_other_in(&self, zone: Range<usize>) -> bool {
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
    pub(super) fn loop_start(&self, states: &[State], boot: u64) -> Option<u64> {
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
    pub(super) fn known(&self) -> Vec<Known> {
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
    pub(super) fn perform(&mut self, log: &[Access], cut: Failure) -> usize {
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

    pub(super) fn boot(&mut self, dumps: &[Vec<usize>], early: bool, rescan: bool, cut: Failure) {
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
    pub(super) fn rank(known: &mut [Known], firsts: &[u64], was_hurt: bool) {
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
    pub(super) fn justify(known: &[Known], taken: usize, used: &[usize]) {
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
}
