// SPDX-License-Identifier: GPL-2.0

//! Arrays whose length is fixed when they are allocated.
//!
//! `KVVec` would do, but each way to fill one goes through `Vec::reserve`. What that computes,
//! `cap - len` and twice `cap`, cannot overflow by the invariants of `Vec`, but is compiled into
//! the module with the checks of `CONFIG_RUST_OVERFLOW_CHECKS` (`panic_const_sub_overflow`,
//! `panic_const_mul_overflow`). With `wrapping_sub` and `wrapping_mul` there, this file could go.

use core::{
    alloc::Layout,
    ops::{
        Deref,
        DerefMut, //
    },
    ptr::{
        self,
        NonNull, //
    },
    slice, //
};
use kernel::{
    alloc::{
        allocator::KVmalloc,
        Allocator,
        NumaNode, //
    },
    prelude::*, //
};

/// An array on the heap, of any size that `kvmalloc` can give.
///
/// # Examples
///
/// ```
/// use kernel::array::Array;
///
/// let mut squares = Array::<u64>::new(1000)?;
/// for (square, n) in squares.iter_mut().zip(0..) {
///     *square = n * n;
/// }
/// assert_eq!(squares.len(), 1000);
/// assert_eq!(squares.last(), Some(&998_001));
/// # Ok::<(), Error>(())
/// ```
///
/// # Invariants
///
/// `data` was allocated by [`KVmalloc`] with `layout`, the layout of `len` objects of type `T`. All
/// of them are initialised.
pub struct Array<T> {
    data: NonNull<T>,
    len: usize,
    layout: Layout,
}

// SAFETY: The array owns its objects.
unsafe impl<T: Send> Send for Array<T> {}
// SAFETY: A shared array gives shared access to its objects only.
unsafe impl<T: Sync> Sync for Array<T> {}

impl<T: Default> Array<T> {
    /// Allocates `len` objects with their default value. May sleep.
    pub fn new(len: usize) -> Result<Self> {
        let layout = Layout::array::<T>(len).map_err(|_| ENOMEM)?;
        let data = KVmalloc::alloc(layout, GFP_KERNEL, NumaNode::NO_NODE)?.cast::<T>();
        for index in 0..len {
            // SAFETY: The allocation has room for `len` objects.
            unsafe { data.add(index).write(T::default()) };
        }
        // INVARIANT: Allocated with that layout, and initialised by the loop.
        Ok(Self { data, len, layout })
    }
}

impl<T> Deref for Array<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: By the type invariants there are `len` initialised objects.
        unsafe { slice::from_raw_parts(self.data.as_ptr(), self.len) }
    }
}

impl<T> DerefMut for Array<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: By the type invariants there are `len` initialised objects.
        unsafe { slice::from_raw_parts_mut(self.data.as_ptr(), self.len) }
    }
}

impl<T> Drop for Array<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants; the objects are dropped only here.
        unsafe { ptr::drop_in_place(ptr::slice_from_raw_parts_mut(self.data.as_ptr(), self.len)) };
        // SAFETY: By the type invariants; the array is freed only here.
        unsafe { KVmalloc::free(self.data.cast(), self.layout) };
    }
}
