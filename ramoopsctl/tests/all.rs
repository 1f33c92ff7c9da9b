// SPDX-License-Identifier: GPL-2.0

//! The tests of the reader, in one program: that takes a fraction of the time to compile.

mod common;

mod commands;
mod delete;
mod detect;
mod foreign;
mod hostile;
mod json;
mod order;
mod others;
mod records;
mod strangers;
mod torn;
