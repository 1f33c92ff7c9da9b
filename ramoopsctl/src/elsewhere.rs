// SPDX-License-Identifier: GPL-2.0

//! Says where in a file a region was found, and what else there is.

use ringbuf::Params;

use crate::{
    detect::{
        Found,
        Layout,
        Other,
        Place, //
    },
    source::Source, //
};

/// At most so many other regions are named.
const OTHERS_MAX: usize = 8;

/// Said of records that programs may have made up, or that came after parameters with a pmsg zone.
const DOUBT: &str =
    " The newest of them may be newer than what is shown, but lies where programs write to \
    (pmsg): it may be forged, or the newest crash if the parameters were changed.";

/// Returns what is to be said, in lines. `len` is the length of what was read.
pub(crate) fn lines(found: &Found, source: &Source, len: usize) -> Vec<String> {
    let Layout::Ramoops(geometry) = found.layout else {
        return Vec::new();
    };
    let mut lines = Vec::new();
    let Place {
        offset,
        len: there,
        missing,
    } = found.place;
    if offset != 0 {
        lines.push(format!(
            "the region begins at {:#x} of {}.",
            source.offset + offset as u64,
            source.name()
        ));
    }
    let mem_size = geometry.mem_size();
    // A guess is about the file, be it as long as a region or not.
    if there + missing < mem_size || missing != 0 {
        lines.push(format!(
            "only {there:#x} of {mem_size:#x} bytes of the region are there."
        ));
    }
    if found.is_doubtful {
        lines.push(
            "what tells of these parameters lies where programs write to (pmsg): it may be forged."
                .to_owned(),
        );
    }
    let others = found.others.iter().take(OTHERS_MAX);
    lines.extend(others.map(|other| {
        // If all of the file is the region, the other one is the same.
        let is_whole = other.place.offset == 0 && other.place.len == len;
        let place = match is_whole || other.place.missing != 0 {
            true => String::new(),
            false => format!(
                "--offset {:#x} --length {:#x} ",
                source.offset + other.place.offset as u64,
                other.place.len
            ),
        };
        let doubt = match other.may_be_newer {
            true => DOUBT,
            false => "",
        };
        format!(
            "{}: {place}{} shows them.{doubt}",
            what(found, other),
            options(&other.params)
        )
    }));
    if let [first, ..] = found.unexplained[..] {
        lines.push(format!(
            "{} of stock ramoops with parameters that are not known, the first at {first:#x} of the region: \
             --record-size and the other sizes may show them.",
            records(found.unexplained.len())
        ));
    }
    match found.others.len().saturating_sub(OTHERS_MAX) {
        0 => (),
        more => lines.push(format!("there are records of {more} more regions.")),
    }
    lines
}

fn what(found: &Found, other: &Other) -> String {
    let all = other.records + other.broken + other.unread;
    let count = records(all);
    let whose = match other.is_stock {
        true => " of stock ramoops",
        false => "",
    };
    let mut state =
        part(other.broken, all, "damaged or torn") + &part(other.unread, all, "not checked");
    if !state.is_empty() {
        state.push(',');
    }
    let is_same =
        (other.place.offset, other.place.missing) == (found.place.offset, found.place.missing);
    match is_same {
        true => format!("{count}{whose}{state} with other parameters"),
        false => format!("{count}{state} in another region"),
    }
}

/// Says of how many records something is true.
fn part(count: usize, all: usize, what: &str) -> String {
    match count {
        0 => String::new(),
        1 if all == 1 => format!(", {what}"),
        count if count == all => format!(", all of them {what}"),
        count => format!(", {count} of them {what}"),
    }
}

fn records(count: usize) -> String {
    match count {
        1 => "1 record".to_owned(),
        count => format!("{count} records"),
    }
}

/// Returns the options that tell parameters.
fn options(params: &Params) -> String {
    [
        ("record-size", params.record_size),
        ("console-size", params.console_size),
        ("ftrace-size", params.ftrace_size),
        ("pmsg-size", params.pmsg_size),
        ("ecc", params.ecc_size),
    ]
    .map(|(name, value)| format!("--{name} {value}"))
    .join(" ")
}
