// SPDX-License-Identifier: GPL-2.0

//! Sequence numbers, and the end of them.

use crate::common::{
    forge,
    geometry,
    open,
    seal,
    Ram,
    INFO, //
};
use ringbuf::{
    seq::{
        after,
        Order, //
    },
    DumpInfo, //
};

fn sorted(mut numbers: Vec<u64>) -> Vec<u64> {
    let mut order = Order::default();
    numbers.iter().for_each(|seq| order.note(*seq));
    numbers.sort_unstable_by_key(|seq| order.rank(*seq));
    for seq in &numbers {
        assert_eq!(order.rank(order.rank(*seq)), *seq);
    }
    numbers
}

#[test]
fn one_follows_the_highest() {
    assert_eq!(
        [after(1), after(u64::MAX - 1), after(u64::MAX)],
        [2, u64::MAX, 1]
    );
    assert_eq!(sorted(vec![3, 1, 2]), [1, 2, 3]);
    assert_eq!(
        sorted(vec![1, u64::MAX, 2, u64::MAX - 1]),
        [u64::MAX - 1, u64::MAX, 1, 2]
    );
    // A leap is no wrap.
    for leap in [1 << 61, 1 << 62, 1 << 63, (3 << 62) - 1] {
        assert_eq!(sorted(vec![leap, 5, leap + 1]), [5, leap, leap + 1]);
    }
}

/// The ring goes on across the end of the numbers: in one boot and in several, in dumps of two
/// parts.
#[test]
fn a_ring_at_the_end_of_the_numbers() {
    let geometry = geometry(4);
    for left in 0..6 {
        for dumps_per_boot in [1, 2, 9] {
            let ram = Ram::new(vec![0; geometry.mem_size()]);
            let number = u64::MAX - left;
            forge(&ram, &geometry, 0, (number, number, 0, 1));
            let mut written = vec![number];
            for boot in 0..9 {
                let (store, census) = open(&ram, &geometry);
                assert_eq!(census.newest_seq, written.last().copied());
                for _ in 0..dumps_per_boot {
                    let info = DumpInfo {
                        boot_id: [boot; 16],
                        ..INFO
                    };
                    let mut dump = store.begin(&info);
                    for (text, last) in [(b"b", false), (b"a", true)] {
                        dump.append(text, last).unwrap();
                        written.push(after(*written.last().unwrap()));
                    }
                    // The forged one is overwritten by the second dump.
                    if let Some(expected) = written.len().checked_sub(4).filter(|at| *at > 0) {
                        let mut seqs =
                            Vec::from_iter((0..4).map(|at| seal(&ram, &geometry, at).seq));
                        seqs.sort_by_key(|seq| written.iter().position(|other| other == seq));
                        assert_eq!(seqs, written[expected..]);
                    }
                }
            }
        }
    }
}
