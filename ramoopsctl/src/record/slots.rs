// SPDX-License-Identifier: GPL-2.0

//! From slots to dumps: what is in each slot, and whose it is.

use ringbuf::{
    classify,
    prefix::{
        Stamp,
        Title,
        STAMP_MAX, //
    },
    read_text,
    salvage_extent,
    Content,
    Extent,
    Geometry,
    Kind,
    Seal, //
};

use super::{
    join::{
        join_foreign,
        join_sealed,
        Sealed, //
    },
    order::{
        Age,
        Dated, //
    },
    text::split_stamp,
    Origin,
    Part,
    Record,
    Region,
    Source,
    State, //
};
use crate::image::Image;

impl Region<'_> {
    /// Returns all dumps of which there is something, deleted or not, in no order.
    pub(super) fn dumps(&self, geometry: &Geometry) -> Vec<Dated> {
        let image = Image::new(self.bytes);
        let mut sealed = Vec::new();
        let mut others = Vec::new();
        for slot in 0..geometry.slots() {
            let Some(content) = classify(&image, geometry, slot) else {
                // From here on the region is cut off.
                break;
            };
            let part = |state, extent| self.part(geometry, slot, &content, state, extent);
            let left = || salvage_extent(&image, geometry, slot, &content.kind);
            match content.kind {
                Kind::Sealed(seal) => {
                    sealed.push(of_seal(seal, part(State::Complete, content.kind.extent())));
                }
                Kind::Damaged(seal) => sealed.push(of_seal(seal, part(State::Damaged, left()))),
                Kind::Torn(Some(seal)) => sealed.push(of_seal(seal, part(State::Torn, left()))),
                Kind::Cleared(Some(seal)) => {
                    let stamp = left().and_then(|extent| self.stamp(geometry, slot, extent));
                    let mut part = part(State::Deleted, left());
                    let payload = self.slot_bytes(geometry, &part, usize::MAX);
                    part.vouched = payload.len() == seal.size as usize
                        && crc32c::crc32c(&payload) == seal.payload_crc;
                    // Somebody else's record may have been in front of an older seal. (What is older than
                    // the seal was in front of a torn record.)
                    let is_other = stamp.is_some_and(|stamp| stamp.micros() > seal.micros());
                    match is_other && !part.vouched {
                        true => others.push(self.unsealed(geometry, part)),
                        false => sealed.push(of_seal(seal, part)),
                    }
                }
                Kind::Foreign(record) => {
                    let part = part(State::Foreign, Some(record.extent));
                    others.push(self.unsealed(geometry, part));
                }
                Kind::Newer { seq, text, .. } => {
                    let part = Part {
                        seq: Some(seq),
                        ..part(State::Newer, text.map(|text| text.extent))
                    };
                    others.push(Dated {
                        age: Age::Number(seq),
                        ..self.unsealed(geometry, part)
                    });
                }
                Kind::Salvaged { extent, .. } => {
                    others.push(self.unsealed(geometry, part(State::Salvaged, Some(extent))));
                }
                // The stamp and the title in its text are those of an earlier record.
                Kind::Torn(None) => others.push(Dated {
                    age: Age::Unknown,
                    record: Record::new(Origin::Dmesg, State::Torn, part(State::Torn, left())),
                }),
                Kind::Cleared(None) | Kind::Empty => {
                    if let Some(extent) = left().or_else(|| self.packed(geometry, slot)) {
                        let part = part(State::Deleted, Some(extent));
                        others.push(self.unsealed(geometry, part));
                    }
                }
                Kind::Zero | Kind::Erased | Kind::Garbage => (),
            }
        }
        let mut dumps = join_foreign(others);
        dumps.extend(join_sealed(sealed).into_iter().map(|mut record| {
            self.read_title(geometry, &mut record);
            Dated {
                age: Age::Number(record.dump.unwrap_or(0)),
                record,
            }
        }));
        dumps
    }

    fn part(
        &self,
        geometry: &Geometry,
        slot: usize,
        content: &Content,
        state: State,
        extent: Option<Extent>,
    ) -> Part {
        let start = extent.and_then(|extent| self.stamp(geometry, slot, extent));
        Part {
            state,
            corrected: content.corrected,
            bad_blocks: content.bad_blocks,
            compressed: start.is_some_and(|stamp| stamp.compressed),
            vouched: state.is_whole(),
            ..Part::new(slot, slot * geometry.stride(), Source::Slot(extent))
        }
    }

    /// Returns the stamp at the start of what lies in a slot.
    fn stamp(&self, geometry: &Geometry, slot: usize, extent: Extent) -> Option<Stamp> {
        let mut start = [0; STAMP_MAX];
        let len = read_text(
            &Image::new(self.bytes),
            geometry,
            slot,
            extent,
            0,
            &mut start,
        );
        Stamp::parse(&start[..len])
    }

    /// Returns where a compressed text lies that mainline deleted: it knows itself where it ends.
    fn packed(&self, geometry: &Geometry, slot: usize) -> Option<Extent> {
        let size = u32::try_from(geometry.data_capacity()).ok()?;
        let extent = Extent { start: 0, size };
        let stamp = self.stamp(geometry, slot, extent)?;
        stamp.compressed.then_some(extent)
    }

    /// Makes a record from a slot without a seal: it is what its text says.
    fn unsealed(&self, geometry: &Geometry, part: Part) -> Dated {
        let mut record = Record::new(Origin::Dmesg, part.state, part);
        let micros = self.read_title(geometry, &mut record);
        Dated {
            age: micros.map_or(Age::Unknown, Age::Time),
            record,
        }
    }

    /// Takes from the text what no seal tells. Returns the time that it tells.
    fn read_title(&self, geometry: &Geometry, record: &mut Record) -> Option<i64> {
        let has_seal = record.dump.is_some();
        let sealed_micros = record.realtime_ns.map(|ns| ns / 1000);
        let part = record.parts.last_mut()?;
        let start = match part.compressed {
            // The title is compressed as well.
            true => self.slot_text(geometry, part).0,
            false => self.slot_bytes(geometry, part, 2 * STAMP_MAX),
        };
        let (stamp, rest) = split_stamp(&start);
        let stamp = stamp?;
        // A record with a seal need not be the one whose text lies there.
        if has_seal && sealed_micros != Some(stamp.micros().into()) {
            return None;
        }
        if !has_seal {
            record.realtime_ns = Some(i128::from(stamp.micros()) * 1000);
        }
        if let Some(title) = Title::parse(rest) {
            let reason = String::from_utf8_lossy(title.reason).into_owned();
            record.count = Some(title.count);
            if !has_seal {
                part.number = title.part.try_into().unwrap_or(u32::MAX);
            }
            if !has_seal || record.reason.is_none() {
                record.reason = Some(reason);
            }
        }
        Some(stamp.micros())
    }
}

fn of_seal(seal: Seal, part: Part) -> Sealed {
    let part = Part {
        number: seal.part,
        seq: Some(seal.seq),
        ..part
    };
    (seal, part)
}
