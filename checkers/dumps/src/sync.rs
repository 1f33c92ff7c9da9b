// SPDX-License-Identifier: GPL-2.0

//! The atomics of the store: those of the host, with a point before each access.

pub mod atomic {
    pub use std::sync::atomic::Ordering;

    use crate::cpu::point;

    #[derive(Debug)]
    pub struct AtomicBool(std::sync::atomic::AtomicBool);

    impl AtomicBool {
        pub fn new(value: bool) -> Self {
            Self(value.into())
        }

        pub fn load(&self, order: Ordering) -> bool {
            point();
            self.0.load(order)
        }

        pub fn store(&self, value: bool, order: Ordering) {
            point();
            self.0.store(value, order);
        }
    }

    #[derive(Debug, Default)]
    pub struct AtomicU64(std::sync::atomic::AtomicU64);

    impl AtomicU64 {
        pub fn new(value: u64) -> Self {
            Self(value.into())
        }

        pub fn load(&self, order: Ordering) -> u64 {
            point();
            self.0.load(order)
        }

        pub fn store(&self, value: u64, order: Ordering) {
            point();
            self.0.store(value, order);
        }

        pub fn fetch_add(&self, value: u64, order: Ordering) -> u64 {
            point();
            self.0.fetch_add(value, order)
        }

        pub fn fetch_sub(&self, value: u64, order: Ordering) -> u64 {
            // A CPU that is stopped unwinds, but does nothing any more.
            if std::thread::panicking() {
                return value;
            }
            point();
            self.0.fetch_sub(value, order)
        }

        pub fn fetch_and(&self, value: u64, order: Ordering) -> u64 {
            point();
            self.0.fetch_and(value, order)
        }

        pub fn fetch_or(&self, value: u64, order: Ordering) -> u64 {
            point();
            self.0.fetch_or(value, order)
        }

        pub fn compare_exchange(
            &self,
            current: u64,
            new: u64,
            success: Ordering,
            failure: Ordering,
        ) -> Result<u64, u64> {
            point();
            self.0.compare_exchange(current, new, success, failure)
        }
    }
}
