// SPDX-License-Identifier: GPL-2.0

//! Record store for crash logs in reserved RAM.
//!
//! The zone map is the one of the mainline `ramoops` driver, so that it, U-Boot and barebox read
//! what is stored here. Each record also gets a seal at the end of its zone: what makes it
//! possible to tell a whole record from a torn one, and the newest from the oldest, after any
//! reboot. `FORMAT.md` is the normative description.
//!
//! - [`layout`] is the one home of the layout on media.
//! - [`read`] tells what a slot holds. It takes every byte of the region as hostile input.
//! - [`clear`] deletes a record.
//! - [`ecc`] computes parity.
//! - [`fit`] chooses how much text to compress into a record.
//! - [`store`] chooses slots and writes records. It runs while the kernel panics: it takes no
//!   lock, allocates nothing, cannot panic, and reads nothing from the region.
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

pub mod clear;
pub mod ecc;
pub mod fit;
pub mod layout;
pub mod read;
pub mod store;

pub use self::{
    clear::clear,
    ecc::Encoder,
    fit::fit,
    layout::{
        Encoding,
        Geometry,
        GeometryError,
        Params,
        Seal, //
    },
    read::{
        classify,
        header,
        read_text,
        salvage_extent,
        Content,
        Extent,
        Foreign,
        Kind, //
    },
    store::{
        Census,
        Diagnosis,
        Dropped,
        Dump,
        DumpInfo,
        Memory,
        OpenError,
        Options,
        Slot,
        Store, //
    },
};
