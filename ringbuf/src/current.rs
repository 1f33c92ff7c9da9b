// SPDX-License-Identifier: GPL-2.0

//! Which of two slot tables is in use.
//!
//! A table is replaced only if no dump was under way from before the region was read for the new
//! one until it is in use: what a dump has stored is known only to the table that it began with.
//!
//! # Memory ordering
//!
//! All changes are of one value, and read-modify-writes: who begins a dump sees, with Acquire, what
//! was done before the table was put in, with Release. Who reads the region sees, with Acquire,
//! what dumps have stored before they ended, with Release.

use super::sync::{
    AtomicU64,
    Ordering, //
};

/// Which table it is.
const INDEX: u64 = 1;
/// Somebody fills the other one.
const FILLING: u64 = 1 << 1;
/// Counts the dumps under way.
const DUMP: u64 = 1 << 2;
const DUMPS: u64 = 0x3fff_ffff * DUMP;
/// Counts the dumps that began, so that one that has ended is noticed, too.
const BEGUN: u64 = 1 << 32;

/// Which one it is, and who uses it.
#[derive(Debug)]
pub(super) struct Current(AtomicU64);

impl Current {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Begins a dump, or whatever else changes a table. Returns which one it uses until it
    /// [`Self::leave`]s.
    pub(super) fn enter(&self) -> usize {
        index(self.0.fetch_add(BEGUN | DUMP, Ordering::AcqRel))
    }

    /// Ends a dump.
    pub(super) fn leave(&self) {
        self.0.fetch_sub(DUMP, Ordering::AcqRel);
    }

    /// Begins to fill the other table, unless a dump is under way, or somebody else fills it.
    pub(super) fn prepare(&self) -> Option<Replacement<'_>> {
        let now = self.0.fetch_or(FILLING, Ordering::AcqRel);
        if now & FILLING != 0 {
            return None;
        }
        let replacement = Replacement {
            current: self,
            since: now | FILLING,
        };
        (now & DUMPS == 0).then_some(replacement)
    }
}

/// The table that is not in use, and belongs to who has this.
#[derive(Debug)]
pub(super) struct Replacement<'a> {
    current: &'a Current,
    since: u64,
}

impl Replacement<'_> {
    /// Returns which one it is.
    pub(super) fn index(&self) -> usize {
        index(self.since ^ INDEX)
    }

    /// Puts it in use, if no dump began since then.
    pub(super) fn put_in(self) -> bool {
        let Self { current, since } = &self;
        let result =
            current
                .0
                .compare_exchange(*since, since ^ INDEX, Ordering::AcqRel, Ordering::Relaxed);
        result.is_ok()
    }
}

impl Drop for Replacement<'_> {
    fn drop(&mut self) {
        self.current.0.fetch_and(!FILLING, Ordering::AcqRel);
    }
}

fn index(state: u64) -> usize {
    match state & INDEX {
        0 => 0,
        _ => 1,
    }
}
