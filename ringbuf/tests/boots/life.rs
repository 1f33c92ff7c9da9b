// SPDX-License-Identifier: GPL-2.0

//! A boot of the machine, and what its dumps may take.

use std::ops::Range;

use super::ledger::{
    raw_seal,
    says_deleted,
    stamp,
    Part,
    Record,
    CLOCK_MIN, //
};
use super::{
    geometry,
    Failure,
    Machine, //
};
use crate::common::{
    cache::{
        lines,
        Cache,
        Random, //
    },
    evict::{
        Eviction,
        State, //
    },
    look,
    open,
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
                None => State::Stock(stamp(&record.payload)),
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
        // A seal of another layout is none.
        let is_other = Seal::decode::<&Ram>(raw.first_chunk().unwrap()).is_some();
        match &raw[SEAL_MAGIC_OFFSET..][..4] {
            _ if is_other => None,
            b"SEAW" if is_hidden => Some(State::Ageless),
            b"SEAL" if zone[..4] == [0; 4] => Some(State::Ageless),
            _ => None,
        }
    }

    /// The slot with the highest number, and the seal if its record is still there.
    fn last(&self, states: &[State]) -> Option<(usize, Option<Seal>)> {
        let geometry = self.geometry();
        let end = HEADER_LEN + geometry.data_capacity();
        let seal = |slot: usize| match states[slot] {
            State::Ours(seal) => Some((seal.seq, slot, Some(seal))),
            _ => {
                let raw = &self.image[self.zone(slot)][end - SEAL_LEN..end];
                Some((raw_seal(raw, &geometry, slot)?.seq, slot, None))
            }
        };
        let seals = (0..states.len()).filter_map(seal);
        let (_, slot, seal) = seals.max_by_key(|(seq, ..)| *seq)?;
        Some((slot, seal))
    }

    /// The order in which slots are taken, and what `loop_start` an early dump of a boot has that
    /// began at that time. `None` if what is in the slots is not certain.
    fn eviction(&self, boot: u64) -> Option<(Eviction, u64)> {
        let slots = 0..self.geometry().slots();
        let states: Vec<State> = slots.map(|slot| self.state(slot)).collect::<Option<_>>()?;
        // What parity corrects in the seal of a deleted record is not looked into.
        let is_hurt = |slot: usize| {
            let zone = &self.image[self.zone(slot)];
            matches!(states[slot], State::Nothing | State::Stock(_))
                && zone.iter().any(|byte| *byte != zone[0])
        };
        if self.geometry().ecc_size() != 0 && (0..states.len()).any(is_hurt) {
            return None;
        }
        let last = self.last(&states);
        let stock = |slot: usize| match states[slot] {
            State::Stock(stamp) => Some((stamp, slot)),
            _ => None,
        };
        let latest = (0..states.len())
            .filter_map(stock)
            .max_by_key(|(stamp, slot)| (*stamp, std::cmp::Reverse(*slot)));
        let start = match (last, latest) {
            (Some((slot, _)), _) | (None, Some((_, slot))) => slot + 1,
            (None, None) => 0,
        };
        let seal = last.and_then(|(_, seal)| seal);
        let first = seal.map(|seal| {
            if seal.loop_start == 0 {
                seal.dump
            } else {
                seal.loop_start
            }
        });
        // The machine was off for longer, if the clocks tell.
        let is_over = seal.is_some_and(|seal| {
            seal.realtime_ns >= CLOCK_MIN
                && boot >= CLOCK_MIN
                && boot >= seal.realtime_ns + DEFAULT.loop_ns
        });
        let loop_start = first.filter(|_| !is_over).unwrap_or(0);
        Some((Eviction::new(&states, start, first), loop_start))
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

    pub(super) fn boot(&mut self, dumps: &[Vec<usize>], early: bool, cut: Failure) {
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
        let slots = 0..geometry.slots();
        let states: Vec<Option<State>> = slots.clone().map(|slot| self.state(slot)).collect();
        let seal = |slot| Some(self.whole(slot)?.seal?.seq);
        let highest = slots.filter_map(seal).max();
        assert!(census.newest_seq >= highest);
        let (mut eviction, loop_start) = self.eviction(info.realtime_ns - info.boottime_ns).unzip();
        self.certain += usize::from(eviction.is_some());

        let mut written: Vec<Part> = Vec::new();
        for parts in dumps {
            let mut used = Vec::new();
            let limit = eviction.as_ref().map(|eviction| eviction.begin(false));
            let mut dump = store.begin(&info);
            for (part, percent) in (1..).zip(parts) {
                self.time += 1;
                // Each text is another one: see `PARAMS`.
                let unit = format!("{}.", self.time);
                let len = (dump.room() * percent / 100).max(unit.len());
                let text: Vec<u8> = unit.bytes().cycle().take(len).collect();
                let begin = ram.log.borrow().len();
                let result = dump.append(&text, part == parts.len());
                if let (Some(eviction), Some(limit)) = (&mut eviction, limit) {
                    let expected = eviction.claim(part as u32, limit);
                    assert_eq!(
                        result.ok(),
                        expected,
                        "part {part}: {eviction:?} {states:?}"
                    );
                }
                let slot = match result {
                    Ok(slot) => slot,
                    Err(err) => {
                        assert!(err == Dropped::NoSlot && part > 1);
                        break;
                    }
                };
                assert!(!used.contains(&slot), "slot {slot} twice in one dump");
                let is_free = |slot: usize| {
                    matches!(states[slot], Some(State::Nothing))
                        && written.iter().all(|part| part.slot != slot)
                };
                if (0..states.len()).any(is_free) {
                    let is_record = matches!(states[slot], Some(State::Ours(_) | State::Stock(_)));
                    assert!(!is_record, "slot {slot} was taken: {states:?}");
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
                match (early, loop_start) {
                    (true, Some(loop_start)) => assert_eq!(seal.loop_start, loop_start),
                    (true, None) => (),
                    (false, _) => assert_eq!(seal.loop_start, 0),
                }
                used.push(slot);
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
}
