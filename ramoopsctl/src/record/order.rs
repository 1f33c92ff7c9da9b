// SPDX-License-Identifier: GPL-2.0

//! Which record is newer. The order depends on what is in the region, deleted or not, and on nothing
//! else, so that a number stays the same until slots are overwritten.

use super::{
    Record,
    State, //
};

/// What tells how old a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    /// Its number: that of the dump, or the sequence number.
    Number(u64),
    /// Its time only, in microseconds: it is somebody else's, or has lost its number.
    Time(i64),
    /// Nothing.
    Unknown,
}

/// A record that is to be put in order.
#[derive(Clone, Debug)]
pub(super) struct Dated {
    pub(super) age: Age,
    pub(super) record: Record,
}

/// Puts dumps in order, the newest last.
///
/// Ours have numbers. What has only a time is after the last of ours that is not younger. Those
/// that tell no age follow the record in the slot before them: slots are written in the order of the
/// ring, and as long as it is not known better, nothing was between the two. It is the same argument
/// as that of the record store when it chooses what to overwrite.
pub(super) fn arrange(dumps: Vec<Dated>, slots: usize) -> Vec<Record> {
    let (mut ours, rest): (Vec<Dated>, Vec<Dated>) = dumps
        .into_iter()
        .partition(|dated| matches!(dated.age, Age::Number(_)));
    ours.sort_by_key(|Dated { age, record }| match age {
        Age::Number(number) => (*number, record.slot()),
        _ => (0, record.slot()),
    });

    let before = times(&ours);
    let mut dated: Vec<((usize, i64, usize), Record)> = Vec::new();
    let mut undated: Vec<Record> = Vec::new();
    for Dated { age, record } in rest {
        match age {
            Age::Time(time) => {
                let at = before.partition_point(|(ours, _)| *ours <= time);
                let count = at.checked_sub(1).map_or(0, |at| before[at].1);
                dated.push(((count, time, record.slot()), record));
            }
            Age::Number(_) | Age::Unknown => undated.push(record),
        }
    }
    let ours = (1..).zip(ours);
    dated.extend(ours.map(|(count, dated)| ((count, i64::MIN, 0), dated.record)));
    dated.sort_by_key(|(key, _)| *key);
    let dated = dated.into_iter().map(|(_, record)| record).collect();
    follow(dated, undated, slots)
}

/// Returns the times of ours, ascending, each with how many of ours there are up to the last one that
/// is not younger.
fn times(ours: &[Dated]) -> Vec<(i64, usize)> {
    let mut times: Vec<(i64, usize)> = (1..)
        .zip(ours)
        .filter_map(|(count, dated)| Some((micros(&dated.record)?, count)))
        .collect();
    times.sort_unstable();
    let mut most = 0;
    for (_, count) in &mut times {
        most = most.max(*count);
        *count = most;
    }
    times
}

/// Puts each of the undated ones behind the record before it in the ring.
fn follow(dated: Vec<Record>, undated: Vec<Record>, slots: usize) -> Vec<Record> {
    // Not `slots`: a seal may claim any number of them.
    let parts = dated
        .iter()
        .chain(&undated)
        .flat_map(|record| &record.parts);
    let used = parts.map(|part| part.slot + 1).max().unwrap_or(0);
    let mut in_slot: Vec<Option<usize>> = vec![None; used];
    for (count, record) in (1..).zip(&dated) {
        // Of text without a seal nobody knows how long it has been there.
        if record.state == State::Salvaged {
            continue;
        }
        for part in &record.parts {
            if let Some(in_slot) = in_slot.get_mut(part.slot) {
                *in_slot = Some(count);
            }
        }
    }
    let last = in_slot.iter().rposition(Option::is_some);
    let mut before = last.map(|last| (last, in_slot[last].unwrap_or(0)));
    let mut undated = undated;
    undated.sort_by_key(Record::slot);
    let mut undated = undated.into_iter().peekable();
    let mut records: Vec<((usize, usize), Record)> = Vec::new();
    for (slot, count) in in_slot.into_iter().enumerate() {
        if let Some(count) = count {
            before = Some((slot, count));
        }
        if let Some(record) = undated.next_if(|record| record.slot() == slot) {
            let key = match before {
                Some((before, count)) => (count, (slot + slots - before) % slots),
                None => (0, slot),
            };
            records.push((key, record));
        }
    }
    records.extend((1..).zip(dated).map(|(count, record)| ((count, 0), record)));
    records.sort_by_key(|(key, _)| *key);
    records.into_iter().map(|(_, record)| record).collect()
}

/// Returns the time of a record in microseconds: a stamp has no more digits.
fn micros(record: &Record) -> Option<i64> {
    let ns = record.realtime_ns?;
    (ns / 1000).try_into().ok()
}
