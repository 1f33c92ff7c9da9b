// SPDX-License-Identifier: GPL-2.0

//! Finds the zone map of a region that has no seals: mainline's.
//!
//! Mainline writes a header into each zone, so that geometries can be compared with the list of the
//! headers, and not with the region. The list is bounded, whatever the region holds.

use std::{
    cmp::Reverse,
    collections::HashMap, //
};

use ringbuf::{
    layout::ECC_MAX,
    Geometry,
    Params, //
};

use super::{
    candidate::Candidate,
    evidence::{
        Evidence,
        Hit,
        Score,
        HITS_MAX, //
    },
    hints::{
        round_down,
        Hints, //
    }, //
};

/// So many headers are enough to tell strides that may be right from those that are not.
const SAMPLE: usize = 128;

/// So many geometries are compared with all headers.
const SHORTLIST: usize = 512;

/// Collects the headers that `is_free` lets pass, and looks for the geometry that explains them best.
pub(super) fn explain<'a>(
    bytes: &'a [u8],
    is_free: impl Fn(&Hit) -> bool,
    hints: &Hints,
) -> (Evidence<'a>, Option<(Geometry, Score)>) {
    let evidence = Evidence::gather(bytes, &is_free, false);
    let found = search(&evidence, hints);
    let is_good = found.is_some_and(|(geometry, score)| {
        score.fits > score.strays && evidence.is_explained(&geometry)
    });
    if is_good || evidence.is_all() {
        return (evidence, found);
    }
    let evidence = Evidence::gather(bytes, &is_free, true);
    let found = search(&evidence, hints);
    (evidence, found)
}

fn search(evidence: &Evidence<'_>, hints: &Hints) -> Option<(Geometry, Score)> {
    if evidence.headers.is_empty() {
        return None;
    }
    let mem_size = evidence.bytes.len();
    let sizes = |hint: Option<usize>, min: u32| match hint {
        Some(size) => vec![round_down(size)],
        None => (min..usize::BITS - 1)
            .map(|log| 1 << log)
            .take_while(|size| *size <= mem_size)
            .collect(),
    };
    let other_sizes = |hint: Option<usize>| {
        let mut sizes = sizes(hint, 10);
        if hint.is_none() {
            sizes.push(0);
        }
        sizes
    };
    let record_sizes = sizes(hints.record_size, 8);
    let consoles = other_sizes(hints.console_size);
    let pmsgs = other_sizes(hints.pmsg_size);
    let ftraces = other_sizes(hints.ftrace_size);
    let eccs = hints
        .ecc_size()
        .map_or_else(|| (0..=ECC_MAX).collect(), |ecc| vec![ecc]);

    // The other zones matter as a sum at first. The same one may be made in several ways.
    let mut by_sum: HashMap<usize, Vec<[usize; 3]>> = HashMap::new();
    for console in &consoles {
        for pmsg in &pmsgs {
            for ftrace in &ftraces {
                let sum = console.saturating_add(*pmsg).saturating_add(*ftrace);
                if sum < mem_size {
                    by_sum
                        .entry(sum)
                        .or_default()
                        .push([*console, *pmsg, *ftrace]);
                }
            }
        }
    }

    // Odd, or every other zone would be as good as all.
    let step = evidence.headers.len().div_ceil(SAMPLE) | 1;
    let sample: Vec<_> = evidence.headers.iter().step_by(step).copied().collect();
    let mut best = i64::MIN;
    let mut shortlist = Vec::new();
    for (sum, ways) in &by_sum {
        for record_size in &record_sizes {
            let Some(rough) = Candidate::new(mem_size, *record_size, [*sum, 0, 0]) else {
                continue;
            };
            let score = evidence.rough_score(&rough, &sample);
            if score > best {
                best = score;
                shortlist.clear();
            }
            if score == best {
                shortlist.extend(ways.iter().map(|others| Candidate {
                    others: *others,
                    ..rough
                }));
            }
        }
    }
    // Any divisor of the true stride explains as much, so the largest comes first. If there is but
    // one header, the smallest: it says nothing about strides. The order does not depend on the hash
    // table.
    let is_one = evidence.headers.len() == 1;
    shortlist.sort_by_key(|candidate| {
        let stride = candidate.stride;
        let stride = if is_one { stride } else { usize::MAX - stride };
        match is_one {
            true => (candidate.oddity(), stride, candidate.others),
            false => (stride, candidate.oddity(), candidate.others),
        }
    });
    shortlist.truncate(SHORTLIST);
    if best <= 0 {
        return None;
    }

    shortlist
        .iter()
        .filter_map(|candidate| {
            let ecc_size = guess_ecc(evidence, candidate, &eccs);
            let [console_size, pmsg_size, ftrace_size] = candidate.others;
            let geometry = Geometry::new(Params {
                mem_size,
                record_size: candidate.record_size,
                console_size,
                ftrace_size,
                pmsg_size,
                ecc_size,
            })
            .ok()?;
            let score = evidence.score(&geometry);
            // Many headers fill the region: a half of the true stride leaves every other zone
            // without one. A single one says nothing; then the smallest zone is likely.
            let coverage = match score.slots {
                0 | 1 => 0,
                slots if evidence.headers.len() < HITS_MAX / 2 => slots * 1000 / geometry.slots(),
                // There may be more.
                _ => geometry.stride(),
            };
            // Zones that are laid out, but were not written, are usual only with the defaults.
            let oddity = match candidate.oddity() {
                0 => 0,
                oddity => oddity + evidence.unwritten(&geometry),
            };
            let [console, pmsg, ftrace] = candidate.others;
            // A single zone is that of the console. An ftrace zone may look like several.
            let key = (
                score.points,
                ecc_size != 0,
                coverage,
                Reverse((oddity, candidate.stride)),
                (console, Reverse(pmsg), ftrace),
            );
            Some((key, (geometry, score)))
        })
        .max_by_key(|(key, _)| *key)
        .map(|(_, found)| found)
}

/// Returns how much parity the headers of a candidate's zones have; 0 if there is no sign of any.
fn guess_ecc(evidence: &Evidence<'_>, candidate: &Candidate, eccs: &[usize]) -> usize {
    if let [ecc] = eccs {
        return *ecc;
    }
    let zones: Vec<usize> = evidence
        .headers
        .iter()
        .map(|hit| hit.offset)
        .filter(|offset| *offset < candidate.dmesg_len() && offset % candidate.stride == 0)
        .take(8)
        .collect();
    eccs.iter()
        .copied()
        .find(|ecc| *ecc != 0 && evidence.headers_have_parity(&zones, candidate.stride, *ecc))
        .unwrap_or(0)
}
