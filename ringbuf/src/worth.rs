// SPDX-License-Identifier: GPL-2.0

//! What a slot is worth.

/// The order in which slots are overwritten: least worth first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Worth {
    class: Class,
    /// Number of the dump, or the time that somebody else's record tells.
    age: u64,
    /// Within a dump, the part with the oldest text goes first.
    part: u32,
}

/// The order but for age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// There is nothing worth keeping.
    Nothing,
    /// Text that may have been a record.
    Salvaged,
    /// A record that tells no age, nor does any other.
    Undated,
    /// A record of somebody else, not younger than our newest one.
    Foreign,
    /// A record of ours.
    Ours,
    /// A record that is younger than our newest one by its time.
    Younger,
    /// A record of a dump with which a loop of crashes began.
    First,
    /// A record of the newest dump.
    Newest,
}

const CLASSES: [Class; 8] = [
    Class::Nothing,
    Class::Salvaged,
    Class::Undated,
    Class::Foreign,
    Class::Ours,
    Class::Younger,
    Class::First,
    Class::Newest,
];

/// The highest number of a part.
const PART_MAX: u32 = 0xffff;

/// In place of a part: the record is just younger than a record of that age.
const BEHIND: u32 = PART_MAX + 1;

impl Worth {
    pub(super) const NOTHING: Self = Self::new(Class::Nothing, 0);
    pub(super) const SALVAGED: Self = Self::new(Class::Salvaged, 0);

    const fn new(class: Class, age: u64) -> Self {
        let part = 0;
        Self { class, age, part }
    }

    /// A record of ours.
    pub(super) fn ours(dump: u64, part: u32) -> Self {
        Self {
            part: PART_MAX.saturating_sub(part),
            ..Self::new(Class::Ours, dump)
        }
    }

    /// A record of somebody else, which tells its time.
    pub(super) fn foreign(time: u64) -> Self {
        Self::new(Class::Foreign, time)
    }

    /// A record of ours that has no number (any more). It may tell its time.
    pub(super) fn undated(time: Option<u64>) -> Self {
        Self::new(Class::Undated, time.unwrap_or(0))
    }

    pub(super) fn class(self) -> Class {
        self.class
    }

    /// Returns the number of the dump; 0 if it is not known.
    pub(super) fn dump(self) -> u64 {
        match self.class {
            Class::Ours | Class::First | Class::Newest if self.part != BEHIND => self.age,
            _ => 0,
        }
    }

    /// The same, in another class.
    pub(super) fn moved_to(self, class: Class) -> Self {
        Self { class, ..self }
    }

    /// The same, if it belongs to the newest dump, or to one with which a loop of crashes began.
    pub(super) fn among(self, newest: u64, firsts: &[u64]) -> Self {
        match self.dump() {
            0 => self,
            dump if dump == newest => self.moved_to(Class::Newest),
            dump if firsts.contains(&dump) => self.moved_to(Class::First),
            _ => self,
        }
    }

    /// Whether it tells its age.
    fn is_dated(self) -> bool {
        self.class > Class::Undated && self.part != BEHIND
    }

    /// Finds the place of a record among the others. `newest_time` is the time of our newest one,
    /// and `before` the last slot before it in the ring that tells its age.
    pub(super) fn placed(self, newest_time: Option<u64>, before: Option<Self>) -> Self {
        match (self.class, before) {
            (Class::Foreign | Class::Undated, _)
                if newest_time.is_some_and(|newest| self.age > newest) =>
            {
                self.moved_to(Class::Younger)
            }
            (Class::Undated, _) if newest_time.is_none() && self.age != 0 => {
                self.moved_to(Class::Foreign)
            }
            (Class::Undated, Some(before)) => Self {
                part: BEHIND,
                ..before
            },
            (Class::Undated, None) => Self::new(Class::Undated, 0),
            _ => self,
        }
    }

    /// Returns what others may be placed behind.
    pub(super) fn dated(self) -> Option<Self> {
        self.is_dated().then_some(self)
    }

    /// Packs all but the age into 32 bits.
    pub(super) fn pack(self) -> (u64, u32) {
        let class = CLASSES
            .iter()
            .zip(0..)
            .find(|(class, _)| **class == self.class);
        (
            self.age,
            class.map_or(0, |(_, class): (_, u32)| class << 24) | self.part,
        )
    }

    pub(super) fn unpack(age: u64, rest: u32) -> Self {
        let class = usize::try_from(rest >> 24)
            .ok()
            .and_then(|class| CLASSES.get(class));
        Self {
            class: class.copied().unwrap_or(Class::Nothing),
            age,
            part: rest & 0xff_ffff,
        }
    }
}
