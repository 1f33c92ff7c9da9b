// SPDX-License-Identifier: GPL-2.0

//! Images to read, made with the record store and with what mainline does.

#![allow(dead_code, unreachable_pub)]

#[path = "../../../ringbuf/tests/common/mod.rs"]
pub mod store;

use std::{
    io::Write,
    path::{
        Path,
        PathBuf, //
    },
    process::{
        Command,
        Output,
        Stdio, //
    },
};

use ringbuf::{
    layout::{
        SEAL_MAGIC_OFFSET,
        SIG, //
    },
    DumpInfo,
    Geometry,
    Params, //
};

/// The module's defaults for a region of this size.
pub fn params(mem_size: usize, record_size: usize) -> Params {
    Params {
        mem_size,
        record_size,
        console_size: 4096,
        ftrace_size: 4096,
        pmsg_size: 4096,
        ecc_size: 0,
    }
}

/// A log of so many lines, with a panic at its end.
pub fn log(lines: usize) -> String {
    let mut text = String::new();
    for line in 0..lines {
        text += &format!(
            "<6>[{:5}.{line:06}] usb 1-1: something happened\n",
            line / 10
        );
    }
    text += "<0>[  100.000001] Kernel panic - not syncing: sysrq triggered crash\n";
    text += "<4>[  100.000002] Call Trace:\n";
    text
}

/// The crash number `n` of boot `boot`.
pub fn info(boot: u8, n: u32) -> DumpInfo<'static> {
    DumpInfo {
        count: n,
        realtime_ns: 1_795_295_618_549_897_000 + u64::from(boot) * 60_000_000_000 + u64::from(n),
        boottime_ns: 3_407_302_000,
        boot_id: [boot; 16],
        release: b"7.3.4+deb13-amd64",
        ..store::INFO
    }
}

/// The same after an hour: no loop of crashes.
pub fn calm(boot: u8, n: u32) -> DumpInfo<'static> {
    DumpInfo {
        boottime_ns: 3_600_000_000_000,
        ..info(boot, n)
    }
}

/// A region that is written to.
pub struct Region {
    pub geometry: Geometry,
    pub ram: store::Ram,
}

impl Region {
    pub fn new(params: Params) -> Self {
        Self {
            geometry: Geometry::new(params).unwrap(),
            ram: store::Ram::new(vec![0; params.mem_size]),
        }
    }

    /// 1 MiB with records of 64 KiB.
    pub fn usual() -> Self {
        Self::new(params(1 << 20, 1 << 16))
    }

    /// 13 slots of 4096 bytes, and the other zones as mainline prepares them.
    pub fn small() -> Self {
        let region = Self::new(params(64 << 10, 4096));
        let geometry = region.geometry;
        let zones = [
            (geometry.console(), SIG),
            (geometry.pmsg(), SIG),
            (geometry.ftrace(), SIG ^ 0x07_0304),
        ];
        region.edit(|image| {
            for ((offset, _), sig) in zones {
                image[offset..][..4].copy_from_slice(&sig.to_ne_bytes());
            }
        });
        region
    }

    /// Stores a dump of these parts, the newest text first. Returns their slots.
    pub fn dump(&self, info: &DumpInfo<'_>, parts: &[&str]) -> Vec<usize> {
        let (store, _) = store::open(&self.ram, &self.geometry);
        let mut dump = store.begin(info);
        let slots = parts.iter().enumerate().map(|(index, text)| {
            dump.append(text.as_bytes(), index + 1 == parts.len())
                .unwrap()
        });
        slots.collect()
    }

    pub fn image(&self) -> Vec<u8> {
        self.ram.image()
    }

    /// Makes the newest record in a slot one of which only so many bytes of the payload arrived. `before` is
    /// the image before it was stored.
    pub fn tear(&self, slot: usize, arrived: usize, before: &[u8]) {
        let zone = self.geometry.slot_offset(slot).unwrap();
        let data = self.geometry.data_offset(slot).unwrap();
        let seal = self.geometry.seal_offset(slot).unwrap();
        self.edit(|image| {
            image[zone..][..4].fill(0);
            image[data + arrived..seal].copy_from_slice(&before[data + arrived..seal]);
            image[seal + SEAL_MAGIC_OFFSET..][..4].copy_from_slice(b"SEAW");
        });
    }

    /// Makes it one of which not even the seal arrived.
    pub fn tear_seal(&self, slot: usize, before: &[u8]) {
        self.tear(slot, 0, before);
        let seal = self.geometry.seal_offset(slot).unwrap();
        self.edit(|image| image[seal + 60] ^= 1);
    }

    /// Changes the image.
    pub fn edit(&self, f: impl FnOnce(&mut [u8])) {
        f(&mut self.ram.bytes.borrow_mut());
    }
}

/// Three crashes over two boots.
pub fn three_crashes() -> Region {
    let region = Region::usual();
    region.dump(&info(1, 1), &[&log(20)]);
    region.dump(&info(1, 2), &[&log(30)]);
    region.dump(&info(2, 1), &[&log(40)]);
    region
}

/// A directory with an image in it.
pub struct Files {
    pub dir: tempfile::TempDir,
}

impl Files {
    pub fn new(image: &[u8]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("image"), image).unwrap();
        Self { dir }
    }

    pub fn image(&self) -> PathBuf {
        self.dir.path().join("image")
    }

    /// Runs the program on the image.
    pub fn run(&self, args: &[&str]) -> Output {
        program()
            .arg("--file")
            .arg(self.image())
            .args(args)
            .output()
            .unwrap()
    }

    /// Runs it, and returns what it prints if its exit status is as expected.
    pub fn text(&self, status: i32, args: &[&str]) -> String {
        let output = self.run(args);
        let stdout = String::from_utf8(output.stdout).unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{stdout}{stderr}");
        stdout
    }

    pub fn json(&self, status: i32, args: &[&str]) -> serde_json::Value {
        serde_json::from_str(&self.text(status, args)).unwrap()
    }
}

pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ramoopsctl"));
    command.env("TZ", "UTC").env_remove("PAGER");
    command
}

/// Runs the program on bytes that come through a pipe.
pub fn piped(args: &[&str], bytes: &[u8]) -> Output {
    let mut child = program()
        .args(["--file", "-"])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may end before it has read everything.
    let _ = child.stdin.take().unwrap().write_all(bytes);
    child.wait_with_output().unwrap()
}

/// Writes an image where `RAMOOPSCTL_IMAGES` says, to look at it by hand.
pub fn keep(name: &str, image: &[u8]) {
    if let Some(dir) = std::env::var_os("RAMOOPSCTL_IMAGES") {
        std::fs::write(Path::new(&dir).join(name), image).unwrap();
    }
}
