// SPDX-License-Identifier: GPL-2.0

//! Module parameters of any type, readable in sysfs.
//!
//! The ones here are of any type that implements [`Param`], and show their effective values in
//! `/sys/module/<module>/parameters/`. The `params` of the `module!` macro cannot: what is missing
//! in `kernel::module_param` are strings, `kernel_param_ops::get`, a file mode, and that a
//! parameter which is given twice has its last value (`SetOnce` makes that an error).
//!
//! C header: [`include/linux/moduleparam.h`](srctree/include/linux/moduleparam.h)

use super::{
    bindings,
    c_bytes,
    module::{
        this_module,
        ModuleMetadata, //
    }, //
};
use core::{
    cell::UnsafeCell,
    marker::PhantomData,
    ops::{
        Deref,
        DerefMut, //
    },
};
use kernel::{
    error::{
        code::*,
        from_result,
        Result, //
    },
    fmt::{
        self,
        Write, //
    },
    page::PAGE_SIZE,
    prelude::*,
    str::{
        parse_int::ParseInt,
        BStr,
        Formatter, //
    },
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};
#[cfg(not(CONFIG_SYSFS))]
use kernel::{
    sync::atomic::{
        Acquire,
        AtomicFlag,
        Release, //
    },
    time::{
        delay::fsleep,
        Delta, //
    }, //
};

/// The type of a parameter of the module `M`.
///
/// The kernel calls both functions with the module's parameter lock held.
pub trait Param<M>: Sync {
    /// Sets the parameter to `arg`, at load or through sysfs.
    fn set(&'static self, arg: &[u8], lock: &mut ParamLock<M>) -> Result;

    /// Writes the value for sysfs.
    fn show(&self, f: &mut dyn Write) -> fmt::Result;
}

/// A number of bytes: decimal, `0x` or octal, with an optional `k`, `M` or `G` (also `ki`, `Mi`,
/// `Gi`), all of them powers of 1024.
pub struct Size(Atomic<u64>);

impl Size {
    /// A parameter with this default.
    pub const fn new(default: u64) -> Self {
        Self(Atomic::new(default))
    }

    /// The value in bytes.
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Sets the value that sysfs shows.
    pub fn set_effective(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    /// Parses a size. Fails if there is anything else, or if the size exceeds 64 bits.
    ///
    /// # Examples
    ///
    /// ```
    /// use kernel::param::Size;
    ///
    /// assert_eq!(Size::parse(b"0x100000")?, 1 << 20);
    /// assert_eq!(Size::parse(b"1M")?, 1 << 20);
    /// assert_eq!(Size::parse(b"64Ki")?, 1 << 16);
    /// assert!(Size::parse(b"-1").is_err());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn parse(arg: &[u8]) -> Result<u64> {
        let digits = arg.strip_suffix(b"i").unwrap_or(arg);
        let (digits, unit) = match digits {
            [digits @ .., b'k' | b'K'] => (digits, 1u64 << 10),
            [digits @ .., b'm' | b'M'] => (digits, 1 << 20),
            [digits @ .., b'g' | b'G'] => (digits, 1 << 30),
            // An "i" alone is no unit.
            _ => (arg, 1),
        };
        parse_digits(digits)?.checked_mul(unit).ok_or(ERANGE)
    }
}

impl<M> Param<M> for Size {
    fn set(&'static self, arg: &[u8], _lock: &mut ParamLock<M>) -> Result {
        self.set_effective(Self::parse(arg)?);
        Ok(())
    }

    fn show(&self, f: &mut dyn Write) -> fmt::Result {
        f.write_fmt(fmt!("{}", self.value()))
    }
}

/// A signed integer: decimal, `0x` or octal.
pub struct Int(Atomic<i32>);

impl Int {
    /// A parameter with this default.
    pub const fn new(default: i32) -> Self {
        Self(Atomic::new(default))
    }

    /// The value.
    pub fn value(&self) -> i32 {
        self.0.load(Relaxed)
    }

    /// Sets the value that sysfs shows.
    pub fn set_effective(&self, value: i32) {
        self.0.store(value, Relaxed);
    }
}

impl<M> Param<M> for Int {
    fn set(&'static self, arg: &[u8], _lock: &mut ParamLock<M>) -> Result {
        // `ParseInt` for signed integers brings overflow checks that may panic.
        let (sign, digits) = match arg {
            [b'-', digits @ ..] => (-1, digits),
            digits => (1, digits),
        };
        let magnitude = i32::try_from(parse_digits(digits)?)?;
        self.set_effective(magnitude.wrapping_mul(sign));
        Ok(())
    }

    fn show(&self, f: &mut dyn Write) -> fmt::Result {
        f.write_fmt(fmt!("{}", self.value()))
    }
}

/// A string of up to 63 characters.
pub struct Text {
    is_set: Atomic<bool>,
    /// Ends in NUL. There is no `Atomic<u8>`.
    bytes: [Atomic<i8>; Self::SIZE],
}

impl Text {
    const SIZE: usize = 64;

    /// A parameter that is not set.
    pub const fn unset() -> Self {
        Self {
            is_set: Atomic::new(false),
            bytes: [const { Atomic::new(0) }; Self::SIZE],
        }
    }

    /// Sets the string that sysfs shows if none was given.
    pub fn set_default(&self, default: &[u8]) {
        if !self.is_set.load(Relaxed) {
            // A default that is too long is none.
            let _ = self.replace(default);
        }
    }

    fn replace(&self, arg: &[u8]) -> Result {
        if arg.len() >= self.bytes.len() {
            return Err(E2BIG);
        }
        for (index, to) in self.bytes.iter().enumerate() {
            let byte = arg.get(index).copied().unwrap_or(0);
            to.store(i8::from_ne_bytes([byte]), Relaxed);
        }
        self.is_set.store(true, Relaxed);
        Ok(())
    }

    /// The string, if one was given.
    pub fn value(&self) -> Option<TextValue> {
        self.is_set.load(Relaxed).then(|| {
            let mut value = [0; Self::SIZE];
            for (to, from) in value.iter_mut().zip(&self.bytes) {
                [*to] = from.load(Relaxed).to_ne_bytes();
            }
            TextValue(value)
        })
    }
}

impl<M> Param<M> for Text {
    // The kernel sets a parameter that is given twice twice: the last one counts.
    fn set(&'static self, arg: &[u8], _lock: &mut ParamLock<M>) -> Result {
        self.replace(arg)
    }

    fn show(&self, f: &mut dyn Write) -> fmt::Result {
        match self.value() {
            Some(value) => f.write_fmt(fmt!("{}", &*value)),
            None => Ok(()),
        }
    }
}

/// What a [`Text`] was when its value was asked for.
pub struct TextValue([u8; Text::SIZE]);

impl Deref for TextValue {
    type Target = CStr;

    fn deref(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or_default()
    }
}

/// Parses an unsigned number: decimal, `0x` or octal.
fn parse_digits(digits: &[u8]) -> Result<u64> {
    // `ParseInt` accepts a sign.
    if !digits.first().is_some_and(u8::is_ascii_digit) {
        return Err(EINVAL);
    }
    u64::from_str(BStr::from_bytes(digits))
}

/// Stands for the lock of each module in a kernel without sysfs, which has none.
#[cfg(not(CONFIG_SYSFS))]
static TAKEN: AtomicFlag = AtomicFlag::new(false);

/// Proof that the parameter lock of the module `M` is held.
///
/// # Invariants
///
/// While a value of this type can be used, its thread holds the lock. There is only one at a time.
pub struct ParamLock<M>(PhantomData<*mut M>);

impl<M: ModuleMetadata> ParamLock<M> {
    /// Takes the lock; waits for it. Not for use in [`Param::set`], which is called with it held.
    pub fn take() -> ParamLockGuard<M> {
        // SAFETY: The module is alive while its code runs.
        #[cfg(CONFIG_SYSFS)]
        unsafe {
            bindings::kernel_param_lock(this_module::<M>().as_ptr())
        };
        #[cfg(not(CONFIG_SYSFS))]
        while TAKEN.cmpxchg(false, true, Acquire).is_err() {
            fsleep(Delta::from_millis(1));
        }
        // INVARIANT: The lock was just taken.
        ParamLockGuard(ParamLock(PhantomData))
    }
}

/// Holds the module's parameter lock; dropping it releases the lock.
pub struct ParamLockGuard<M: ModuleMetadata>(ParamLock<M>);

impl<M: ModuleMetadata> Deref for ParamLockGuard<M> {
    type Target = ParamLock<M>;

    fn deref(&self) -> &ParamLock<M> {
        &self.0
    }
}

impl<M: ModuleMetadata> DerefMut for ParamLockGuard<M> {
    fn deref_mut(&mut self) -> &mut ParamLock<M> {
        &mut self.0
    }
}

impl<M: ModuleMetadata> Drop for ParamLockGuard<M> {
    fn drop(&mut self) {
        // SAFETY: By the invariant of `ParamLock` the lock is held.
        #[cfg(CONFIG_SYSFS)]
        unsafe {
            bindings::kernel_param_unlock(this_module::<M>().as_ptr())
        };
        #[cfg(not(CONFIG_SYSFS))]
        TAKEN.store(false, Release);
    }
}

/// A static value guarded by the parameter lock of the module `M`.
///
/// Unlike a mutex of the module's own, that lock exists before `init` runs, when parameters are
/// already being set.
pub struct Locked<T, M>(UnsafeCell<T>, PhantomData<fn() -> M>);

// SAFETY: The value is only accessed with the module's parameter lock held, by one thread at a
// time.
unsafe impl<T: Send, M> Sync for Locked<T, M> {}

impl<T, M> Locked<T, M> {
    /// Creates the value.
    pub const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value), PhantomData)
    }

    /// Accesses the value.
    pub fn access<'a>(&'static self, _lock: &'a mut ParamLock<M>) -> &'a mut T {
        // SAFETY: `_lock` proves that this thread holds the lock, and is borrowed for as long as
        // the value is.
        unsafe { &mut *self.0.get() }
    }
}

/// A `struct kernel_param` in the section where the kernel looks for them.
#[doc(hidden)]
#[repr(transparent)]
pub struct KernelParam(bindings::kernel_param);

// SAFETY: The kernel serialises its accesses, and Rust code makes none.
unsafe impl Sync for KernelParam {}

impl KernelParam {
    /// Describes the parameter `param` of the module `M` for the kernel.
    ///
    /// `flags`: `KERNEL_PARAM_FL_*`. `perm`: the mode of the file in sysfs, 0 for none.
    pub const fn new<M: ModuleMetadata, T: Param<M> + 'static>(
        name: &'static CStr,
        param: &'static T,
        perm: u16,
        flags: u8,
    ) -> Self {
        Self(bindings::kernel_param {
            name: kernel::str::as_char_ptr_in_const_context(name),
            mod_: this_module::<M>().as_ptr(),
            ops: ParamVTable::<M, T>::OPS,
            perm,
            level: -1,
            flags,
            __bindgen_anon_1: bindings::kernel_param__bindgen_ty_1 {
                arg: core::ptr::from_ref(param).cast_mut().cast(),
            },
        })
    }
}

/// The C side's way into a [`Param`].
struct ParamVTable<M, T>(PhantomData<(M, T)>);

impl<M: ModuleMetadata, T: Param<M> + 'static> ParamVTable<M, T> {
    const OPS: &'static bindings::kernel_param_ops = &bindings::kernel_param_ops {
        flags: 0,
        set: Some(Self::set),
        get: Some(Self::get),
        free: None,
    };

    /// # Safety
    ///
    /// `kp` must come from [`KernelParam::new`] with this `M` and `T`.
    unsafe fn param(kp: *const bindings::kernel_param) -> &'static T {
        // SAFETY: By the requirements `arg` was made from a `&'static T`.
        unsafe { &*(*kp).__bindgen_anon_1.arg.cast::<T>() }
    }

    /// # Safety
    ///
    /// `kp` must come from [`KernelParam::new`] with this `M` and `T`, `val` must be NULL or a
    /// valid string, and the module's parameter lock must be held.
    unsafe extern "C" fn set(val: *const c_char, kp: *const bindings::kernel_param) -> c_int {
        if val.is_null() {
            return EINVAL.to_errno();
        }
        // SAFETY: By the function's requirements.
        let (param, arg) = unsafe { (Self::param(kp), c_bytes::bytes(val)) };
        // What `echo` writes to sysfs ends in a newline.
        let arg = arg.strip_suffix(b"\n").unwrap_or(arg);
        // INVARIANT: The caller holds the lock during the call.
        #[cfg(CONFIG_SYSFS)]
        let mut lock = ParamLock(PhantomData);
        #[cfg(not(CONFIG_SYSFS))]
        let mut lock = ParamLock::take();
        from_result(|| param.set(arg, &mut lock).map(|()| 0))
    }

    /// # Safety
    ///
    /// `kp` must come from [`KernelParam::new`] with this `M` and `T`, and `buffer` must be a page.
    unsafe extern "C" fn get(buffer: *mut c_char, kp: *const bindings::kernel_param) -> c_int {
        // SAFETY: By the function's requirements. sysfs hands out initialised pages.
        let (param, page) = unsafe {
            (
                Self::param(kp),
                core::slice::from_raw_parts_mut(buffer.cast::<u8>(), PAGE_SIZE),
            )
        };
        let mut f = Formatter::new(page);
        match param.show(&mut f).and_then(|()| f.write_str("\n")) {
            Ok(()) => f.bytes_written() as c_int,
            Err(_) => EINVAL.to_errno(),
        }
    }
}

/// Copies a string into an array, for the strings in `.modinfo`.
#[doc(hidden)]
pub const fn to_array<const N: usize>(text: &str) -> [u8; N] {
    match text.as_bytes().first_chunk() {
        Some(bytes) => *bytes,
        None => [0; N],
    }
}

/// Makes a C string of one that ends in NUL, for the names of parameters.
#[doc(hidden)]
pub const fn to_c_str(text: &'static str) -> &'static CStr {
    match CStr::from_bytes_with_nul(text.as_bytes()) {
        Ok(text) => text,
        Err(_) => c"",
    }
}

/// Declares parameters of a module, which has that name.
///
/// For each one: its name, type and first value, the mode of its file in sysfs, `KERNEL_PARAM_FL_*`
/// flags, and what `modinfo` says of it.
#[macro_export]
macro_rules! module_params {
    ($owner:ty, $module:literal: $(
        $(#[$doc:meta])*
        $name:ident: $type:ty = $value:expr,
            $perm:literal, $flags:expr, $parmtype:literal, $desc:literal;
    )*) => {$(
        $(#[$doc])*
        #[allow(non_upper_case_globals)]
        pub(crate) static $name: $type = $value;

        // What is built in has the name of the module in front.
        #[cfg(MODULE)]
        $crate::module_params!(
            @describe $owner, $name, [], $perm, $flags, $parmtype, $desc
        );
        #[cfg(not(MODULE))]
        $crate::module_params!(
            @describe $owner, $name, [$module "."], $perm, $flags, $parmtype, $desc
        );
    )*};
    (
        @describe
        $owner:ty, $name:ident, [$($prefix:literal)*],
        $perm:literal, $flags:expr, $parmtype:literal, $desc:literal
    ) => {
        const _: () = {
            use $crate::linux::param::{
                to_array,
                to_c_str,
                KernelParam, //
            };

            #[link_section = "__param"]
            #[used(compiler)]
            static PARAM: KernelParam = KernelParam::new::<$owner, _>(
                to_c_str(concat!($($prefix,)* stringify!($name), "\0")),
                &$name,
                $perm,
                $flags,
            );

            const PARM: &str =
                concat!($($prefix,)* "parm=", stringify!($name), ":", $desc, "\0");
            #[link_section = ".modinfo"]
            #[used(compiler)]
            static PARM_INFO: [u8; PARM.len()] = to_array(PARM);

            const PARMTYPE: &str =
                concat!($($prefix,)* "parmtype=", stringify!($name), ":", $parmtype, "\0");
            #[link_section = ".modinfo"]
            #[used(compiler)]
            static PARMTYPE_INFO: [u8; PARMTYPE.len()] = to_array(PARMTYPE);
        };
    };
}
