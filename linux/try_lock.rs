// SPDX-License-Identifier: GPL-2.0

//! A lock that is only ever tried, for code that must not wait.

use core::{
    cell::UnsafeCell,
    ops::{
        Deref,
        DerefMut, //
    },
};
use kernel::{
    sync::atomic::{
        Acquire,
        AtomicFlag,
        Release, //
    },
    types::NotThreadSafe, //
};

/// Exclusive access to a value, or none at all.
///
/// Unlike a spinlock it can be used in any context, an NMI included: who finds it taken goes on
/// without it. If its holder is stopped for good it stays taken.
///
/// # Examples
///
/// ```
/// use kernel::try_lock::TryLock;
///
/// let lock = TryLock::new(1);
/// let mut guard = lock.try_lock().ok_or(EBUSY)?;
/// *guard += 1;
/// assert!(lock.try_lock().is_none());
/// drop(guard);
/// assert_eq!(lock.try_lock().map(|guard| *guard), Some(2));
/// # Ok::<(), Error>(())
/// ```
///
/// # Invariants
///
/// While `taken` is set, only the one [`Guard`] that set it accesses `value`.
pub struct TryLock<T> {
    taken: AtomicFlag,
    value: UnsafeCell<T>,
}

// SAFETY: The lock hands out its value to one thread at a time, which is sending it to and fro.
unsafe impl<T: Send> Sync for TryLock<T> {}

impl<T> TryLock<T> {
    /// Creates a lock that is free.
    pub const fn new(value: T) -> Self {
        // INVARIANT: The lock is free, and there is no guard.
        Self {
            taken: AtomicFlag::new(false),
            value: UnsafeCell::new(value),
        }
    }

    /// Takes the lock, or returns `None` at once.
    pub fn try_lock(&self) -> Option<Guard<'_, T>> {
        // INVARIANT: Of all callers only the one that changes `taken` gets a guard.
        self.taken
            .cmpxchg(false, true, Acquire)
            .is_ok()
            .then(|| Guard {
                lock: self,
                _not_send: NotThreadSafe,
            })
    }
}

/// Access to the value of a [`TryLock`]; dropping it frees the lock.
///
/// # Invariants
///
/// `lock` is taken, by this guard.
#[must_use = "the lock is free again when its guard is dropped"]
pub struct Guard<'a, T> {
    lock: &'a TryLock<T>,
    _not_send: NotThreadSafe,
}

// SAFETY: A shared guard gives shared access to the value only.
unsafe impl<T: Sync> Sync for Guard<'_, T> {}

// A guard must not be sent, and be shared only if the value may be: this compiles only if just the
// first of the three is meant.
const _: () = {
    trait Unless<What> {
        const HOLDS: () = ();
    }
    impl<T> Unless<()> for T {}
    impl<T: Send> Unless<(u8,)> for T {}
    impl<T: Sync> Unless<(u16,)> for T {}
    <Guard<'static, core::cell::Cell<u8>> as Unless<_>>::HOLDS
};

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: By the type invariants nobody else accesses the value.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: By the type invariants nobody else accesses the value.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        self.lock.taken.store(false, Release);
    }
}
