// SPDX-License-Identifier: GPL-2.0

//! What a power-cut test sees of a slot.

use super::{
    look,
    mainline,
    Ram, //
};
use ringbuf::{
    read_text,
    salvage_extent,
    Extent,
    Geometry,
    Kind,
    Seal, //
};

/// What readers see of one slot.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    pub kind: Kind,
    pub payload: Vec<u8>,
    /// What is left of a record that is not whole.
    pub salvage: Vec<u8>,
    /// The text, and the number of blocks that it says to be bad.
    pub mainline: Option<(Vec<u8>, usize)>,
}

impl View {
    pub fn of_slot(image: &[u8], geometry: &Geometry, slot: usize) -> View {
        let ram = Ram::new(image.to_vec());
        let (kind, payload) = look(&&ram, geometry, slot);
        let salvage = salvage_extent(&&ram, geometry, slot, &kind);
        View {
            kind,
            payload,
            salvage: salvage.map_or(Vec::new(), |extent| text(&ram, geometry, slot, extent)),
            mainline: mainline::file(image, geometry, slot)
                .map(|shown| (shown.log, shown.bad_blocks)),
        }
    }

    pub fn mainline_text(&self) -> Option<&Vec<u8>> {
        self.mainline.as_ref().map(|(text, _)| text)
    }

    /// Whether a reader would show it as a record.
    pub fn is_record(&self) -> bool {
        matches!(self.kind, Kind::Sealed(_) | Kind::Foreign(_))
    }

    /// Whether there is nothing worth keeping.
    pub fn is_nothing(&self) -> bool {
        matches!(
            self.kind,
            Kind::Cleared(_) | Kind::Empty | Kind::Zero | Kind::Erased | Kind::Garbage
        )
    }

    /// What the seal says, if it is whole and the record was not deleted.
    pub fn seal(&self) -> Option<Seal> {
        match self.kind {
            Kind::Sealed(seal) | Kind::Damaged(seal) => Some(seal),
            Kind::Torn(seal) => seal,
            _ => None,
        }
    }

    /// Of a foreign one the text is all there is. It has two ways to be linear.
    pub fn is_same_record(&self, other: &View) -> bool {
        let same_kind = match (self.kind, other.kind) {
            (Kind::Foreign(one), Kind::Foreign(other)) => one.stamp == other.stamp,
            (one, other) => one == other,
        };
        same_kind && self.payload == other.payload
    }
}

fn text(ram: &Ram, geometry: &Geometry, slot: usize, extent: Extent) -> Vec<u8> {
    let mut text = vec![0; extent.size as usize];
    let len = read_text(&ram, geometry, slot, extent, 0, &mut text);
    text.truncate(len);
    text
}
