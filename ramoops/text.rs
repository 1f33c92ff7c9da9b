// SPDX-License-Identifier: GPL-2.0

//! The text of a record: taken from the kernel log, and compressed if that is asked for.

use super::dumper::Dump;
use crate::linux::{
    array::Array,
    kmsg_dump::LogIter,
    zlib::Deflate, //
};
use crate::ringbuf::{
    fit,
    Encoding,
    Geometry, //
};
use kernel::prelude::*;

/// Where the text of a record is put together.
pub(crate) struct Buffers {
    text: Array<u8>,
    packer: Option<Packer>,
}

/// What a part of a dump stores.
pub(crate) struct Part<'a> {
    /// How `bytes` are encoded.
    pub(crate) encoding: Encoding,
    /// What goes into the record.
    pub(crate) bytes: &'a [u8],
    /// The length of the text.
    pub(crate) text_len: usize,
    /// Where the log goes on.
    pub(crate) rest: LogIter,
}

impl Buffers {
    /// Allocates buffers for records of `geometry`. May sleep.
    pub(crate) fn new(geometry: &Geometry, encoding: Encoding) -> Result<Self> {
        Ok(match encoding {
            Encoding::Plain => Self {
                text: Array::new(geometry.payload_capacity())?,
                packer: None,
            },
            Encoding::Deflate => Self {
                text: Array::new(geometry.inflated_max())?,
                packer: Some(Packer::new(geometry)?),
            },
        })
    }

    /// Makes the next part of a dump, of the newest text of `log`. `None` would be a bug.
    pub(crate) fn next_part<'a>(&'a mut self, dump: &Dump<'_>, log: LogIter) -> Option<Part<'a>> {
        if let Some(packer) = &mut self.packer {
            if let Some((packed_len, cut)) = packer.pack(&mut self.text, dump, log) {
                return Some(Part {
                    encoding: Encoding::Deflate,
                    bytes: packer.packed.get(..packed_len)?,
                    text_len: cut.len,
                    rest: cut.rest,
                });
            }
        }
        let mut rest = log;
        let room = dump.room().min(self.text.len());
        // A crash leaves a record even if the log is empty.
        let text = rest.older(self.text.get_mut(..room)?, |_, _| ());
        let bytes = text.unwrap_or_default();
        Some(Part {
            encoding: Encoding::Plain,
            bytes,
            text_len: bytes.len(),
            rest,
        })
    }
}

/// Compresses as much text as fits into a record.
struct Packer {
    deflate: Deflate,
    packed: Array<u8>,
    cuts: Array<Cut>,
}

/// A message with which a record may begin.
#[derive(Clone, Copy, Default)]
struct Cut {
    /// The length of the text from there on.
    len: usize,
    /// Where the log goes on before it.
    rest: LogIter,
}

/// The number of places between which the choice is made where a record begins.
const CUTS: usize = 256;

impl Packer {
    fn new(geometry: &Geometry) -> Result<Self> {
        Ok(Self {
            deflate: Deflate::new()?,
            packed: Array::new(geometry.payload_capacity())?,
            // The oldest message may be one more.
            cuts: Array::new(CUTS.wrapping_add(1))?,
        })
    }

    /// Compresses as much of the newest text as fits into the next record. Returns the length of
    /// that in `packed`, and where the text begins.
    ///
    /// `None` if plain text is as good: it compresses badly, or the record has room for all of it.
    fn pack(&mut self, text: &mut [u8], dump: &Dump<'_>, log: LogIter) -> Option<(usize, Cut)> {
        let title = dump.title();
        let title = title.as_bytes();
        let text = text.get_mut(..text.len().checked_sub(title.len())?)?;

        let plain = dump.room();
        let distance = text.len().checked_sub(plain)? / CUTS;
        let mut next = plain.saturating_add(distance);
        let mut last = 0;
        let mut count = 0;
        let mut rest = log;
        let text = rest.older(text, |len, rest| {
            if len <= plain {
                return;
            }
            // The last cut moves on until it is far enough from the one before.
            if let Some(cut) = self.cuts.get_mut(last) {
                *cut = Cut { len, rest };
                count = last.saturating_add(1);
            }
            if len >= next {
                next = len.saturating_add(distance);
                last = count;
            }
        })?;
        // Only now it is known whether anything is left.
        self.cuts.get_mut(count.checked_sub(1)?)?.rest = rest;
        let cuts = self.cuts.get(..count)?;

        let mut packed_len = 0;
        let room = dump.room_as(Encoding::Deflate).min(self.packed.len());
        let choice = fit(
            count,
            room,
            |index| cuts.get(index).map_or(0, |cut| cut.len),
            |index| {
                let newest = cuts
                    .get(index)
                    .and_then(|cut| text.len().checked_sub(cut.len))
                    .and_then(|start| text.get(start..));
                packed_len = newest
                    .and_then(|newest| self.deflate.compress([title, newest], &mut self.packed))
                    .unwrap_or(usize::MAX);
                packed_len
            },
        )?;
        Some((packed_len, *cuts.get(choice)?))
    }
}
