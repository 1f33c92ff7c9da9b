// SPDX-License-Identifier: GPL-2.0

//! The one place that atomics come from, so that a checker can put its own in their place.

#[cfg(not(any(loom, shuttle)))]
pub(super) use core::sync::atomic::{
    AtomicBool,
    AtomicU64,
    Ordering, //
};
#[cfg(loom)]
pub(super) use loom::sync::atomic::{
    AtomicBool,
    AtomicU64,
    Ordering, //
};
#[cfg(shuttle)]
pub(super) use shuttle::sync::atomic::{
    AtomicBool,
    AtomicU64,
    Ordering, //
};
