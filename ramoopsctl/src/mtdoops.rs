// SPDX-License-Identifier: GPL-2.0

//! The pages of mainline's `mtdoops`: a header, then text up to the end of the page.

use memchr::{
    memchr,
    memchr2, //
};

/// Magic number of the first version: `u32 seq, u32 magic`. As in that of the second one, there are
/// zero bytes in it, which a text has not.
const MAGIC_V1: u32 = 0x5d00_5d00;
/// Magic number of the second one, which has a time as well: `ktime_t`, nanoseconds.
const MAGIC_V2: u32 = 0x5d00_5e00;

/// Pages have a multiple of so many bytes.
const PAGE_MIN: usize = 4096;

/// A page in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Where it begins.
    pub offset: usize,
    /// Its number. It grows with each record and wraps.
    pub seq: u32,
    /// Nanoseconds since 1970.
    pub realtime_ns: Option<i64>,
    /// Where the text begins.
    pub text_at: usize,
    /// Its length.
    pub text_len: usize,
}

/// Parses the page that begins at `offset`.
fn page(bytes: &[u8], offset: usize, len: usize) -> Option<Page> {
    let page = bytes.get(offset..)?;
    let page = &page[..page.len().min(len)];
    let (seq, rest) = page.split_first_chunk::<4>()?;
    let (magic, rest) = rest.split_first_chunk::<4>()?;
    let seq = u32::from_ne_bytes(*seq);
    let (realtime_ns, text) = match u32::from_ne_bytes(*magic) {
        MAGIC_V1 => (None, rest),
        MAGIC_V2 => {
            let (time, rest) = rest.split_first_chunk::<8>()?;
            (Some(i64::from_ne_bytes(*time)), rest)
        }
        _ => return None,
    };
    // The driver fills the rest with 0xff.
    let end = memchr2(0xff, 0, text).unwrap_or(text.len());
    (seq != u32::MAX).then_some(Page {
        offset,
        seq,
        realtime_ns,
        text_at: offset + page.len() - text.len(),
        text_len: end,
    })
}

/// Returns the size of a page and the number of pages in use; `None` if there is none.
pub fn detect(bytes: &[u8], page_size: Option<usize>) -> Option<(usize, usize)> {
    let used = (0..bytes.len())
        .step_by(PAGE_MIN)
        .filter(|offset| page(bytes, *offset, PAGE_MIN).is_some());
    let (mut divisor, mut count, mut longest) = (0, 0, PAGE_MIN);
    for offset in used {
        divisor = gcd(divisor, offset);
        count += 1;
        if divisor == 0 {
            // Only page 0 so far: its text tells the least that a page has.
            let text = bytes.get(offset + 16..).unwrap_or(&[]);
            longest = memchr(0xff, text).map_or(text.len(), |end| end + 16);
        }
    }
    let guess = match divisor {
        0 => longest.next_power_of_two(),
        divisor => divisor,
    };
    let size = page_size.unwrap_or(guess).max(PAGE_MIN);
    (count > 0).then_some((size, count))
}

fn gcd(a: usize, b: usize) -> usize {
    match b {
        0 => a,
        b => gcd(b, a % b),
    }
}

/// Returns the pages in use, in the order in which they were written.
pub fn pages(bytes: &[u8], page_size: usize) -> Vec<Page> {
    let mut pages: Vec<Page> = (0..bytes.len())
        .step_by(page_size.max(PAGE_MIN))
        .filter_map(|offset| page(bytes, offset, page_size))
        .collect();
    // As the driver does it: small numbers are newer than very large ones.
    let wraps = pages.iter().any(|page| page.seq > 0xc000_0000);
    pages.sort_by_key(|page| (wraps && page.seq < 0x4000_0000, page.seq));
    pages
}
