// SPDX-License-Identifier: GPL-2.0

//! The module that something belongs to: `kernel::module`, which Linux has from 7.3 on.

#[cfg(has_this_module)]
pub use kernel::{
    module::this_module,
    ModuleMetadata, //
};

/// Anything in this crate belongs to the one module that it makes.
#[cfg(not(has_this_module))]
pub trait ModuleMetadata {
    /// `THIS_MODULE`: NULL if it is built into the kernel.
    const THIS_MODULE: kernel::ThisModule;
}

#[cfg(not(has_this_module))]
impl<T> ModuleMetadata for T {
    const THIS_MODULE: kernel::ThisModule = {
        #[cfg(MODULE)]
        let module = (&raw const super::bindings::__this_module).cast_mut();
        #[cfg(not(MODULE))]
        let module = core::ptr::null_mut();
        // SAFETY: It is the right one.
        unsafe { kernel::ThisModule::from_ptr(module) }
    };
}

/// Returns `THIS_MODULE` of a module.
#[cfg(not(has_this_module))]
pub const fn this_module<M: ModuleMetadata>() -> &'static kernel::ThisModule {
    &M::THIS_MODULE
}
