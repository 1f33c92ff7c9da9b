"""Stock mtdoops on our MTD device: rust_phram can write from a panic, which stock phram cannot."""

import re

import pytest

from cases import few
from vm import VM


def test_a_panic_is_recorded(vm: VM) -> None:
    vm.phram()
    vm.insmod("mtdoops", mtddev="oops", record_size=4096)
    vm.ok("echo a marker > /dev/kmsg")
    vm.crash()
    vm.phram()
    text = vm.ok("dd if=/dev/mtd0 2>/dev/null | strings")
    assert "a marker" in text and "Kernel panic - not syncing: sysrq triggered crash" in text


def test_an_oops_and_the_panic_later_are_recorded(vm: VM) -> None:
    vm.phram(erasesize="0x10000")
    vm.insmod("mtdoops", mtddev="oops", record_size=0x10000)
    vm.oops()
    # mtdoops writes oopses from a work queue.
    vm.wait_until("the oops in the region", lambda: b"NULL pointer dereference" in vm.read())
    vm.crash()
    vm.phram()
    text = vm.ok("dd if=/dev/mtd0 2>/dev/null | strings")
    assert "NULL pointer dereference" in text and "Kernel panic" in text


@pytest.mark.long
def test_stock_phram_records_no_panic(vm: VM) -> None:
    """What is better about ours, and a check that the tests above test something."""
    vm.phram("phram")
    vm.insmod("mtdoops", mtddev="oops", record_size=4096)
    vm.crash()
    assert b"Kernel panic" not in vm.read()


@pytest.mark.parametrize("driver", few(["phram", "rust_phram"], "rust_phram"))
def test_removing_the_device_under_mtdoops_is_harmless(vm: VM, driver: str) -> None:
    vm.phram(driver)
    vm.insmod("mtdoops", mtddev="oops", record_size=4096)
    result = vm.logged(f"rmmod {driver}")
    assert result.status == 0 and not re.search("WARNING|BUG|Oops", result.log), str(result)
    assert "oops" not in vm.ok("cat /proc/mtd")
    vm.oops()
    vm.ok("rmmod mtdoops")
