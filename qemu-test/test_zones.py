"""The zone map: in memory that the kernel has no page structures for, stock ramoops lists its zones in /proc/iomem."""

import re

import pytest

from records import Reader
from vm import MIB, VM

REGION = 256 * MIB  # Behind all RAM that the kernel has: only then stock ramoops claims what it uses.


@pytest.fixture(scope="module")
def vm_options() -> dict[str, object]:
    return {"ram": 272 * MIB, "region": REGION, "memmap": f"16M${REGION:#x}"}


def zones(vm: VM, name: str = r"dmesg\(\d+/\d+\)") -> list[int]:
    """Where stock ramoops has its zones, as offsets into the region."""
    lines = re.findall(rf"^ *([0-9a-f]+)-[0-9a-f]+ : ramoops:{name}$", vm.ok("cat /proc/iomem"), re.MULTILINE)
    return [int(start, 16) - REGION for start in lines]


@pytest.mark.parametrize(
    "parameters",
    [
        {"record_size": 0x2000},  # 126 zones of 8224 bytes
        {"record_size": 0x10000},
        {"record_size": 0x40000},
        {"record_size": 0x40000, "console_size": 0, "ftrace_size": 0, "pmsg_size": 0},
        {"record_size": 3000},  # 2048
        {"record_size": 0x8000, "console_size": 0x8000, "ftrace_size": 0x3000, "pmsg_size": 0},
        {"record_size": 0x20000, "mem_size": 0xFF000},  # 524288
        {"record_size": 0x1000, "mem_size": 0x10000},
    ],
    ids=lambda parameters: " ".join(f"{name}={value:#x}" for name, value in parameters.items()),
)
def test_our_zones_are_those_of_stock_ramoops(vm: VM, records: Reader, parameters: dict[str, int]) -> None:
    vm.ramoops("ramoops", **parameters)
    theirs = zones(vm)
    vm.ok("rmmod ramoops")
    assert theirs

    # Fill three slots, and see where the records begin: at the signature, little-endian.
    vm.write(bytes(MIB))
    load_line = vm.ramoops(**parameters)
    assert re.search(rf"\b{len(theirs)} slots", load_line), load_line
    for _ in range(3):
        vm.oops()
    ours = [match.start() for match in re.finditer(rb"DBGC", vm.read())]
    assert sorted(theirs[record.slot] for record in records(vm, **parameters)) == ours
    assert len(ours) == min(3, len(theirs))


def test_a_range_that_another_driver_claimed_is_refused(vm: VM) -> None:
    for first, second in (("ramoops", "rust_ramoops"), ("rust_ramoops", "ramoops")):
        vm.ramoops(first, record_size=0x10000)
        before = vm.ok("cat /proc/iomem")
        parameters = f"mem_address={REGION:#x} mem_size=0x100000 record_size=0x10000"
        result = vm.logged(f"insmod {second}.ko {parameters}")
        if second == "rust_ramoops":  # The stock module's insmod succeeds whatever happens.
            assert result.status != 0 and re.search(r"rust_ramoops: .*(claim|use|busy)", result.log), str(result)
        else:
            assert "failed" in result.log
        assert vm.ok("cat /proc/iomem") == before
        vm.unload()
