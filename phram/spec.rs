// SPDX-License-Identifier: GPL-2.0

//! A device that is asked for: what a parameter says, whether it makes sense, and its memory.

use super::params;
use crate::linux::{
    mapping::{
        Mapping,
        MemType, //
    },
    mtd,
    param::Size,
    region::{
        Refusal,
        Region, //
    }, //
};
use kernel::{
    fmt,
    page::PAGE_SIZE,
    prelude::*, //
};

/// Why a device is not made.
#[derive(Clone, Copy)]
pub(crate) enum Why {
    TooFewArguments,
    TooManyArguments,
    Name,
    NameTaken,
    Start,
    Length,
    EraseSize,
    EraseSizeRemainder,
    MemType,
    TooMany,
    Overlap(Name),
    Refused(Refusal),
    NotRegistered(Error),
}

impl Why {
    pub(crate) fn errno(self) -> Error {
        match self {
            Self::NameTaken => EEXIST,
            Self::Overlap(_) => EBUSY,
            Self::TooMany => ENOSPC,
            Self::Refused(refusal) => refusal.into(),
            Self::NotRegistered(error) => error,
            _ => EINVAL,
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooFewArguments => {
                "not enough arguments: <name>,<start>,<length>[,<erasesize>][,ro][,overlap]"
            }
            Self::TooManyArguments => {
                "too many arguments: <name>,<start>,<length>[,<erasesize>][,ro][,overlap]"
            }
            Self::Name => "illegal name: it has 1 to 63 characters",
            Self::NameTaken => "illegal name: there is an MTD device of that name, see /proc/mtd",
            Self::Start => {
                "illegal start address: a number, such as 0x8000000 or 128Mi, or @<name>"
            }
            Self::Length => "illegal length: a number, such as 0x100000 or 1Mi, above 0",
            Self::EraseSize => "illegal erasesize: a number from 1 up to the length",
            Self::EraseSizeRemainder => "illegal erasesize: the length is not a multiple of it",
            Self::MemType => "illegal mem_type: 0 is write-combined, 1 is unbuffered, 2 is cached",
            Self::TooMany => "too many devices at once: add more through sysfs later",
            Self::Overlap(other) => {
                return f.write_fmt(fmt!(
                    "the memory overlaps that of {}; if it shall, append ,overlap to one of them",
                    other.as_c_str()
                ))
            }
            Self::Refused(refusal) => return refusal.fmt(f),
            Self::NotRegistered(_) => "the device could not be registered",
        })
    }
}

/// Where the memory of a device is.
#[derive(Clone, Copy)]
enum Place {
    /// At a physical address.
    At { start: u64, len: u64 },
    /// In a `reserve_mem=` region of that name; all of it, if no length is given.
    Reserved { name: Name, len: Option<u64> },
}

/// A device that is asked for.
#[derive(Clone, Copy)]
pub(crate) struct Spec {
    pub(crate) name: Name,
    place: Place,
    pub(crate) erasesize: u32,
    pub(crate) read_only: bool,
    /// Whether other devices may have (part of) the same memory.
    pub(crate) overlap: bool,
}

impl Spec {
    /// Parses `<name>,<start>,<length>[,<erasesize>][,ro][,overlap]`.
    pub(crate) fn parse(arg: &[u8]) -> Result<Self, Why> {
        let mut parts = arg.split(|byte| *byte == b',');
        let name = Name::new(parts.next().unwrap_or(b"")).ok_or(Why::Name)?;
        let start = parts.next().ok_or(Why::TooFewArguments)?;
        let (mut len, mut erasesize) = (None, None);
        let (mut read_only, mut overlap) = (false, false);
        for part in parts {
            let words = read_only || overlap;
            match part {
                b"ro" => read_only = true,
                b"overlap" => overlap = true,
                part if len.is_none() && !words => len = Some(part),
                part if erasesize.is_none() && !words => erasesize = Some(part),
                _ => return Err(Why::TooManyArguments),
            }
        }

        let len = match len {
            Some(len) => Some(
                Size::parse(len)
                    .ok()
                    .filter(|len| *len > 0)
                    .ok_or(Why::Length)?,
            ),
            None => None,
        };
        let place = match start {
            [b'@', region @ ..] => Place::Reserved {
                name: Name::new(region).ok_or(Why::Start)?,
                len,
            },
            start => Place::At {
                len: len.ok_or(Why::TooFewArguments)?,
                start: Size::parse(start).map_err(|_| Why::Start)?,
            },
        };
        let erasesize = match erasesize {
            Some(size) => Size::parse(size).map_err(|_| Why::EraseSize)?,
            None => PAGE_SIZE as u64,
        };
        Ok(Self {
            name,
            place,
            erasesize: u32::try_from(erasesize).map_err(|_| Why::EraseSize)?,
            read_only,
            overlap,
        })
    }

    /// Checks the memory and maps it.
    pub(crate) fn map(&self) -> Result<Mapping, Why> {
        if mtd::exists(self.name.as_c_str()) {
            return Err(Why::NameTaken);
        }
        let region = match self.place {
            Place::At { start, len } => Region::at(start, len),
            Place::Reserved { name, len } => {
                Region::named(name.as_c_str()).and_then(|region| match len {
                    Some(len) => region.truncate(len),
                    None => Ok(region),
                })
            }
        }
        .map_err(Why::Refused)?;

        let len = region.len() as u64;
        let erasesize = u64::from(self.erasesize);
        match len.checked_rem(erasesize) {
            _ if erasesize > len => return Err(Why::EraseSize),
            Some(0) => (),
            Some(_) => return Err(Why::EraseSizeRemainder),
            None => return Err(Why::EraseSize),
        }
        let mem_type = MemType::from_number(params::mem_type.value()).ok_or(Why::MemType)?;
        region.map(mem_type).map_err(Why::Refused)
    }
}

/// A name of 1 to 63 characters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Name([u8; 64]);

impl Name {
    fn new(text: &[u8]) -> Option<Self> {
        let mut name = [0; 64];
        if text.is_empty() || text.len() >= name.len() {
            return None;
        }
        for (to, from) in name.iter_mut().zip(text) {
            *to = *from;
        }
        Some(Self(name))
    }

    pub(crate) fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or_default()
    }
}
