// SPDX-License-Identifier: GPL-2.0

fn main() {
    println!("cargo::rustc-check-cfg=cfg(loom, shuttle, CONFIG_RUST)");
    println!("cargo::rustc-cfg=shuttle");
    // As in the kernel: ringbuf is a module of a crate.
    println!("cargo::rustc-cfg=CONFIG_RUST");
}
