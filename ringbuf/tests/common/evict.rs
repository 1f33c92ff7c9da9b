// SPDX-License-Identifier: GPL-2.0

//! The order in which slots are reused, as `FORMAT.md` has it, for regions of which everything is
//! known.

use std::collections::BTreeMap;

use ringbuf::Seal;

/// What is in a slot.
#[expect(clippy::large_enum_variant, reason = "there are only a few")]
#[derive(Clone, Copy, Debug)]
pub enum State {
    Nothing,
    Salvaged,
    /// A record that tells no age.
    Ageless,
    /// A stock record, and its stamp in microseconds.
    Stock(i64),
    /// A record of ours, be it damaged or torn.
    Ours(Seal),
}

/// The slots when a store is opened.
#[derive(Clone, Debug)]
pub struct Eviction {
    /// In the order in which they are reused.
    pub list: Vec<usize>,
    /// Kept for this boot.
    pub kept: Vec<usize>,
    /// How many slots were claimed since.
    pub claimed: usize,
    /// The claim after that of part 1 of the last complete crash.
    newest: usize,
}

impl Eviction {
    /// `start` is where the ring begins. `loop_start` is the first crash of the last one's loop.
    pub fn new(states: &[State], start: usize, loop_start: Option<u64>) -> Self {
        let len = states.len();
        let seals = || {
            states.iter().filter_map(|state| match state {
                State::Ours(seal) => Some(seal),
                _ => None,
            })
        };
        let newest = seals().max_by_key(|seal| (seal.dump, -i64::from(seal.part)));
        let time = newest.map_or(i64::MAX, Seal::micros);
        let key = |slot: usize| match states[slot] {
            State::Nothing => (0, 0, 0),
            State::Salvaged => (1, 0, 0),
            State::Ageless => (2, 0, 0),
            State::Stock(stamp) if stamp <= time => (3, stamp, 0),
            State::Ours(seal) => (4, seal.dump as i64, -i64::from(seal.part)),
            State::Stock(stamp) => (5, stamp, 0),
        };
        let has_age = |slot: &usize| key(*slot).0 > 2;
        let ring = (start..start + len).map(|slot| slot % len);
        let (aged, ageless): (Vec<usize>, Vec<usize>) = ring.partition(|slot| key(*slot).0 != 2);
        let mut list = aged;
        list.sort_by_key(|slot| key(*slot));
        let top = list.last().copied().filter(has_age);
        let mut followers = BTreeMap::new();
        for slot in ageless {
            let before = (1..len).map(|back| (slot + len - back) % len).find(has_age);
            let at = match before {
                // Just newer than the record before it, but never the newest of all.
                Some(before) if top.is_some_and(|top| key(before) == key(top)) => {
                    let is_newest = |slot: &usize| key(*slot) == key(before);
                    list.iter().position(is_newest).unwrap()
                }
                Some(before) => {
                    let followers = followers.entry(key(before)).or_insert(0);
                    *followers += 1;
                    let is_same = |slot: &usize| key(*slot) == key(before);
                    list.iter().rposition(is_same).unwrap() + *followers
                }
                None => list.len(),
            };
            list.insert(at, slot);
        }
        let is_first = |slot: &usize| matches!(states[*slot], State::Ours(seal) if Some(seal.dump) == loop_start);
        let first = list.iter().copied().rfind(is_first);
        let kept = match len {
            5.. => [first, top],
            4 => [first.or(top), None],
            _ => [None; 2],
        };
        let (kept, list) = list
            .into_iter()
            .partition(|slot| kept.contains(&Some(*slot)));
        Self {
            list,
            kept,
            claimed: 0,
            newest: 0,
        }
    }

    fn once(&self) -> usize {
        self.list.len() / 4
    }

    pub fn round(&self) -> usize {
        self.list.len() - self.once()
    }

    /// A dump begins. Returns its limit.
    pub fn begin(&self, is_panic: bool) -> usize {
        self.newest + self.round().saturating_sub(if is_panic { 1 } else { 2 })
    }

    /// The slot for a part of a dump.
    pub fn claim(&mut self, part: u32, limit: usize) -> Option<usize> {
        let position = self.claimed;
        if part > 1 && position >= limit {
            return None;
        }
        self.claimed += 1;
        if part == 1 {
            self.newest = self.claimed;
        }
        let once = self.once();
        let index = match position < once {
            true => position,
            false => once + (position - once) % self.round(),
        };
        Some(self.list[index])
    }
}
