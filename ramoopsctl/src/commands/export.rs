// SPDX-License-Identifier: GPL-2.0

//! `ramoopsctl export`

use std::{
    fs::{
        self,
        FileTimes, //
    },
    io::{
        stdout,
        ErrorKind,
        Write, //
    },
    path::{
        Path,
        PathBuf, //
    },
    time::{
        Duration,
        UNIX_EPOCH, //
    },
};

use anyhow::{
    anyhow,
    Context,
    Result, //
};
use libsystemd::logging::{
    journal_send,
    Priority, //
};
use tempfile::NamedTempFile;

use crate::{
    cli::ExportArgs,
    commands::delete::Deleter,
    json,
    record::{
        Origin,
        Record,
        Region,
        State, //
    },
    report,
    session::{
        Outcome,
        Session, //
    },
    text::escape,
    time, //
};

/// `MESSAGE_ID` of our journal entries, for `journalctl MESSAGE_ID=...`.
const MESSAGE_ID: &str = "0f4dd7d25e5c4bd3b1ffb4c6a7d3a55e";

/// Saves each record in a file of its own.
pub(super) fn run(session: &Session, args: &ExportArgs) -> Result<Outcome> {
    let region = session.region();
    let records = session.records(false);
    if records.is_empty() {
        session.say_empty();
        return Ok(Outcome::Bad);
    }
    let deleter = match args.clear {
        true => Some(Deleter::open(session)?),
        false => None,
    };
    if let Some(deleter) = &deleter {
        deleter.geometry()?;
    }
    let dir = &args.dir;
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let mut outcome = Outcome::Good;
    let mut saved = Vec::new();
    for record in &records {
        let contents = contents(&region, record, args.json)?;
        if contents.is_empty() {
            continue;
        }
        let path = dir.join(file_name(record, &contents, args.json));
        match fs::read(&path) {
            Ok(found) if found == contents => {
                saved.push((record, path));
                continue;
            }
            Ok(_) => {
                eprintln!(
                    "ramoopsctl: {} is there with other contents; it is left alone.",
                    path.display()
                );
                outcome = Outcome::Bad;
                continue;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => (),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()))
            }
        }
        save(&region, record, &contents, &path, args.journal)
            .with_context(|| format!("cannot save {}", path.display()))?;
        writeln!(stdout().lock(), "{}", path.display())?;
        saved.push((record, path));
    }
    if let Some(deleter) = deleter {
        clear(deleter, dir, &saved)?;
    }
    Ok(outcome)
}

/// Deletes records from the region that are on the disk.
fn clear(mut deleter: Deleter<'_>, dir: &Path, saved: &[(&Record, PathBuf)]) -> Result<()> {
    // A file that was there already may have been written just before, and not by us.
    for (_, path) in saved {
        sync(path)?;
    }
    sync(dir)?;
    // It may be new, as may be those above it. Not all of them need be ours to open.
    for above in dir.canonicalize()?.ancestors().skip(1) {
        let _ = sync(above);
    }
    for (record, _) in saved {
        if record.origin != Origin::Dmesg {
            continue;
        }
        if is_guess(record) {
            eprintln!(
                "ramoopsctl: record {} was not deleted: where its text ends is a guess, and deleting \
                 it erases all of its slot. ramoopsctl clear {} does it.",
                record.id(),
                record.id()
            );
            continue;
        }
        deleter.record(record, false)?;
    }
    Ok(())
}

/// Whether nothing says how long the text is that was saved.
fn is_guess(record: &Record) -> bool {
    match record.state {
        State::Salvaged => true,
        State::Torn => record.dump.is_none(),
        _ => false,
    }
}

fn sync(path: &Path) -> Result<()> {
    fs::File::open(path)
        .and_then(|file| file.sync_all())
        .with_context(|| format!("cannot tell whether {} is on the disk", path.display()))
}

fn contents(region: &Region<'_>, record: &Record, json: bool) -> Result<Vec<u8>> {
    if !json {
        return Ok(region.text(record).bytes);
    }
    let mut report = report::Record::new(region, record, true);
    // These change when records before it go, and the file shall not.
    report.number = None;
    report.boot = None;
    report.id = String::new();
    let mut contents = Vec::new();
    json::write(&mut contents, &report)?;
    Ok(contents)
}

/// Returns a name that depends on nothing but the record.
fn file_name(record: &Record, contents: &[u8], json: bool) -> String {
    let when = record
        .realtime_ns
        .and_then(time::compact)
        .unwrap_or_else(|| "undated".to_owned());
    let reason: String = record
        .reason
        .as_deref()
        .unwrap_or(record.origin.name())
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(16)
        .collect();
    let extension = if json { "json" } else { "log" };
    format!(
        "{when}-{}-{}-{:08x}.{extension}",
        reason.to_lowercase(),
        record.state.name(),
        crc32c::crc32c(contents)
    )
}

/// Makes a file appear as a whole or not at all.
fn save(
    region: &Region<'_>,
    record: &Record,
    contents: &[u8],
    path: &Path,
    journal: bool,
) -> Result<()> {
    let dir = path
        .parent()
        .ok_or_else(|| anyhow!("it has no directory"))?;
    let mut file = NamedTempFile::with_prefix_in(".ramoopsctl-", dir)?;
    file.write_all(contents)?;
    let seconds = record
        .realtime_ns
        .and_then(|ns| u64::try_from(ns / 1_000_000_000).ok())
        .and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds)));
    if let Some(modified) = seconds {
        // A file system may refuse times that a region may claim.
        let _ = file
            .as_file()
            .set_times(FileTimes::new().set_modified(modified));
    }
    file.as_file().sync_all()?;
    // The file says that the journal has it, so it comes last.
    if journal {
        send(region, record)?;
    }
    file.persist_noclobber(path)?;
    fs::File::open(dir)?.sync_all()?;
    Ok(())
}

/// Sends a record to the journal.
fn send(region: &Region<'_>, record: &Record) -> Result<()> {
    let text = region.text(record);
    let cause = text.cause.map(|cause| escape(cause.as_bytes()));
    let text = text.bytes;
    let reason = record.reason.as_deref().unwrap_or(record.origin.name());
    let message = match &cause {
        Some(cause) => format!("{}: {cause}", escape(reason.as_bytes())),
        None => escape(reason.as_bytes()),
    };
    let mut fields = vec![
        ("MESSAGE_ID", MESSAGE_ID.to_owned()),
        ("SYSLOG_IDENTIFIER", "ramoopsctl".to_owned()),
        ("RAMOOPS_ORIGIN", record.origin.name().to_owned()),
        ("RAMOOPS_STATE", record.state.name().to_owned()),
        ("RAMOOPS_REASON", reason.to_owned()),
        ("RAMOOPS_TEXT", String::from_utf8_lossy(&text).into_owned()),
    ];
    let optional = [
        ("RAMOOPS_CAUSE", cause),
        ("RAMOOPS_TIME", record.realtime_ns.and_then(time::rfc3339)),
        ("RAMOOPS_KERNEL", record.kernel.clone()),
        ("RAMOOPS_BOOT_ID", record.boot_id.clone()),
        ("RAMOOPS_DUMP", record.dump.map(|dump| dump.to_string())),
    ];
    fields.extend(
        optional
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    let priority = match record.origin {
        Origin::Dmesg | Origin::Mtdoops => Priority::Critical,
        _ => Priority::Notice,
    };
    journal_send(priority, &message, fields.into_iter())
        .map_err(|error| anyhow!("the journal does not take it: {error}"))
}
