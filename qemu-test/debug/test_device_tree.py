"""A device that the device tree describes, as mainline's phram has it. (The stock kernel has no device trees.)"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from debug_vm import debug_kernel, DebugVM
from vm import REGION_SIZE, REGION_START

SOURCE = """
/dts-v1/;
/ {
    #address-cells = <1>;
    #size-cells = <1>;
    reserved-memory {
        #address-cells = <1>;
        #size-cells = <1>;
        ranges;
        oops: oops@%(start)x {
            compatible = "phram";
            label = "oops";
            reg = <%(start)#x %(size)#x>;
            no-map;
        };
    };
};
"""


@pytest.fixture(scope="module")
def vm_options(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    directory = tmp_path_factory.mktemp("dtb")
    (directory / "oops.dts").write_text(SOURCE % {"start": REGION_START, "size": REGION_SIZE})
    dtc = debug_kernel() / "scripts/dtc/dtc"
    dtb: Path = directory / "oops.dtb"
    subprocess.run([dtc, "-q", "-O", "dtb", "-o", dtb, directory / "oops.dts"], check=True)
    return {"dtb": dtb}


@pytest.mark.parametrize("driver", ["phram", "rust_phram"])
def test_a_device_of_the_device_tree(vm: DebugVM, driver: str) -> None:
    vm.ok("grep -q oops /proc/device-tree/reserved-memory/oops*/label")
    vm.insmod(driver)
    assert vm.ok("cat /proc/mtd").splitlines()[1:] == ['mtd0: 00100000 00001000 "oops"']
    vm.ok("printf text > /dev/mtd0")
    assert vm.read(0, 4) == b"text"
    vm.ok(f"rmmod {driver}")
    assert len(vm.ok("cat /proc/mtd").splitlines()) == 1
