"""A machine that crashes, reboots and crashes again: of more crashes than slots the first is kept, and the newest ones."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from records import PANIC, Reader
from vm import VM

SLOT_SIZE = 0x8000
SLOTS = 5  # With fewer, only one of the two is kept, or none. There is nothing else in the region.
PARAMETERS = {
    "mem_size": SLOTS * SLOT_SIZE,
    "record_size": SLOT_SIZE,
    "console_size": 0,
    "ftrace_size": 0,
    "pmsg_size": 0,
}
CRASHES = 6


@pytest.fixture(scope="module")
def vm_options() -> dict[str, object]:
    # For stock ramoops.
    return {"cmdline": "pstore.compress=none"}


@pytest.fixture(scope="module")
def region_after_loop(shared_vm: VM) -> bytes:
    """The region after a panic loop of more crashes than slots."""
    for crash in range(CRASHES):
        shared_vm.ramoops(**PARAMETERS)
        shared_vm.ok(f"echo crash-{crash} > /dev/kmsg")
        shared_vm.crash()
    return shared_vm.read()


@pytest.fixture
def after_loop(region_after_loop: bytes, vm: VM) -> VM:
    vm.write(region_after_loop)
    return vm


def crashes(vm: VM, records: Reader) -> list[int]:
    """The crashes of which there is a whole record, in their order."""
    found = records(vm, **PARAMETERS)
    assert all(record.kind == "sealed" and "Call Trace" in record.text for record in found), found
    # The newest marker: a dump that the kernel survived leaves its own in the log of the next one.
    return [int(re.findall(r"crash-(\d+)", record.text)[-1]) for record in found]


def dump(vm: VM, *crashes: int, **parameters: object) -> str:
    """More crashes, all in one boot, for which no panic is needed. Returns what was found before."""
    line = vm.ramoops(**(PARAMETERS | parameters))
    for crash in crashes:
        vm.ok(f"echo crash-{crash} > /dev/kmsg")
        vm.oops()
    vm.ok("rmmod rust_ramoops")
    return line


def test_the_first_and_the_newest_are_kept(after_loop: VM, records: Reader) -> None:
    assert crashes(after_loop, records) == [0, 2, 3, 4, 5]
    lines = [line for line in records.lines(after_loop, **PARAMETERS)[1:] if line["reason"] == PANIC]
    [first, *rest] = sorted(lines, key=lambda line: line["seq"])
    assert first["loop_start"] == 0 and [line["loop_start"] for line in rest] == [first["dump"]] * 4


def test_more_crashes_in_one_boot_than_slots_keep_those_two(after_loop: VM, records: Reader) -> None:
    dump(after_loop, *range(CRASHES, CRASHES + SLOTS))
    assert crashes(after_loop, records) == [0, 5, 8, 9, 10]


def test_with_loop_secs_0_the_first_is_kept_no_longer(after_loop: VM, records: Reader) -> None:
    # The newest crash at this load belongs to the loop still.
    dump(after_loop, CRASHES, loop_secs=0)
    assert crashes(after_loop, records) == [0, 3, 4, 5, 6]
    for crash in (CRASHES + 1, CRASHES + 2):
        dump(after_loop, crash, loop_secs=0)
        assert crashes(after_loop, records) == list(range(crash - 4, crash + 1))


def test_a_crash_later_than_loop_secs_continues_no_loop(vm: VM, records: Reader) -> None:
    for crash in range(SLOTS + 1):
        # The guest was up for longer.
        dump(vm, crash, loop_secs=1)
    assert crashes(vm, records) == [1, 2, 3, 4, 5]


def zeros_over_its_part(vm: VM) -> None:
    vm.phram()
    vm.ok(f"dd if=/dev/zero of=/dev/mtd0 bs={SLOT_SIZE} count=1")
    vm.ok("rmmod rust_phram")


def unlink_in_stock_pstore(vm: VM) -> None:
    vm.ramoops("ramoops", **PARAMETERS)
    assert "crash-0" in vm.ok("cat /sys/fs/pstore/dmesg-ramoops-0")
    vm.ok("rm /sys/fs/pstore/dmesg-ramoops-0")
    vm.ok("rmmod ramoops")


@pytest.mark.parametrize("clear", [zeros_over_its_part, unlink_in_stock_pstore])
def test_a_user_who_clears_the_first_one_releases_its_slot(
    after_loop: VM, records: Reader, clear: Callable[[VM], None]
) -> None:
    clear(after_loop)
    assert "4 sealed, 0 torn, 0 foreign, next slot 0" in dump(after_loop, CRASHES)
    assert crashes(after_loop, records) == [2, 3, 4, 5, 6]
    # And it is not reserved for ever.
    for crash in range(CRASHES + 1, CRASHES + 4):
        dump(after_loop, crash)
    assert crashes(after_loop, records) == [5, 6, 7, 8, 9]
