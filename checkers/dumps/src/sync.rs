// SPDX-License-Identifier: GPL-2.0

//! The atomics of the store: those of the host, with a point before each access.

pub mod atomic {
    pub use std::sync::atomic::Ordering;

    use crate::cpu::point;

    macro_rules! atomics {
        ($($name:ident: $int:ty),*) => {$(
            #[derive(Debug, Default)]
            pub struct $name(std::sync::atomic::$name);

            impl $name {
                pub fn new(value: $int) -> Self {
                    Self(value.into())
                }

                pub fn load(&self, order: Ordering) -> $int {
                    point();
                    self.0.load(order)
                }

                pub fn store(&self, value: $int, order: Ordering) {
                    point();
                    self.0.store(value, order);
                }

                pub fn fetch_add(&self, value: $int, order: Ordering) -> $int {
                    point();
                    self.0.fetch_add(value, order)
                }

                pub fn fetch_max(&self, value: $int, order: Ordering) -> $int {
                    point();
                    self.0.fetch_max(value, order)
                }

                pub fn compare_exchange(
                    &self,
                    current: $int,
                    new: $int,
                    success: Ordering,
                    failure: Ordering,
                ) -> Result<$int, $int> {
                    point();
                    self.0.compare_exchange(current, new, success, failure)
                }
            }
        )*};
    }

    atomics!(AtomicU64: u64, AtomicUsize: usize);
}
