// SPDX-License-Identifier: GPL-2.0

//! What a power cut may leave, and what must be possible afterwards.

use std::{
    cell::{
        Cell,
        RefCell, //
    },
    collections::{
        HashMap,
        HashSet, //
    },
    rc::Rc, //
};

use super::{
    mainline,
    open,
    strip_prefix,
    view::View,
    Op,
    Ram,
    INFO, //
};
use ringbuf::{
    clear,
    layout::SEAL_MAGIC_OFFSET,
    Census,
    DumpInfo,
    Geometry,
    Kind,
    Seal, //
};

/// Says what is wrong, instead of failing: some tests want it to be wrong.
#[macro_export]
macro_rules! ensure {
    ($cond:expr, $($what:tt)+) => {
        if !$cond {
            return Err(format!("{}: {}", stringify!($cond), format!($($what)+)));
        }
    };
}

/// Whether the seal has been broken for certain.
fn is_seal_broken(settled: &[u8], geometry: &Geometry, slot: usize) -> bool {
    let magic = geometry.seal_offset(slot).unwrap() + SEAL_MAGIC_OFFSET;
    &settled[magic..magic + 4] == b"SEAW"
}

/// Faster than what the standard library has for those who may be attacked.
fn hash(bytes: &[u8]) -> u64 {
    bytes.chunks(8).fold(bytes.len() as u64, |hash, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        let mixed = (hash ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^ (mixed >> 29)
    })
}

/// Regions of one geometry. What was looked at once is not looked at again.
pub struct World {
    pub geometry: Geometry,
    views: RefCell<HashMap<(usize, u64), Rc<View>>>,
    followed: RefCell<HashSet<u64>>,
    states: Cell<usize>,
}

impl World {
    pub fn new(geometry: Geometry) -> Self {
        Self {
            geometry,
            views: RefCell::default(),
            followed: RefCell::default(),
            states: Cell::new(0),
        }
    }

    /// How many states were checked, and how many of them were different.
    pub fn states(&self) -> (usize, usize) {
        (self.states.get(), self.followed.borrow().len())
    }

    fn zone(&self, slot: usize) -> std::ops::Range<usize> {
        slot * self.geometry.stride()..(slot + 1) * self.geometry.stride()
    }

    fn view(&self, image: &[u8], slot: usize) -> Rc<View> {
        let key = (slot, hash(&image[self.zone(slot)]));
        if let Some(view) = self.views.borrow().get(&key) {
            return view.clone();
        }
        let view = Rc::new(View::of_slot(image, &self.geometry, slot));
        self.views.borrow_mut().insert(key, view.clone());
        view
    }

    pub fn views(&self, image: &[u8]) -> Vec<Rc<View>> {
        let slots = 0..self.geometry.slots();
        slots.map(|slot| self.view(image, slot)).collect()
    }

    /// Checks that the region goes on to work: with the next dump and the one after the boot that
    /// follows, and if mainline is loaded in between.
    fn follow(&self, image: &[u8], views: &[Rc<View>]) -> Result<(), String> {
        self.states.set(self.states.get() + 1);
        if !self.followed.borrow_mut().insert(hash(image)) {
            return Ok(());
        }
        let (second, second_views) = self.boot(image, views, 2)?;
        self.boot(&second, &second_views, 3)?;

        // If mainline is loaded next, it finds its own view, and destroys no other record.
        let mut image = image.to_vec();
        mainline::load(&mut image, &self.geometry);
        let loaded = self.views(&image);
        for (view, old) in loaded.iter().zip(views) {
            ensure!(
                view.mainline_text() == old.mainline_text(),
                "mainline loaded: {old:?} {view:?}"
            );
            // Mainline resets a zone in which it sees nothing.
            if view.is_record() || (old.is_record() && view.mainline.is_some()) {
                ensure!(
                    view.payload == old.payload,
                    "mainline loaded: {old:?} {view:?}"
                );
            }
        }
        self.boot(&image, &loaded, 3)?;
        Ok(())
    }

    /// A boot with a dump, which works and takes nothing but what it may.
    fn boot(
        &self,
        image: &[u8],
        views: &[Rc<View>],
        boot: u8,
    ) -> Result<(Vec<u8>, Vec<Rc<View>>), String> {
        let ram = Ram::new(image.to_vec());
        let (store, census) = open(&ram, &self.geometry);
        compare(&census, views)?;
        let newest = newest(&ram, &self.geometry, views);
        let text = format!("dump of boot {boot}");
        let info = DumpInfo {
            boot_id: [boot; 16],
            ..INFO
        };
        let next = store.begin(&info).append(text.as_bytes(), true);
        let Ok(next) = next else {
            return Err(format!("{text}: {next:?}"));
        };
        ensure!(Some(next) == census.next, "{text}: {next}, {census:?}");
        let mut now = views.to_vec();
        let after = ram.image();
        for slot in (0..views.len()).filter(|slot| *slot != next) {
            let zone = self.zone(slot);
            ensure!(
                after[zone.clone()] == image[zone],
                "{text}: slot {slot} changed"
            );
        }
        now[next] = self.view(&after, next);
        let view = &now[next];
        let Kind::Sealed(seal) = view.kind else {
            return Err(format!("{text} is {view:?}"));
        };
        ensure!(
            strip_prefix(&view.payload) == text.as_bytes(),
            "{text}: {view:?}"
        );
        ensure!(
            view.mainline == Some((view.payload.clone(), 0)),
            "{text}: {view:?}"
        );
        ensure!(Some(seal.seq) > census.newest_seq, "{text}: {seal:?}");
        if views.len() > 1 {
            ensure!(newest != Some(next), "{text} took the newest");
            // All these boots are a loop of crashes, unless the newest record was deleted.
            let first = newest.and_then(|newest| first_of_loop(views, views[newest].seal()?));
            if views.len() >= 4 {
                ensure!(first != Some(next), "{text} took the first");
            }
            // A slot with nothing in it is preferred. A torn record is one, though.
            if views.iter().any(|view| view.is_nothing()) {
                ensure!(views[next].is_nothing(), "{text} took {:?}", views[next]);
            }
        }
        Ok((after, now))
    }
}

/// The census has counted what there is.
fn compare(census: &Census, views: &[Rc<View>]) -> Result<(), String> {
    let count = |is: &dyn Fn(&Kind) -> bool| views.iter().filter(|view| is(&view.kind)).count();
    let sealed = count(&|kind| matches!(kind, Kind::Sealed(_)));
    let foreign = count(&|kind| matches!(kind, Kind::Foreign(_)));
    let torn = count(&|kind| matches!(kind, Kind::Torn(_)));
    ensure!(
        (census.sealed, census.foreign, census.torn) == (sealed, foreign, torn),
        "{census:?}"
    );
    Ok(())
}

/// The newest part of the newest dump, be it damaged. If the header is another record's, too, the seal
/// says nothing about what is there.
fn newest(ram: &Ram, geometry: &Geometry, views: &[Rc<View>]) -> Option<usize> {
    let seals = views.iter().enumerate().filter_map(|(slot, view)| {
        let header = ringbuf::header(&ram, geometry, slot).unwrap();
        match view.kind {
            Kind::Sealed(seal) | Kind::Torn(Some(seal)) => {
                Some(((seal.dump, u32::MAX - seal.part), slot))
            }
            Kind::Damaged(seal) if (header.start, header.size) == (0, seal.size) => {
                Some(((seal.dump, u32::MAX - seal.part), slot))
            }
            _ => None,
        }
    });
    seals.max().map(|(_, slot)| slot)
}

/// The slot of part 1 of the first crash of the loop that the newest one belongs to.
fn first_of_loop(views: &[Rc<View>], newest: Seal) -> Option<usize> {
    let number = |view: &View| match view.kind {
        Kind::Cleared(Some(seal)) => seal.seq,
        Kind::Foreign(foreign) => foreign.covered_seq.unwrap_or(0),
        _ => view.seal().map_or(0, |seal| seal.seq),
    };
    if views.iter().any(|view| number(view) > newest.seq) {
        return None;
    }
    let is_first = |view: &Rc<View>| matches!(view.kind, Kind::Sealed(seal) if (seal.dump, seal.part) == (newest.loop_start, 1));
    views.iter().position(is_first)
}

/// What is to be cut.
pub struct Case<'a> {
    pub world: &'a World,
    pub before: Vec<Rc<View>>,
    pub after: Vec<Rc<View>>,
    /// What was there.
    pub start: Vec<u8>,
    /// What is written in the end.
    pub end: Vec<u8>,
    /// The slots that are written to one after the other, each with the number of operations when
    /// it was complete.
    pub steps: Vec<(usize, usize)>,
    /// Records are deleted, not written.
    pub is_clear: bool,
}

impl Case<'_> {
    /// Checks what is left by a cut before operation `op`, and that the region goes on to work.
    pub fn check(&self, image: &[u8], settled: &[u8], op: usize) -> Result<(), String> {
        let views = self.check_slots(image, settled, op)?;
        self.world.follow(image, &views)
    }

    /// Whether some of the payload has changed: before that it must be known what it is going to be.
    fn has_begun_payload(&self, image: &[u8], slot: usize) -> bool {
        let geometry = &self.world.geometry;
        let begin = geometry.data_offset(slot).unwrap();
        // Its end is in a block of the seal, if there are blocks.
        let len = match geometry.ecc_size() {
            0 => geometry.payload_capacity(),
            _ => geometry.payload_capacity() / 128 * 128,
        };
        image[begin..begin + len] != self.start[begin..begin + len]
    }

    /// Checks what is left by a cut before operation `op`.
    pub fn check_slots(
        &self,
        image: &[u8],
        settled: &[u8],
        op: usize,
    ) -> Result<Vec<Rc<View>>, String> {
        let views = self.world.views(image);
        for (slot, view) in views.iter().enumerate() {
            let (before, after) = (&*self.before[slot], &*self.after[slot]);
            let view = &**view;
            let at = || format!("slot {slot}, before operation {op}: {view:?}");
            if let Some(text) = view.mainline_text() {
                ensure!(!mainline::is_stamp_only(text), "{}", at());
            }
            let step = self.steps.iter().position(|(s, _)| *s == slot);
            let begun = step.is_some_and(|step| step == 0 || self.steps[step - 1].1 <= op);
            let complete = step.is_some_and(|step| self.steps[step].1 <= op);
            if complete {
                ensure!(view == after, "{}", at());
                // Nothing is left for the parity to correct.
                let zone = self.world.zone(slot);
                ensure!(image[zone.clone()] == self.end[zone], "{}", at());
            } else if !begun {
                ensure!(view == before, "{}", at());
            } else if self.is_clear {
                deleting(view, before, &at)?;
            } else {
                let broken = is_seal_broken(settled, &self.world.geometry, slot);
                writing(view, before, after, broken, &at)?;
                if self.has_begun_payload(image, slot) {
                    let is_known = matches!((view.kind, after.seal()),
                        (Kind::Torn(seal), after) if seal == after);
                    ensure!(is_known || view.is_same_record(after), "{}", at());
                }
            }
        }
        Ok(views)
    }
}

/// The old record, the new one, or none.
fn writing(
    view: &View,
    before: &View,
    after: &View,
    broken: bool,
    at: &dyn Fn() -> String,
) -> Result<(), String> {
    // A deleted record may come back, and the new seal may repair the old one.
    let is_whole_again = match (view.kind, before.kind) {
        (Kind::Sealed(seal), Kind::Cleared(old)) => old == Some(seal),
        (Kind::Sealed(_), Kind::Foreign(_)) => view.payload == before.payload,
        (Kind::Sealed(_), Kind::Torn(None)) => before.salvage.starts_with(&view.payload),
        _ => false,
    };
    if view.is_record() {
        ensure!(
            view.is_same_record(before) || view.is_same_record(after) || is_whole_again,
            "{}",
            at()
        );
    } else if let Kind::Torn(Some(seal)) = view.kind {
        // It says what it was going to be, or what was there.
        let is_old = match before.kind {
            Kind::Cleared(old) => old == Some(seal),
            Kind::Foreign(foreign) => foreign.covered_seq == Some(seal.seq),
            _ => before.seal() == Some(seal),
        };
        ensure!(is_old || after.seal() == Some(seal), "{}", at());
        ensure!(view.salvage.len() <= seal.size as usize, "{}", at());
    } else if broken {
        ensure!(view.kind == Kind::Torn(None), "{}", at());
    } else {
        // A record of mainline is gone as soon as its header is. A record of ours and a free slot
        // are what they were until the seal is broken.
        let gone = matches!(before.kind, Kind::Foreign(_)) || !before.is_record();
        ensure!(gone || view.kind == Kind::Torn(None), "{}", at());
    }
    if let (Kind::Salvaged { .. }, Kind::Foreign(_)) = (view.kind, before.kind) {
        ensure!(before.payload.starts_with(&view.salvage), "{}", at());
    } else {
        ensure!(!matches!(view.kind, Kind::Salvaged { .. }), "{}", at());
    }
    let seen = &view.mainline;
    let old_or_new = *seen == before.mainline || *seen == after.mainline;
    ensure!(seen.is_none() || old_or_new, "{}", at());
    // What mainline shows is not older than what we show.
    if view.is_same_record(after) {
        ensure!(seen.is_none() || *seen == after.mainline, "{}", at());
    }
    Ok(())
}

/// The old record, or none; and of text that nothing vouches for, no other than there was.
fn deleting(view: &View, before: &View, at: &dyn Fn() -> String) -> Result<(), String> {
    if view.is_record() {
        ensure!(view.is_same_record(before), "{}", at());
    }
    ensure!(
        view.mainline.is_none() || view.mainline == before.mainline,
        "{}",
        at()
    );
    // Where a record ends is known only as long as it is there.
    let text = match before.payload.as_slice() {
        [] => &before.salvage,
        text => text,
    };
    let len = text.len().min(view.salvage.len());
    ensure!(text[..len] == view.salvage[..len], "{}", at());
    Ok(())
}

/// A dump of `parts` into `image`, and what it does.
pub fn dump<'a>(world: &'a World, image: &[u8], parts: usize) -> (Case<'a>, Vec<Op>) {
    let ram = Ram::new(image.to_vec());
    let (store, _) = open(&ram, &world.geometry);
    // It continues a loop.
    let info = DumpInfo {
        boot_id: [1; 16],
        urgent: true,
        ..INFO
    };
    let mut dump = store.begin(&info);
    let mut steps = Vec::new();
    for part in 1..=parts {
        // Shorter and longer than what is there already, and the longest.
        let len = [dump.room(), 61][part % 2];
        let text: Vec<u8> = (0..len).map(|i| b'A' + ((i * part) % 23) as u8).collect();
        let slot = dump.append(&text, part == parts).unwrap();
        steps.push((slot, ram.log.borrow().len()));
    }
    let case = Case {
        world,
        before: world.views(image),
        after: world.views(&ram.image()),
        start: image.to_vec(),
        end: ram.image(),
        steps,
        is_clear: false,
    };
    for (slot, _) in &case.steps {
        let after = &case.after[*slot];
        assert!(matches!(after.kind, Kind::Sealed(_)));
        assert_eq!(after.mainline, Some((after.payload.clone(), 0)));
    }
    (case, ram.log.take())
}

/// The record in `slot` of `image` is deleted.
pub fn delete<'a>(world: &'a World, image: &[u8], slot: usize) -> (Case<'a>, Vec<Op>) {
    let ram = Ram::new(image.to_vec());
    clear(&&ram, &world.geometry, slot).unwrap();
    let case = Case {
        world,
        before: world.views(image),
        after: world.views(&ram.image()),
        start: image.to_vec(),
        end: ram.image(),
        steps: vec![(slot, ram.log.borrow().len())],
        is_clear: true,
    };
    let after = &case.after[slot];
    let deleted = matches!(after.kind, Kind::Cleared(_) | Kind::Empty | Kind::Erased);
    assert!(deleted && after.mainline.is_none(), "{after:?}");
    (case, ram.log.take())
}
