// SPDX-License-Identifier: GPL-2.0

//! The zone map against mainline's arithmetic.

use crate::common::params;
use ringbuf::{
    Geometry,
    GeometryError,
    Params, //
};

/// `ramoops_probe()` and `ramoops_init_przs()`, transcribed. Returns number and size of the dmesg
/// zones and the addresses of the other zones, or `None` if there is no dmesg zone.
fn probe(params: &Params) -> Option<(usize, usize, [usize; 3])> {
    fn rounddown_pow_of_two(n: usize) -> usize {
        if n == 0 || n.is_power_of_two() {
            n
        } else {
            n.next_power_of_two() / 2
        }
    }
    let record_size = rounddown_pow_of_two(params.record_size);
    let console_size = rounddown_pow_of_two(params.console_size);
    let ftrace_size = rounddown_pow_of_two(params.ftrace_size);
    let pmsg_size = rounddown_pow_of_two(params.pmsg_size);
    let mut paddr = 0;
    // Mainline lets this wrap; the checks that follow in mainline fail then.
    let dump_mem_sz = params
        .mem_size
        .wrapping_sub(console_size)
        .wrapping_sub(ftrace_size)
        .wrapping_sub(pmsg_size);
    let cnt = dump_mem_sz / record_size;
    if cnt == 0 || paddr + dump_mem_sz > params.mem_size {
        return None;
    }
    let zone_sz = (dump_mem_sz / cnt) & !1;
    paddr += zone_sz * cnt;
    let console = paddr;
    paddr += console_size;
    let pmsg = paddr;
    paddr += pmsg_size;
    let ftrace = paddr;
    Some((cnt, zone_sz, [console, pmsg, ftrace]))
}

#[test]
fn geometry_is_mainlines() {
    let sizes = [0, 512, 1000, 4096, 0x2000, 10_000, 1 << 16, 300_000];
    let mem_sizes = [
        5000,
        8191,
        65_536,
        65_537,
        99_999,
        1 << 20,
        1_234_567,
        16 << 20,
    ];
    let mut same = 0;
    for mem_size in mem_sizes {
        for record_size in &sizes[1..] {
            for console_size in sizes {
                for ftrace_size in sizes {
                    for pmsg_size in sizes {
                        let params = Params {
                            mem_size,
                            record_size: *record_size,
                            console_size,
                            ftrace_size,
                            pmsg_size,
                            ecc_size: 0,
                        };
                        let ours = match Geometry::new(params) {
                            Ok(g) => {
                                let others = [g.console().0, g.pmsg().0, g.ftrace().0];
                                let (start, len) = g.ftrace();
                                assert!(start + len <= mem_size);
                                Some((g.slots(), g.stride(), others))
                            }
                            Err(GeometryError::NoRoom { .. }) => None,
                            Err(err) => panic!("{params:?}: {err:?}"),
                        };
                        assert_eq!(ours, probe(&params), "{params:?}");
                        same += 1;
                    }
                }
            }
        }
    }
    println!("{same} parameter sets");
}

#[test]
fn geometry_example() {
    let geometry = Geometry::new(Params {
        mem_size: 1 << 20,
        record_size: 0x2000,
        console_size: 4096,
        ftrace_size: 4096,
        pmsg_size: 4096,
        ecc_size: 0,
    })
    .unwrap();
    assert_eq!((geometry.stride(), geometry.slots()), (8224, 126));
    assert_eq!(geometry.slot_offset(125), Some(125 * 8224));
    assert_eq!(geometry.slot_offset(126), None);
    assert_eq!(geometry.data_capacity(), 8212);
    assert_eq!(geometry.payload_capacity(), 7992);
    assert_eq!(geometry.data_offset(1), Some(8224 + 12));
    assert_eq!(geometry.seal_offset(0), Some(8224 - 220));
    assert_eq!(geometry.console(), (1_036_224, 4096));
    assert_eq!(geometry.pmsg(), (1_040_320, 4096));
    assert_eq!(geometry.ftrace(), (1_044_416, 4096));
}

#[test]
fn geometry_errors() {
    let base = Params {
        console_size: 4096,
        ..params(1 << 20, 4096)
    };
    let err = |params| Geometry::new(params).unwrap_err();

    let with = |record_size| Params {
        record_size,
        ..base
    };
    assert_eq!(err(with(0)), GeometryError::RecordSizeZero);
    for record_size in [1, 8, 16, 256, 511] {
        let small = GeometryError::RecordSizeTooSmall { min: 512 };
        assert_eq!(err(with(record_size)), small);
    }
    assert!(Geometry::new(with(512)).is_ok());
    let no_room = GeometryError::NoRoom {
        needed: (1 << 20) + 4096,
    };
    assert_eq!(err(with(1 << 20)), no_room);
    assert_eq!(
        err(Params {
            record_size: usize::MAX,
            pmsg_size: 1 << 31 >> 1,
            ftrace_size: 1 << 30,
            console_size: 1 << 30,
            mem_size: usize::MAX,
            ..base
        }),
        GeometryError::ZoneTooLarge {
            parameter: "record_size",
            max: 1 << 30
        }
    );
    assert_eq!(
        err(Params {
            record_size: usize::MAX,
            mem_size: 4096,
            console_size: 1 << 30,
            ..base
        }),
        GeometryError::NoRoom {
            needed: (1 << 63) + (1 << 30)
        }
    );

    // Mainline computes 0xffffffffffffe000 here.
    let underflow = Params {
        mem_size: 4096,
        pmsg_size: 4096,
        ..base
    };
    assert_eq!(err(underflow), GeometryError::NoRoom { needed: 12288 });
    let zero = Params {
        mem_size: 0,
        ..base
    };
    assert_eq!(err(zero), GeometryError::NoRoom { needed: 8192 });

    let huge = Params {
        console_size: 1 << 31,
        mem_size: 1 << 40,
        ..base
    };
    let too_large = GeometryError::ZoneTooLarge {
        parameter: "console_size",
        max: 1 << 30,
    };
    assert_eq!(err(huge), too_large);
    let huge = Params {
        record_size: 1 << 31,
        mem_size: 1 << 40,
        ..base
    };
    let too_large = GeometryError::ZoneTooLarge {
        parameter: "record_size",
        max: 1 << 30,
    };
    assert_eq!(err(huge), too_large);
    let tiny = Params {
        pmsg_size: 15,
        ..base
    };
    let too_small = GeometryError::ZoneTooSmall {
        parameter: "pmsg_size",
        min: 16,
    };
    assert_eq!(err(tiny), too_small);

    let with = |record_size, ecc_size| Params {
        record_size,
        ecc_size,
        ..base
    };
    for ecc in [128, 255, usize::MAX] {
        let too_large = GeometryError::EccTooLarge { max: 127 };
        assert_eq!(err(with(4096, ecc)), too_large);
    }
    let min = 2048;
    let does_not_fit = GeometryError::EccDoesNotFit { min };
    assert_eq!(err(with(1024, 127)), does_not_fit);
    assert_eq!(err(with(512, 127)), does_not_fit);
    let small = GeometryError::RecordSizeTooSmall { min };
    assert_eq!(err(with(256, 127)), small);
    assert!(Geometry::new(with(min, 127)).is_ok());
    let does_not_fit = GeometryError::EccDoesNotFit { min: 1024 };
    assert_eq!(err(with(512, 16)), does_not_fit);
    assert!(Geometry::new(with(512, 14)).is_ok());
    // Two times the parity, header, and one byte.
    let tiny = |pmsg_size| Params {
        pmsg_size,
        ..with(4096, 16)
    };
    let too_small = GeometryError::ZoneTooSmall {
        parameter: "pmsg_size",
        min: 64,
    };
    assert_eq!(err(tiny(32)), too_small);
    assert!(Geometry::new(tiny(64)).is_ok());
}
