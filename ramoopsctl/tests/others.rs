// SPDX-License-Identifier: GPL-2.0

//! What is not shown, since it is of other parameters, is named, with the options that show it.

use crate::{
    common::{
        store::{
            self,
            mainline, //
        },
        *, //
    },
    detect::{
        dmesg_only,
        records,
        states,
        stderr,
        tear, //
    },
    foreign::{
        loaded,
        ring, //
    }, //
};
use ramoopsctl::image::Image;
use ringbuf::{
    layout::{
        SEAL_LEN,
        SIG, //
    },
    Geometry,
    Params,
    Seal, //
};

#[test]
fn newest_of_several_regions() {
    let old = three_crashes().image();
    let new = Region::new(Params {
        ecc_size: 4,
        ..params(1 << 19, 1 << 15)
    });
    for n in 1..=4 {
        new.dump(&info(3, n), &[&log(10)]);
    }
    let mut memory = vec![7; 4 << 20];
    memory[0x10_0001..][..old.len()].copy_from_slice(&old);
    memory[0x30_0000..][..1 << 19].copy_from_slice(&new.image());
    let files = Files::new(&memory);
    assert_eq!(records(&files.json(0, &["list", "--json"])).len(), 4);
    let stderr = stderr(&files.run(&["list"]));
    let place = "--offset 0x100001 --length 0x100000";
    let options =
        "--record-size 65536 --console-size 4096 --ftrace-size 4096 --pmsg-size 4096 --ecc 0";
    let line = format!("ramoopsctl: 3 records in another region: {place} {options} shows them.");
    assert!(stderr.lines().any(|found| found == line), "{stderr}");
    let args = format!("list --json {place} {options}");
    let args: Vec<&str> = args.split(' ').collect();
    assert_eq!(records(&files.json(0, &args)).len(), 3);
    // What is left of another region is not what was asked for.
    let args = [
        "list", "--json", "--offset", "0x100001", "--length", "0x100000",
    ];
    assert_eq!(records(&files.json(0, &args)).len(), 3);
}

#[test]
fn other_parameters_are_named() {
    let region = three_crashes();
    let other = Region {
        geometry: Geometry::new(params(1 << 20, 1 << 15)).unwrap(),
        ram: region.ram,
    };
    other.dump(&info(3, 1), &[&log(50)]);
    let files = Files::new(&other.image());
    // The zones with the number 0 begin at the same place, and each of them has a header there.
    assert_eq!(
        states(&other.image(), &other.geometry),
        ["foreign", "complete"]
    );
    let output = files.run(&["list"]);
    let line =
        "ramoopsctl: 3 records with other parameters: --record-size 65536 --console-size 4096 \
                --ftrace-size 4096 --pmsg-size 4096 --ecc 0 shows them.\n";
    assert_eq!(stderr(&output), line);
    let list = files.json(0, &["list", "--json", "--record-size", "64k"]);
    let complete = records(&list)
        .iter()
        .filter(|record| record["state"] == "complete");
    assert_eq!(complete.count(), 3);
}

#[test]
fn parameters_with_the_same_zones_are_no_others() {
    let region = three_crashes();
    let other = Region {
        geometry: Geometry::new(Params {
            console_size: 8192,
            ftrace_size: 0,
            ..params(1 << 20, 1 << 16)
        })
        .unwrap(),
        ram: region.ram,
    };
    other.dump(&info(3, 1), &[&log(50)]);
    let image = other.image();
    assert_eq!(states(&image, &other.geometry), ["complete"; 4]);
    assert_eq!(stderr(&Files::new(&image).run(&["list"])), "");
}

#[test]
fn hints_restrict() {
    let region = three_crashes();
    let files = Files::new(&region.image());
    let output = files.run(&["list", "--record-size", "32k"]);
    assert!(stderr(&output).contains("3 records with other parameters: --record-size 65536"));
}

/// Follows the advice in a line. Returns the states of the records that the options show, and what is
/// said beside.
pub(crate) fn follow(files: &Files, line: &str) -> (Vec<String>, String) {
    let at = line.find("--").unwrap();
    let end = line.find(" shows them").unwrap();
    let args = [
        vec!["list", "--json"],
        line[at..end].split(' ').collect::<Vec<_>>(),
    ]
    .concat();
    let list = files.json(0, &args);
    let states = records(&list)
        .iter()
        .filter(|record| record["origin"] == "dmesg");
    let states = states.map(|record| record["state"].as_str().unwrap().to_owned());
    (states.collect(), stderr(&files.run(&args)))
}

/// Parameters of which no record is whole any more are named as well.
#[test]
fn broken_ones_are_named() {
    let region = three_crashes();
    let other = Region {
        geometry: Geometry::new(params(1 << 20, 1 << 15)).unwrap(),
        ram: region.ram,
    };
    other.dump(&info(3, 1), &[&log(50)]);
    let stride = region.geometry.stride();
    let mut image = other.image();
    let said = |image: &[u8]| stderr(&Files::new(image).run(&["list"]));
    for (slot, count) in [
        (
            0,
            "3 records, 1 of them damaged or torn, with other parameters: --",
        ),
        (
            1,
            "3 records, 2 of them damaged or torn, with other parameters: --",
        ),
        (
            2,
            "3 records, all of them damaged or torn, with other parameters: --",
        ),
    ] {
        match slot {
            1 => tear(&mut image, &region.geometry, slot),
            _ => image[slot * stride + 600] ^= 1,
        }
        let said = said(&image);
        assert!(said.contains(count), "{said}");
    }
    let (states, _) = follow(&Files::new(&image), &said(&image));
    assert_eq!(states.iter().filter(|state| *state == "damaged").count(), 2);
    // Deleted ones are not.
    for slot in [0, 2] {
        mainline::erase(&mut image, &region.geometry, slot);
    }
    let line = said(&image);
    let count = "1 record, damaged or torn, with other parameters: --";
    assert!(line.contains(count), "{line}");
    // In another place they may be copies of the region, page by page.
    let mut memory = vec![7; 4 << 20];
    memory[..1 << 20].copy_from_slice(&other.image());
    memory[2 << 20..][..1 << 20].copy_from_slice(&image);
    let said = said(&memory);
    assert!(!said.contains("damaged or torn"), "{said}");
}

/// Of other parameters, or of the same, be other seals whole or not.
#[test]
fn newest_seal_that_takes_correction() {
    let with_ecc = |record_size| Params {
        ecc_size: 16,
        ..params(1 << 20, record_size)
    };
    let region = Region::new(with_ecc(1 << 16));
    for n in 1..=3 {
        region.dump(&info(1, n), &[&log(20)]);
    }
    let other = Region {
        geometry: Geometry::new(with_ecc(1 << 15)).unwrap(),
        ram: region.ram,
    };
    let slot = other.dump(&info(3, 1), &[&log(50)])[0];
    let seal = other.geometry.seal_offset(slot).unwrap();
    other.edit(|image| image[seal + 60] ^= 4);
    let states = states(&other.image(), &other.geometry);
    assert!(states.contains(&"complete".to_owned()), "{states:?}");
    // The newest of the old parameters, after others of the new ones.
    let again = Region {
        geometry: region.geometry,
        ram: other.ram,
    };
    let slot = again.dump(&info(4, 1), &[&log(50)])[0];
    let seal = again.geometry.seal_offset(slot).unwrap();
    again.edit(|image| image[seal + 216] ^= 1);
    crate::detect::states(&again.image(), &again.geometry);
}

/// A region that stock ramoops used as well: programs write to its pmsg zone.
fn with_pmsg() -> Region {
    let region = three_crashes();
    let (pmsg, _) = region.geometry.pmsg();
    region.edit(|image| image[pmsg..][..4].copy_from_slice(&SIG.to_ne_bytes()));
    region
}

/// The slots that lie in the pmsg zone of another geometry.
fn slots_in_pmsg(of: &Geometry, geometry: &Geometry) -> Vec<usize> {
    let (begin, len) = of.pmsg();
    let slots = (0..geometry.slots()).filter(|slot| {
        let offset = geometry.slot_offset(*slot).unwrap();
        offset > begin && offset + geometry.stride() <= begin + len
    });
    slots.collect()
}

#[test]
fn forged_seals_in_pmsg_hide_nothing() {
    let region = with_pmsg();
    let forged = Geometry::new(dmesg_only(1 << 20, 512)).unwrap();
    let slot = slots_in_pmsg(&region.geometry, &forged)[2];
    store::forge(&region.ram, &forged, slot, (1 << 40, 1 << 40, 0, 1));
    let image = region.image();
    let mut memory = vec![7; 2 << 20];
    memory[0x1_0001..][..image.len()].copy_from_slice(&image);
    for (image, first) in [(image, 0), (memory, 1)] {
        let files = Files::new(&image);
        assert_eq!(states(&image, &region.geometry)[..3], ["complete"; 3]);
        let said = stderr(&files.run(&["list"]));
        let line = said.lines().nth(first).unwrap();
        assert!(
            line.contains(": 1 record with other parameters: --"),
            "{said}"
        );
        assert!(line.contains("may be newer than what is shown"), "{said}");
        assert!(line.contains("(pmsg): it may be forged"), "{said}");
        // Who asks for it gets it, and is told.
        let (states, said) = follow(&files, line);
        assert!(states.contains(&"partial".to_owned()), "{states:?}");
        assert!(
            said.contains("where programs write to (pmsg): it may be forged"),
            "{said}"
        );
    }
}

/// Nor in a region that only stock ramoops has used, wherever they say that theirs begins.
#[test]
fn forged_seals_in_pmsg_of_stock_ramoops() {
    for (mem_size, slots) in [(1 << 20, 2035), (2048, 1)] {
        let region = Region::new(params(1 << 20, 1 << 16));
        let (pmsg, _) = region.geometry.pmsg();
        let forged = Geometry::new(dmesg_only(mem_size, 512)).unwrap();
        let mut other = Region::new(*forged.params());
        store::forge(&other.ram, &forged, slots, (9, 9, 0, 1));
        let zone = forged.slot_offset(slots).unwrap();
        region.edit(|image| {
            mainline::load(image, &region.geometry);
            for slot in 0..2 {
                let text = b"Oops#1 Part1\nx\n";
                mainline::write(image, &region.geometry, slot, 1_700_000_000, text);
            }
            image[pmsg..][..4].copy_from_slice(&SIG.to_ne_bytes());
            let at = pmsg.next_multiple_of(512);
            let at = if mem_size == 1 << 20 { zone } else { at };
            let zone = &other.ram.bytes.get_mut()[zone..][..512];
            image[at..][..512].copy_from_slice(zone);
        });
        let files = Files::new(&region.image());
        assert_eq!(
            states(&region.image(), &region.geometry)[..2],
            ["foreign"; 2]
        );
        let said = stderr(&files.run(&["list"]));
        assert!(said.contains("it may be forged"), "{said}");
        let (states, said) = follow(&files, &said);
        assert!(states.contains(&"partial".to_owned()), "{states:?}");
        assert!(
            said.contains("(pmsg): it may be forged") || mem_size != 1 << 20,
            "{said}"
        );
    }
}

/// They add nothing to a set of parameters that was there before.
#[test]
fn forged_seal_of_older_parameters() {
    let old = Region::new(dmesg_only(1 << 20, 1024));
    for n in 1..=600 {
        old.dump(&info(1, n), &["old\n"]);
    }
    let new = Region {
        geometry: Geometry::new(params(1 << 20, 1 << 16)).unwrap(),
        ram: old.ram,
    };
    new.dump(&info(2, 1), &[&log(10)]);
    let (pmsg, _) = new.geometry.pmsg();
    new.edit(|image| image[pmsg..][..4].copy_from_slice(&SIG.to_ne_bytes()));
    let slot = slots_in_pmsg(&new.geometry, &old.geometry)[1];
    store::forge(&new.ram, &old.geometry, slot, (1 << 40, 1 << 40, 0, 1));
    let image = new.image();
    assert!(states(&image, &new.geometry).contains(&"complete".to_owned()));
    let said = stderr(&Files::new(&image).run(&["list"]));
    assert!(said.contains("may be newer than what is shown"), "{said}");
}

/// Each of them claims a payload of a megabyte: reading them must not take the time that the right
/// ones need.
#[test]
fn forged_seals_in_pmsg_cost_nothing() {
    let region = with_pmsg();
    let forged = Geometry::new(dmesg_only(1 << 20, 1 << 20)).unwrap();
    let seal = Seal {
        seq: 1 << 40,
        size: forged.payload_capacity() as u32,
        params: *forged.params(),
        slot: 0,
        ..store::seal(&region.ram, &region.geometry, 0)
    };
    let (pmsg, _) = region.geometry.pmsg();
    region.edit(|image| {
        for n in 1..16 {
            image[pmsg + 240 * n..][..SEAL_LEN].copy_from_slice(&seal.encode::<Image<'_>>());
        }
    });
    assert_eq!(
        states(&region.image(), &region.geometry)[..3],
        ["complete"; 3]
    );
}

/// The newest crash lies where programs wrote to, but they have not written it.
#[test]
fn newest_of_parameters_without_pmsg() {
    let region = with_pmsg();
    let other = Geometry::new(dmesg_only(1 << 20, 1024)).unwrap();
    let slot = slots_in_pmsg(&region.geometry, &other)[0];
    store::forge(&region.ram, &other, slot, (9, 9, 0, 1));
    let files = Files::new(&region.image());
    let said = stderr(&files.run(&["list"]));
    let line = said.lines().next().unwrap();
    assert!(
        line.contains("the newest crash if the parameters were changed"),
        "{said}"
    );
    let (states, _) = follow(&files, line);
    assert!(states.contains(&"partial".to_owned()), "{states:?}");
    // One that lies elsewhere as well was not forged.
    store::forge(&region.ram, &other, 500, (8, 8, 0, 1));
    let list = Files::new(&region.image()).json(0, &["list", "--json"]);
    assert_eq!(list["layout"]["stride"], other.stride());
}

/// So many bytes of payloads are read at most in a file that is not large.
const BUDGET: usize = 256 << 20;

/// Seals in the memory of a process, each of which claims a large payload.
#[test]
fn records_that_forged_seals_keep_from_being_read() {
    let region = three_crashes();
    let mut memory = vec![7; 2 << 20];
    memory[0x1_0001..][..1 << 20].copy_from_slice(&region.image());
    let forged = Geometry::new(dmesg_only(16 << 20, 16 << 20)).unwrap();
    let mut left = BUDGET;
    let mut at = memory.len();
    // The last ones are not read either.
    for _ in 0..40 {
        let size = forged.payload_capacity().min(left.saturating_sub(SEAL_LEN));
        let seal = Seal {
            seq: 1 << 40,
            realtime_ns: u64::MAX,
            size: size as u32,
            params: *forged.params(),
            slot: 0,
            ..store::seal(&region.ram, &region.geometry, 0)
        };
        at -= 512;
        memory[at..][..SEAL_LEN].copy_from_slice(&seal.encode::<Image<'_>>());
        left = left.saturating_sub(size + SEAL_LEN);
    }
    let files = Files::new(&memory);
    let said = stderr(&files.run(&["list"]));
    let line = said
        .lines()
        .find(|line| line.contains("3 records, all of them not checked, in another region: --"));
    let line = line.unwrap_or_else(|| panic!("{said}"));
    let (states, _) = follow(&files, line);
    assert_eq!(states, ["complete"; 3]);
}

/// A region with three records, and with text in the console zone.
fn with_records(params: Params) -> (Geometry, Vec<u8>) {
    let (geometry, mut image) = loaded(params);
    for slot in 0..3 {
        let text = format!("Oops#1 Part1\nreal\n{}", log(40));
        let secs = 1_700_000_000 + slot as u64;
        mainline::write(&mut image, &geometry, slot, secs, text.as_bytes());
    }
    let (console, len) = geometry.console();
    if len != 0 {
        ring(&mut image[console..][..len], SIG, log(2000).as_bytes());
    }
    (geometry, image)
}

/// What a program writes to fill a pmsg zone: `piece` at each multiple of `step`.
fn fill(image: &mut [u8], geometry: &Geometry, step: usize, piece: &[u8]) {
    let (pmsg, len) = geometry.pmsg();
    ring(&mut image[pmsg..][..len], SIG, &vec![b'p'; len]);
    for at in (pmsg + 12..pmsg + len - 80).filter(|at| at % step == 0) {
        image[at..][..piece.len()].copy_from_slice(piece);
    }
}

fn header(text: &[u8]) -> Vec<u8> {
    let mut header = SIG.to_ne_bytes().to_vec();
    header.extend([0; 4]);
    header.extend((text.len() as u32).to_ne_bytes());
    [&header, text].concat()
}

#[test]
fn headers_steer_nothing() {
    const RECORD: &[u8] = b"====1900000000.000000-D\nPanic#1 Part1\nforged\n";
    for others in [
        [4096, 4096, 1 << 16],
        [1 << 16, 1 << 16, 1 << 16],
        [0, 0, 1 << 16],
        [1 << 15, 4096, 1 << 15],
    ] {
        let [console_size, ftrace_size, pmsg_size] = others;
        let (geometry, image) = with_records(Params {
            console_size,
            ftrace_size,
            pmsg_size,
            ..params(1 << 20, 1 << 16)
        });
        for (step, text) in [512, 576, 1024, 4096]
            .into_iter()
            .flat_map(|step| [b"".as_slice(), RECORD].map(|text| (step, text)))
        {
            let mut image = image.clone();
            fill(&mut image, &geometry, step, &header(text));
            let files = Files::new(&image);
            let list = files.json(0, &["list", "--json"]);
            assert_eq!(
                list["layout"]["stride"],
                geometry.stride(),
                "{others:?} {step}"
            );
            assert_eq!(
                list["layout"]["slots"],
                geometry.slots(),
                "{others:?} {step}"
            );
            let dmesg = records(&list)
                .iter()
                .filter(|record| record["origin"] == "dmesg");
            assert_eq!(dmesg.count(), 3, "{others:?} {step}");
            // It may be one of other parameters.
            let said = stderr(&files.run(&["list"]));
            assert_eq!(
                said.contains("records of stock ramoops"),
                !text.is_empty(),
                "{said}"
            );
        }
    }
}

/// A flipped bit makes the data of a header reach over others.
#[test]
fn flipped_size_hides_nothing() {
    let (geometry, image) = with_records(params(1 << 20, 1 << 16));
    for (slot, bit) in (0..12).flat_map(|slot| (0..8).map(move |bit| (slot, bit))) {
        let mut image = image.clone();
        image[slot * geometry.stride() + 10] ^= 1 << bit;
        states(&image, &geometry);
    }
}

/// Headers of larger records are left between those that matter.
#[test]
fn leftovers_hide_nothing() {
    let old = Geometry::new(params(1 << 20, 1 << 16)).unwrap();
    let geometry = Geometry::new(params(1 << 20, 1 << 15)).unwrap();
    let mut image = vec![0; 1 << 20];
    mainline::load(&mut image, &old);
    for slot in 0..old.slots() {
        let text = format!("Oops#1 Part1\n{}", log(1500));
        mainline::write(&mut image, &old, slot, 1_600_000_000, text.as_bytes());
    }
    mainline::load(&mut image, &geometry);
    for slot in 0..20 {
        mainline::write(
            &mut image,
            &geometry,
            slot,
            1_700_000_000,
            b"Oops#1 Part1\nx\n",
        );
    }
    assert!(states(&image, &geometry).len() >= 20);
}

/// A whole record among what programs write to it is no newer crash.
#[test]
fn seals_are_doubted() {
    for others in [
        [4096, 4096, 1 << 16],
        [1 << 16, 1 << 16, 1 << 16],
        [0, 0, 1 << 16],
    ] {
        let [console_size, ftrace_size, pmsg_size] = others;
        let (geometry, image) = with_records(Params {
            console_size,
            ftrace_size,
            pmsg_size,
            ..params(1 << 20, 1 << 16)
        });
        for (record_size, step) in [(512, 1024), (1024, 576), (4096, 4096)] {
            let mut image = image.clone();
            fill(&mut image, &geometry, step, &header(b""));
            let forged = Region::new(dmesg_only(1 << 20, record_size));
            let slot = geometry.pmsg().0 / forged.geometry.stride() + 1;
            store::forge(&forged.ram, &forged.geometry, slot, (9, 9, 0, 1));
            let zone = slot * forged.geometry.stride()..(slot + 1) * forged.geometry.stride();
            image[zone.clone()].copy_from_slice(&forged.image()[zone]);
            let files = Files::new(&image);
            let list = files.json(0, &["list", "--json"]);
            let dmesg = records(&list)
                .iter()
                .filter(|record| record["origin"] == "dmesg");
            let states: Vec<_> = dmesg.map(|record| &record["state"]).collect();
            assert_eq!(states, ["foreign"; 3], "{others:?} {record_size}");
            let said = stderr(&files.run(&["list"]));
            assert!(said.contains("(pmsg): it may be forged"), "{said}");
        }
    }
}
