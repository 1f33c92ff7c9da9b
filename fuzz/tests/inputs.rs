// SPDX-License-Identifier: GPL-2.0

//! Replay what the fuzzer has found worth keeping: inputs/ has one input a line, in hexadecimal.

use ringbuf_fuzz::{
    corrupt,
    open,
    scan, //
};

fn replay(inputs: &str, run: fn(&[u8])) {
    assert!(!inputs.is_empty());
    for (number, line) in inputs.lines().enumerate() {
        println!("input on line {}", number + 1);
        let input: Vec<u8> = (0..line.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&line[at..at + 2], 16).unwrap())
            .collect();
        run(&input);
    }
}

#[test]
fn corrupt_inputs() {
    replay(include_str!("../inputs/corrupt.hex"), corrupt::run);
}

#[test]
fn open_inputs() {
    replay(include_str!("../inputs/open.hex"), open::run);
}

#[test]
fn scan_inputs() {
    replay(include_str!("../inputs/scan.hex"), scan::run);
}
