"""A device that the platform describes, as a node of a device tree does, and not a parameter."""

from __future__ import annotations

import re

import pytest

from debug_vm import DebugVM
from vm import insmod, REGION_SIZE, REGION_START

MAPPED = f"grep -c phys={REGION_START:#018x} /proc/vmallocinfo"


@pytest.mark.parametrize("order", ["device first", "driver first"])
def test_a_device_of_the_platform(vm: DebugVM, order: str) -> None:
    vm.ok("insmod test_faults.ko")
    for step in order.split()[0], {"device": "driver", "driver": "device"}[order.split()[0]]:
        vm.ok({"device": "echo rust_phram > /proc/test_faults", "driver": "insmod rust_phram.ko"}[step])
    assert vm.ok("cat /proc/mtd").splitlines()[1:] == ['mtd0: 00080000 00001000 "described"']
    assert "rust_phram" in vm.ok("readlink -f /sys/class/mtd/mtd0/device/driver")
    vm.ok("printf text > /dev/mtd0")
    assert vm.read(0, 4) == b"text"
    # Unbound by hand, and bound again.
    driver = "/sys/bus/platform/drivers/rust_phram"
    vm.ok(f"echo rust_phram > {driver}/unbind")
    assert len(vm.ok("cat /proc/mtd").splitlines()) == 1
    vm.ok(f"echo rust_phram > {driver}/bind")
    assert vm.ok("head -c 4 /dev/mtd0") == "text"
    vm.ok("rmmod test_faults" if order == "device first" else "rmmod rust_phram")
    assert len(vm.ok("cat /proc/mtd").splitlines()) == 1
    vm.ok("rmmod rust_phram" if order == "device first" else "rmmod test_faults")


def test_a_device_that_goes_while_it_is_open(vm: DebugVM) -> None:
    vm.ok("insmod test_faults.ko; insmod rust_phram.ko; echo rust_phram > /proc/test_faults; printf text > /dev/mtd0")
    driver = "/sys/bus/platform/drivers/rust_phram"
    # It can be there again meanwhile. What was opened before goes when it is closed, and the module stays until then.
    steps = f"echo rust_phram > {driver}/unbind; echo rust_phram > {driver}/bind; echo rust_phram > {driver}/unbind"
    assert vm.ok(f"exec 3</dev/mtd0; {steps}; ! rmmod rust_phram 2>/dev/null && head -c 4 <&3; {MAPPED}; exec 3<&-") == "text1\n"
    assert len(vm.ok("cat /proc/mtd").splitlines()) == 1
    assert vm.run(MAPPED).output == "0\n"
    vm.ok("rmmod rust_phram test_faults")


def test_a_device_whose_name_is_taken(vm: DebugVM) -> None:
    vm.ok(insmod("rust_phram", phram=f"described,{REGION_START:#x},{REGION_SIZE:#x}"))
    result = vm.logged("insmod test_faults.ko; echo rust_phram > /proc/test_faults")
    assert re.search("rust_phram rust_phram: .*the name described is taken", result.log), str(result)
    assert len(vm.ok("cat /proc/mtd").splitlines()) == 2
    vm.ok("rmmod test_faults rust_phram")
