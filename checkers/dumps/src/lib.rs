// SPDX-License-Identifier: GPL-2.0

//! Whole dumps of several CPUs at once, in random interleavings. One of them may panic: then the
//! others are stopped for ever, each at the instruction that it has come to.
//!
//! A CPU is a thread of shuttle's. It can be interrupted, and stopped, before each access to an
//! atomic of the store and before and in the middle of each write into the region.
//!
//! `CHECKER_RUNS` sets how many interleavings are tried (default: 1000), `CHECKER_SEED` which ones.

#![cfg(test)]

// ringbuf gets its atomics from here.
extern crate self as shuttle;

#[path = "../../../ringbuf/src/lib.rs"]
#[allow(
    dead_code,
    unfulfilled_lint_expectations,
    unused_imports,
    reason = "here it is private, and most of it is for readers"
)]
mod ringbuf;

mod cpu;
mod region;
pub mod sync;
mod tests;
