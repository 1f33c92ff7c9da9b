// SPDX-License-Identifier: GPL-2.0

//! Kernel message dumpers: code that runs when the kernel crashes and stores its log.
//!
//! C header: [`include/linux/kmsg_dump.h`](srctree/include/linux/kmsg_dump.h)

use super::{
    bindings,
    str, //
};
use core::marker::PhantomData;
use kernel::{
    error::to_result,
    prelude::*,
    types::Opaque, //
};

/// Why a dump is made: `enum kmsg_dump_reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reason(bindings::kmsg_dump_reason);

impl Reason {
    /// The kernel panics.
    pub const PANIC: Self = Self(bindings::kmsg_dump_reason_KMSG_DUMP_PANIC);
    /// An oops: the kernel may go on.
    pub const OOPS: Self = Self(bindings::kmsg_dump_reason_KMSG_DUMP_OOPS);
    /// A system shutdown, restart or power off: the last reason.
    pub const SHUTDOWN: Self = Self(bindings::kmsg_dump_reason_KMSG_DUMP_SHUTDOWN);

    /// Returns the reason of that number, 0 standing for the kernel's default of a dumper's
    /// maximum.
    pub fn from_number(number: u32) -> Option<Self> {
        (number <= Self::SHUTDOWN.0).then_some(Self(number))
    }

    /// The number in `enum kmsg_dump_reason`.
    pub fn number(self) -> u32 {
        self.0
    }

    /// The name that the kernel uses: "Panic", "Oops", "Emergency", "Shutdown" or "Unknown".
    pub fn name(self) -> &'static [u8] {
        // SAFETY: The function returns a constant string for any number.
        unsafe { str::bytes(bindings::kmsg_dump_reason_str(self.0)) }
    }
}

/// What is known of a dump: `struct kmsg_dump_detail`.
#[repr(transparent)]
pub struct Detail(bindings::kmsg_dump_detail);

impl Detail {
    /// Why the dump is made.
    pub fn reason(&self) -> Reason {
        Reason(self.0.reason)
    }

    /// A short text on the crash, such as the message of a panic. May be empty.
    pub fn description(&self) -> &[u8] {
        if self.0.description.is_null() {
            return b"";
        }
        // SAFETY: The kernel's callers give a valid string or NULL, valid during the dump.
        unsafe { str::bytes(self.0.description) }
    }
}

/// Walks the kernel log from the newest message to the oldest.
///
/// The log starts where `dmesg -c` has last cleared it.
pub struct LogIter(bindings::kmsg_dump_iter);

impl LogIter {
    /// The shortest line that the kernel is expected to log, prefix included. Only a first guess.
    const SHORT_LINE: usize = 32;

    /// Starts at the newest message.
    pub fn newest() -> Self {
        let mut iter = bindings::kmsg_dump_iter::default();
        // SAFETY: The pointer is to a live local variable.
        unsafe { bindings::kmsg_dump_rewind(&mut iter) };
        Self(iter)
    }

    /// Whether all messages have been walked.
    pub fn is_done(&self) -> bool {
        self.0.cur_seq >= self.0.next_seq
    }

    /// Copies the newest whole messages that fit into `buf` and have not been walked yet, with
    /// their priorities (`<4>`), oldest first. Returns the number of bytes, `None` at the end.
    ///
    /// A message that does not fit on its own is cut at its end.
    pub fn older(&mut self, buf: &mut [u8]) -> Option<usize> {
        // The kernel's function walks from `cur_seq` on to find where to start. A window that grows
        // until the buffer is full spares walking the whole log for a small buffer.
        let mut window = (buf.len() / Self::SHORT_LINE).max(1) as u64;
        loop {
            if self.is_done() {
                return None;
            }
            let from = self.0.next_seq.saturating_sub(window).max(self.0.cur_seq);
            let mut iter = bindings::kmsg_dump_iter {
                cur_seq: from,
                next_seq: self.0.next_seq,
            };
            let mut len = 0;
            // SAFETY: All pointers are to live variables, and `buf` is valid for `buf.len()` bytes.
            let found = unsafe {
                bindings::kmsg_dump_get_buffer(
                    &mut iter,
                    true,
                    buf.as_mut_ptr().cast(),
                    buf.len(),
                    &mut len,
                )
            };
            // The messages before `iter.cur_seq` are gone.
            if from == self.0.cur_seq || iter.cur_seq > from {
                self.0.cur_seq = iter.cur_seq;
            } else if found && iter.next_seq == from {
                // All of the window fitted: there is room for more.
                window = window.saturating_mul(2);
                continue;
            }
            if !found {
                return None;
            }
            if len == 0 && iter.next_seq == self.0.next_seq {
                return self.cut_line(buf);
            }
            self.0.next_seq = iter.next_seq;
            return Some(len.min(buf.len()));
        }
    }

    /// Copies the start of the newest message, which is longer than `buf`.
    fn cut_line(&mut self, buf: &mut [u8]) -> Option<usize> {
        let seq = self.0.next_seq.checked_sub(1)?;
        let mut iter = bindings::kmsg_dump_iter {
            cur_seq: seq,
            next_seq: self.0.next_seq,
        };
        let mut len = 0;
        // SAFETY: All pointers are to live variables, and `buf` is valid for `buf.len()` bytes.
        let found = unsafe {
            bindings::kmsg_dump_get_line(
                &mut iter,
                true,
                buf.as_mut_ptr().cast(),
                buf.len(),
                &mut len,
            )
        };
        self.0.next_seq = seq;
        found.then(|| len.min(buf.len()))
    }
}

/// Something that stores the kernel log when the kernel crashes.
pub trait Dumper: Send + Sync {
    /// Stores the log.
    ///
    /// Called in any context: with interrupts off, in an NMI, by a CPU that has stopped all others,
    /// on several CPUs at once, or nested in itself. It must not sleep, allocate, wait for a lock or
    /// panic.
    fn dump(&self, detail: &Detail);
}

/// The registration of a [`Dumper`].
///
/// # Invariants
///
/// `inner` is registered by `kmsg_dump_register` for as long as this object lives.
#[pin_data(PinnedDrop)]
pub struct Registration<T: Dumper> {
    #[pin]
    inner: Opaque<bindings::kmsg_dumper>,
    dumper: T,
}

// SAFETY: A dumper may be unregistered by another thread than the one that registered it.
unsafe impl<T: Dumper> Send for Registration<T> {}
// SAFETY: All methods with `&self` can be called in parallel, and so can those of `T`.
unsafe impl<T: Dumper> Sync for Registration<T> {}

impl<T: Dumper> Registration<T> {
    /// Registers `dumper` for dumps whose reason is `max_reason` or a lower one.
    pub fn register(dumper: T, max_reason: Reason) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            dumper,
            inner <- Opaque::try_ffi_init(move |slot: *mut bindings::kmsg_dumper| {
                let raw = bindings::kmsg_dumper {
                    dump: Some(DumperVTable::<T>::dump),
                    max_reason: max_reason.0,
                    ..Default::default()
                };
                // SAFETY: The initialiser can write to the provided `slot`.
                unsafe { slot.write(raw) };
                // SAFETY: `slot` is pinned, and unregistered before it is freed. `dumper` has been
                // initialised before: fields are initialised in the order in which they stand here.
                // INVARIANT: On success the dumper is registered.
                to_result(unsafe { bindings::kmsg_dump_register(slot) })
            }),
        })
    }

    /// The dumper that is registered.
    pub fn dumper(&self) -> &T {
        &self.dumper
    }
}

#[pinned_drop]
impl<T: Dumper> PinnedDrop for Registration<T> {
    fn drop(self: Pin<&mut Self>) {
        // Ends in `synchronize_rcu`, and dumpers are called under `rcu_read_lock`: when it returns,
        // no call is under way and `dumper` may go.
        //
        // SAFETY: By the type invariant the dumper is registered.
        unsafe { bindings::kmsg_dump_unregister(self.inner.get()) };
    }
}

/// The C side's way into a [`Dumper`].
struct DumperVTable<T: Dumper>(PhantomData<T>);

impl<T: Dumper> DumperVTable<T> {
    /// # Safety
    ///
    /// `dumper` must be the field `inner` of a live `Registration<T>`, and `detail` valid for the
    /// duration of the call.
    unsafe extern "C" fn dump(
        dumper: *mut bindings::kmsg_dumper,
        detail: *mut bindings::kmsg_dump_detail,
    ) {
        let inner = Opaque::cast_from(dumper);
        // SAFETY: By the function's requirements. The registration is live and pinned, and only
        // shared references to it exist while it is registered.
        let registration = unsafe { &*kernel::container_of!(inner, Registration<T>, inner) };
        // SAFETY: `Detail` is a transparent wrapper, and the pointer is valid during the call.
        let detail = unsafe { &*detail.cast::<Detail>() };
        registration.dumper.dump(detail);
    }
}
