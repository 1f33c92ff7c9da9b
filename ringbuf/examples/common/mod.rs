// SPDX-License-Identifier: GPL-2.0

//! What the host programs share: the image of a region, their arguments, and their output.

#[path = "../../../ramoopsctl/src/parity.rs"]
#[allow(unreachable_pub, reason = "the reader shares this file")]
mod parity;

use std::{
    cell::RefCell,
    collections::BTreeMap,
    env,
    fs,
    process::ExitCode,
    rc::Rc,
    sync::atomic::AtomicU32, //
};

use ringbuf::{
    Census,
    Geometry,
    Memory,
    Options,
    Params,
    Ranked,
    Store, //
};
use serde::Serialize;

/// An image, whose file is never written. A clone is the same image.
#[derive(Clone)]
pub(crate) struct Image(Rc<RefCell<Vec<u8>>>);

impl Memory for Image {
    fn len(&self) -> usize {
        self.0.borrow().len()
    }

    fn read(&self, offset: usize, buf: &mut [u8]) -> bool {
        let image = self.0.borrow();
        let bytes = image.get(offset..).and_then(|bytes| bytes.get(..buf.len()));
        bytes.map(|bytes| buf.copy_from_slice(bytes)).is_some()
    }

    fn write(&self, offset: usize, data: &[u8]) -> bool {
        let mut image = self.0.borrow_mut();
        let bytes = image
            .get_mut(offset..)
            .and_then(|bytes| bytes.get_mut(..data.len()));
        bytes.map(|bytes| bytes.copy_from_slice(data)).is_some()
    }

    fn barrier(&self, _offset: usize, _len: usize) {}

    fn crc32c(crc: u32, data: &[u8]) -> u32 {
        // The crate inverts before and after, the kernel does not.
        !crc32c::crc32c_append(!crc, data)
    }

    fn encode(&self, block: &[u8], parity: &mut [u8]) {
        parity::encode(block, parity);
    }

    fn decode(&self, block: &mut [u8], parity: &mut [u8]) -> Option<usize> {
        parity::decode(block, parity)
    }
}

/// Opens the store in an image.
#[allow(dead_code, reason = "not all programs open one")]
pub(crate) fn open(
    image: Image,
    geometry: Geometry,
) -> Result<(Store<Image, Vec<AtomicU32>>, Census), String> {
    let mut scratch = vec![Ranked::default(); geometry.slots()];
    let order = scratch.iter().map(|_| AtomicU32::new(0)).collect();
    Store::open(image, geometry, order, &mut scratch, Options::default())
        .map_err(|err| format!("{err:?}"))
}

/// The arguments of a program.
pub(crate) struct Arguments {
    pub(crate) image: Image,
    pub(crate) geometry: Geometry,
    /// The arguments that do not belong to the zone map, as far as they are given.
    #[allow(dead_code, reason = "not all programs have such arguments")]
    pub(crate) other: BTreeMap<String, usize>,
}

/// Takes the name of an image file, the parameters of its zone map, and `others`.
pub(crate) fn arguments(others: &[&str]) -> Result<Arguments, String> {
    let mut args = env::args().skip(1);
    let path = args.next().ok_or("the first argument is an image file")?;
    let image = fs::read(&path).map_err(|err| format!("{path}: {err}"))?;
    let image = Image(Rc::new(RefCell::new(image)));
    let mut params = Params {
        mem_size: image.len(),
        record_size: 4096,
        console_size: 4096,
        ftrace_size: 4096,
        pmsg_size: 4096,
        ecc_size: 0,
    };
    let mut other = BTreeMap::new();
    for arg in args {
        let (name, value) = arg.split_once('=').ok_or(format!("{arg}: no value"))?;
        let size = match value.strip_prefix("0x") {
            Some(hex) => usize::from_str_radix(hex, 16),
            None => value.parse(),
        };
        let size = size.map_err(|err| format!("{arg}: {err}"))?;
        *match name {
            "mem_size" => &mut params.mem_size,
            "record_size" => &mut params.record_size,
            "console_size" => &mut params.console_size,
            "ftrace_size" => &mut params.ftrace_size,
            "pmsg_size" => &mut params.pmsg_size,
            "ecc" => &mut params.ecc_size,
            _ if others.contains(&name) => other.entry(name.to_owned()).or_default(),
            _ => return Err(format!("{name}: unknown parameter")),
        } = size;
    }
    if params.ecc_size == 1 {
        params.ecc_size = 16;
    }
    let geometry = Geometry::new(params).map_err(|err| format!("{err:?}"))?;
    Ok(Arguments {
        image,
        geometry,
        other,
    })
}

/// Says what went wrong, if anything did.
pub(crate) fn exit(program: &str, result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("{program}: {err}");
            ExitCode::FAILURE
        }
    }
}

/// Prints one line of JSON.
pub(crate) fn print(line: &impl Serialize) -> Result<(), String> {
    println!(
        "{}",
        serde_json::to_string(line).map_err(|err| err.to_string())?
    );
    Ok(())
}
