// SPDX-License-Identifier: GPL-2.0

//! The order of worth as `FORMAT.md` has it, for regions of which everything is known.

use std::collections::HashSet;

use ringbuf::Seal;

/// What is in a slot.
#[expect(clippy::large_enum_variant, reason = "there are only a few")]
#[derive(Clone, Copy, Debug)]
pub enum State {
    Nothing,
    /// Whole or damaged.
    Ours(Seal),
    /// Its seal is broken, and mainline sees nothing.
    Torn,
    /// One of mainline, and its stamp in microseconds.
    Foreign(i64),
}

/// The class, and within it the age, then the part.
type Worth = (u8, i64, u32);

const NOTHING: Worth = (0, 0, 0);
/// No other record tells the age of this one.
const OLDEST: Worth = (1, 0, 0);
const FOREIGN: u8 = 2;
const OURS: u8 = 3;
/// By its stamp.
const YOUNGER: u8 = 4;
/// Stored since the store was opened, or the newest dump then.
const LATER: u8 = 5;
const FIRST: u8 = 6;
const NEWEST: u8 = 7;

/// In place of a part: just younger.
const BEHIND: u32 = u32::MAX;

/// What the slots are worth.
#[derive(Clone, Debug)]
pub struct Order {
    states: Vec<State>,
    worth: Vec<Worth>,
    firsts: HashSet<u64>,
    /// The dump that is stored or being stored.
    last: Option<u64>,
    /// What cannot be taken by the dump in progress.
    kept: Option<usize>,
}

impl Order {
    /// When the store is opened. `None` if there are two that may be the newest.
    pub fn new(states: Vec<State>) -> Option<Self> {
        let seals = || {
            states.iter().filter_map(|state| match state {
                State::Ours(seal) => Some(*seal),
                _ => None,
            })
        };
        let age = |seal: &Seal| (seal.dump, u32::MAX - 1 - seal.part);
        let ages: HashSet<_> = seals().map(|seal| age(&seal)).collect();
        if ages.len() < seals().count() {
            return None;
        }
        let newest = seals().max_by_key(age);
        let time = newest.map(|seal| (seal.realtime_ns / 1000) as i64);
        let dated = |slot: usize| match states[slot] {
            State::Ours(seal) => Some((OURS, seal.dump as i64, age(&seal).1)),
            State::Foreign(stamp) if time.is_some_and(|time| stamp > time) => {
                Some((YOUNGER, stamp, 0))
            }
            State::Foreign(stamp) => Some((FOREIGN, stamp, 0)),
            State::Nothing | State::Torn => None,
        };
        let len = states.len();
        let mut worth: Vec<Worth> = (0..len)
            .map(|slot| match states[slot] {
                State::Nothing => NOTHING,
                State::Torn => {
                    let before = (1..len).map(|distance| (slot + len - distance) % len);
                    let behind = |(class, age, _): Worth| (class, age, BEHIND);
                    before.filter_map(dated).next().map_or(OLDEST, behind)
                }
                State::Ours(_) | State::Foreign(_) => dated(slot).unwrap(),
            })
            .collect();

        let top = (0..len).filter_map(dated).max();
        let last = match top {
            Some((OURS, dump, _)) => Some(dump as u64),
            _ => None,
        };
        let tops: Vec<usize> = (0..len).filter(|slot| dated(*slot) == top).collect();
        if top.is_some() && tops.len() > 1 {
            return None;
        }
        for slot in 0..len {
            let is_last = |seal: &Seal| Some(seal.dump) == last;
            let of_last = matches!(&states[slot], State::Ours(seal) if is_last(seal));
            if of_last || (top.is_some() && tops == [slot]) {
                worth[slot].0 = NEWEST;
            }
        }
        let firsts = seals().map(|seal| seal.loop_start).collect();
        let mut order = Self {
            states,
            worth,
            firsts,
            last,
            kept: None,
        };
        order.mark();
        Some(order)
    }

    /// When the region is read again.
    pub fn reopened(self) -> Option<Self> {
        Self::new(self.states)
    }

    fn mark(&mut self) {
        for (state, worth) in self.states.iter().zip(&mut self.worth) {
            if let State::Ours(seal) = state {
                if worth.0 < NEWEST && self.firsts.contains(&seal.dump) {
                    worth.0 = FIRST;
                    worth.1 = seal.dump as i64;
                }
            }
        }
    }

    /// A dump begins: only the one before it is the newest.
    pub fn begin(&mut self) {
        for (state, worth) in self.states.iter().zip(&mut self.worth) {
            match state {
                State::Ours(seal) if Some(seal.dump) == self.last => worth.0 = NEWEST,
                State::Ours(seal) if worth.0 == NEWEST => {
                    (worth.0, worth.1) = (LATER, seal.dump as i64);
                }
                _ if worth.0 == NEWEST && self.last.is_some() => (worth.0, worth.1) = (LATER, 0),
                _ => (),
            }
        }
        self.mark();
        let newest = (0..self.worth.len()).filter(|slot| self.worth[*slot].0 == NEWEST);
        self.kept = newest.max_by_key(|slot| self.worth[*slot]);
    }

    /// The slots that a dump may take which has those in `used`, and has to if there is no other.
    fn free<'a>(&'a self, used: &'a [usize]) -> impl Iterator<Item = usize> + 'a {
        let slots = 0..self.worth.len();
        let is_kept = move |slot: &usize| Some(*slot) == self.kept && slots.len() > 1;
        (0..self.worth.len()).filter(move |slot| !used.contains(slot) && !is_kept(slot))
    }

    /// Nothing of less worth could have been taken.
    pub fn justify(&self, taken: Option<usize>, used: &[usize]) {
        let least = self.free(used).map(|slot| self.worth[slot]).min();
        assert_eq!(
            taken.map(|slot| self.worth[slot]),
            least,
            "{taken:?} was taken, not {used:?}: {self:?}"
        );
        let is_free = taken.is_none_or(|taken| self.free(used).any(|slot| slot == taken));
        assert!(is_free, "{taken:?} was taken, not {used:?}: {self:?}");
    }

    /// A part was stored.
    pub fn store(&mut self, slot: usize, seal: Seal) {
        self.states[slot] = State::Ours(seal);
        self.worth[slot] = (LATER, seal.dump as i64, u32::MAX - 1 - seal.part);
        self.last = Some(seal.dump);
        self.firsts.insert(seal.loop_start);
        self.mark();
    }
}
