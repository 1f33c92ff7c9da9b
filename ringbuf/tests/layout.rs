// SPDX-License-Identifier: GPL-2.0

//! The bytes of a record against golden ones.

use crate::common::{
    kernel_crc32c,
    params,
    Ram,
    INFO, //
};
use ringbuf::{
    layout::{Header, PREFIX_MAX, SEAL_LEN},
    prefix::{
        Prefix,
        Stamp, //
    },
    DumpInfo,
    Encoding,
    Geometry,
    Params,
    Seal, //
};

fn seal() -> Seal {
    let mut seal = Seal {
        seq: 0x0706_0504_0302,
        dump: 0x0605_0403_0201,
        realtime_ns: 0x1716_1514_1312_1110,
        boottime_ns: 0x1f1e_1d1c_1b1a_1918,
        boot_id: *b"ABCDEFGHIJKLMNOP",
        part: 0x3130,
        parts: 0x3130,
        size: 0x0130,
        payload_crc: 0x4342_4140,
        reason: 0x4746_4544,
        description: [b' '; 60],
        release: [b' '; 40],
        loop_start: 0x0005_0403_0201,
        params: Params {
            mem_size: 0x01_6463_6261,
            record_size: 0x0867_6665,
            console_size: 0x0b6a_6968,
            ftrace_size: 0x0e6d_6c6b,
            pmsg_size: 0x0170_6f6e,
            ecc_size: 0x71,
        },
        slot: 0x0074_7372,
    };
    seal.description[..5].copy_from_slice(b"Crash");
    seal.release.fill(b'r');
    seal
}

#[test]
fn seal_golden_bytes() {
    let mut golden = Vec::new();
    golden.extend_from_slice(&[1, 2, 3, 4, 5, 6, 0, 0]); // dump
    golden.extend_from_slice(&[0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17]); // realtime
    golden.extend_from_slice(&[0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f]); // boottime
    golden.extend_from_slice(b"ABCDEFGHIJKLMNOP"); // boot id
    golden.extend_from_slice(&[0x30, 0x31, 0, 0]); // part
    golden.extend_from_slice(&[0x30, 0x31, 0, 0]); // parts
    golden.extend_from_slice(&[0x30, 0x01, 0, 0]); // size
    golden.extend_from_slice(b"@ABC"); // CRC of the payload
    golden.extend_from_slice(b"DEFG"); // reason
    golden.extend_from_slice(b"Crash");
    golden.extend_from_slice(&[b' '; 55]);
    golden.extend_from_slice(&[b'r'; 40]);
    golden.extend_from_slice(&[1, 2, 3, 4, 5, 0, 0, 0]); // loop
    golden.extend_from_slice(&[0x61, 0x62, 0x63, 0x64, 1, 0, 0, 0]); // mem_size
    golden.extend_from_slice(&[0x65, 0x66, 0x67, 0x08]); // record_size
    golden.extend_from_slice(&[0x68, 0x69, 0x6a, 0x0b]); // console_size
    golden.extend_from_slice(&[0x6b, 0x6c, 0x6d, 0x0e]); // ftrace_size
    golden.extend_from_slice(&[0x6e, 0x6f, 0x70, 0x01]); // pmsg_size
    golden.extend_from_slice(&[0x71, 0, 0, 0]); // ecc
    golden.extend_from_slice(&[0x72, 0x73, 0x74, 0]); // slot
    golden.extend_from_slice(&[2, 3, 4, 5, 6, 7, 0, 0]); // seq
    golden.extend_from_slice(&[220, 0]); // length
    golden.extend_from_slice(&[1, 0]); // version
    golden.extend_from_slice(&[0x76, 0xfa, 0x6d, 0xfe]); // CRC
    golden.extend_from_slice(b"SEAL");
    let raw = seal().encode::<&Ram>();
    assert_eq!(raw.as_slice(), golden);
    // The check value of CRC-32C ties the golden CRC to the standard.
    assert_eq!(!kernel_crc32c(!0, b"123456789"), 0xe306_9283);
}

#[test]
fn seal_round_trip_and_limits() {
    let decode = |seal: Seal| Seal::decode::<&Ram>(&seal.encode::<&Ram>());
    let good = seal();
    assert_eq!(decode(good), Some(good));
    assert_eq!(good.description(), b"Crash");
    assert_eq!(good.release(), [b'r'; 40]);

    let bad = [
        Seal { seq: 0, ..good },
        Seal { dump: 0, ..good },
        Seal {
            dump: good.seq + 1,
            ..good
        },
        Seal {
            part: 0,
            parts: 0,
            ..good
        },
        Seal {
            part: 0x1_0000,
            parts: 0,
            ..good
        },
        Seal { parts: 1, ..good },
        Seal {
            loop_start: good.dump,
            ..good
        },
    ];
    for seal in bad {
        assert_eq!(decode(seal), None, "{seal:?}");
    }

    // Each single changed byte breaks it.
    let raw = good.encode::<&Ram>();
    for at in 0..raw.len() {
        let mut raw = raw;
        raw[at] ^= 0x20;
        assert_eq!(Seal::decode::<&Ram>(&raw), None, "byte {at}");
    }
    // While the record is written, it says the same.
    let mut raw = raw;
    raw[SEAL_LEN - 1] = b'W';
    assert_eq!(Seal::decode::<&Ram>(&raw), Some(good));
}

#[test]
fn place_of_a_seal() {
    let with = |console_size, pmsg_size, ecc_size| {
        let params = Params {
            console_size,
            pmsg_size,
            ecc_size,
            ..params(1 << 20, 16 << 10)
        };
        Geometry::new(params).unwrap()
    };
    let geometry = with(4096, 4096, 0);
    let seal = Seal {
        size: geometry.payload_capacity() as u32,
        params: *geometry.params(),
        slot: 3,
        ..seal()
    };
    assert!(geometry.is_place_of(&seal, 3));
    assert!(!geometry.is_place_of(&seal, 2));
    let longer = Seal {
        size: seal.size + 1,
        ..seal
    };
    assert!(!geometry.is_place_of(&longer, 3));
    // The same zone of other parameters, and others.
    assert!(with(8192, 0, 0).is_place_of(&seal, 3));
    assert!(!with(4096, 0, 0).is_place_of(&seal, 3));
    assert!(!with(4096, 4096, 2).is_place_of(&seal, 3));
    let no_zone = Seal {
        slot: geometry.slots(),
        ..seal
    };
    assert!(!geometry.is_place_of(&no_zone, geometry.slots()));
}

/// What [`ringbuf`] relies on when it looks for seals of other parameters.
#[test]
fn texts_of_a_seal_are_ascii() {
    let (ram, geometry) = (Ram::new(vec![0; 512]), crate::common::geometry(1));
    let (store, _) = crate::common::open(&ram, &geometry);
    let info = DumpInfo {
        description: b"\xff\0a\x1f\x7f\x80\n ~",
        release: b"",
        ..INFO
    };
    store.begin(&info).append(b"text", true).unwrap();
    let seal = crate::common::seal(&ram, &geometry, 0);
    assert_eq!(
        (seal.description(), seal.release()),
        (&b"??a???? ~"[..], &b""[..])
    );
    let at = geometry.seal_offset(0).unwrap() + 60;
    let texts = &ram.image()[at..at + 100];
    assert!(texts.iter().all(|byte| (b' '..=b'~').contains(byte)));
    assert_eq!(texts, [seal.description.as_slice(), &seal.release].concat());
}

#[test]
fn header_bytes() {
    let header = Header {
        sig: 0x4347_4244,
        start: 1,
        size: 0x0203,
    };
    let raw = header.encode();
    if cfg!(target_endian = "little") {
        assert_eq!(&raw, b"DBGC\x01\0\0\0\x03\x02\0\0");
    }
    assert_eq!(Header::decode(&raw), header);
}

#[test]
fn prefix_golden() {
    let prefix = |info: &DumpInfo<'_>, part| {
        String::from_utf8(Prefix::new(info, part, Encoding::Plain).as_bytes().to_vec()).unwrap()
    };
    assert_eq!(prefix(&INFO, 1), "====1700000000.123456-D\nPanic#1 Part1\n");
    // What is compressed has its title inside.
    let stamp = Prefix::new(&INFO, 1, Encoding::Deflate);
    assert_eq!(stamp.as_bytes(), b"====1700000000.123456-C\n");
    assert_eq!(Prefix::title(&INFO, 1).as_bytes(), b"Panic#1 Part1\n");
    let early = DumpInfo {
        realtime_ns: 7_000_042_999,
        reason_name: b"Oops",
        count: u32::MAX,
        ..INFO
    };
    assert_eq!(
        prefix(&early, 12),
        "====7.000042-D\nOops#4294967295 Part12\n"
    );
    let zero = DumpInfo {
        realtime_ns: 0,
        count: 0,
        ..INFO
    };
    assert_eq!(prefix(&zero, 1), "====0.000000-D\nPanic#0 Part1\n");
    let longest = DumpInfo {
        realtime_ns: u64::MAX,
        count: u32::MAX,
        reason_name: &[b'x'; 100],
        ..INFO
    };
    let longest = prefix(&longest, 0xffff);
    assert!(longest.ends_with("Part65535\n"));
    assert_eq!(longest.len(), PREFIX_MAX - 1);
}

#[test]
fn stamps() {
    let parse =
        |text: &str| Stamp::parse(text.as_bytes()).map(|s| (s.secs, s.nanos, s.compressed, s.len));
    assert_eq!(
        parse("====1700000000.123456-D\nPanic"),
        Some((1_700_000_000, 123_456_000, false, 24))
    );
    assert_eq!(parse("====12.000001-C\n"), Some((12, 1000, true, 16)));
    assert_eq!(parse("====12.5\nx"), Some((12, 5000, false, 9)));
    assert_eq!(parse("====-3.000000-D\n"), Some((-3, 0, false, 16)));
    for bad in [
        "",
        "====",
        "===12.5\n",
        "====.5\n",
        "====12.\n",
        "====12\n",
        "====12.5",
        "====12.5-\n",
        "====12.5-D",
        "====12.5-DD\n",
        "====12.5x\n",
        "====12.1000000-D\n",
        "====99999999999999999999999.5-D\n",
        "====18446744073709551615.5-D\n",
    ] {
        assert_eq!(parse(bad), None, "{bad:?}");
    }
}
