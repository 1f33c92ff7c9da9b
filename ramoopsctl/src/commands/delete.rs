// SPDX-License-Identifier: GPL-2.0

//! Deletes records, if they are still what was read.

use std::path::Path;

use anyhow::{
    bail,
    ensure,
    Context,
    Result, //
};
use ringbuf::{
    classify,
    clear,
    layout::SEAL_MAGIC_OFFSET,
    Geometry,
    Kind,
    Memory, //
};

use crate::{
    detect::Layout,
    image::Scratch,
    record::Record,
    session::Session,
    source::Target, //
};

/// Exists while the module is loaded.
const MODULE: &str = "/sys/module/rust_ramoops";

/// What an erased MTD device holds.
const ERASED: u8 = 0xff;

/// How much is written at once.
const PIECE: usize = 64 << 10;

/// A region in which something is to be deleted.
pub(super) struct Deleter<'a> {
    session: &'a Session,
    target: Target,
    /// Where it is tried out.
    scratch: Scratch,
    /// Something was written, or may have been.
    is_written: bool,
}

/// Runs after an error, too: what was deleted before it is deleted.
impl Drop for Deleter<'_> {
    fn drop(&mut self) {
        if self.is_written && self.target.is_mtd() && Path::new(MODULE).exists() {
            eprintln!(
                "ramoopsctl: rust_ramoops is loaded: it reuses deleted slots first from its next load on."
            );
        }
    }
}

impl<'a> Deleter<'a> {
    /// Opens the region for writing.
    ///
    /// # Errors
    ///
    /// If it cannot be written, or if it is not certain what there is.
    pub(super) fn open(session: &'a Session) -> Result<Self> {
        let target = session.source.open_target()?;
        ensure!(
            session.found.is_certain(),
            "it is not certain what {} holds and how it is divided, so nothing was changed. \
             See `ramoopsctl map`.",
            session.source.name()
        );
        Ok(Self {
            session,
            target,
            scratch: Scratch::new(session.bytes.clone()),
            is_written: false,
        })
    }

    /// Returns how zones are divided.
    ///
    /// # Errors
    ///
    /// If there are no zones but pages of mtdoops.
    pub(super) fn geometry(&self) -> Result<Geometry> {
        match self.session.found.layout {
            Layout::Ramoops(geometry) => Ok(geometry),
            Layout::Mtdoops(_) => bail!(
                "single pages of mtdoops are not cleared, since the driver erases whole blocks. Use `clear all`."
            ),
        }
    }

    /// Deletes a record. The part with the oldest text goes first: an interruption leaves the newest
    /// text, or nothing.
    ///
    /// # Errors
    ///
    /// If the record is not what it was when it was read, if it cannot be deleted, or if the device
    /// refuses to be written.
    pub(super) fn record(&mut self, record: &Record, wipe: bool) -> Result<()> {
        let geometry = self.geometry()?;
        let mut steps = Vec::new();
        for part in &record.parts {
            clear(&self.scratch, &geometry, part.slot)
                .with_context(|| format!("slot {} cannot be cleared", part.slot))?;
            if wipe {
                overwrite(&self.scratch, &geometry, part.slot)
                    .with_context(|| format!("slot {} cannot be overwritten", part.slot))?;
            }
            steps.extend(self.scratch.take_ops());
        }
        for part in &record.parts {
            self.check(part.offset, geometry.stride())?;
        }
        self.is_written = true;
        self.target.apply(&steps)
    }

    /// Overwrites the whole region.
    ///
    /// # Errors
    ///
    /// As those of [`Self::record`].
    pub(super) fn all(&mut self) -> Result<()> {
        let len = self.session.bytes.len();
        // The other zones change all the time.
        let records = match self.session.found.layout {
            Layout::Ramoops(geometry) => geometry.console().0.min(len),
            Layout::Mtdoops(_) => len,
        };
        for at in (0..records).step_by(PIECE) {
            self.check(at, PIECE.min(records - at))?;
        }
        self.is_written = true;
        let piece = [ERASED; PIECE];
        for at in (0..len).step_by(PIECE) {
            self.target.write(at, &piece[..PIECE.min(len - at)])?;
        }
        self.target.sync()
    }

    /// Compares what is there now with what was read.
    fn check(&mut self, offset: usize, len: usize) -> Result<()> {
        let read = self.session.bytes.get(offset..).unwrap_or(&[]);
        let is_same = self
            .target
            .still_holds(offset, &read[..read.len().min(len)])?;
        let left = match self.is_written {
            true => "The rest was left alone",
            false => "Nothing was changed",
        };
        ensure!(
            is_same,
            "{} has changed at {offset:#x} since it was read: a record was stored or deleted. \
             {left}; look at it again.",
            self.session.source.name()
        );
        Ok(())
    }
}

/// Overwrites what clearing has left in a slot, such that it is a deleted record or an empty zone all
/// the time.
fn overwrite(scratch: &Scratch, geometry: &Geometry, slot: usize) -> Option<()> {
    // Of anything else, nothing is left.
    let (Kind::Cleared(_) | Kind::Empty) = classify(scratch, geometry, slot)?.kind else {
        return Some(());
    };
    let data = geometry.data_offset(slot)?;
    let magic = geometry.seal_offset(slot)? + SEAL_MAGIC_OFFSET;
    let data_end = data + geometry.data_capacity();
    // The header keeps its own, which comes last.
    let parity_end = geometry.slot_offset(slot)? + geometry.stride() - geometry.ecc_size();
    // Without its magic number a seal is none, and without parity it does not come back.
    for range in [magic..data_end, data_end..parity_end, data..data_end] {
        write(scratch, range.start, &vec![ERASED; range.len()])?;
    }
    Some(())
}

/// Writes, and waits until it is there.
fn write(scratch: &Scratch, offset: usize, bytes: &[u8]) -> Option<()> {
    let is_written = scratch.write(offset, bytes);
    scratch.barrier(offset, bytes.len());
    is_written.then_some(())
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        sync::atomic::AtomicU32, //
    };

    use super::*;
    use crate::{
        detect::{
            detect,
            Hints, //
        },
        image::{
            Image,
            Op, //
        },
        source::Source, //
    };
    use ringbuf::{
        DumpInfo,
        Options,
        Params,
        Ranked,
        Store, //
    };

    const INFO: DumpInfo<'static> = DumpInfo {
        reason: 1,
        reason_name: b"Panic",
        count: 1,
        realtime_ns: 1_700_000_000_000_000_000,
        boottime_ns: 1,
        boot_id: [1; 16],
        description: b"trouble",
        release: b"7.3",
        urgent: false,
    };

    /// Two slots.
    fn geometry(ecc_size: usize) -> Geometry {
        Geometry::new(Params {
            mem_size: 8192,
            record_size: 4096,
            console_size: 0,
            ftrace_size: 0,
            pmsg_size: 0,
            ecc_size,
        })
        .unwrap()
    }

    fn store(geometry: Geometry) -> Store<Scratch, Vec<AtomicU32>> {
        let region = Scratch::new(vec![0; geometry.mem_size()]);
        let order = vec![AtomicU32::new(0), AtomicU32::new(0)];
        let mut scratch = [Ranked::default(); 2];
        let (store, _) =
            Store::open(region, geometry, order, &mut scratch, Options::default()).unwrap();
        store
    }

    /// What a slot holds, in the order in which it may change.
    fn progress(kind: &Kind) -> Option<u8> {
        match kind {
            Kind::Sealed(_) | Kind::Torn(Some(_)) | Kind::Damaged(_) => Some(0),
            Kind::Cleared(_) => Some(1),
            Kind::Empty => Some(2),
            _ => None,
        }
    }

    /// Cut at any write, and within it, the record is there, or deleted, or there is nothing.
    #[test]
    fn interrupted() {
        const STATES: [&str; 3] = ["whole", "torn", "damaged"];
        let cases = [0, 4, 16].map(|ecc| STATES.map(|state| (ecc, state)));
        for (ecc_size, state) in cases.into_iter().flatten() {
            let geometry = geometry(ecc_size);
            let store = store(geometry);
            store.begin(&INFO).append(&[b'x'; 3000], true).unwrap();
            let scratch = store.memory();
            if state == "torn" {
                let data = geometry.data_offset(0).unwrap();
                let magic = geometry.seal_offset(0).unwrap() + SEAL_MAGIC_OFFSET;
                write(scratch, 0, &[0; 4]).unwrap();
                write(scratch, data + 100, &[b'y'; 2000]).unwrap();
                write(scratch, magic, b"SEAW").unwrap();
            }
            if state == "damaged" {
                let data = geometry.data_offset(0).unwrap();
                write(scratch, data + 128, &[b'y'; 128]).unwrap();
            }
            scratch.take_ops();
            let mut image = vec![0; 8192];
            assert!(scratch.read(0, &mut image));

            clear(scratch, &geometry, 0).unwrap();
            overwrite(scratch, &geometry, 0).unwrap();
            let mut reached = 0;
            for step in scratch.take_ops() {
                let Op::Write(offset, bytes) = step else {
                    continue;
                };
                for (at, byte) in (offset..).zip(bytes) {
                    image[at] = byte;
                    let kind = classify(&Image::new(&image), &geometry, 0).unwrap().kind;
                    let now = progress(&kind);
                    assert!(
                        now >= Some(reached),
                        "{ecc_size} {state}: {at:#x}: {kind:?}"
                    );
                    reached = now.unwrap_or(0);
                }
            }
            assert_eq!(reached, 2);
            assert!(!image.contains(&b'x') && !image.contains(&b'y'));
        }
    }

    /// A record that has changed is left alone, and so are those after it.
    #[test]
    fn stops_at_a_change() {
        let geometry = geometry(0);
        let store = store(geometry);
        for _ in 0..2 {
            store.begin(&INFO).append(b"text", true).unwrap();
        }
        let mut bytes = vec![0; 8192];
        assert!(store.memory().read(0, &mut bytes));
        let file = tempfile::NamedTempFile::new().unwrap();
        let session = Session {
            source: Source::new(Some(file.path().to_owned()), 0, None).unwrap(),
            found: detect(&bytes, &Hints::default()).unwrap(),
            bytes: bytes.clone(),
            colour: false,
        };
        let records = session.records(false);
        assert_eq!(records.len(), 2);
        for (changed, said) in [(0, "Nothing was changed"), (1, "The rest was left alone")] {
            let mut now = bytes.clone();
            now[changed * geometry.stride() + 100] ^= 1;
            fs::write(file.path(), &now).unwrap();
            let mut deleter = Deleter::open(&session).unwrap();
            let mut records = records.iter();
            let error = records
                .try_for_each(|record| deleter.record(record, false))
                .unwrap_err();
            assert!(error.to_string().contains(said), "{error}");
            let left = fs::read(file.path()).unwrap();
            let begin = changed * geometry.stride();
            assert!(left[begin..] == now[begin..]);
        }
    }
}
