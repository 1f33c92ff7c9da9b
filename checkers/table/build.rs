// SPDX-License-Identifier: GPL-2.0

fn main() {
    println!("cargo::rustc-check-cfg=cfg(loom, shuttle)");
    println!("cargo::rustc-cfg=loom");
}
