// SPDX-License-Identifier: GPL-2.0

//! The tests of the store, in one program: that takes a fraction of the time to compile.

mod common;

mod boots;
mod cache_lines;
mod clear;
mod crash_loop;
mod diagnosis;
mod ecc;
mod encoder;
mod fit;
mod geometry;
mod hostile;
mod layout;
mod power_cut;
mod salvage;
mod slots;
mod store;
