// SPDX-License-Identifier: GPL-2.0

//! Times of records.

use jiff::{
    tz::TimeZone,
    Timestamp, //
};

/// Returns a time in nanoseconds since 1970 in RFC 3339, in UTC. `None` if it is beyond all years.
pub fn rfc3339(ns: i128) -> Option<String> {
    Some(Timestamp::from_nanosecond(ns).ok()?.to_string())
}

/// Returns it for people, in their time zone.
pub fn local(ns: i128) -> Option<String> {
    let time = Timestamp::from_nanosecond(ns).ok()?;
    let time = time.to_zoned(TimeZone::system());
    Some(time.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

/// Returns it for the name of a file, in UTC.
pub fn compact(ns: i128) -> Option<String> {
    let time = Timestamp::from_nanosecond(ns).ok()?;
    Some(time.strftime("%Y%m%dT%H%M%SZ").to_string())
}
