// SPDX-License-Identifier: GPL-2.0

//! Memory technology devices (MTD).
//!
//! C header: [`include/linux/mtd/mtd.h`](srctree/include/linux/mtd/mtd.h)

use super::{
    bindings,
    region::Mapping, //
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
pub trait RamDevice: Send + Sync {
    /// Copies the bytes from `from` on into all of `buf`.
    fn read(&self, from: u64, buf: &mut [MaybeUninit<u8>]) -> Result;

    /// Copies `data` to the bytes from `to` on.
    fn write(&self, to: u64, data: &[u8]) -> Result;

    /// As [`Self::write`], called when the kernel panics: must not sleep, wait for a lock or panic.
    fn panic_write(&self, to: u64, data: &[u8]) -> Result;

    /// Sets a range to 0xff. The range is whole erase blocks.
    fn erase(&self, addr: u64, len: u64) -> Result;

    /// The memory behind the device, for users in the kernel that access it in place.
    fn mapping(&self) -> &Mapping;
}

/// The registration of a [`RamDevice`].
///
/// # Invariants
///
/// `mtd` is registered with the MTD core for as long as this object lives, or until it is retired.
#[pin_data(PinnedDrop)]
pub struct Registration<T: RamDevice> {
    name: CString,
    device: T,
    #[pin]
    mtd: Opaque<bindings::mtd_info>,
}

// SAFETY: A device may be unregistered by another thread than the one that registered it.
unsafe impl<T: RamDevice> Send for Registration<T> {}
// SAFETY: There are no methods with `&self`, and those of `T` can be called in parallel.
unsafe impl<T: RamDevice> Sync for Registration<T> {}

impl<T: RamDevice> Registration<T> {
    /// Registers a device: `/dev/mtdN` appears.
    pub fn register<'a>(
        options: Options<'a>,
        device: T,
        module: &'static ThisModule,
    ) -> Result<impl PinInit<Self, Error> + use<'a, T>> {
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
            // The string is on the heap, and lives as long as the registration.
            name: name.as_char_ptr(),
            owner: module.as_ptr(),
            _read: Some(MtdVTable::<T>::read),
            _write: Some(MtdVTable::<T>::write),
            _panic_write: Some(MtdVTable::<T>::panic_write),
            _erase: Some(MtdVTable::<T>::erase),
            _point: Some(MtdVTable::<T>::point),
            _unpoint: Some(MtdVTable::<T>::unpoint),
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
        Ok(try_pin_init!(Self {
            name,
            device,
            mtd <- Opaque::try_ffi_init(move |slot: *mut bindings::mtd_info| {
                // SAFETY: The initialiser can write to the provided `slot`.
                unsafe { slot.write(raw) };
                // SAFETY: `slot` is pinned, and unregistered before it is freed. `name` and `device`
                // have been initialised before: fields are initialised in the order in which they
                // stand here. NULL asks for the default partition parsers and no partitions.
                // INVARIANT: On success the device is registered.
                to_result(unsafe {
                    bindings::mtd_device_parse_register(
                        slot,
                        ptr::null(),
                        ptr::null_mut(),
                        ptr::null(),
                        0,
                    )
                })
            }),
        }))
    }

    /// Ends a device while `module`, which owns it, stays: whoever has it open may go on using it.
    ///
    /// What they use is kept for good then, as the MTD core does not tell when the last one is gone.
    #[cfg(CONFIG_OF)]
    pub fn retire(device: Pin<KBox<Self>>, module: &ThisModule) {
        // After this nobody can open the device.
        //
        // SAFETY: By the type invariant the device is registered. To do this again on drop does
        // nothing.
        unsafe { bindings::mtd_device_unregister(device.mtd.get()) };
        // Each user holds a reference to the module.
        //
        // SAFETY: The module is live: it is the one that runs this.
        if unsafe { bindings::module_refcount(module.as_ptr()) } > 0 {
            pr_warn!("mtd: {} is in use, and stays in memory\n", &*device.name);
            core::mem::forget(device);
        }
    }
}

#[pinned_drop]
impl<T: RamDevice> PinnedDrop for Registration<T> {
    fn drop(self: Pin<&mut Self>) {
        // Each user of the device holds a reference to the module that owns it, so that there is none
        // when the module goes.
        //
        // SAFETY: By the type invariant the device is registered.
        if unsafe { bindings::mtd_device_unregister(self.mtd.get()) } != 0 {
            pr_warn!("mtd: {} is in use, and goes all the same\n", &*self.name);
        }
    }
}

/// Whether there is an MTD device of that name.
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
    /// `mtd` must be the field `mtd` of a live `Registration<T>`.
    unsafe fn device<'a>(mtd: *mut bindings::mtd_info) -> &'a T {
        let mtd = Opaque::cast_from(mtd);
        // SAFETY: By the function's requirements. The registration is pinned, and only shared
        // references to it exist while it is registered.
        unsafe { &(*kernel::container_of!(mtd, Registration<T>, mtd)).device }
    }

    /// # Safety
    ///
    /// `mtd` must be the field `mtd` of a live `Registration<T>`, `retlen` valid for writes and `buf`
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
            device.read(from, buf)?;
            // SAFETY: By the function's requirements.
            unsafe { *retlen = len };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// `mtd` must be the field `mtd` of a live `Registration<T>`, `retlen` valid for writes and `buf`
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
    /// `mtd` must be the field `mtd` of a live `Registration<T>`, and `instr` valid for reads.
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
    /// `mtd` must be the field `mtd` of a live `Registration<T>`, `retlen` and `virt` valid for
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
            // SAFETY: By the function's requirements. The mapping lives as long as the device, which
            // its users hold.
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
    /// None: there is nothing to undo.
    unsafe extern "C" fn unpoint(
        _mtd: *mut bindings::mtd_info,
        _from: bindings::loff_t,
        _len: usize,
    ) -> c_int {
        0
    }
}
