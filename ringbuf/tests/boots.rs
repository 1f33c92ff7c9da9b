// SPDX-License-Identifier: GPL-2.0

//! A machine's life: crashes, power cuts, flipped bits, stock ramoops in between, other parameters,
//! clocks that jump, deleted records, loops of crashes.
//!
//! A ledger knows what was really written and looks at the bytes, not at what the store says of them:
//!
//! - what is still there, byte for byte or so that its parity can correct it, is shown as it was
//!   written;
//! - what is shown as whole was written like that, at that place;
//! - if it is certain what all slots hold, the slots are taken in the order that `FORMAT.md` says;
//!   otherwise, what certainly holds nothing is taken before what certainly holds a record.
//!
//! The seed is fixed. `RINGBUF_SEED` is another one, `RINGBUF_STEPS` how many steps there are.

mod ledger;
mod life;

use std::{
    cell::Cell,
    collections::HashMap,
    env, //
};

use crate::common::{
    cache::Random,
    look,
    mainline,
    Ram, //
};
use ledger::{
    ram_header_is_whole,
    Record, //
};
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{
        Config,
        RngSeed,
        TestRunner, //
    }, //
};
use ringbuf::{
    classify,
    clear,
    Geometry,
    Kind,
    Params, //
};

const MEM_SIZE: usize = 4400;

/// Other parameters for the same region: slots of 550 and of 1100 bytes, of 562 before a console, and
/// with parity.
const PARAMS: [(usize, usize, usize); 4] = [(512, 0, 0), (1024, 0, 0), (512, 1024, 0), (512, 0, 4)];

fn geometry(which: usize) -> Geometry {
    let (record_size, console_size, ecc_size) = PARAMS[which];
    Geometry::new(Params {
        mem_size: MEM_SIZE,
        record_size,
        console_size,
        ftrace_size: 0,
        pmsg_size: 0,
        ecc_size,
    })
    .unwrap()
}

/// Where power fails, in thousandths of what was to be done, and what was in the cache then.
type Failure = Option<(usize, u64)>;

#[derive(Clone, Debug)]
enum Op {
    /// A boot with dumps, of parts that have these lengths in percent of the room.
    Boot {
        dumps: Vec<Vec<usize>>,
        early: bool,
        cut: Failure,
    },
    /// So many boots with a crash soon after.
    Loop(usize),
    Flip {
        bits: usize,
        seed: u64,
    },
    /// A boot with stock ramoops, which writes a record.
    Mainline {
        slot: usize,
        len: usize,
    },
    /// The same, and a record is deleted.
    MainlineDeletes {
        slot: usize,
    },
    Clear {
        slot: usize,
        cut: Failure,
    },
    Params(usize),
    /// By so many seconds.
    Clock(i64),
    Fill(u8),
}

fn op() -> impl Strategy<Value = Op> {
    let cut = || (0..=1000usize, any::<u64>());
    let dumps = || vec(vec(0..=100usize, 1..4), 1..4);
    let slot = || 0..8usize;
    prop_oneof![
        12 => (dumps(), any::<bool>(), prop::option::of(cut()))
            .prop_map(|(dumps, early, cut)| Op::Boot { dumps, early, cut }),
        1 => (1..12usize).prop_map(Op::Loop),
        3 => (1..4usize, any::<u64>()).prop_map(|(bits, seed)| Op::Flip { bits, seed }),
        2 => (slot(), 1..1200usize).prop_map(|(slot, len)| Op::Mainline { slot, len }),
        1 => slot().prop_map(|slot| Op::MainlineDeletes { slot }),
        2 => (slot(), prop::option::of(cut())).prop_map(|(slot, cut)| Op::Clear { slot, cut }),
        1 => (0..PARAMS.len()).prop_map(Op::Params),
        1 => (-2_000_000_000..2_000_000_000i64).prop_map(Op::Clock),
        1 => prop_oneof![Just(0), Just(0xff), Just(0x5a)].prop_map(Op::Fill),
    ]
}

struct Machine {
    image: Vec<u8>,
    params: usize,
    /// By parameters and slot. What was deleted, or torn, remains: it may be there again after a
    /// bit flips.
    ledger: HashMap<(usize, usize), Record>,
    /// What is deleted, with the zone as it was left.
    deleted: HashMap<(usize, usize), Vec<u8>>,
    clock: i64,
    boots: u64,
    /// How many of them found nothing but what is certain.
    certain: usize,
    time: usize,
}

impl Machine {
    fn mainline(&mut self, f: impl FnOnce(&mut Vec<u8>, &Geometry) -> usize) -> usize {
        let geometry = self.geometry();
        mainline::load(&mut self.image, &geometry);
        f(&mut self.image, &geometry)
    }

    fn run(&mut self, op: &Op) {
        let geometry = self.geometry();
        let slots = geometry.slots();
        match *op {
            Op::Boot {
                ref dumps,
                early,
                cut,
            } => self.boot(dumps, early, cut),
            Op::Loop(count) => {
                for _ in 0..count {
                    self.boot(&[vec![50]], true, None);
                    self.check();
                }
            }
            Op::Flip { bits, seed } => {
                let mut random = Random(seed);
                for _ in 0..bits {
                    let at = random.below(self.image.len());
                    self.image[at] ^= 1 << random.below(8);
                }
            }
            Op::Mainline { slot, len } => {
                self.time += 1;
                let (time, secs) = (self.time, (1_700_000_000 + self.clock) as u64);
                let text = format!("Oops#1 Part1\n{time} ").repeat(len / 10 + 1);
                let slot = self.mainline(|image, geometry| {
                    mainline::write(image, geometry, slot % slots, secs, &text.as_bytes()[..len]);
                    slot % slots
                });
                let payload = mainline::record(&self.image, &geometry, slot).unwrap();
                self.deleted.remove(&(self.params, slot));
                let zone = self.image[self.zone(slot)].to_vec();
                let record = Record {
                    payload,
                    seal: None,
                    zone,
                    is_complete: true,
                };
                self.ledger.insert((self.params, slot), record);
            }
            Op::MainlineDeletes { slot } => {
                self.mainline(|image, geometry| {
                    mainline::erase(image, geometry, slot % slots);
                    slot % slots
                });
            }
            Op::Clear { slot, cut } => {
                let slot = slot % slots;
                let ram = Ram::new(self.image.clone());
                clear(&&ram, &geometry, slot).unwrap();
                let log = ram.log.take();
                let end = self.perform(&log, cut);
                if end == log.len() && cut.is_none() {
                    let zone = self.image[self.zone(slot)].to_vec();
                    self.deleted.insert((self.params, slot), zone);
                }
            }
            Op::Params(params) => self.params = params,
            Op::Clock(seconds) => self.clock = seconds / 2,
            Op::Fill(value) => self.image.fill(value),
        }
        self.check();
    }

    /// Everything that is there is shown, and nothing else.
    fn check(&self) {
        let geometry = self.geometry();
        let ram = Ram::new(self.image.clone());
        for slot in 0..geometry.slots() {
            let (kind, payload) = look(&&ram, &geometry, slot);
            let whole = self.whole(slot);
            let name = || format!("slot {slot}: {kind:?}");
            match (whole, kind) {
                (
                    Some(Record {
                        seal: Some(seal),
                        payload: written,
                        ..
                    }),
                    _,
                ) => {
                    assert_eq!(kind, Kind::Sealed(*seal));
                    assert_eq!(payload, *written);
                }
                (
                    Some(Record {
                        payload: written, ..
                    }),
                    Kind::Foreign(_),
                ) => {
                    assert_eq!(payload, *written, "{}", name());
                }
                (Some(record), _) => panic!("{}: {record:?}", name()),
                (None, Kind::Sealed(seal)) => {
                    // More is wrong than can be corrected for sure, or only the header.
                    let record = self.ledger.get(&(self.params, slot));
                    let record = record.unwrap_or_else(|| panic!("{}", name()));
                    assert_eq!(record.seal, Some(seal), "{}", name());
                    assert_eq!(record.payload, payload, "{}", name());
                }
                (None, _) => (),
            }
            let zone = &self.image[self.zone(slot)];
            let deleted = self.deleted.get(&(self.params, slot));
            if deleted.is_some_and(|deleted| deleted == zone) {
                let deleted = matches!(kind, Kind::Cleared(_) | Kind::Empty | Kind::Erased);
                assert!(deleted, "{}", name());
                assert_eq!(mainline::record(&self.image, &geometry, slot), None);
            }
            // What mainline shows of a record that is whole is that record.
            if let (Some(record), Some(shown)) =
                (whole, mainline::file(&self.image, &geometry, slot))
            {
                if ram_header_is_whole(record, zone) {
                    assert_eq!(shown.log, record.payload, "{}", name());
                }
            }
            assert!(classify(&&ram, &geometry, slot).is_some());
        }
    }
}

fn number(name: &str, default: u64) -> u64 {
    match env::var(name) {
        Ok(value) => value.parse().unwrap_or_else(|_| panic!("{name}={value}")),
        Err(_) => default,
    }
}

#[test]
fn random_lives() {
    const STEPS_PER_LIFE: usize = 40;
    let seed = number("RINGBUF_SEED", 7);
    let steps = number("RINGBUF_STEPS", 100_000);
    let lives = (steps as usize).div_ceil(STEPS_PER_LIFE);
    println!("RINGBUF_SEED={seed} RINGBUF_STEPS={steps}");
    let config = Config {
        cases: lives as u32,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(seed),
        ..Config::default()
    };
    let life = (0..PARAMS.len(), vec(op(), 1..2 * STEPS_PER_LIFE));
    let boots = Cell::new((0, 0));
    let result = TestRunner::new(config).run(&life, |(params, ops)| {
        let mut machine = Machine {
            image: vec![0; MEM_SIZE],
            params,
            ledger: HashMap::new(),
            deleted: HashMap::new(),
            clock: 0,
            boots: 0,
            certain: 0,
            time: 0,
        };
        for op in &ops {
            machine.run(op);
        }
        let (all, certain) = boots.get();
        boots.set((all + machine.boots, certain + machine.certain));
        Ok(())
    });
    if let Err(err) = result {
        panic!("RINGBUF_SEED={seed}: {err}");
    }
    println!(
        "boots, and how many found nothing but what is certain: {:?}",
        boots.get()
    );
}
