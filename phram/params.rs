// SPDX-License-Identifier: GPL-2.0

//! The parameters, and the list of the devices that they ask for.

use super::{
    device::Device,
    spec::{
        Spec,
        Why, //
    }, //
};
use crate::linux::{
    bindings::KERNEL_PARAM_FL_HWPARAM,
    param::{
        Locked,
        Param,
        ParamLock,
        Size, //
    }, //
};
use crate::LocalModule;
use kernel::{
    fmt,
    prelude::*,
    str::BStr, //
};

crate::module_params! { LocalModule, "rust_phram":
    /// Devices to make. Given several times, it makes several.
    phram: DeviceList = DeviceList, 0o200, KERNEL_PARAM_FL_HWPARAM as u8, "string",
        "Memory region to map. \"phram=<name>,<start>,<length>[,<erasesize>][,ro][,overlap]\"; \
        <start> may be @<name of a reserve_mem= region>, whose length is the default then";
    /// How the memory is cached, as in rust_ramoops.
    mem_type: Size = Size::new(0), 0o400, 0, "uint",
        "memory type: 0=write-combined (default), 1=unbuffered, 2=cached";
}

/// The devices, and those asked for before `init` has run.
pub(crate) static STATE: Locked<State, LocalModule> = Locked::new(State {
    phase: Phase::Loading,
    specs: [const { None }; MAX_SPECS],
    devices: None,
});

/// How many devices can be asked for when the module is loaded. More can be added through sysfs.
const MAX_SPECS: usize = 16;

/// How much of a refused parameter is repeated in the log: more than any good one has.
const MAX_SHOWN: usize = 160;

pub(crate) struct State {
    phase: Phase,
    /// What was asked for while the module was loading.
    specs: [Option<Spec>; MAX_SPECS],
    /// All devices, the newest first.
    devices: Option<KBox<Device>>,
}

enum Phase {
    /// Parameters are parsed. Nothing is made before all of them have been found good.
    Loading,
    /// The module is loaded.
    Live,
    /// The module is going, or has failed to load.
    Closed,
}

impl State {
    /// Adds a device to the list, its memory mapped but not yet registered.
    fn map(&mut self, spec: Spec) -> Result<(), Why> {
        let mapping = spec.map()?;
        // Ranges of mappings do not wrap.
        let range = mapping.start()..mapping.start().wrapping_add(mapping.len() as u64);
        let mut next = self.devices.as_ref();
        while let Some(other) = next {
            let disjoint = range.end <= other.range.start || other.range.end <= range.start;
            if !disjoint && !spec.overlap && !other.spec.overlap {
                return Err(Why::Overlap(other.spec.name));
            }
            next = other.next.as_ref();
        }
        let device = Device {
            spec,
            range,
            mapping: Some(mapping),
            registration: None,
            next: None,
        };
        let mut device =
            KBox::new(device, GFP_KERNEL).map_err(|error| Why::NotRegistered(error.into()))?;
        device.next = self.devices.take();
        self.devices = Some(device);
        Ok(())
    }

    /// Ends all devices.
    pub(crate) fn close(&mut self) {
        self.phase = Phase::Closed;
        while let Some(mut device) = self.devices.take() {
            self.devices = device.next.take();
        }
    }
}

/// The parameter `phram`.
pub(crate) struct DeviceList;

impl Param<LocalModule> for DeviceList {
    fn set(&'static self, arg: &[u8], lock: &mut ParamLock<LocalModule>) -> Result {
        let refuse = |why: Why| {
            // A line of the log holds about 1000 characters, and the reason comes last.
            let shown = arg.get(..MAX_SHOWN).unwrap_or(arg);
            pr_err!("phram={}: {}\n", BStr::from_bytes(shown), why);
            why.errno()
        };
        let spec = Spec::parse(arg).map_err(refuse)?;
        let state = STATE.access(lock);
        match state.phase {
            Phase::Loading => {
                // Of two with the same name, as from modprobe.d and the command line, the last
                // counts.
                let slot = state
                    .specs
                    .iter_mut()
                    .find(|slot| slot.is_none_or(|other| other.name == spec.name))
                    .ok_or_else(|| refuse(Why::TooMany))?;
                if slot.replace(spec).is_some() {
                    pr_notice!(
                        "phram={}: given again, the last one counts\n",
                        spec.name.as_c_str()
                    );
                }
            }
            Phase::Live => {
                state.map(spec).map_err(refuse)?;
                let Some(device) = &mut state.devices else {
                    return Err(EINVAL);
                };
                if let Err(why) = device.register() {
                    state.devices = device.next.take();
                    return Err(refuse(why));
                }
            }
            Phase::Closed => return Err(ENODEV),
        }
        Ok(())
    }

    fn show(&self, _f: &mut dyn fmt::Write) -> fmt::Result {
        Ok(())
    }
}

/// Makes all devices that were asked for, or fails.
pub(crate) fn load(state: &mut State) -> Result {
    let refuse = |spec: &Spec, why: Why| {
        pr_err!("phram={}: {}\n", spec.name.as_c_str(), why);
        why.errno()
    };
    // A device that user space has seen cannot be taken back, so all memory is checked first.
    // The list begins with the newest, and the devices are numbered in its order.
    for index in (0..MAX_SPECS).rev() {
        if let Some(Some(spec)) = state.specs.get(index).copied() {
            state.map(spec).map_err(|why| refuse(&spec, why))?;
        }
    }
    let mut next = state.devices.as_mut();
    while let Some(device) = next {
        device.register().map_err(|why| refuse(&device.spec, why))?;
        next = device.next.as_mut();
    }
    state.phase = Phase::Live;
    Ok(())
}
