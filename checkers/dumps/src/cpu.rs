// SPDX-License-Identifier: GPL-2.0

//! CPUs that can be interrupted, and stopped.

use std::{
    cell::RefCell,
    panic::{
        catch_unwind,
        resume_unwind,
        AssertUnwindSafe, //
    },
    sync::Arc, //
};

use scheduler::{
    sync::atomic::{
        AtomicBool,
        Ordering::SeqCst, //
    },
    thread, //
};

scheduler::thread_local! {
    /// What stops this CPU. A thread that has none goes on to its end without being interrupted.
    static STOP: RefCell<Option<Stop>> = const { RefCell::new(None) };
}

/// Stops all CPUs that have it.
#[derive(Clone, Default)]
pub(crate) struct Stop {
    stopped: Arc<std::sync::atomic::AtomicBool>,
    /// To touch it lets another thread go on.
    touched: Arc<AtomicBool>,
}

/// What unwinds a CPU that is stopped: it does nothing any more.
struct Stopped;

impl Stop {
    /// Runs `f` on another CPU. The result is `None` if it was stopped.
    pub(crate) fn spawn<R: Send + 'static>(
        &self,
        f: impl FnOnce() -> R + Send + 'static,
    ) -> thread::JoinHandle<Option<R>> {
        let stop = self.clone();
        thread::spawn(move || {
            STOP.with(|this| *this.borrow_mut() = Some(stop));
            match catch_unwind(AssertUnwindSafe(f)) {
                Ok(result) => Some(result),
                Err(stopped) if stopped.is::<Stopped>() => None,
                Err(panic) => resume_unwind(panic),
            }
        })
    }

    /// As a kernel that panics does: from now on, this CPU is the only one that runs.
    pub(crate) fn stop_others(&self) {
        point();
        STOP.with(|this| this.borrow_mut().take());
        self.stopped.store(true, SeqCst);
    }
}

/// Another CPU may go on here, or this one be stopped.
pub(crate) fn point() {
    let stop = STOP.with(|this| this.borrow().clone());
    if let Some(stop) = stop {
        stop.touched.load(SeqCst);
        if stop.stopped.load(SeqCst) {
            resume_unwind(Box::new(Stopped));
        }
    }
}

/// Whether no other CPU can come in between.
pub(crate) fn is_alone() -> bool {
    STOP.with(|this| this.borrow().is_none())
}
