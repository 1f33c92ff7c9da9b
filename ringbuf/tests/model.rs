// SPDX-License-Identifier: GPL-2.0

//! Random operations against a simple model of what must be in each slot. As in the module, the first
//! dump of a loop of crashes is kept.

mod expected;

use crate::common::{
    geometry,
    geometry_with_ecc,
    look,
    mainline,
    open,
    Ram,
    TestStore,
    DEFAULT,
    INFO, //
};
use expected::{
    Cell,
    Class,
    Known,
    Model,
    Record,
    Sealed,
    FREE,
    OUR_SECS, //
};
use proptest::{
    collection::vec,
    prelude::*, //
};
use ringbuf::{
    layout::SEAL_MAGIC_OFFSET,
    Dropped,
    DumpInfo,
    Geometry,
    Kind, //
};

#[derive(Clone, Debug)]
enum Op {
    /// A dump with parts of these lengths, in percent of the room.
    Dump(Vec<usize>),
    /// The module is loaded again, in the same boot.
    Reopen,
    /// A reboot; dumps come soon after it, or late.
    Boot {
        late: bool,
    },
    /// Mainline writes a record.
    Foreign {
        slot: usize,
        len: usize,
    },
    /// Mainline deletes a record.
    Delete {
        slot: usize,
    },
    Fill(u8),
    /// One byte of a payload changes.
    SpoilPayload {
        slot: usize,
        at: usize,
    },
    SpoilSeal {
        slot: usize,
        at: usize,
    },
    SpoilSig {
        slot: usize,
    },
}

fn op(slots: usize) -> impl Strategy<Value = Op> {
    let slot = 0..slots;
    prop_oneof![
        12 => vec(0..=100usize, 1..4).prop_map(Op::Dump),
        1 => Just(Op::Reopen),
        3 => any::<bool>().prop_map(|late| Op::Boot { late }),
        2 => (slot.clone(), 1..600usize).prop_map(|(slot, len)| Op::Foreign { slot, len }),
        2 => slot.clone().prop_map(|slot| Op::Delete { slot }),
        1 => prop_oneof![Just(0), Just(0xff), Just(0x5a)].prop_map(Op::Fill),
        1 => (slot.clone(), 0..300usize).prop_map(|(slot, at)| Op::SpoilPayload { slot, at }),
        1 => (slot.clone(), 0..192usize).prop_map(|(slot, at)| Op::SpoilSeal { slot, at }),
        1 => slot.prop_map(|slot| Op::SpoilSig { slot }),
    ]
}

fn boot_id(boot: u64) -> [u8; 16] {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&boot.to_le_bytes());
    id
}

struct World<'a> {
    ram: &'a Ram,
    geometry: Geometry,
    store: TestStore<'a>,
    model: Model,
    /// Makes each text different.
    count: usize,
}

impl World<'_> {
    fn reopen(&mut self) {
        let (store, census) = open(self.ram, &self.geometry);
        self.store = store;
        self.model.reopen();
        let sealed = |cell: &&Cell| matches!(cell.record, Some(Record::Sealed(_)));
        let records = self.model.cells.iter().filter(|cell| cell.record.is_some());
        assert_eq!(
            census.sealed,
            self.model.cells.iter().filter(sealed).count()
        );
        assert_eq!(census.sealed + census.foreign, records.count());
        assert_eq!(census.newest_seq.unwrap_or(0) + 1, self.model.seq);
        assert_eq!(census.next, self.model.choose(&[], self.model.newest));
    }

    fn dump(&mut self, parts: &[usize]) {
        let info = DumpInfo {
            boot_id: boot_id(self.model.boot),
            boottime_ns: self.model.boottime_ns,
            ..INFO
        };
        let loop_start = self.model.loop_start();
        let mut dump = self.store.begin(&info);
        let mut used = Vec::new();
        let newest_at_begin = self.model.newest;
        let mut id = 0;
        for (i, percent) in parts.iter().enumerate() {
            self.count += 1;
            let part = i as u32 + 1;
            let last = part as usize == parts.len();
            let len = dump.room() * percent / 100;
            let text: Vec<u8> = format!("{}.", self.count)
                .bytes()
                .cycle()
                .take(len)
                .collect();
            let expected = self.model.choose(&used, newest_at_begin);
            let result = dump.append(&text, last);
            assert_eq!(result, expected.ok_or(Dropped::NoSlot));
            let Some(slot) = expected else {
                break;
            };

            let seq = self.model.seq;
            if part == 1 {
                id = seq;
            }
            let prefix = format!("====1700000000.123456-D\nPanic#1 Part{part}\n");
            self.model.seq += 1;
            self.model.cells[slot] = Cell {
                record: Some(Record::Sealed([prefix.as_bytes(), &text].concat())),
                seal: Some(Sealed {
                    seq,
                    dump: id,
                    part,
                    loop_start,
                    boot: self.model.boot,
                }),
                ..Cell::default()
            };
            self.model.known[slot] = Known {
                class: Class::New,
                age: id,
                part: u32::MAX - part,
            };
            if loop_start != 0 {
                self.model.mark(loop_start);
            }
            if part == 1 {
                self.model.newest = Some(slot);
            }
            used.push(slot);
        }
    }

    /// Mainline is loaded in place of our module, which is loaded again afterwards.
    fn mainline(&mut self, f: impl FnOnce(&mut [u8], &Geometry, &mut [Cell])) {
        {
            let mut image = self.ram.bytes.borrow_mut();
            for (slot, cell) in self.model.cells.iter_mut().enumerate() {
                // Without a stamp it is no record.
                cell.damaged &= mainline::record(&image, &self.geometry, slot).is_some();
            }
            mainline::load(&mut image, &self.geometry);
            for cell in &mut self.model.cells {
                // It does not see such a record, and takes the zone for an empty one.
                if cell.sig_spoilt {
                    cell.record = None;
                    cell.damaged = false;
                    cell.sig_spoilt = false;
                }
            }
            f(&mut image, &self.geometry, &mut self.model.cells);
        }
        self.reopen();
    }

    fn run(&mut self, op: &Op) {
        let geometry = self.geometry;
        // A single wrong byte does nothing then, and several are the matter of other tests.
        let spoils = matches!(
            op,
            Op::SpoilPayload { .. } | Op::SpoilSeal { .. } | Op::SpoilSig { .. }
        );
        if spoils && geometry.ecc_size() != 0 {
            return;
        }
        let seal_at = |slot| geometry.seal_offset(slot).unwrap();
        match *op {
            Op::Dump(ref parts) => self.dump(parts),
            Op::Reopen => self.reopen(),
            Op::Boot { late } => {
                self.model.boot += 1;
                // Just within, or just outside.
                self.model.boottime_ns = DEFAULT.loop_ns - u64::from(!late);
                self.reopen();
            }
            Op::Foreign { slot, len } => {
                self.count += 1;
                let secs = 1_000_000 + (self.count as u64 * 7919) % 1000;
                let text: Vec<u8> = format!("F{} ", self.count)
                    .bytes()
                    .cycle()
                    .take(len)
                    .collect();
                self.mainline(|image, geometry, cells| {
                    mainline::write(image, geometry, slot, secs, &text);
                    let mut payload = format!("===={secs}.000042-D\n").into_bytes();
                    payload.extend_from_slice(&text);
                    payload.truncate(geometry.data_capacity());
                    let cell = &mut cells[slot];
                    cell.damaged = false;
                    if payload.len() > geometry.payload_capacity() {
                        let has_magic =
                            payload.len() <= geometry.payload_capacity() + SEAL_MAGIC_OFFSET;
                        cell.broken = has_magic && (cell.broken || cell.seal.is_some());
                        cell.seal = None;
                    }
                    cell.record = Some(Record::Foreign { secs, payload });
                });
            }
            Op::Delete { slot } => self.mainline(|image, geometry, cells| {
                mainline::erase(image, geometry, slot);
                cells[slot].record = None;
                cells[slot].damaged = false;
            }),
            Op::Fill(value) => {
                self.ram.bytes.borrow_mut().fill(value);
                self.model.cells.fill(Cell::default());
                self.reopen();
            }
            // The spoiling ones hit a module that is loaded, which does not notice.
            Op::SpoilPayload { slot, at } => {
                let cell = &mut self.model.cells[slot];
                if let Some(Record::Sealed(payload)) = &cell.record {
                    let at = slot * geometry.stride() + 12 + at % payload.len();
                    self.ram.bytes.borrow_mut()[at] ^= 0x10;
                    // The seal still tells the sequence number.
                    cell.record = None;
                    cell.damaged = true;
                }
            }
            Op::SpoilSeal { slot, at } => {
                let cell = &mut self.model.cells[slot];
                if let Some(Record::Sealed(payload)) = &cell.record {
                    self.ram.bytes.borrow_mut()[seal_at(slot) + at] ^= 0x10;
                    // Mainline's view is left, if there is one.
                    let secs = OUR_SECS;
                    let payload = payload.clone();
                    cell.record = (!cell.sig_spoilt).then_some(Record::Foreign { secs, payload });
                    cell.seal = None;
                    cell.broken = !(SEAL_MAGIC_OFFSET..SEAL_MAGIC_OFFSET + 4).contains(&at);
                }
            }
            Op::SpoilSig { slot } => {
                let cell = &mut self.model.cells[slot];
                if let (Some(Record::Sealed(_)), false) = (&cell.record, cell.sig_spoilt) {
                    self.ram.bytes.borrow_mut()[slot * geometry.stride()] ^= 0x10;
                    cell.sig_spoilt = true;
                }
            }
        }
    }

    /// Compares all slots with the model.
    fn check(&self) {
        for (slot, cell) in self.model.cells.iter().enumerate() {
            let (kind, payload) = look(&self.ram, &self.geometry, slot);
            let found = match kind {
                Kind::Sealed(seal) => {
                    let sealed = Sealed {
                        seq: seal.seq,
                        dump: seal.dump,
                        part: seal.part,
                        loop_start: seal.loop_start,
                        boot: u64::from_le_bytes(*seal.boot_id.first_chunk().unwrap()),
                    };
                    assert_eq!(Some(sealed), cell.seal);
                    Some(Record::Sealed(payload))
                }
                Kind::Foreign(foreign) => Some(Record::Foreign {
                    secs: foreign.stamp.secs as u64,
                    payload,
                }),
                _ => None,
            };
            assert_eq!(found, cell.record, "slot {slot}: {kind:?}");
            let seen = mainline::record(&self.ram.image(), &self.geometry, slot);
            match (&cell.record, cell.sig_spoilt) {
                (Some(Record::Sealed(payload) | Record::Foreign { payload, .. }), false) => {
                    assert_eq!(seen.as_ref(), Some(payload));
                }
                (Some(_), true) => assert_eq!(seen, None),
                // Mainline shows a record even if it is damaged.
                (None, _) => (),
            }
        }
    }
}

fn run(geometry: Geometry, ops: &[Op]) {
    let slots = geometry.slots();
    let ram = Ram::new(vec![0; geometry.mem_size()]);
    let (store, _) = open(&ram, &geometry);
    let model = Model {
        cells: vec![Cell::default(); slots],
        known: vec![FREE; slots],
        newest: None,
        start: 0,
        seq: 1,
        previous: None,
        boot: 1,
        boottime_ns: 0,
    };
    let mut world = World {
        ram: &ram,
        geometry,
        store,
        model,
        count: 0,
    };
    for op in ops {
        world.run(op);
        world.check();
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 3000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn random_operations(
        (slots, ops) in (1..7usize).prop_flat_map(|slots| (Just(slots), vec(op(slots), 1..60)))
    ) {
        run(geometry(slots), &ops);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn random_operations_with_parity(
        (slots, ops) in (1..7usize).prop_flat_map(|slots| (Just(slots), vec(op(slots), 1..30))),
        ecc_size in 1..20usize,
    ) {
        run(geometry_with_ecc(slots, 552, ecc_size), &ops);
    }
}
