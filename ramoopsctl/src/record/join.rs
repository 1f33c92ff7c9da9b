// SPDX-License-Identifier: GPL-2.0

//! Joins the parts of dumps.

use ringbuf::Seal;

use super::{
    order::Dated,
    Origin,
    Part,
    Record,
    State, //
};

/// Parts of one dump, written by mainline, are at most so far apart.
const DUMP_NS: i128 = 10_000_000_000;

/// A part, and what its seal says.
pub(super) type Sealed = (Seal, Part);

/// Makes records of parts with a seal: those of each dump are one, those of it that were deleted
/// another one.
pub(super) fn join_sealed(mut sealed: Vec<Sealed>) -> Vec<Record> {
    let dump = |(seal, part): &Sealed| (seal.boot_id, seal.dump, part.state == State::Deleted);
    sealed.sort_by_key(dump);
    let dumps = sealed.chunk_by(|a, b| dump(a) == dump(b));
    dumps
        .flat_map(|parts| join_dump(parts.to_owned()))
        .collect()
}

/// Makes a record of parts that claim to be of the same dump. A number that is there twice makes a
/// record of its own.
fn join_dump(mut parts: Vec<Sealed>) -> Vec<Record> {
    // The best and newest first, so that copies of a part come after it.
    parts.sort_by_key(|(seal, part)| (seal.part, part.state, std::cmp::Reverse(seal.seq)));
    let mut copies = Vec::new();
    let mut kept: Vec<Sealed> = Vec::new();
    for part in parts {
        match kept
            .last()
            .is_some_and(|(seal, _)| seal.part == part.0.part)
        {
            true => copies.push(vec![part]),
            false => kept.push(part),
        }
    }
    std::iter::once(kept)
        .chain(copies)
        .filter_map(sealed_record)
        .collect()
}

/// Makes a record of parts, in ascending order of their numbers.
fn sealed_record(parts: Vec<Sealed>) -> Option<Record> {
    let seal = parts.first()?.0;
    let parts_total = parts
        .iter()
        .map(|(seal, _)| seal.parts)
        .find(|parts| *parts != 0);
    let worst = parts.iter().map(|(_, part)| part.state).max()?;
    let is_all = parts_total.is_some_and(|total| parts.len() as u64 == u64::from(total));
    let state = match worst {
        State::Complete if !is_all => State::Partial,
        worst => worst,
    };
    let (_, last) = parts.last()?;
    let mut record = Record::new(Origin::Dmesg, state, last.clone());
    record.realtime_ns = Some(seal.realtime_ns.into());
    record.boottime_ns = Some(seal.boottime_ns);
    record.reason = reason_name(seal.reason).map(str::to_owned);
    record.description = field(seal.description());
    record.kernel = field(seal.release());
    record.boot_id = Some(format!("{:032x}", u128::from_be_bytes(seal.boot_id)));
    record.dump = Some(seal.dump);
    record.loop_start = (seal.loop_start != 0).then_some(seal.loop_start);
    record.parts_total = parts_total;
    record.parts = parts.into_iter().rev().map(|(_, part)| part).collect();
    Some(record)
}

fn field(bytes: &[u8]) -> Option<String> {
    (!bytes.is_empty()).then(|| String::from_utf8_lossy(bytes).into_owned())
}

/// `enum kmsg_dump_reason`.
fn reason_name(reason: u32) -> Option<&'static str> {
    match reason {
        1 => Some("Panic"),
        2 => Some("Oops"),
        3 => Some("Emergency"),
        4 => Some("Shutdown"),
        _ => None,
    }
}

/// Joins the parts of mainline's dumps: neighbours in time with the same title and falling numbers.
/// Deleted ones are joined as well, so that no number changes.
pub(super) fn join_foreign(mut records: Vec<Dated>) -> Vec<Dated> {
    records.sort_by_key(|dated| (dated.record.realtime_ns, dated.record.slot()));
    let mut joined: Vec<Dated> = Vec::new();
    for mut dated in records {
        let record = &mut dated.record;
        let next = record.parts.last().map_or(1, |part| part.number);
        let previous = joined.last_mut().filter(|previous| {
            let previous = &previous.record;
            let number = previous.parts.first().map_or(0, |part| part.number);
            let apart = record.realtime_ns.zip(previous.realtime_ns);
            matches!(record.state, State::Foreign | State::Deleted)
                && record.state == previous.state
                && record.reason.is_some()
                && (&record.reason, record.count) == (&previous.reason, previous.count)
                && number.checked_add(1) == Some(next)
                && apart.is_some_and(|(later, earlier)| later - earlier < DUMP_NS)
        });
        match previous {
            Some(previous) => previous
                .record
                .parts
                .splice(0..0, record.parts.drain(..))
                .for_each(drop),
            None => joined.push(dated),
        }
    }
    joined
}
