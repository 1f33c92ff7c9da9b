// SPDX-License-Identifier: GPL-2.0

//! Spoils a valid store: what is returned as whole was stored so, and zones that were not touched
//! are what they were.
//!
//! Where bytes change is the fuzzer's choice, but not what they become: that depends on the whole
//! input, so that it cannot learn to forge a CRC.

use crate::{
    fill,
    look,
    open,
    small_geometry,
    Bytes,
    Ram,
    INFO,
    OPTIONS, //
};
use ringbuf::Kind;

/// Something that looks random.
struct Noise(u64);

impl Noise {
    fn byte(&mut self) -> u8 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 56) as u8
    }
}

/// Run the target on one input.
pub fn run(data: &[u8]) {
    let mut input = Bytes(data);
    let Some(geometry) = small_geometry(&mut input) else {
        return;
    };
    let ram = Ram::new(vec![0; geometry.mem_size()]);
    let (written, stored) = fill(&ram, &geometry, &mut input);
    let before = ram.bytes.borrow().clone();
    let views: Vec<_> = (0..geometry.slots())
        .map(|slot| look(&ram, &geometry, slot))
        .collect();
    for (slot, ((kind, payload), (seq, text))) in views.iter().zip(&written).enumerate() {
        match kind {
            Kind::Sealed(seal) => assert_eq!((Some(seal.seq), payload), (*seq, text)),
            Kind::Foreign(_) => assert_eq!((None, payload), (*seq, text)),
            kind => assert!(text.is_empty(), "slot {slot}: {kind:?}"),
        }
    }

    let mut noise = Noise(data.iter().fold(1, |sum: u64, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    }));
    {
        let mut bytes = ram.bytes.borrow_mut();
        let len = bytes.len();
        for _ in 0..16 {
            if input.0.is_empty() {
                break;
            }
            let (what, at, count) = (input.u8(), input.u16() % len, input.u8());
            let count = usize::from(count).min(len - at);
            match what % 6 {
                0 => bytes[at] ^= 1 << (noise.byte() % 8),
                1 => bytes[at] ^= noise.byte().max(1),
                2 => bytes[at..at + count.min(16)].fill_with(|| noise.byte()),
                3 => bytes[at..at + count].fill(0),
                4 => bytes[at..at + count].fill(0xff),
                _ => {
                    // A piece of one place at another one.
                    let from = input.u16() % (len - count);
                    bytes.copy_within(from..from + count, at);
                }
            }
        }
    }

    let after = ram.bytes.borrow().clone();
    for (slot, untouched) in views.iter().enumerate() {
        let view = look(&ram, &geometry, slot);
        let zone = slot * geometry.stride()..(slot + 1) * geometry.stride();
        if before[zone.clone()] == after[zone] {
            assert_eq!(view, *untouched);
        }
        let (kind, payload) = view;
        if let Kind::Sealed(seal) = kind {
            // One that mainline's record has overwritten may be put together again by such a copy.
            assert!(
                stored.contains(&(Some(seal.seq), payload.clone())),
                "slot {slot}: {seal:?}, {payload:?}"
            );
        }
    }

    let (store, _) = open(&ram, &geometry, OPTIONS);
    let slot = store.begin(&INFO).append(b"next", true).unwrap();
    let (kind, payload) = look(&ram, &geometry, slot);
    assert!(matches!(kind, Kind::Sealed(_)), "{kind:?}");
    assert!(payload.ends_with(b"next"));
}
