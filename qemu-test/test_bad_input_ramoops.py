"""rust_ramoops refuses what makes no sense, or would do harm: insmod fails, and one line says why."""

import re

import pytest

from refusal import check_line, check_refused, Refusals
from vm import REGION_SIZE, REGION_START, VM

PLACE = f"mem_address={REGION_START:#x} mem_size={REGION_SIZE:#x}"

CASES = {
    # What is said: the parameter's name, and the reason.
    "": "mem_size=0: give mem_address",
    "mem_size=0": "mem_size=0: give mem_address",
    f"mem_address={REGION_START:#x}": "mem_size=0: give",
    f"mem_address={REGION_START:#x} mem_size=0": "mem_size=0: give",
    f"mem_size={REGION_SIZE:#x}": "mem_address=0x0 .*memory",
    "mem_address=0x1000000 mem_size=1M": "mem_address=0x1000000 .*kernel uses",
    "mem_address=0x7fff000 mem_size=1M": "mem_address=0x7fff000 .*kernel uses",
    f"mem_address={REGION_START:#x} mem_size={REGION_SIZE + 0x1000:#x}": "mem_size=0x101000.*kernel uses",
    f"mem_address={REGION_START:#x} mem_size=16M": "mem_size=0x1000000.*kernel uses",
    f"mem_address={REGION_START:#x} mem_size={1 << 40}": "mem_size=0x10000000000.*(kernel uses|beyond)",
    "mem_address=0xfffffffffffff000 mem_size=0x2000": "mem_address=0xfffffffffffff000 .*beyond",
    "mem_address=0xfffffffffff00000 mem_size=0x100000": "mem_address=0xfffffffffff00000 .*beyond",
    "mem_address=0x8000000 mem_size=0xfffffffffffff000": "mem_size=0xfffffffffffff000.*beyond",
    "mem_address=0x100000000 mem_size=1M": "mem_address=0x100000000 .*(memory|reserved)",
    "mem_address=0x10000000 mem_size=1M": "mem_address=0x10000000 .*(memory|reserved)",
    "mem_address=0xfed00000 mem_size=0x1000": "mem_address=0xfed00000 .*(claimed|reserved)",
    f"mem_address={REGION_START + 1:#x} mem_size=0x80000": "mem_address=0x8000001 .*multiple",
    f"mem_address={REGION_START + 0x800:#x} mem_size=0x80000": "mem_address=0x8000800 .*multiple",
    f"{PLACE} record_size=0": "record_size=0",
    f"{PLACE} record_size=8": "record_size=8.*at least",
    f"{PLACE} record_size=16": "record_size=16.*at least",
    f"{PLACE} record_size=256": "record_size=256.*at least",
    f"{PLACE} record_size=2M": "record_size|mem_size.*no room",
    f"{PLACE} record_size=0xffffffffffffffff": "record_size|no room",
    f"{PLACE} console_size=0xffffffffffffffff": "console_size|no room",
    f"{PLACE} console_size=8": "console_size",
    f"{PLACE} pmsg_size=1M": "no room|pmsg_size",
    f"mem_address={REGION_START:#x} mem_size=4K": "mem_size=4096.*no room",
    f"mem_address={REGION_START:#x} mem_size=1": "mem_size=1.*no room",
    f"{PLACE} ecc=128": "ecc=128: must be 0 to 127",
    f"{PLACE} ecc=255": "ecc=255: must be 0 to 127",
    f"{PLACE} ecc=-1": "ecc=-1: must be 0 to 127",
    f"{PLACE} record_size=512 ecc=127": "ecc=127: does not fit in record_size=512",
    f"{PLACE} mem_type=7": "mem_type=7",
    f"{PLACE} compress=lz4": "compress=lz4: must be none or deflate",
    f"{PLACE} max_reason=9": "max_reason=9",
    f"{PLACE} max_reason=-2": "max_reason=-2",
    "mem_name=unknown": "mem_name=unknown: no reserve_mem",
    f"mem_name=unknown {PLACE}": "mem_name=unknown: no reserve_mem",
    f"mem_name={'n' * 64}": "mem_name",
    "mem_size=abc": "invalid for parameter `mem_size'",
    "mem_size=10X": "invalid for parameter `mem_size'",
    "mem_size=": "invalid for parameter `mem_size'",
    "mem_size=-1": "invalid for parameter `mem_size'",
    "mem_size=1MM": "invalid for parameter `mem_size'",
    "mem_size=16777216T": "invalid for parameter `mem_size'",
    "mem_size=0x10000000000000000": "invalid for parameter `mem_size'|large",
    "mem_size=17179869184G": "invalid for parameter `mem_size'|large",
    "mem_address=": "invalid for parameter `mem_address'",
    f"{PLACE} ecc=x": "invalid for parameter `ecc'",
    f"{PLACE} max_reason=99999999999": "parameter `max_reason'|max_reason",
}


def load(parameters: str) -> str:
    return f"insmod rust_ramoops.ko {parameters}"


@pytest.fixture(scope="module")
def refusals(shared_vm: VM) -> Refusals:
    shared_vm.unload()
    return Refusals(shared_vm, [load(parameters) for parameters in CASES])


@pytest.mark.parametrize(("parameters", "said"), CASES.items(), ids=[case or "no parameters" for case in CASES])
def test_bad_parameters_are_refused(refusals: Refusals, parameters: str, said: str) -> None:
    check_line(refusals.check(load(parameters)), "rust_ramoops", said)


def test_refused_loads_write_nothing(refusals: Refusals) -> None:
    assert refusals.region_is_intact


def test_kernel_code_is_refused(vm: VM) -> None:
    start = re.search(r"([0-9a-f]+)-[0-9a-f]+ : Kernel code", vm.ok("cat /proc/iomem"))[1]
    check_refused(vm, "rust_ramoops", f"mem_address=0x{start} mem_size=1M", "mem_address.*kernel uses")


def test_a_pci_bar_is_refused(vm: VM) -> None:
    bar = re.search(r"([0-9a-f]+)00000-\1fffff : 0000:00:", vm.ok("cat /proc/iomem"))[1]
    check_refused(vm, "rust_ramoops", f"mem_address=0x{bar}00000 mem_size=1M", "mem_address.*not wholly reserved")


def test_a_second_load_is_refused(vm: VM) -> None:
    vm.ramoops()
    assert "File exists" in vm.fails(f"insmod rust_ramoops.ko {PLACE}")
    vm.oops()
    assert b"NULL pointer dereference" in vm.read()


def test_an_unknown_parameter_is_ignored_as_by_every_module(vm: VM) -> None:
    assert "unknown parameter 'nonsense' ignored" in vm.ramoops(nonsense=1)
