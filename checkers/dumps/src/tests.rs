// SPDX-License-Identifier: GPL-2.0

use std::{
    cmp::Reverse,
    sync::Arc, //
};

use scheduler::{
    scheduler::{
        PctScheduler,
        RandomScheduler, //
    },
    Config,
    Runner, //
};

use crate::{
    cpu::Stop,
    region::{
        Rank,
        Region, //
    },
    ringbuf::{
        self,
        store::LOOP_SECS,
        table_len,
        DumpInfo,
        Geometry,
        Options,
        Params,
        Slot, //
    }, //
};

const RUNS: u64 = 1000;
const SEED: u64 = 1;

/// What the module sets if nobody says otherwise (`loop_secs=600`).
const OPTIONS: Options = Options {
    loop_ns: LOOP_SECS * 1_000_000_000,
};

type Store = ringbuf::Store<Arc<Region>, Vec<Slot>>;

fn info(boot: u8, urgent: bool) -> DumpInfo<'static> {
    DumpInfo {
        reason: if urgent { 1 } else { 2 },
        reason_name: if urgent { b"Panic" } else { b"Oops" },
        count: 1,
        realtime_ns: 1_700_000_000_123_456_789,
        boottime_ns: 42_000_000_001,
        boot_id: [boot; 16],
        description: b"description",
        release: b"7.3.4",
        urgent,
    }
}

/// A region of so many slots, in which each of so many boots has left a dump: a loop of crashes.
fn region(slots: usize, boots: u8) -> Arc<Region> {
    let params = Params {
        mem_size: slots * 512,
        record_size: 512,
        console_size: 0,
        ftrace_size: 0,
        pmsg_size: 0,
        ecc_size: 0,
    };
    let region = Region::new(Geometry::new(params).unwrap());
    for boot in 1..=boots {
        assert_eq!(dump(&open(&region), boot, 1, false).len(), 1);
    }
    region
}

fn open(region: &Arc<Region>) -> Arc<Store> {
    let entries = table_len(region.geometry.slots());
    let tables = [(); 2].map(|()| (0..entries).map(|_| Slot::default()).collect());
    let (store, _) = Store::open(region.clone(), region.geometry, tables, OPTIONS).unwrap();
    Arc::new(store)
}

/// Stores a dump of so many parts, or as many of them as there are slots for. Returns those.
fn dump(store: &Store, boot: u8, parts: u32, urgent: bool) -> Vec<Rank> {
    let info = info(boot, urgent);
    let mut dump = store.begin(&info);
    (1..=parts)
        .map_while(|part| dump.append(b"text\n", part == parts).ok())
        .map(|slot| store.memory().told(slot))
        .collect()
}

/// What must be true when all is over.
fn check(region: &Arc<Region>) {
    let whole = region.whole();
    let newest = region.newest();
    assert!(
        newest.iter().any(|newest| whole.contains(&Some(*newest))),
        "the newest is lost: {whole:?}"
    );
    // The next boot goes by the numbers.
    let slot = open(region).next_slot().unwrap();
    let newest = whole
        .iter()
        .flatten()
        .max_by_key(|(dump, part)| (*part == Reverse(1), *dump));
    assert_ne!(whole[slot].as_ref(), newest, "the newest is next");
}

/// The number that the environment gives.
fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(number) => number.parse().expect(name),
        Err(_) => default,
    }
}

/// Runs `test` in many ways.
fn explore(test: impl Fn() + Send + Sync + 'static) {
    let (seed, runs) = (number("CHECKER_SEED", SEED), number("CHECKER_RUNS", RUNS));
    println!("CHECKER_SEED={seed} CHECKER_RUNS={runs}");
    let scheduler = RandomScheduler::new_from_seed(seed, runs as usize);
    Runner::new(scheduler, Config::new()).run(test);
}

/// Three CPUs dump so many parts each. Returns what was stored.
fn three(region: &Arc<Region>, parts: u32) -> Vec<Rank> {
    let store = open(region);
    let stop = Stop::default();
    let cpus = [(); 3].map(|()| {
        let store = store.clone();
        stop.spawn(move || dump(&store, 100, parts, false))
    });
    cpus.into_iter()
        .flat_map(|cpu| cpu.join().unwrap().expect("nobody stops it"))
        .collect()
}

#[test]
fn all_records_find_a_free_slot() {
    explore(|| {
        let region = region(7, 1);
        let stored = three(&region, 2);
        assert_eq!(stored.len(), 6);
        check(&region);
        let whole = region.whole();
        assert!(stored.iter().all(|record| whole.contains(&Some(*record))));
        assert!(whole.contains(&Some((1, Reverse(1)))));
    });
}

#[test]
fn the_oldest_go_and_the_first_of_a_loop_stays() {
    explore(|| {
        let region = region(5, 5);
        let stored = three(&region, 1);
        assert_eq!(stored.len(), 3);
        check(&region);
        let whole = region.whole();
        assert!(stored.iter().all(|record| whole.contains(&Some(*record))));
        assert!(whole.contains(&Some((1, Reverse(1)))), "{whole:?}");
    });
}

/// Two CPUs dump while the region is read again: the order is as without that.
#[test]
fn the_oldest_go_while_the_region_is_read_again() {
    explore(|| {
        let region = region(4, 4);
        let store = open(&region);
        let stop = Stop::default();
        let others = [(); 2].map(|()| {
            let store = store.clone();
            stop.spawn(move || dump(&store, 100, 1, false))
        });
        let rescan = stop.spawn({
            let store = store.clone();
            move || store.rescan().is_ok()
        });
        let mut stored: Vec<Rank> = others
            .into_iter()
            .flat_map(|cpu| cpu.join().unwrap().expect("nobody stops it"))
            .collect();
        rescan.join().unwrap();
        stored.extend(dump(&store, 100, 1, false));
        assert_eq!(stored.len(), 3);
        check(&region);
        let whole = region.whole();
        assert!(
            stored.iter().all(|record| whole.contains(&Some(*record))),
            "{whole:?}"
        );
    });
}

#[test]
fn the_newest_stays_where_slots_are_few() {
    explore(|| {
        for slots in 2..=3 {
            let region = region(slots, slots as u8);
            let stored = three(&region, 2);
            assert!(!stored.is_empty());
            check(&region);
            assert!(region.whole().iter().all(Option::is_some));
        }
    });
}

#[test]
fn a_panic_is_stored_wherever_the_others_are_stopped() {
    explore(|| {
        for slots in 2..=4 {
            let region = region(slots, slots as u8);
            let store = open(&region);
            let stop = Stop::default();
            let others = [(); 2].map(|()| {
                let store = store.clone();
                stop.spawn(move || dump(&store, 100, 2, false))
            });
            let panic = stop.spawn({
                let (store, stop) = (store.clone(), stop.clone());
                move || {
                    stop.stop_others();
                    dump(&store, 100, 4, true)
                }
            });
            let panic = panic.join().unwrap().expect("nobody stops it");
            for other in others {
                other.join().unwrap();
            }
            assert_eq!(panic.len(), slots - 1);
            check(&region);
            let whole = region.whole();
            assert!(panic.iter().all(|record| whole.contains(&Some(*record))));
            // Each of the others leaves at most one torn record.
            assert!(whole.iter().filter(|record| record.is_none()).count() <= 2);
        }
    });
}

/// So many schedules at least: that takes some ten seconds.
const LOOKS: u64 = 30_000;

/// To look for the next slot, as the status does, changes nothing, however often the region is read
/// again meanwhile. (Random interleavings hardly ever come there.)
#[test]
fn a_look_at_the_next_slot_beside_rescans() {
    let slots = |looks: bool| {
        let region = region(5, 5);
        let store = open(&region);
        dump(&store, 100, 1, false);
        let stop = Stop::default();
        let look = looks.then(|| {
            let store = store.clone();
            stop.spawn(move || store.next_slot())
        });
        for _ in 0..2 {
            while store.rescan().is_err() {
                scheduler::thread::yield_now();
            }
        }
        if let Some(look) = look {
            look.join().unwrap();
        }
        (0..8)
            .map(|_| store.begin(&info(100, false)).append(b"text\n", true))
            .collect::<Vec<_>>()
    };
    let (seed, runs) = (
        number("CHECKER_SEED", SEED),
        number("CHECKER_RUNS", RUNS).max(LOOKS),
    );
    let scheduler = PctScheduler::new_from_seed(seed, 2, runs as usize);
    Runner::new(scheduler, Config::new()).run(move || assert_eq!(slots(true), slots(false)));
}
