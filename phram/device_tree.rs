// SPDX-License-Identifier: GPL-2.0

//! Devices that the device tree describes, as in mainline: a node of /reserved-memory with
//! `compatible = "phram"`. Its `label` is the name, and without `no-map` the memory is cached.

use super::{
    device::Phram,
    params, //
};
use crate::linux::{
    mapping::MemType,
    module::this_module,
    mtd,
    region::Region, //
};
use crate::RustPhram;
use kernel::{
    device,
    driver,
    of,
    page::PAGE_SIZE,
    platform,
    prelude::*,
    str::CString, //
};

/// The driver, while it is registered.
pub(crate) type Driver = Pin<KBox<driver::Registration<platform::Adapter<Node>>>>;

/// Registers the driver. Devices that are there already are probed at once.
pub(crate) fn register() -> Result<Driver> {
    let registration = driver::Registration::new(c"rust_phram", this_module::<RustPhram>());
    KBox::pin_init(registration, GFP_KERNEL)
}

/// The device of a node.
pub(crate) struct Node {
    _device: mtd::Registration<Phram>,
}

kernel::of_device_table!(OF_TABLE, (), [(of::DeviceId::new(c"phram"), ())]);

impl platform::Driver for Node {
    type IdInfo = ();
    type Data<'bound> = Self;
    const OF_ID_TABLE: Option<of::IdTable<Self::IdInfo>> = Some(&OF_TABLE);

    fn probe<'bound>(
        pdev: &'bound platform::Device<device::Core<'_>>,
        _info: Option<&'bound Self::IdInfo>,
    ) -> impl PinInit<Self, Error> + 'bound {
        let dev = pdev.as_ref();
        let node = dev.fwnode();
        let mem_type = if node.is_some_and(|node| !node.property_read_bool(c"no-map")) {
            Some(MemType::Cached)
        } else {
            MemType::from_number(params::mem_type.value())
        };
        let mem_type = mem_type.ok_or(EINVAL).inspect_err(|_| {
            dev_err!(dev, "refused: illegal mem_type, see modinfo rust_phram\n");
        })?;
        let mapping = Region::of_resource(pdev.resource_by_index(0).ok_or(ENOMEM)?)
            .and_then(|region| region.map(mem_type))
            .inspect_err(|refusal| dev_err!(dev, "refused: {}\n", refusal))?;

        let label = node.and_then(|node| node.property_read::<CString>(c"label").optional());
        let name = label.as_deref().unwrap_or(dev.name());
        if mtd::exists(name) {
            dev_err!(dev, "refused: the name {} is taken, see /proc/mtd\n", name);
            return Err(EEXIST);
        }
        let options = mtd::Options {
            name,
            size: mapping.len() as u64,
            erasesize: PAGE_SIZE as u32,
            read_only: false,
            parent: Some(dev),
        };
        Ok(Self {
            _device: mtd::Registration::new(options, Phram { mapping })?,
        })
    }
}
