// SPDX-License-Identifier: GPL-2.0

//! Reads crash logs in reserved RAM: records of rust_ramoops, of mainline's ramoops and of mtdoops.
//!
//! Everything in a region is hostile input. What it takes to read one is bounded by its size.

#![forbid(unsafe_code)]

#[cfg(feature = "program")]
pub mod cli;
#[cfg(feature = "program")]
pub mod commands;
pub mod detect;
#[cfg(feature = "program")]
mod elsewhere;
pub mod image;
pub mod inflate;
pub mod json;
pub mod mtdoops;
pub mod parity;
pub mod pattern;
pub mod record;
pub mod report;
#[cfg(feature = "program")]
pub mod session;
#[cfg(feature = "program")]
pub mod source;
#[cfg(feature = "program")]
pub mod style;
pub mod text;
pub mod time;
pub mod zones;
