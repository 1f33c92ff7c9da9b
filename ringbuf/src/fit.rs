// SPDX-License-Identifier: GPL-2.0

//! Chooses how much text to compress into a record.

/// How often to compress at most, before the choice is made.
const TRIES: usize = 6;

/// How many of these are guesses that all of the text compresses alike.
const GUESSES: usize = 2;

/// A record is full if at most one part in so many is free.
const FULL: usize = 32;

/// Chooses the longest of some texts that fits in `room` once it is compressed, or nearly the
/// longest: compressing takes time.
///
/// There are `count` texts, each longer than the one before. `len` returns the length of one;
/// `compress` compresses one and returns the length of that, even if there is no room for it. The
/// text that is returned was compressed last. `None` if none was found that fits.
pub fn fit(
    count: usize,
    room: usize,
    len: impl Fn(usize) -> usize,
    mut compress: impl FnMut(usize) -> usize,
) -> Option<usize> {
    let full = room.saturating_sub(room / FULL);
    let nearly_all = full.midpoint(room);
    // The texts that may be the longest one.
    let (mut low, mut high) = (0, count);
    let mut best = None;
    let mut last = None;
    // Often all of the log fits.
    let mut next = count.checked_sub(1);
    for tries in 0..TRIES {
        let Some(text) = next else {
            break;
        };
        let packed = compress(text);
        last = next;
        if packed <= room {
            best = next;
            low = text.saturating_add(1);
            if packed >= full {
                break;
            }
        } else {
            high = text;
        }
        let alike = len(text).saturating_mul(nearly_all).checked_div(packed)?;
        let half = high.saturating_sub(low) / 2;
        next = match best {
            None if tries < GUESSES => (low..high).rev().find(|text| len(*text) <= alike),
            _ => None,
        }
        .or_else(|| (low < high).then(|| low.saturating_add(half)));
    }
    if best != last {
        compress(best?);
    }
    best
}
