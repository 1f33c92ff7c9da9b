// SPDX-License-Identifier: GPL-2.0

//! Eviction rank: the order in which slots are reused, as it is when a store is opened.

use super::layout::PART_MAX;

/// Eviction rank of a slot: the lowest is reused first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    class: Class,
    /// Number of the crash, or the time that a stock record tells.
    age: u64,
    /// Grows as the number of the part falls: the oldest text of a crash goes first.
    part: u32,
    place: Place,
    /// Distance from the start of the ring, which decides where nothing else does.
    distance: u32,
}

/// What a slot holds, as far as its rank depends on that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    /// Nothing.
    #[default]
    Nothing,
    /// Text that may have been a record.
    Salvaged,
    /// A record that tells no age. It keeps this class only if no other record tells one.
    Ageless,
    /// A stock record that is not newer than our newest one.
    Stock,
    /// A record of ours.
    Ours,
    /// A stock record that is newer than our newest one.
    NewerStock,
}

/// Place of a record that tells no age beside the record whose age it takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Before,
    /// The record tells its own age.
    #[default]
    Own,
    Behind,
}

impl Rank {
    pub(super) const NOTHING: Self = Self::new(Class::Nothing, 0);
    pub(super) const SALVAGED: Self = Self::new(Class::Salvaged, 0);
    pub(super) const AGELESS: Self = Self::new(Class::Ageless, 0);

    const fn new(class: Class, age: u64) -> Self {
        Self {
            class,
            age,
            part: 0,
            place: Place::Own,
            distance: 0,
        }
    }

    /// Ranks a part of a crash of ours.
    pub(super) fn ours(crash: u64, part: u32) -> Self {
        Self {
            part: PART_MAX.saturating_sub(part),
            ..Self::new(Class::Ours, crash)
        }
    }

    /// Ranks a stock record by the time that it tells.
    pub(super) fn stock(time: u64) -> Self {
        Self::new(Class::Stock, time)
    }

    /// Returns the number of the crash, if it is ours.
    pub(super) fn crash(&self) -> Option<u64> {
        (self.class == Class::Ours && self.has_age()).then_some(self.age)
    }

    /// Whether the record tells its age.
    pub(super) fn has_age(&self) -> bool {
        self.class >= Class::Stock && self.place == Place::Own
    }

    /// Moves a stock record behind ours if it is newer than `newest`, the time of our newest one.
    fn after_ours(self, newest: Option<u64>) -> Self {
        match newest {
            Some(newest) if self.class == Class::Stock && self.age > newest => Self {
                class: Class::NewerStock,
                ..self
            },
            _ => self,
        }
    }

    /// Gives a record that tells no age the age of `before`, the record before it in the ring.
    ///
    /// It is just newer, but never the newest of all.
    fn follow(self, before: Option<Self>, newest: Self) -> Self {
        match before {
            Some(before) if self.class == Class::Ageless => Self {
                place: if before == newest {
                    Place::Before
                } else {
                    Place::Behind
                },
                ..before
            },
            _ => self,
        }
    }
}

/// A slot and its rank.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ranked {
    pub(super) rank: Rank,
    pub(super) slot: u32,
}

/// Sorts slots by rank. Before, each has the rank that its record has by itself, at its own index.
///
/// `newest_time` is the time of our newest record, and `start` the slot at which the ring begins.
pub(super) fn sort(ranked: &mut [Ranked], newest_time: Option<u64>, start: usize) {
    for entry in ranked.iter_mut() {
        entry.rank = entry.rank.after_ours(newest_time);
    }
    let aged = |entry: &Ranked| Some(entry.rank).filter(Rank::has_age);
    let newest = ranked.iter().filter_map(aged).max().unwrap_or_default();
    let mut before = ranked.iter().rev().find_map(aged);
    let len = ranked.len();
    for (slot, entry) in ranked.iter_mut().enumerate() {
        before = aged(entry).or(before);
        let distance = match slot.checked_sub(start) {
            Some(distance) => distance,
            None => slot.wrapping_add(len).wrapping_sub(start),
        };
        entry.rank = Rank {
            distance: u32::try_from(distance).unwrap_or(u32::MAX),
            ..entry.rank.follow(before, newest)
        };
        entry.slot = u32::try_from(slot).unwrap_or(u32::MAX);
    }
    shell_sort(ranked);
}

/// Sorts in place. The sorts of `core` can panic.
fn shell_sort(ranked: &mut [Ranked]) {
    let mut gap = ranked.len();
    while gap > 1 {
        // The last gap is 1.
        gap = (gap.saturating_mul(4) / 9).max(1);
        for end in gap..ranked.len() {
            let mut at = end;
            while let Some(before) = at.checked_sub(gap) {
                let (Some(low), Some(high)) = (ranked.get(before), ranked.get(at)) else {
                    break;
                };
                if low <= high {
                    break;
                }
                let (low, high) = (*high, *low);
                for (index, entry) in [(before, low), (at, high)] {
                    if let Some(place) = ranked.get_mut(index) {
                        *place = entry;
                    }
                }
                at = before;
            }
        }
    }
}
