"""Memory that the kernel was told to leave alone by mem=, and addresses where there is none."""

import pytest

from refusal import check_refused
from vm import REGION_SIZE, REGION_START, VM

PLACE = f"{REGION_START:#x},{REGION_SIZE:#x}"
NOWHERE = 0x1000000000  # Nothing at all: neither memory nor the window of a bus.


@pytest.fixture(scope="module")
def vm_options() -> dict[str, object]:
    return {"memmap": "", "cmdline": f"mem={REGION_START:#x}"}


@pytest.mark.parametrize("content", [b"\0", b"\xff"], ids=["zeros", "ones"])
@pytest.mark.parametrize("mem_type", [0, 1, 2])
def test_memory_that_holds_nothing_is_used_and_nothing_in_it_changes(vm: VM, mem_type: int, content: bytes) -> None:
    region = content * REGION_SIZE
    vm.write(region)
    assert "no records" in vm.ramoops(mem_type=mem_type)
    vm.insmod("rust_phram", phram=f"oops,{PLACE}", mem_type=mem_type)
    assert vm.read() == region
    # The other way round.
    vm.ok("rmmod rust_ramoops")
    assert "no records" in vm.ramoops(mem_type=mem_type)
    assert vm.read() == region


def test_a_panic_is_kept_after_an_erase_and_a_reboot(vm: VM) -> None:
    vm.phram()
    vm.ok("flash_erase -q /dev/mtd0 0 0")
    vm.reset()
    assert vm.read() == b"\xff" * REGION_SIZE
    vm.phram()
    vm.ramoops(record_size=0x10000)
    vm.crash(reboot=True)
    vm.phram()
    assert "1 sealed" in vm.ramoops(record_size=0x10000)
    assert b"Kernel panic" in vm.read()


@pytest.mark.parametrize("mem_type", [0, 1, 2])
def test_an_address_without_memory_is_refused(vm: VM, mem_type: int) -> None:
    said = "no memory answers there"
    ramoops = f"mem_address={NOWHERE:#x} mem_size=1M mem_type={mem_type}"
    check_refused(vm, "rust_ramoops", ramoops, f"mem_address={NOWHERE:#x} .*{said}")
    check_refused(vm, "rust_phram", f"phram=oops,{NOWHERE:#x},1M mem_type={mem_type}", f"phram=.*{said}")
