"""rust_phram refuses what makes no sense, or would do harm: insmod fails, and one line says why."""

import pytest

from refusal import check_line, check_refused, Refusals
from vm import REGION_SIZE, REGION_START, VM

PLACE = f"{REGION_START:#x},{REGION_SIZE:#x}"

CASES = {
    "": "name",
    "oops": "not enough arguments",
    f"oops,{REGION_START:#x}": "not enough arguments",
    f"oops,{PLACE},4096,4096": "too many arguments",
    "oops,,": "illegal (start|length)",
    "oops,abc,0x100000": "illegal start",
    f"oops,{REGION_START:#x},xyz": "illegal length",
    f"oops,{REGION_START:#x},": "illegal length",
    f"oops,-1,{REGION_SIZE:#x}": "illegal start",
    f"oops,{REGION_START:#x},1Ti": "illegal length",
    f"oops,{REGION_START:#x},0": "illegal length",
    f"oops,{PLACE},0": "illegal erasesize",
    f"oops,{PLACE},x": "illegal erasesize",
    f"oops,{PLACE},": "illegal erasesize",
    f"oops,{PLACE},0x30000": "illegal erasesize",
    f"oops,{PLACE},0x200000": "illegal erasesize",
    f"oops,{PLACE},0x100000000": "illegal erasesize",
    f"oops,{REGION_START:#x},0x800": "illegal erasesize",
    f"oops,{REGION_START:#x},0x1800": "illegal erasesize",
    "oops,0x1000000,0x100000": "kernel uses",
    "oops,0x100000000,0x100000": "memory",
    "oops,0x10000000,0x100000": "(memory|reserved)",
    f"oops,{REGION_START + 4:#x},0x80000": "multiple",
    f"oops,{REGION_START:#x},0x200000": "kernel uses",
    "oops,17179869184Gi,0x100000": "illegal start",
    "oops,0xfffffffffffff000,0x2000": "beyond",
    f"oops,{REGION_START:#x},0xfffffffffffff000": "beyond",
    f",{PLACE}": "illegal name",
    f"{'n' * 64},{PLACE}": "illegal name",
    f"{'n' * 1000},{PLACE}": "illegal name",
    "oops,@unknown": "no reserve_mem",
}


EACH_CASE = pytest.mark.parametrize(("value", "said"), CASES.items(), ids=[case[:40] or "empty" for case in CASES])


def load(value: str) -> str:
    return f"insmod rust_phram.ko phram={value}"


def write(value: str) -> str:
    return f"printf '%s' '{value}' > /sys/module/rust_phram/parameters/phram"


@pytest.fixture(scope="module")
def refused_loads(shared_vm: VM) -> Refusals:
    shared_vm.unload()
    return Refusals(shared_vm, [load(value) for value in CASES])


@EACH_CASE
def test_bad_parameters_are_refused(refused_loads: Refusals, value: str, said: str) -> None:
    check_line(refused_loads.check(load(value)), "rust_phram", f"phram=.*{said}")


def test_refused_loads_write_nothing(refused_loads: Refusals) -> None:
    assert refused_loads.region_is_intact


@pytest.mark.parametrize("bad", ["bad", "bad,0x1000000,4096"], ids=["syntax", "memory"])
@pytest.mark.parametrize("order", ["good first", "bad first"])
def test_one_bad_device_of_two_leaves_nothing_behind(vm: VM, bad: str, order: str) -> None:
    values = [f"phram=good,{PLACE}", f"phram={bad}"]
    check_refused(vm, "rust_phram", " ".join(values if order == "good first" else values[::-1]), "phram=")


def test_a_bad_mem_type_is_refused(vm: VM) -> None:
    check_refused(vm, "rust_phram", f"phram=oops,{PLACE} mem_type=7", "mem_type")


def test_a_name_that_another_driver_has_is_refused(vm: VM) -> None:
    vm.phram("phram", name="oops")
    check_refused(vm, "rust_phram", f"phram=oops,{PLACE}", "name")


@pytest.fixture(scope="module")
def refused_writes(shared_vm: VM) -> Refusals:
    shared_vm.unload()
    shared_vm.insmod("rust_phram")
    # A write of nothing at all does not even reach the module.
    return Refusals(shared_vm, [write(value) for value in CASES if value])


@pytest.mark.parametrize(("value", "said"), [case for case in CASES.items() if case[0]], ids=lambda text: text[:40])
def test_bad_values_in_sysfs_are_refused(refused_writes: Refusals, value: str, said: str) -> None:
    check_line(refused_writes.check(write(value)), "rust_phram", f"phram=.*{said}")


def test_refused_writes_change_nothing(refused_writes: Refusals) -> None:
    assert refused_writes.region_is_intact


def test_devices_can_be_added_in_sysfs(vm: VM) -> None:
    vm.insmod("rust_phram")
    parameter = "/sys/module/rust_phram/parameters/phram"
    vm.ok(f"echo first,{REGION_START:#x},64k > {parameter}")
    vm.ok(f"echo second,{REGION_START + 0x10000:#x},64k,8k > {parameter}")
    vm.fails(f"echo second,{REGION_START + 0x20000:#x},64k > {parameter}")
    assert vm.ok("cat /proc/mtd").splitlines()[1:] == [
        'mtd0: 00010000 00001000 "first"',
        'mtd1: 00010000 00002000 "second"',
    ]
    vm.ok("printf here > /dev/mtd1")
    assert vm.read(0x10000, 4) == b"here"
    vm.ok("rmmod rust_phram")
    assert len(vm.ok("cat /proc/mtd").splitlines()) == 1


def test_several_devices_at_load(vm: VM) -> None:
    vm.ok(f"insmod rust_phram.ko phram=a,{REGION_START:#x},64k phram=b,{REGION_START + 0x10000:#x},64k")
    assert vm.ok("cat /proc/mtd").splitlines()[1:] == ['mtd0: 00010000 00001000 "a"', 'mtd1: 00010000 00001000 "b"']
