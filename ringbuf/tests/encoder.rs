// SPDX-License-Identifier: GPL-2.0

//! The code that computes parity, and the geometry with parity, against mainline's.

use super::ecc::{
    hex,
    Lcg, //
};
use crate::common::{
    geometry_with_ecc,
    mainline,
    params,
    parity, //
};
use ringbuf::{
    ecc::Code,
    layout::SEAL_LEN,
    Geometry,
    Params, //
};

#[test]
fn what_is_no_code() {
    for (ecc_size, table_len) in [(0, 256), (128, 256 * 16), (16, 256), (8, 512)] {
        assert!(Code::new(ecc_size, vec![0; table_len]).is_none());
    }
}

/// The values come from `lib/reed_solomon/encode_rs.c` and `decode_rs.c` of Linux 7.3, compiled for
/// user space: the parity of a block and of a header, and a fingerprint of what the decoder made of
/// 20,000 random words with up to two errors more than it can correct, and how many it took.
#[test]
fn code_is_the_kernels() {
    let golden = [
        (1, "00", "34", 1_851_810_599, 10_101),
        (2, "8d8d", "a99d", 2_506_151_669, 12_784),
        (3, "c45692", "86ec5e", 242_216_281, 10_591),
        (4, "de101ed0", "e7d62a2f", 3_968_958_048, 12_721),
        (5, "781c26b0f2", "84ddff77e5", 3_382_745_911, 12_465),
        (
            8,
            "bfac1f655c1d456d",
            "55bf9afd5ee90f01",
            2_371_199_749,
            15_062,
        ),
        (
            16,
            "d31c64c176e7407f7eecc04d3b4907ae",
            "09103d8941892dd46e6bf7095a200029",
            3_537_095_331,
            17_539,
        ),
        (
            31,
            "c470c78f5aa5477727f0d3cbe0c2113b540efca55d4c46c6baeaea9bae937a",
            "39698db0089a170a80bbd56f9c02a91e92dc33ac0dfe029b1d76c0ff7ec728",
            457_299_826,
            19_169,
        ),
        (
            32,
            "5b117cf81818313b1b21c4b8361d82c790c86d0b687964e5f6400fe1cd60b502",
            "d3dc5fea744cb889a825cfc6f3634bb6e15826932bd83e529eba8d583c65a2f7",
            3_628_438_496,
            19_313,
        ),
    ];
    let mut lcg = Lcg(1);
    for (n, block, header, fingerprint, taken) in golden {
        let mut parity = vec![0; n];
        let data: Vec<u8> = (0..128).map(|i| (i * 7 + 3) as u8).collect();
        parity::encode(&data, &mut parity);
        assert_eq!(hex(&parity), block);
        parity::encode(b"DBGC\0\0\0\0\x34\x02\0\0", &mut parity);
        assert_eq!(hex(&parity), header);

        let mut hash = 2_166_136_261u32;
        let mut ok = 0;
        for _ in 0..20_000 {
            let len = 1 + usize::from(lcg.byte()) % 128;
            let mut data: Vec<u8> = (0..len).map(|_| lcg.byte()).collect();
            parity::encode(&data, &mut parity);
            for _ in 0..usize::from(lcg.byte()) % (n / 2 + 3) {
                let at = lcg.below(len + n);
                let value = lcg.byte();
                match data.get_mut(at) {
                    Some(byte) => *byte ^= value,
                    None => parity[at - len] ^= value,
                }
            }
            let result = parity::decode(&mut data, &mut parity);
            ok += u32::from(result.is_some());
            let result = result.map_or(255, |n| n as u8);
            for byte in [result].iter().chain(&data).chain(&parity) {
                hash = (hash ^ u32::from(*byte)).wrapping_mul(16_777_619);
            }
        }
        assert_eq!((hash, ok), (fingerprint, taken), "{n} bytes of parity");
    }
}

#[test]
fn geometry_is_mainlines() {
    let mut fits = 0;
    for stride in (512..5000).step_by(38).chain([8192, 8224, 65_536]) {
        for ecc_size in 0..=127 {
            let params = Params {
                ecc_size,
                ..params(stride, 512)
            };
            let params = Params {
                record_size: stride,
                ..params
            };
            let ours = Geometry::new(params);
            let mainlines = mainline::ecc_geometry(stride, ecc_size);
            match ours {
                Ok(geometry) => {
                    let (data, _) = mainlines.unwrap();
                    assert_eq!(geometry.stride(), stride);
                    assert_eq!(geometry.data_capacity(), data);
                    assert_eq!(geometry.seal_offset(0), Some(12 + data - SEAL_LEN));
                    assert!(data >= 428);
                    fits += 1;
                }
                Err(_) => assert!(mainlines.is_none_or(|(data, _)| data < 428)),
            }
        }
    }
    assert!(fits > 10_000);

    let geometry = geometry_with_ecc(1, 4096, 16);
    // 4084 bytes hold 29 blocks with parity, and the parity of the header.
    assert_eq!(geometry.data_capacity(), 4084 - 30 * 16);
    assert_eq!(geometry.ecc_size(), 16);
}
