// SPDX-License-Identifier: GPL-2.0

//! How much text is chosen to be compressed into a record.

use std::cell::Cell;

use proptest::prelude::*;
use ringbuf::fit;

/// Chooses among texts of these lengths, whose compressed lengths are known. Checks what a caller
/// relies on, and returns the choice and how often it took compressing something.
fn choose(lens: &[usize], packed: &[usize], room: usize) -> (Option<usize>, usize) {
    let last = Cell::new(None);
    let count = Cell::new(0);
    let choice = fit(
        lens.len(),
        room,
        |text| lens[text],
        |text| {
            last.set(Some(text));
            count.set(count.get() + 1);
            packed[text]
        },
    );
    if let Some(choice) = choice {
        assert!(packed[choice] <= room, "it does not fit");
        assert_eq!(last.get(), Some(choice), "not the last one compressed");
    }
    assert!(count.get() <= 7);
    (choice, count.get())
}

/// 200 texts, each 1000 bytes longer than the one before.
fn lens() -> Vec<usize> {
    (1..=200).map(|n| n * 1000).collect()
}

#[test]
fn all_is_taken_at_once_if_it_fits() {
    let packed: Vec<_> = lens().iter().map(|len| len / 3).collect();
    assert_eq!(choose(&lens(), &packed, 70_000), (Some(199), 1));
}

#[test]
fn text_that_compresses_alike_takes_two_tries() {
    let packed: Vec<_> = lens().iter().map(|len| len / 3).collect();
    let (choice, tries) = choose(&lens(), &packed, 40_000);
    assert!(packed[choice.unwrap()] > 38_000 && tries == 2);
}

#[test]
fn text_that_does_not_compress_is_chosen_as_well() {
    let (choice, _) = choose(&lens(), &lens(), 40_000);
    assert!(lens()[choice.unwrap()] > 37_000);
}

#[test]
fn text_of_two_kinds_fills_most_of_the_room() {
    // The newest compresses badly, the oldest well, and the other way round.
    for (new, old) in [(0.9, 0.1), (0.1, 0.9)] {
        for border in [20_000, 50_000, 150_000] {
            let packed = |len: &usize| {
                let newest = *len.min(&border) as f64;
                (newest * new + (*len as f64 - newest) * old) as usize
            };
            let packed: Vec<_> = lens().iter().map(packed).collect();
            let (choice, _) = choose(&lens(), &packed, 40_000);
            let size = packed[choice.unwrap()];
            assert!(
                size > 32_000 || choice == Some(199),
                "{new} {border}: {size}"
            );
        }
    }
}

#[test]
fn nothing_is_chosen_where_nothing_fits() {
    assert_eq!(choose(&lens(), &[100_000; 200], 40_000).0, None);
    assert_eq!(choose(&[], &[], 40_000), (None, 0));
}

proptest! {
    /// Whatever the lengths are: no loop, no choice that does not fit.
    #[test]
    fn any_lengths(texts in prop::collection::vec((0usize..100_000, 0usize..100_000), 0..300), room in 0usize..100_000) {
        let (mut lens, packed): (Vec<_>, Vec<_>) = texts.into_iter().unzip();
        lens.sort_unstable();
        choose(&lens, &packed, room);
    }
}
