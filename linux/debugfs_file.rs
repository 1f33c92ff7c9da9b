// SPDX-License-Identifier: GPL-2.0

//! A file in debugfs that keeps its module loaded while it is open.
//!
//! The files of `kernel::debugfs` have no `owner`, so that to close one after its module has gone
//! is a page fault. A file of this type makes `rmmod` say that the module is in use, as for C
//! modules. What a file shows is a [`Writer`] of `kernel::debugfs`, as there.
//!
//! C header: [`include/linux/debugfs.h`](srctree/include/linux/debugfs.h)

use super::module::ModuleMetadata;
#[cfg(CONFIG_DEBUG_FS)]
use super::{
    bindings,
    module::this_module, //
};
use core::marker::{
    PhantomData,
    PhantomPinned, //
};
#[cfg(CONFIG_DEBUG_FS)]
use core::ptr;
use kernel::{
    debugfs::Writer,
    prelude::*, //
};
#[cfg(CONFIG_DEBUG_FS)]
use kernel::{
    fmt,
    seq_file::SeqFile, //
};

/// A file of the module `M` that shows `T`, alone in a directory of its own.
///
/// As everywhere with debugfs, that the file cannot be made is no error.
///
/// # Invariants
///
/// `dir` is NULL, an error, or a directory that this object owns. While the directory is there,
/// `data` is initialised, pinned, and only shared references to it exist.
#[pin_data(PinnedDrop)]
pub struct File<T: Writer + Send + Sync + 'static, M: ModuleMetadata + 'static> {
    #[cfg(CONFIG_DEBUG_FS)]
    dir: *mut bindings::dentry,
    #[pin]
    data: T,
    // debugfs has a pointer to `data`.
    #[pin]
    _pin: PhantomPinned,
    _module: PhantomData<fn() -> M>,
}

// SAFETY: A directory of debugfs may be removed by another thread than the one that made it.
unsafe impl<T: Writer + Send + Sync + 'static, M: ModuleMetadata> Send for File<T, M> {}
// SAFETY: There are no methods with `&self`, and `T` can be shared.
unsafe impl<T: Writer + Send + Sync + 'static, M: ModuleMetadata> Sync for File<T, M> {}

impl<T: Writer + Send + Sync + 'static, M: ModuleMetadata> File<T, M> {
    /// Makes `/sys/kernel/debug/<dir>/<name>`, readable by root, once `data` is there.
    ///
    /// Nothing of the module's `init` may fail after this: a module that fails to load goes,
    /// whoever has a file of it open.
    #[cfg_attr(not(CONFIG_DEBUG_FS), expect(unused_variables))]
    pub fn new(
        dir: &'static CStr,
        name: &'static CStr,
        data: impl PinInit<T, Error>,
    ) -> impl PinInit<Self, Error> {
        let file = try_pin_init!(Self {
            #[cfg(CONFIG_DEBUG_FS)]
            dir: ptr::null_mut(),
            data <- data,
            _pin: PhantomPinned,
            _module: PhantomData,
        });
        #[cfg(CONFIG_DEBUG_FS)]
        let file = file.pin_chain(move |file| {
            // SAFETY: The name is a valid string, and NULL stands for the root of debugfs.
            let entry = unsafe { bindings::debugfs_create_dir(dir.as_char_ptr(), ptr::null_mut()) };
            // SAFETY: Only the field `dir` is written, which is not pinned.
            //
            // INVARIANT: The directory was just made, or this is an error. `data` is initialised,
            // and from here on all that is left is a shared reference to it.
            let file = unsafe { file.get_unchecked_mut() };
            file.dir = entry;
            let data = &raw const file.data;
            // SAFETY: The name is a valid string, and the parent is a directory or an error, which
            // the function passes on. By the type invariants `data` is valid until the directory is
            // removed, and `OPS` expects a pointer to a `T`.
            unsafe {
                bindings::debugfs_create_file_full(
                    name.as_char_ptr(),
                    0o400,
                    entry,
                    data.cast_mut().cast(),
                    ptr::null(),
                    Self::OPS,
                )
            };
            Ok(())
        });
        file
    }
}

#[pinned_drop]
impl<T: Writer + Send + Sync + 'static, M: ModuleMetadata> PinnedDrop for File<T, M> {
    fn drop(self: Pin<&mut Self>) {
        // When it returns, no call of `show` is under way or will be made: `data` may go. Files
        // that are still open keep the module, and with it `OPS`.
        //
        // SAFETY: By the type invariants it is one of the values that the function takes.
        #[cfg(CONFIG_DEBUG_FS)]
        unsafe {
            bindings::debugfs_remove(self.dir)
        };
    }
}

/// The C side's way into a [`Writer`].
#[cfg(CONFIG_DEBUG_FS)]
impl<T: Writer + Send + Sync + 'static, M: ModuleMetadata> File<T, M> {
    const OPS: &'static bindings::file_operations = &bindings::file_operations {
        owner: this_module::<M>().as_ptr(),
        open: Some(Self::open),
        read: Some(bindings::seq_read),
        llseek: Some(bindings::seq_lseek),
        release: Some(bindings::single_release),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// `inode` and `file` must be those of a file that is being opened, made by [`Self::new`] for
    /// this `T`.
    unsafe extern "C" fn open(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: By the function's requirements; `show` gets what the file was made with.
        unsafe { bindings::single_open(file, Some(Self::show), (*inode).i_private) }
    }

    /// # Safety
    ///
    /// `seq` must be a live `seq_file` of this thread, opened by [`Self::open`], whose file debugfs
    /// does not remove during the call.
    unsafe extern "C" fn show(seq: *mut bindings::seq_file, _: *mut c_void) -> c_int {
        // SAFETY: By the function's requirements `private` is the `data` of a `File` whose
        // directory is there; by the type invariants it may be shared.
        let data = unsafe { &*(*seq).private.cast::<T>() };
        // SAFETY: By the function's requirements.
        let seq = unsafe { SeqFile::from_raw(seq) };
        seq.call_printf(fmt!("{}", Shown(data)));
        0
    }
}

/// What a [`Writer`] writes.
#[cfg(CONFIG_DEBUG_FS)]
struct Shown<'a, T>(&'a T);

#[cfg(CONFIG_DEBUG_FS)]
impl<T: Writer> fmt::Display for Shown<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(f)
    }
}
