// SPDX-License-Identifier: GPL-2.0

//! Reed-Solomon codes over bytes.
//!
//! The code's functions are in a module of their own, `reed_solomon`. They are looked up when a
//! [`Codec`] is made: who needs none can load without that module.
//!
//! C header: [`include/linux/rslib.h`](srctree/include/linux/rslib.h)

use super::{
    bindings,
    try_lock::TryLock, //
};
use core::{
    mem,
    ptr::{
        self,
        NonNull, //
    },
};
use kernel::prelude::*;

/// The longest parity in bytes.
pub const PARITY_MAX: usize = 127;

/// The longest block and parity together: a code word of 8-bit symbols.
const WORD_MAX: usize = 255;

/// A function of the module `reed_solomon`, which cannot go while this object lives.
///
/// # Invariants
///
/// `function` is the address of the symbol `name`, a reference to whose module is held.
struct Symbol {
    #[cfg_attr(not(CONFIG_MODULE_UNLOAD), expect(dead_code))]
    name: &'static CStr,
    function: NonNull<c_void>,
}

impl Symbol {
    #[cfg(CONFIG_MODULES)]
    fn get(name: &'static CStr) -> Option<Self> {
        // SAFETY: `name` is a valid string.
        let function = unsafe { bindings::__symbol_get(name.as_char_ptr()) };
        // INVARIANT: On success the module of the symbol is referenced.
        NonNull::new(function).map(|function| Self { name, function })
    }

    /// Without modules the functions are built in.
    #[cfg(not(CONFIG_MODULES))]
    fn get(name: &'static CStr) -> Option<Self> {
        let functions = [
            (c"init_rs_gfp", bindings::init_rs_gfp as *mut c_void),
            (c"free_rs", bindings::free_rs as *mut c_void),
            (c"encode_rs8", bindings::encode_rs8 as *mut c_void),
            (c"decode_rs8", bindings::decode_rs8 as *mut c_void),
        ];
        let (_, function) = functions.into_iter().find(|(other, _)| *other == name)?;
        // INVARIANT: The function of that name, which never goes.
        NonNull::new(function).map(|function| Self { name, function })
    }
}

impl Drop for Symbol {
    fn drop(&mut self) {
        // Where modules never go there is nothing to put.
        //
        // SAFETY: By the type invariant the symbol exists, and the reference was taken in `get`.
        #[cfg(CONFIG_MODULE_UNLOAD)]
        unsafe {
            bindings::__symbol_put(self.name.as_char_ptr())
        };
    }
}

type Init = unsafe extern "C" fn(
    symsize: c_int,
    gfpoly: c_int,
    fcr: c_int,
    prim: c_int,
    nroots: c_int,
    gfp: bindings::gfp_t,
) -> *mut bindings::rs_control;
type Free = unsafe extern "C" fn(control: *mut bindings::rs_control);
type Encode = unsafe extern "C" fn(
    control: *mut bindings::rs_control,
    data: *mut u8,
    len: c_int,
    parity: *mut u16,
    invmsk: u16,
) -> c_int;
type Decode = unsafe extern "C" fn(
    control: *mut bindings::rs_control,
    data: *mut u8,
    parity: *mut u16,
    len: c_int,
    syndrome: *mut u16,
    no_eras: c_int,
    eras_pos: *mut c_int,
    invmsk: u16,
    corr: *mut u16,
) -> c_int;

// The types above are those of the C functions.
const _: (Init, Free, Encode, Decode) = (
    bindings::init_rs_gfp,
    bindings::free_rs,
    bindings::encode_rs8,
    bindings::decode_rs8,
);

/// A Reed-Solomon code as ramoops uses it: over GF(2^8) with polynomial 0x11d, the roots of its
/// generator starting at 0.
///
/// # Examples
///
/// ```
/// use kernel::rslib::Codec;
///
/// let code = Codec::new(4)?;
/// let mut parity = [0; 4];
/// assert!(code.encode(b"Out of memory", &mut parity));
///
/// let mut block = *b"Out if memory";
/// assert_eq!(code.decode(&mut block, &mut parity), Some(1));
/// assert_eq!(block, *b"Out of memory");
///
/// let mut block = *b"Own if menory";
/// assert_eq!(code.decode(&mut block, &mut parity), None);
/// # Ok::<(), Error>(())
/// ```
///
/// # Invariants
///
/// `control` was made for `parity_len` roots by `init_rs_gfp`, and is freed by `free` on drop.
/// `encode`, `decode` and `free` are the functions of those names, and `symbols` keeps them there.
pub struct Codec {
    control: NonNull<bindings::rs_control>,
    parity_len: usize,
    encode: Encode,
    decode: Decode,
    free: Free,
    /// Decoding uses buffers in `control`.
    decoding: TryLock<()>,
    _symbols: [Symbol; 3],
}

// SAFETY: A codec belongs to no thread.
unsafe impl Send for Codec {}
// SAFETY: Encoding only reads `control`; decoding, which does not, takes a lock.
unsafe impl Sync for Codec {}

impl Codec {
    /// Makes a code with `parity_len` bytes of parity, at most [`PARITY_MAX`].
    ///
    /// Fails with `ENOENT` if the module `reed_solomon` is not loaded and cannot be.
    pub fn new(parity_len: usize) -> Result<Self> {
        let nroots = c_int::try_from(parity_len)?;
        if nroots == 0 || parity_len > PARITY_MAX {
            return Err(EINVAL);
        }
        // SAFETY: The name has no conversions, so that there are no further arguments. If there is
        // no `modprobe`, the lookup below tells.
        #[cfg(CONFIG_MODULES)]
        unsafe {
            bindings::__request_module(true, c"reed_solomon".as_char_ptr())
        };
        let init = Symbol::get(c"init_rs_gfp").ok_or(ENOENT)?;
        let free = Symbol::get(c"free_rs").ok_or(ENOENT)?;
        let encode = Symbol::get(c"encode_rs8").ok_or(ENOENT)?;
        let decode = Symbol::get(c"decode_rs8").ok_or(ENOENT)?;
        // SAFETY: The types are those of the functions, as checked above, and all references are
        // held for as long as the functions are used.
        let (init_fn, free_fn, encode_fn, decode_fn) = unsafe {
            (
                mem::transmute::<NonNull<c_void>, Init>(init.function),
                mem::transmute::<NonNull<c_void>, Free>(free.function),
                mem::transmute::<NonNull<c_void>, Encode>(encode.function),
                mem::transmute::<NonNull<c_void>, Decode>(decode.function),
            )
        };
        // SAFETY: All numbers are in range for 8-bit symbols.
        let control = unsafe { init_fn(8, 0x11d, 0, 1, nroots, bindings::GFP_KERNEL) };
        // INVARIANT: Just made by these functions.
        Ok(Self {
            control: NonNull::new(control).ok_or(ENOMEM)?,
            parity_len,
            encode: encode_fn,
            decode: decode_fn,
            free: free_fn,
            decoding: TryLock::new(()),
            _symbols: [free, encode, decode],
        })
    }

    /// The length of a block as C has it, if block and parity make a code word.
    fn check(&self, block: &[u8], parity: &[u8]) -> Option<c_int> {
        let word = block.len().checked_add(self.parity_len)?;
        (!block.is_empty() && word <= WORD_MAX && parity.len() == self.parity_len)
            .then(|| c_int::try_from(block.len()).ok())
            .flatten()
    }

    /// Computes the parity of a block. Can be called in any context.
    ///
    /// Returns `false`, and does nothing, if the lengths are not those of the code.
    pub fn encode(&self, block: &[u8], parity: &mut [u8]) -> bool {
        let Some(len) = self.check(block, parity) else {
            return false;
        };
        let mut symbols = [0u16; PARITY_MAX];
        // SAFETY: `block` is only read, and has that length. `symbols` has room for the parity.
        // Block and parity together are no longer than a code word.
        let error = unsafe {
            (self.encode)(
                self.control.as_ptr(),
                block.as_ptr().cast_mut(),
                len,
                symbols.as_mut_ptr(),
                0,
            )
        };
        for (byte, symbol) in parity.iter_mut().zip(symbols) {
            *byte = symbol.to_le_bytes()[0];
        }
        error == 0
    }

    /// Corrects a block and its parity in place. Returns how many bytes were wrong, or `None` if
    /// there were too many.
    pub fn decode(&self, block: &mut [u8], parity: &mut [u8]) -> Option<usize> {
        let len = self.check(block, parity)?;
        let _decoding = self.decoding.try_lock()?;
        let mut symbols = [0u16; PARITY_MAX];
        for (symbol, byte) in symbols.iter_mut().zip(parity.iter()) {
            *symbol = u16::from(*byte);
        }
        // SAFETY: `block` has that length, and `symbols` is as long as the parity at least. Block
        // and parity together are no longer than a code word. The buffers in `control` are ours, by
        // the lock. The NULL pointers ask for no extra input or output.
        let wrong = unsafe {
            (self.decode)(
                self.control.as_ptr(),
                block.as_mut_ptr(),
                symbols.as_mut_ptr(),
                len,
                ptr::null_mut(),
                0,
                ptr::null_mut(),
                0,
                ptr::null_mut(),
            )
        };
        for (byte, symbol) in parity.iter_mut().zip(symbols) {
            *byte = symbol.to_le_bytes()[0];
        }
        usize::try_from(wrong).ok()
    }
}

impl Drop for Codec {
    fn drop(&mut self) {
        // SAFETY: By the type invariants, and `control` is not used after this.
        unsafe { (self.free)(self.control.as_ptr()) };
    }
}
