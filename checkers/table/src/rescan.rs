// SPDX-License-Identifier: GPL-2.0

//! The region is read again while dumps come and go.

use std::sync::Arc;

use loom::{
    sync::atomic::{
        AtomicU64,
        Ordering::Relaxed, //
    },
    thread, //
};

use super::{
    current::Current,
    explore, //
};

/// A region, and two tables. Each is a count of the dumps that it knows of.
struct Model {
    current: Current,
    region: AtomicU64,
    tables: [AtomicU64; 2],
}

impl Model {
    fn dump(&self) {
        let table = &self.tables[self.current.enter()];
        // A load may see an old value.
        let known = table.load(Relaxed);
        self.region.store(known + 1, Relaxed);
        table.store(known + 1, Relaxed);
        self.current.leave();
    }

    fn rescan(&self) -> bool {
        let Some(replacement) = self.current.prepare() else {
            return false;
        };
        let table = &self.tables[replacement.index()];
        // Not at once: somebody else may do the same.
        table.store(100, Relaxed);
        table.store(self.region.load(Relaxed), Relaxed);
        replacement.put_in()
    }
}

/// Whatever comes in between: the table in use knows of all dumps that are in the region.
#[test]
fn no_dump_is_forgotten() {
    for rescans in [1, 2] {
        explore(move || {
            let model = Arc::new(Model {
                current: Current::new(),
                region: AtomicU64::new(0),
                tables: [AtomicU64::new(0), AtomicU64::new(0)],
            });
            let threads: Vec<_> = (0..rescans)
                .map(|_| {
                    let model = Arc::clone(&model);
                    thread::spawn(move || model.rescan())
                })
                .collect();
            model.dump();
            if rescans == 1 {
                model.dump();
            }
            for thread in threads {
                thread.join().unwrap();
            }
            let known = model.tables[model.current.enter()].load(Relaxed);
            model.current.leave();
            assert_eq!(known, model.region.load(Relaxed));
            // Nobody is left behind.
            assert!(model.rescan());
        });
    }
}
