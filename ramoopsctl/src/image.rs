// SPDX-License-Identifier: GPL-2.0

//! A region as the record store sees it: bytes that were read before.

use std::cell::RefCell;

use ringbuf::Memory;

/// The kernel's `crc32c()`. The crate inverts before and after, the kernel does not.
fn kernel_crc32c(crc: u32, data: &[u8]) -> u32 {
    !crc32c::crc32c_append(!crc, data)
}

fn read(bytes: &[u8], offset: usize, buf: &mut [u8]) -> bool {
    let from = bytes.get(offset..).and_then(|bytes| bytes.get(..buf.len()));
    from.map(|from| buf.copy_from_slice(from)).is_some()
}

/// A region, or a part of one, which is only read.
#[derive(Clone, Copy, Debug)]
pub struct Image<'a> {
    bytes: &'a [u8],
    /// Where in them the region begins. It may be in front of them.
    base: isize,
}

impl<'a> Image<'a> {
    /// Makes one of the bytes of a region.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, base: 0 }
    }

    /// Makes one of the bytes of a file, in which the region begins at `base`, or in front of which it
    /// does.
    pub fn within(bytes: &'a [u8], base: isize) -> Self {
        Self { bytes, base }
    }
}

impl Memory for Image<'_> {
    fn len(&self) -> usize {
        self.bytes
            .len()
            .saturating_add_signed(self.base.saturating_neg())
    }

    fn read(&self, offset: usize, buf: &mut [u8]) -> bool {
        let at = self.base.checked_add_unsigned(offset);
        let at = at.and_then(|at| usize::try_from(at).ok());
        at.is_some_and(|at| read(self.bytes, at, buf))
    }

    fn write(&self, _offset: usize, _data: &[u8]) -> bool {
        false
    }

    fn barrier(&self, _offset: usize, _len: usize) {}

    fn crc32c(crc: u32, data: &[u8]) -> u32 {
        kernel_crc32c(crc, data)
    }

    fn encode(&self, block: &[u8], parity: &mut [u8]) {
        crate::parity::encode(block, parity);
    }

    fn decode(&self, block: &mut [u8], parity: &mut [u8]) -> Option<usize> {
        crate::parity::decode(block, parity)
    }
}

/// A step of writing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// These bytes go to this offset.
    Write(usize, Vec<u8>),
    /// All that was written before must be on the medium before anything that follows.
    Barrier,
}

/// A region which is written in memory, and remembers how, so that the same can be done to a device.
#[derive(Debug)]
pub struct Scratch {
    bytes: RefCell<Vec<u8>>,
    ops: RefCell<Vec<Op>>,
}

impl Scratch {
    /// Makes one from the contents of a region.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self {
            bytes: RefCell::new(bytes),
            ops: RefCell::default(),
        }
    }

    /// Returns what was done to it since the last time.
    pub fn take_ops(&self) -> Vec<Op> {
        self.ops.take()
    }
}

impl Memory for Scratch {
    fn len(&self) -> usize {
        self.bytes.borrow().len()
    }

    fn read(&self, offset: usize, buf: &mut [u8]) -> bool {
        read(&self.bytes.borrow(), offset, buf)
    }

    fn write(&self, offset: usize, data: &[u8]) -> bool {
        let mut bytes = self.bytes.borrow_mut();
        let to = bytes
            .get_mut(offset..)
            .and_then(|bytes| bytes.get_mut(..data.len()));
        let Some(to) = to else {
            return false;
        };
        to.copy_from_slice(data);
        self.ops.borrow_mut().push(Op::Write(offset, data.to_vec()));
        true
    }

    fn barrier(&self, _offset: usize, _len: usize) {
        self.ops.borrow_mut().push(Op::Barrier);
    }

    fn crc32c(crc: u32, data: &[u8]) -> u32 {
        kernel_crc32c(crc, data)
    }

    fn encode(&self, block: &[u8], parity: &mut [u8]) {
        crate::parity::encode(block, parity);
    }

    fn decode(&self, block: &mut [u8], parity: &mut [u8]) -> Option<usize> {
        crate::parity::decode(block, parity)
    }
}
