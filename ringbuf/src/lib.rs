// SPDX-License-Identifier: GPL-2.0

//! Record store for crash logs in reserved RAM.
//!
//! The zone map is the one of the mainline `ramoops` driver, so that it, U-Boot and barebox read
//! what is stored here. Each record also gets a seal at the end of its zone: what makes it
//! possible to tell a whole record from a torn one, and the newest from the oldest, after any
//! reboot. `FORMAT.md` is the normative description.
//!
//! Each file looks only at files above it:
//!
//! - [`memory`]: access to the region, which is the caller's.
//! - [`layout`]: the bytes of a record.
//! - [`geometry`]: where zones lie.
//! - [`prefix`]: the first lines of a record.
//! - [`ecc`] computes parity; [`fit`] chooses how much text to compress into a record.
//! - `zone` reads one zone, corrected; [`read`] tells what a slot holds. They take every byte of
//!   the region as hostile input.
//! - `rank`: the order in which slots are reused when a store is opened. `slots`: which slot a
//!   record takes. They know nothing of the region.
//! - `loops`: loops of crashes.
//! - [`census`], `scan`: what is found when a store is opened.
//! - `write`: the order in which a record is written.
//! - [`store`] puts them together. It runs while the kernel panics: it takes no lock, allocates
//!   nothing, cannot panic, and a dump reads nothing from the region.
//! - [`clear`] deletes a record.
//!
//! These files depend on `core` only and are compiled unchanged into a kernel module, as a module
//! of its crate. That is why they name each other by `super::`.

// The attribute is for a crate root only, and in a kernel build this file is not one.
#![cfg_attr(not(CONFIG_RUST), no_std)]
#![forbid(unsafe_code)]
// Nothing here may be able to panic.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used
)]

pub mod census;
pub mod clear;
pub mod ecc;
pub mod fit;
pub mod geometry;
pub mod kind;
pub mod layout;
mod loops;
pub mod memory;
pub mod prefix;
mod rank;
pub mod read;
mod scan;
mod slots;
pub mod store;
mod write;
mod zone;

pub use self::{
    census::{
        Census,
        Diagnosis, //
    },
    clear::clear,
    fit::fit,
    geometry::{
        Geometry,
        GeometryError, //
    },
    kind::{
        Content,
        Foreign,
        Kind, //
    },
    layout::{
        Params,
        Seal, //
    },
    memory::Memory,
    prefix::{
        DumpInfo,
        Encoding, //
    },
    rank::Ranked,
    read::{
        classify,
        header,
        read_text,
        salvage_extent, //
    },
    store::{
        Dropped,
        Dump,
        OpenError,
        Options,
        Store, //
    },
    zone::Extent, //
};
