// SPDX-License-Identifier: GPL-2.0

//! Memory technology devices (MTD).
//!
//! C header: [`include/linux/mtd/mtd.h`](srctree/include/linux/mtd/mtd.h)

use super::{
    bindings,
    mapping::Mapping,
    module::{
        this_module,
        ModuleMetadata, //
    }, //
};
use core::{
    marker::PhantomData,
    mem::MaybeUninit,
    ptr, //
};
use kernel::{
    device::{
        Bound,
        Device, //
    },
    error::{
        from_result,
        to_result, //
    },
    prelude::*,
    str::CString,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Relaxed,
            Release, //
        },
        Arc,
        ArcBorrow, //
    },
    time::{
        delay::fsleep,
        Delta, //
    },
    types::Opaque, //
};

/// What a device is, as user space sees it in `/proc/mtd` and by `mtdinfo`.
pub struct Options<'a> {
    /// The name, of which there may be only one device.
    pub name: &'a CStr,
    /// The size in bytes.
    pub size: u64,
    /// The size of an erase block in bytes: a divisor of `size`.
    pub erasesize: u32,
    /// Whether the MTD core refuses to write and to erase.
    pub read_only: bool,
    /// The device that this one belongs to, whose node of the device tree may describe partitions.
    pub parent: Option<&'a Device<Bound>>,
}

/// A device that is plain RAM: any byte can be written at any time (`MTD_RAM`, `MTD_CAP_RAM`).
///
/// The MTD core calls with ranges inside the device. All functions may run in parallel.
#[vtable]
pub trait RamDevice: Send + Sync + 'static {
    /// The module that the device belongs to, which stays while it is open.
    type OwnerModule: ModuleMetadata;

    /// Copies the bytes from `from` on into all of `buf`, and returns that.
    fn read<'a>(&self, from: u64, buf: &'a mut [MaybeUninit<u8>]) -> Result<&'a mut [u8]>;

    /// Copies `data` to the bytes from `to` on.
    fn write(&self, to: u64, data: &[u8]) -> Result;

    /// As [`Self::write`], called when the kernel panics: must not sleep, wait for a lock or panic.
    fn panic_write(&self, to: u64, data: &[u8]) -> Result;

    /// Sets a range to 0xff. The range is whole erase blocks.
    fn erase(&self, addr: u64, len: u64) -> Result;

    /// The memory behind the device, for users in the kernel that access it in place.
    fn mapping(&self) -> &Mapping;
}

/// A [`RamDevice`] that is registered.
///
/// To drop it ends the device: from then on nobody can open it.
///
/// Whoever has it open may go on using it: it is kept for him until he closes it. Only while the
/// module is loading this waits for him, because that is a load which fails, and then the code goes
/// with the module, whoever is using it.
///
/// A module that drops registrations while it is live has to call [`synchronize`] when it goes.
pub struct Registration<T: RamDevice>(Arc<Inner<T>>);

/// What the MTD core and those who have the device open use.
///
/// # Invariants
///
/// There is a reference for the registration, and one for each successful call of `_get_device`
/// that was not followed by one of `_put_device` yet: `users` counts the latter. Without a
/// reference nobody uses `mtd`.
#[pin_data]
struct Inner<T: RamDevice> {
    name: CString,
    device: T,
    /// How many have the device, or a partition of it, open.
    users: Atomic<i32>,
    /// Whether nobody may open the device any more.
    ended: Atomic<bool>,
    #[pin]
    mtd: Opaque<bindings::mtd_info>,
}

// SAFETY: An MTD device belongs to no thread, and neither does `T`.
unsafe impl<T: RamDevice> Send for Inner<T> {}
// SAFETY: `mtd` is for the MTD core, which has locks. The rest can be shared.
unsafe impl<T: RamDevice> Sync for Inner<T> {}

impl<T: RamDevice> Registration<T> {
    /// Registers a device: `/dev/mtdN` appears.
    pub fn new(options: Options<'_>, device: T) -> Result<Self> {
        // Formatting it would change what is not ASCII.
        let name = CString::try_from(options.name)?;
        let flags = if options.read_only {
            bindings::MTD_CAP_RAM & !bindings::MTD_WRITEABLE
        } else {
            bindings::MTD_CAP_RAM
        };
        let mut raw = bindings::mtd_info {
            type_: bindings::MTD_RAM as u8,
            flags,
            size: options.size,
            erasesize: options.erasesize,
            writesize: 1,
            // The string is on the heap, and lives as long as the device.
            name: name.as_char_ptr(),
            owner: this_module::<T::OwnerModule>().as_ptr(),
            _read: Some(MtdVTable::<T>::read),
            _write: Some(MtdVTable::<T>::write),
            _panic_write: Some(MtdVTable::<T>::panic_write),
            _erase: Some(MtdVTable::<T>::erase),
            _point: Some(MtdVTable::<T>::point),
            _unpoint: Some(MtdVTable::<T>::unpoint),
            _get_device: Some(MtdVTable::<T>::get_device),
            _put_device: Some(MtdVTable::<T>::put_device),
            ..Default::default()
        };
        if let Some(parent) = options.parent {
            // The MTD core takes a reference to it while `mtd` is registered.
            //
            // CAST: `Device` is a transparent wrapper of `struct device`.
            raw.dev.parent = ptr::from_ref(parent).cast_mut().cast();
            // SAFETY: The pointer comes from a reference. The field is constant while the device is
            // bound.
            raw.dev.of_node = unsafe { (*raw.dev.parent).of_node };
        }
        let inner = Arc::pin_init(
            pin_init!(Inner {
                name,
                device,
                users: Atomic::new(0),
                ended: Atomic::new(false),
                mtd <- Opaque::ffi_init(|slot: *mut bindings::mtd_info| {
                    // SAFETY: The initialiser can write to the provided `slot`.
                    unsafe { slot.write(raw) }
                }),
            }),
            GFP_KERNEL,
        )?;
        // SAFETY: `mtd` is initialised and pinned. It stays for as long as the MTD core or anybody
        // else uses it, by the type invariants. NULL asks for the default partition parsers and no
        // partitions.
        to_result(unsafe {
            bindings::mtd_device_parse_register(
                inner.mtd.get(),
                ptr::null(),
                ptr::null_mut(),
                ptr::null(),
                0,
            )
        })
        // The MTD core may have registered it, or partitions, and have taken that back.
        .inspect_err(|_| inner.end())?;
        Ok(Self(inner))
    }
}

impl<T: RamDevice> Drop for Registration<T> {
    fn drop(&mut self) {
        // Where the MTD core has a node for a device as well as for its partitions, that node stays
        // until the last one is closed.
        self.0.ended.store(true, Relaxed);
        let unregister = || {
            // SAFETY: The device was registered by `new`. If it no longer is, this does nothing.
            unsafe { bindings::mtd_device_unregister(self.0.mtd.get()) == 0 }
        };
        // The first call fails if a partition cannot be deleted. It is off the list then, so that
        // the second one gets on with the rest.
        let unregistered = unregister() || unregister();
        if !unregistered {
            pr_err!("mtd: {} cannot be unregistered, and stays\n", &*self.0.name);
            // The MTD core is a user for good. If the code is about to go, that is waited for.
            //
            // SAFETY: `mtd` is part of a live `Inner`, and the module runs.
            unsafe {
                MtdVTable::<T>::add_user(self.0.mtd.get());
                #[cfg(CONFIG_MODULE_UNLOAD)]
                bindings::__module_get(this_module::<T::OwnerModule>().as_ptr());
            }
        }
        self.0.end();
    }
}

impl<T: RamDevice> Inner<T> {
    /// Ends what nobody can open any more, whether or not it is open.
    fn end(&self) {
        self.ended.store(true, Relaxed);
        let is_waited_for = || self.users.load(Acquire) != 0 && !is_live::<T::OwnerModule>();
        if is_waited_for() {
            pr_warn!(
                "mtd: {} is in use: waiting until it is closed\n",
                &*self.name
            );
        }
        while is_waited_for() {
            fsleep(Delta::from_millis(10));
        }
        synchronize();
    }
}

/// Waits until nobody is opening or closing a device.
///
/// Who closes one lets go of its module first, and calls into it once more. The MTD core holds a
/// lock meanwhile.
#[inline]
pub fn synchronize() {
    // SAFETY: There is no device of a negative number, and -1 asks for one by its address. So no
    // reference is taken, and all that this does is to take that lock.
    let _ = unsafe { bindings::get_mtd_device(ptr::null_mut(), -2) };
}

/// Whether a module is loaded, and its code will not go while a device is open.
fn is_live<M: ModuleMetadata>() -> bool {
    #[cfg(CONFIG_MODULES)]
    {
        let module = this_module::<M>().as_ptr();
        // What is built in never goes.
        if module.is_null() {
            return true;
        }
        // SAFETY: The module exists while its code runs. The thread that loads or unloads it, which
        // may be another one, changes the field at once.
        let state = unsafe { (&raw const (*module).state).read_volatile() };
        state == bindings::module_state_MODULE_STATE_LIVE
    }
    #[cfg(not(CONFIG_MODULES))]
    true
}

/// Whether there is an MTD device of that name.
#[inline]
pub fn exists(name: &CStr) -> bool {
    // SAFETY: `name` is a valid string.
    let mtd = unsafe { bindings::get_mtd_device_nm(name.as_char_ptr()) };
    if kernel::error::from_err_ptr(mtd).is_err() {
        return false;
    }
    // SAFETY: The reference to the device was taken by the call above.
    unsafe { bindings::put_mtd_device(mtd) };
    true
}

/// The C side's way into a [`RamDevice`].
struct MtdVTable<T: RamDevice>(PhantomData<T>);

impl<T: RamDevice> MtdVTable<T> {
    /// # Safety
    ///
    /// `mtd` must be the field `mtd` of an `Inner<T>`, in an [`Arc`], that lives as long as `'a`.
    unsafe fn inner<'a>(mtd: *mut bindings::mtd_info) -> ArcBorrow<'a, Inner<T>> {
        // SAFETY: By the function's requirements.
        unsafe { ArcBorrow::from_raw(Self::inner_ptr(mtd)) }
    }

    /// # Safety
    ///
    /// `mtd` must be the field `mtd` of a live `Inner<T>`.
    unsafe fn inner_ptr(mtd: *mut bindings::mtd_info) -> *const Inner<T> {
        let mtd = Opaque::cast_from(mtd);
        // SAFETY: By the function's requirements.
        unsafe { kernel::container_of!(mtd, Inner<T>, mtd) }
    }

    /// # Safety
    ///
    /// `mtd` must be the field `mtd` of an `Inner<T>` that lives as long as `'a`.
    unsafe fn device<'a>(mtd: *mut bindings::mtd_info) -> &'a T {
        // SAFETY: By the function's requirements.
        unsafe { &(*Self::inner_ptr(mtd)).device }
    }

    /// Takes the reference of a user.
    ///
    /// # Safety
    ///
    /// `mtd` must be the field `mtd` of a live `Inner<T>`.
    unsafe fn add_user(mtd: *mut bindings::mtd_info) {
        // SAFETY: By the function's requirements.
        let inner = Arc::from(unsafe { Self::inner(mtd) });
        inner.users.add(1, Relaxed);
        // `put_device` takes it back.
        let _ = Arc::into_raw(inner);
    }

    /// # Safety
    ///
    /// `mtd` must be the field `mtd` of a live `Inner<T>`.
    unsafe extern "C" fn get_device(mtd: *mut bindings::mtd_info) -> c_int {
        // SAFETY: By the function's requirements.
        if unsafe { Self::inner(mtd) }.ended.load(Relaxed) {
            return ENODEV.to_errno();
        }
        // SAFETY: By the function's requirements.
        unsafe { Self::add_user(mtd) };
        0
    }

    /// # Safety
    ///
    /// `mtd` must be the field `mtd` of a live `Inner<T>`, for which [`Self::get_device`] has
    /// succeeded more often than this was called.
    unsafe extern "C" fn put_device(mtd: *mut bindings::mtd_info) {
        // SAFETY: By the function's requirements a reference is left of those that `add_user` took.
        let inner = unsafe { Arc::from_raw(Self::inner_ptr(mtd)) };
        inner.users.fetch_sub(1, Release);
    }

    /// # Safety
    ///
    /// `mtd` must be the field `mtd` of a live `Inner<T>`, `retlen` valid for writes and `buf`
    /// valid for writes of `len` bytes.
    unsafe extern "C" fn read(
        mtd: *mut bindings::mtd_info,
        from: bindings::loff_t,
        len: usize,
        retlen: *mut usize,
        buf: *mut u8,
    ) -> c_int {
        from_result(|| {
            let from = u64::try_from(from)?;
            // SAFETY: By the function's requirements.
            let (device, buf) = unsafe {
                (
                    Self::device(mtd),
                    core::slice::from_raw_parts_mut(buf.cast::<MaybeUninit<u8>>(), len),
                )
            };
            let start = buf.as_ptr();
            let read = device.read(from, buf)?;
            // What is not initialised must not get to user space.
            if read.as_ptr() != start.cast() || read.len() != len {
                return Err(EIO);
            }
            // SAFETY: By the function's requirements.
            unsafe { *retlen = len };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// `mtd` must be the field `mtd` of a live `Inner<T>`, `retlen` valid for writes and `buf`
    /// valid for reads of `len` bytes.
    unsafe fn write_with(
        write: fn(&T, u64, &[u8]) -> Result,
        mtd: *mut bindings::mtd_info,
        to: bindings::loff_t,
        len: usize,
        retlen: *mut usize,
        buf: *const u8,
    ) -> c_int {
        from_result(|| {
            let to = u64::try_from(to)?;
            // SAFETY: By the function's requirements.
            let (device, data) =
                unsafe { (Self::device(mtd), core::slice::from_raw_parts(buf, len)) };
            write(device, to, data)?;
            // SAFETY: By the function's requirements.
            unsafe { *retlen = len };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// As for [`Self::write_with`].
    unsafe extern "C" fn write(
        mtd: *mut bindings::mtd_info,
        to: bindings::loff_t,
        len: usize,
        retlen: *mut usize,
        buf: *const u8,
    ) -> c_int {
        // SAFETY: By the function's requirements.
        unsafe { Self::write_with(T::write, mtd, to, len, retlen, buf) }
    }

    /// # Safety
    ///
    /// As for [`Self::write_with`].
    unsafe extern "C" fn panic_write(
        mtd: *mut bindings::mtd_info,
        to: bindings::loff_t,
        len: usize,
        retlen: *mut usize,
        buf: *const u8,
    ) -> c_int {
        // SAFETY: By the function's requirements.
        unsafe { Self::write_with(T::panic_write, mtd, to, len, retlen, buf) }
    }

    /// # Safety
    ///
    /// `mtd` must be the field `mtd` of a live `Inner<T>`, and `instr` valid for reads.
    unsafe extern "C" fn erase(
        mtd: *mut bindings::mtd_info,
        instr: *mut bindings::erase_info,
    ) -> c_int {
        // SAFETY: By the function's requirements.
        let (device, addr, len, block) = unsafe {
            (
                Self::device(mtd),
                (*instr).addr,
                (*instr).len,
                u64::from((*mtd).erasesize),
            )
        };
        // The MTD core does not check this.
        let whole = |n: u64| n.checked_rem(block) == Some(0);
        if !whole(addr) || !whole(len) {
            return EINVAL.to_errno();
        }
        from_result(|| device.erase(addr, len).map(|()| 0))
    }

    /// # Safety
    ///
    /// `mtd` must be the field `mtd` of a live `Inner<T>`, `retlen` and `virt` valid for
    /// writes, and `phys` NULL or valid for writes.
    unsafe extern "C" fn point(
        mtd: *mut bindings::mtd_info,
        from: bindings::loff_t,
        len: usize,
        retlen: *mut usize,
        virt: *mut *mut c_void,
        phys: *mut bindings::resource_size_t,
    ) -> c_int {
        from_result(|| {
            // SAFETY: By the function's requirements.
            let device = unsafe { Self::device(mtd) };
            let from = usize::try_from(from)?;
            let (addr, start) = device.mapping().addresses(from, len).ok_or(EINVAL)?;
            // SAFETY: By the function's requirements. The mapping lives as long as the device,
            // which its users hold.
            unsafe {
                *virt = addr.as_ptr().cast();
                *retlen = len;
                if !phys.is_null() {
                    *phys = start;
                }
            }
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// As for [`Self::point`], which leaves nothing to undo.
    unsafe extern "C" fn unpoint(
        _mtd: *mut bindings::mtd_info,
        _from: bindings::loff_t,
        _len: usize,
    ) -> c_int {
        0
    }
}
