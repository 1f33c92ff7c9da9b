// SPDX-License-Identifier: GPL-2.0

//! Whatever is in the region, nothing panics, nothing reads outside of its zone, and a dump works.

use crate::common::{
    geometry,
    geometry_with_ecc,
    kernel_crc32c,
    look,
    open_with,
    params,
    sealed_text,
    Ram,
    INFO, //
};
use proptest::{
    collection::vec,
    prelude::*,
    sample::select, //
};
use ringbuf::{
    layout::{
        Header,
        SEAL_LEN,
        SEQ_END,
        SIG, //
    },
    read_text,
    salvage_extent,
    Extent,
    Geometry,
    Kind,
    Options,
    Params,
    Seal, //
};

/// Opens the region, reads all that there is, and stores a dump.
fn survive(image: Vec<u8>, geometry: &Geometry) {
    let ram = Ram::new(image);
    let loop_ns = 60_000_000_000;
    let (store, census) = open_with(&ram, geometry, Options { loop_ns });
    let sum = [
        census.sealed,
        census.foreign,
        census.newer,
        census.damaged,
        census.salvaged,
        census.torn,
        census.cleared,
        census.empty,
        census.blank,
        census.garbage,
    ];
    assert_eq!(sum.iter().sum::<usize>(), census.slots);
    for slot in 0..geometry.slots() {
        let (kind, payload) = look(&&ram, geometry, slot);
        assert!(payload.len() <= geometry.data_capacity());
        if let Kind::Sealed(_) = kind {
            assert!(payload.len() <= geometry.payload_capacity());
        }
        if let Some(extent) = salvage_extent(&&ram, geometry, slot, &kind) {
            assert_eq!(kind.extent(), None);
            let mut text = vec![0; extent.size as usize];
            let len = read_text(&&ram, geometry, slot, extent, 0, &mut text);
            assert!(len == text.len() && len <= geometry.data_capacity());
        }
    }
    let mut dump = store.begin(&INFO);
    let text = vec![b'x'; dump.room()];
    let slot = dump.append(&text, true).unwrap();
    // Behind the highest number there is none.
    if census.newest_seq != Some(SEQ_END - 1) {
        assert_eq!(sealed_text(&ram, geometry, slot), text);
    }
}

/// Numbers that are likely to break something.
fn bomb() -> impl Strategy<Value = u64> {
    let edges = [
        0u64, 1, 2, 307, 308, 309, 499, 500, 501, 512, 0xffff, 0x1_0000,
    ];
    let high = [1 << 31, 1 << 32, 1 << 62, 1 << 63, 3 << 62, u64::MAX];
    prop_oneof![
        select([edges.as_slice(), high.as_slice()].concat()),
        select(high.to_vec()).prop_map(|n: u64| n.wrapping_sub(1)),
        any::<u64>(),
        0..600u64,
    ]
}

/// Parameters, of which hardly any make a geometry.
fn any_params() -> impl Strategy<Value = Params> {
    vec(bomb(), 6).prop_map(|n| {
        let n: Vec<usize> = n.into_iter().map(|n| n as usize).collect();
        Params {
            mem_size: n[0],
            record_size: n[1],
            console_size: n[2],
            ftrace_size: n[3],
            pmsg_size: n[4],
            ecc_size: match n[5] % 4 {
                0 => n[5],
                1 => n[5] % 128,
                _ => 0,
            },
        }
    })
}

/// A zone that is made to be believed.
fn zone() -> impl Strategy<Value = Vec<u8>> {
    let header = (
        prop_oneof![4 => Just(u64::from(SIG)), 1 => bomb()],
        bomb(),
        bomb(),
    );
    let text = select(vec![
        "====1.000001-D\nPanic#1 Part1\nsome text",
        "====1.000001-C\nxxx",
        "====18446744073709551615.99999999999-D\n",
        "====1.1",
        "====",
    ]);
    let seal = vec(bomb(), 9);
    let flags = any::<[bool; 4]>();
    // Where the seal says that it is: mostly one of four such zones.
    let place = (
        prop_oneof![4 => Just(params(2048, 512)), 1 => any_params()],
        prop_oneof![4 => 0..4usize, 1 => bomb().prop_map(|n| n as usize)],
    );
    let parts = (header, text, seal, flags, place);
    parts.prop_map(|((sig, start, size), text, n, flags, (params, slot))| {
        let [with_seal, right_crc, with_text, right_tail] = flags;
        let mut zone = vec![0x41; 512];
        let header = Header {
            sig: sig as u32,
            start: start as u32,
            size: size as u32,
        };
        zone[..12].copy_from_slice(&header.encode());
        if with_text {
            zone[12..12 + text.len()].copy_from_slice(text.as_bytes());
        }
        let size = (n[4] as usize).min(500);
        let seal = Seal {
            seq: n[0],
            dump: n[1],
            realtime_ns: n[2],
            boottime_ns: n[2],
            boot_id: [0x42; 16],
            part: n[3] as u32,
            parts: n[5] as u32,
            size: n[4] as u32,
            payload_crc: match right_crc {
                true => !kernel_crc32c(!0, &zone[12..12 + size]),
                false => n[6] as u32,
            },
            reason: n[7] as u32,
            description: [0x43; 60],
            release: [0x44; 40],
            loop_start: n[8],
            params,
            slot,
        };
        if with_seal {
            zone[512 - SEAL_LEN..].copy_from_slice(&seal.encode::<&Ram>());
            if !right_tail {
                let (length, version) = (n[6] as u16, n[7] as u16);
                zone[500..502].copy_from_slice(&length.to_le_bytes());
                zone[502..504].copy_from_slice(&version.to_le_bytes());
                let begin = 512usize.saturating_sub(length.into());
                if let Some(covered) = zone.get(begin..504) {
                    let crc = !kernel_crc32c(!0, covered);
                    zone[504..508].copy_from_slice(&crc.to_le_bytes());
                }
            }
        }
        zone
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 4000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn random_bytes(image in vec(any::<u8>(), 2048)) {
        survive(image, &geometry(4));
    }

    #[test]
    fn believable_zones(zones in vec(zone(), 1..6)) {
        survive(zones.concat(), &geometry(zones.len()));
    }

    #[test]
    fn random_bytes_with_parity(
        image in vec(any::<u8>(), 2048),
        ecc_size in select(vec![1, 2, 3, 8, 16]),
    ) {
        survive(image, &geometry_with_ecc(3, 602, ecc_size));
    }

    #[test]
    fn changed_bytes_with_parity(
        changes in vec((0..3 * 602usize, any::<u8>()), 1..60),
        ecc_size in select(vec![1, 2, 3, 8, 16]),
    ) {
        let geometry = geometry_with_ecc(3, 602, ecc_size);
        let ram = Ram::new(vec![0; geometry.mem_size()]);
        let (store, _) = open_with(&ram, &geometry, Options::default());
        for _ in 0..3 {
            crate::common::append(&store, b"text that will be spoilt").unwrap();
        }
        let mut image = ram.image();
        for (at, value) in changes {
            image[at] = value;
        }
        survive(image, &geometry);
    }

    #[test]
    fn changed_bytes(changes in vec((0..1536usize, any::<u8>()), 1..20)) {
        let geometry = geometry(3);
        let ram = Ram::new(vec![0; geometry.mem_size()]);
        let (store, _) = open_with(&ram, &geometry, Options::default());
        for _ in 0..3 {
            crate::common::append(&store, b"text that will be spoilt").unwrap();
        }
        let mut image = ram.image();
        for (at, value) in changes {
            image[at] = value;
        }
        survive(image, &geometry);
    }

    #[test]
    fn extents(start in bomb(), size in bomb(), pos in bomb(), len in 0..700usize) {
        let geometry = geometry(2);
        // A read beyond its zone would find another value there.
        let mut image = vec![0x41; 1024];
        image[..12].fill(0x99);
        image[512..].fill(0x99);
        let ram = Ram::new(image);
        let extent = Extent { start: start as u32, size: size as u32 };
        let mut buf = vec![0; len];
        let n = read_text(&&ram, &geometry, 0, extent, pos as usize, &mut buf);
        prop_assert!(n <= len && n as u64 <= size);
        prop_assert!(buf[..n].iter().all(|byte| *byte == 0x41));
        prop_assert!(buf[n..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn parameters(params in any_params()) {
        if let Ok(geometry) = Geometry::new(params) {
            let mut end = 0;
            for (offset, len) in [
                (0, geometry.slots() * geometry.stride()),
                geometry.console(),
                geometry.pmsg(),
                geometry.ftrace(),
            ] {
                prop_assert_eq!(offset, end);
                end = offset + len;
            }
            prop_assert!(end <= params.mem_size);
            prop_assert!(geometry.slots() > 0 && geometry.stride() % 2 == 0);
            let last = geometry.seal_offset(geometry.slots() - 1).unwrap();
            let rest = geometry.slots() * geometry.stride() - last - SEAL_LEN;
            let ecc_size = geometry.ecc_size();
            prop_assert_eq!(rest == 0, ecc_size == 0);
            prop_assert!(rest >= (geometry.data_capacity().div_ceil(128) + 1) * ecc_size);
            prop_assert!(geometry.data_capacity() >= 428);
        }
    }
}

#[test]
fn every_single_byte() {
    let geometry = Geometry::new(params(1028, 512)).unwrap();
    let ram = Ram::new(vec![0; geometry.mem_size()]);
    let (store, _) = open_with(&ram, &geometry, Options::default());
    crate::common::append(&store, b"text").unwrap();
    crate::common::append(&store, b"other text").unwrap();
    let image = ram.image();
    for at in 0..image.len() {
        for value in 0..=255 {
            let mut image = image.clone();
            image[at] = value;
            survive(image, &geometry);
        }
    }
}
