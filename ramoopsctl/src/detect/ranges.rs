// SPDX-License-Identifier: GPL-2.0

//! A set of ranges of bytes.

use std::{
    collections::BTreeMap,
    ops::Range, //
};

/// Ranges, by where they begin. They do not touch each other.
#[derive(Debug, Default)]
pub(super) struct Ranges(BTreeMap<usize, usize>);

impl Ranges {
    /// Adds a range.
    pub(super) fn insert(&mut self, range: Range<usize>) {
        let Range { mut start, mut end } = range;
        while let Some((first, last)) = self.last_until(end).filter(|(_, last)| *last >= start) {
            self.0.remove(&first);
            start = start.min(first);
            end = end.max(last);
        }
        self.0.insert(start, end);
    }

    /// Whether a byte of `range` is in one of them.
    pub(super) fn overlap(&self, range: Range<usize>) -> bool {
        let before = self.0.range(..range.end).next_back();
        before.is_some_and(|(_, end)| *end > range.start)
    }

    /// Returns the last one that begins at `end` or before.
    fn last_until(&self, end: usize) -> Option<(usize, usize)> {
        let (start, end) = self.0.range(..=end).next_back()?;
        Some((*start, *end))
    }
}
