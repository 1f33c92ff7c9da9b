// SPDX-License-Identifier: GPL-2.0

//! Kernel message dumpers: code that runs when the kernel crashes and stores its log.
//!
//! C header: [`include/linux/kmsg_dump.h`](srctree/include/linux/kmsg_dump.h)

use super::{
    bindings,
    c_bytes, //
};
use core::{
    marker::PhantomData,
    ptr, //
};
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
        unsafe { c_bytes::bytes(bindings::kmsg_dump_reason_str(self.0)) }
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
        unsafe { c_bytes::bytes(self.0.description) }
    }
}

/// Walks the kernel log from the newest message to the oldest.
///
/// The log starts where `dmesg -c` has last cleared it. A copy remembers a place in the log;
/// the default is its beginning, where nothing is left to walk.
///
/// # Examples
///
/// ```
/// use kernel::kmsg_dump::LogIter;
///
/// pr_info!("the newest message\n");
/// let mut log = LogIter::newest();
/// let mut buf = [0; 4096];
/// let text = log.older(&mut buf, |_, _| ()).ok_or(ENOENT)?;
/// assert!(text.starts_with(b"<") && text.ends_with(b"the newest message\n"));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct LogIter {
    /// No message is older.
    oldest: u64,
    /// Whether `oldest` is a message. It takes long to find: the kernel remembers many messages
    /// whose text is gone.
    is_found: bool,
    /// The message that follows the next one to be walked.
    next: u64,
}

impl LogIter {
    /// No line is longer, prefix included. The kernel cuts messages at 1024 bytes
    /// (`PRINTKRB_RECORD_MAX`), and its prefixes have at most 64 (`PRINTK_PREFIX_MAX`).
    const LINE_MAX: usize = 2048;

    /// Starts at the newest message.
    pub fn newest() -> Self {
        let mut iter = bindings::kmsg_dump_iter::default();
        // SAFETY: The pointer is to a live local variable.
        unsafe { bindings::kmsg_dump_rewind(&mut iter) };
        Self {
            oldest: iter.cur_seq,
            is_found: false,
            next: iter.next_seq,
        }
    }

    /// Whether all messages have been walked, if [`Self::older`] was called before.
    pub fn is_done(&self) -> bool {
        self.next <= self.oldest
    }

    /// Puts the newest whole messages that fit and have not been walked yet at the end of `buf`,
    /// with their priorities (`<4>`), oldest first. Returns them; `None` if there is none.
    ///
    /// For each, `walked` gets the length of all so far, and the place where the log goes on.
    ///
    /// A message that does not fit on its own is cut to the lines that do.
    // `kmsg_dump_get_buffer` would walk the whole log to find where to start.
    pub fn older<'a>(
        &mut self,
        buf: &'a mut [u8],
        mut walked: impl FnMut(usize, Self),
    ) -> Option<&'a [u8]> {
        let end = buf.len();
        let mut start = end;
        while !self.is_done() {
            let seq = self.next.wrapping_sub(1);
            let free = buf.get_mut(..start)?;
            let len = Self::message(seq, free);
            // If lines are missing, there was no room for the first of them. Asking for the length
            // each time would cost half as much again.
            let is_whole = len.saturating_add(Self::LINE_MAX) <= free.len()
                || len == Self::message(seq, &mut []);
            if !is_whole && start != end {
                break;
            }
            let is_gone = is_whole && len == 0;
            if is_gone && !self.is_found {
                self.is_found = true;
                self.oldest = Self::read(self.oldest, &mut []).map_or(self.next, |(seq, _)| seq);
                continue;
            }
            move_to_end(free, len);
            start = start.checked_sub(len)?;
            self.next = seq;
            walked(end.saturating_sub(start), *self);
        }
        buf.get(start..).filter(|text| !text.is_empty())
    }

    /// Copies a message to the start of `buf`, as far as whole lines of it fit, and returns the
    /// length of that: 0 if the message is gone. Without a buffer it is the length of the whole
    /// message.
    fn message(seq: u64, buf: &mut [u8]) -> usize {
        match Self::read(seq, buf) {
            Some((found, len)) if found == seq => len,
            _ => 0,
        }
    }

    /// The same for message `seq` or the first one after it that there is. Returns its number, too.
    fn read(seq: u64, buf: &mut [u8]) -> Option<(u64, usize)> {
        let mut iter = bindings::kmsg_dump_iter {
            cur_seq: seq,
            next_seq: 0,
        };
        let line = match buf.len() {
            0 => ptr::null_mut(),
            _ => buf.as_mut_ptr().cast(),
        };
        let mut len = 0;
        // SAFETY: The pointers are to live variables, and `line` is NULL or valid for `buf.len()`
        // bytes.
        let found =
            unsafe { bindings::kmsg_dump_get_line(&mut iter, true, line, buf.len(), &mut len) };
        found.then(|| (iter.cur_seq.wrapping_sub(1), len))
    }
}

/// Moves the first `len` bytes to the end.
fn move_to_end(buf: &mut [u8], len: usize) {
    if let Some(rest) = buf.len().checked_sub(len) {
        // SAFETY: Both ranges are within `buf`. They may overlap.
        unsafe { ptr::copy(buf.as_ptr(), buf.as_mut_ptr().add(rest), len) };
    }
}

/// Something that stores the kernel log when the kernel crashes.
pub trait Dumper: Send + Sync + 'static {
    /// Stores the log.
    ///
    /// Called in any context: with interrupts off, in an NMI, by a CPU that has stopped all others,
    /// on several CPUs at once, or nested in itself. It must not sleep, allocate, wait for a lock
    /// or panic.
    fn dump(&self, detail: &Detail);
}

/// The registration of a [`Dumper`].
///
/// # Examples
///
/// ```
/// use kernel::{
///     kmsg_dump::{
///         Detail,
///         Dumper,
///         LogIter,
///         Reason,
///         Registration, //
///     },
///     sync::atomic::{
///         Atomic,
///         Relaxed, //
///     },
///     try_lock::TryLock, //
/// };
///
/// /// Knows how long the newest part of the log was when the kernel crashed.
/// struct Length {
///     len: Atomic<u64>,
///     buf: TryLock<[u8; 4096]>,
/// }
///
/// impl Dumper for Length {
///     fn dump(&self, _detail: &Detail) {
///         let Some(mut buf) = self.buf.try_lock() else {
///             return;
///         };
///         if let Some(text) = LogIter::newest().older(&mut *buf, |_, _| ()) {
///             self.len.store(text.len() as u64, Relaxed);
///         }
///     }
/// }
///
/// let dumper = Length {
///     len: Atomic::new(0),
///     buf: TryLock::new([0; 4096]),
/// };
/// let registration = KBox::pin_init(Registration::register(dumper, Reason::OOPS), GFP_KERNEL)?;
/// assert_eq!(registration.dumper().len.load(Relaxed), 0);
/// # Ok::<(), Error>(())
/// ```
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
