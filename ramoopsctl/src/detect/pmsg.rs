// SPDX-License-Identifier: GPL-2.0

//! Which seals lie where programs write to.
//!
//! What a program writes to /dev/pmsg0 goes to the pmsg zone byte for byte, be it a whole seal. So a
//! seal that lies in the pmsg zone of other parameters may be forged. It may as well be right: of
//! parameters without such a zone that came later. It counts, but after all others.

use std::ops::Range;

use ringbuf::{
    layout::{
        SEAL_LEN,
        SIG, //
    },
    Geometry, //
};

use super::{
    ranges::Ranges,
    whole::Whole, //
};

/// Returns which of the seals lie in the pmsg zone of others. They come in the order in which they
/// lie, each with whether its parameters count as those of a region.
///
/// A pmsg zone lies behind the dmesg zones. So when a seal is asked for, all those are known in whose
/// pmsg zone it may lie, and no seal in such a zone says where another one is.
pub(super) fn find<'a>(bytes: &[u8], wholes: impl Iterator<Item = (&'a Whole, bool)>) -> Vec<bool> {
    let mut zones = Ranges::default();
    let is_inside = wholes.map(|(whole, counts)| {
        let is_inside = zones.overlap(whole.at..whole.at + SEAL_LEN);
        if let Some(zone) =
            zone(bytes, whole.base, &whole.geometry).filter(|_| counts && !is_inside)
        {
            zones.insert(zone);
        }
        is_inside
    });
    is_inside.collect()
}

/// Returns where the pmsg zone of a region is that begins at `base`, if it was in use.
pub(super) fn zone(bytes: &[u8], base: isize, geometry: &Geometry) -> Option<Range<usize>> {
    let (offset, len) = geometry.pmsg();
    let begin = base.checked_add_unsigned(offset)?;
    let begin = usize::try_from(begin).ok().filter(|_| len != 0)?;
    let is_used = bytes.get(begin..)?.starts_with(&SIG.to_ne_bytes());
    is_used.then_some(begin..begin.saturating_add(len))
}
