// SPDX-License-Identifier: GPL-2.0

//! `ramoopsctl clear`

use anyhow::{
    bail,
    ensure,
    Result, //
};

use crate::{
    cli::ClearArgs,
    commands::{
        delete::Deleter,
        show::{
            choose,
            heading, //
        }, //
    },
    record::Origin,
    session::{
        confirm,
        Outcome,
        Session, //
    }, //
};

/// Deletes records.
pub(super) fn run(session: &Session, args: &ClearArgs) -> Result<Outcome> {
    let mut deleter = Deleter::open(session)?;
    if args.record == "all" {
        let len = session.bytes.len();
        let count = session.records(false).len();
        let question = format!(
            "Overwrite all {len:#x} bytes of {}, with {count} records?",
            session.source.name()
        );
        confirm(&question, args.yes)?;
        deleter.all()?;
    } else {
        deleter.geometry()?;
        // Whoever names a deleted one has its text in mind.
        let records = session.records(args.wipe);
        let chosen = choose(&records, &args.record)?;
        let [record] = chosen[..] else {
            bail!("there is no record to clear.");
        };
        ensure!(
            record.origin == Origin::Dmesg,
            "only dmesg records are cleared one by one; the {} zone empties itself when its driver is loaded.",
            record.origin.name()
        );
        let verb = match args.wipe {
            true => "Delete and overwrite",
            false => "Delete",
        };
        confirm(&format!("{verb} {}?", heading(record)), args.yes)?;
        deleter.record(record, args.wipe)?;
    }
    Ok(Outcome::Good)
}
