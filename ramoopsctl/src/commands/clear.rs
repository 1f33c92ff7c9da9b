// SPDX-License-Identifier: GPL-2.0

//! `ramoopsctl clear`

use anyhow::{
    bail,
    ensure,
    Result, //
};

use crate::{
    cli::ClearArgs,
    commands::show::{
        choose,
        heading, //
    },
    detect::Layout,
    image::Scratch,
    record::Origin,
    session::{
        confirm,
        Outcome,
        Session, //
    }, //
};

/// What an erased MTD device holds.
const ERASED: u8 = 0xff;

/// How much is written at once.
const PIECE: usize = 64 << 10;

/// Deletes records.
pub(super) fn run(session: &Session, args: &ClearArgs) -> Result<Outcome> {
    let name = session.source.name();
    let target = session.source.open_target()?;
    ensure!(
        session.found.is_certain(),
        "it is not certain what {name} holds and how it is divided, so nothing was changed. \
         See `ramoopsctl map`."
    );
    match args.record.as_str() {
        "all" => clear_all(session, target, args.yes),
        record => clear_one(session, target, record, args.yes),
    }
}

fn clear_all(session: &Session, mut target: crate::source::Target, yes: bool) -> Result<Outcome> {
    let len = session.bytes.len();
    let count = session.records(false).len();
    confirm(
        &format!(
            "Overwrite all {len:#x} bytes of {}, with {count} records?",
            session.source.name()
        ),
        yes,
    )?;
    let piece = [ERASED; PIECE];
    for at in (0..len).step_by(PIECE) {
        target.write(at, &piece[..PIECE.min(len - at)])?;
    }
    target.sync()?;
    Ok(Outcome::Good)
}

fn clear_one(
    session: &Session,
    mut target: crate::source::Target,
    name: &str,
    yes: bool,
) -> Result<Outcome> {
    let Layout::Ramoops(geometry) = session.found.layout else {
        bail!("single pages of mtdoops are not cleared, since the driver erases whole blocks. Use `clear all`.");
    };
    let records = session.records(false);
    let chosen = choose(&records, name)?;
    let [record] = chosen[..] else {
        bail!("there is no record to clear.");
    };
    ensure!(
        record.origin == Origin::Dmesg,
        "only dmesg records are cleared one by one; the {} zone empties itself when its driver is loaded.",
        record.origin.name()
    );
    confirm(&format!("Delete {}?", heading(record)), yes)?;
    let scratch = Scratch::new(session.bytes.clone());
    for part in &record.parts {
        ensure!(
            ringbuf::clear(&scratch, &geometry, part.slot).is_some(),
            "slot {} cannot be cleared.",
            part.slot
        );
    }
    target.apply(&scratch.into_ops())?;
    Ok(Outcome::Good)
}
