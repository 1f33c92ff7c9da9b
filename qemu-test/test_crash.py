"""The main job: what the kernel said before it crashed is there after the reboot."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from records import OOPS, PANIC, Reader
from vm import kernel_image, VM

RECORD_SIZE = 0x10000
# Four slots, and nothing else in the region.
FOUR_SLOTS = {"record_size": 0x40000, "console_size": 0, "ftrace_size": 0, "pmsg_size": 0}


@pytest.fixture
def shipped_vm(initramfs: Path, accel: str, tmp_path: Path) -> Iterator[VM]:
    """A guest whose kernel is as it is shipped: it unpacks itself, to a place that it chooses at random."""
    with VM(initramfs, tmp_path, accel=accel, kernel=kernel_image()) as vm:
        yield vm


def test_a_panic_is_kept_and_read_back_by_dd(shipped_vm: VM, records: Reader) -> None:
    vm = shipped_vm
    vm.phram()
    vm.ramoops(record_size=RECORD_SIZE)
    vm.ok("for i in 1 2 3; do echo marker-$i > /dev/kmsg; done")
    vm.crash(reboot=True)

    vm.phram()
    assert vm.ok("dd if=/dev/mtd0 bs=64k 2>/dev/null | md5sum").split()[0] == hashlib.md5(vm.read()).hexdigest()
    text = vm.ok("dd if=/dev/mtd0 bs=64k 2>/dev/null | strings")
    wanted = ["Panic#1 Part1", "marker-1", "marker-2", "marker-3", "Kernel panic - not syncing: sysrq triggered crash"]
    positions = [text.find(words) for words in [*wanted, "Call Trace:"]]
    assert -1 not in positions and positions == sorted(positions), text[-3000:]

    [record] = records(vm, record_size=RECORD_SIZE)
    assert record.kind == "sealed" and record.reason == PANIC and (record.part, record.parts) == (1, 1)
    assert record.description == "sysrq triggered crash"
    assert record.release == vm.ok("uname -r").strip()


def test_three_crashes_in_three_boots_are_all_kept(vm: VM, records: Reader) -> None:
    times = []
    for crash in range(3):
        vm.ramoops(record_size=RECORD_SIZE)
        # Under load a guest's clock may run too fast, and be set back at the next boot.
        times.append(int(vm.ok(f"echo crash-{crash} > /dev/kmsg; date +%s")))
        vm.crash(reboot=True)
    found = records(vm, record_size=RECORD_SIZE)
    assert [record.kind for record in found] == ["sealed"] * 3
    for crash, record in enumerate(found):
        assert f"crash-{crash}" in record.text and f"crash-{crash + 1}" not in record.text
    assert len({record.boot_id for record in found}) == 3
    assert [record.seq for record in found] == sorted({record.seq for record in found})
    for time, record in zip(times, found):
        assert 0 <= record.realtime_ns // 10**9 - time < 600, (time, record.realtime_ns)


def test_more_crashes_than_slots_keep_the_first_and_the_newest(vm: VM, records: Reader) -> None:
    # The first quarter of the slots is used once in a boot.
    vm.ramoops(**FOUR_SLOTS)
    for crash in range(6):
        vm.ok(f"echo crash-{crash} > /dev/kmsg")
        vm.oops()
    vm.ok("echo crash-6 > /dev/kmsg")
    vm.crash()
    found = records(vm, **FOUR_SLOTS)
    assert [record.reason for record in found] == [OOPS] * 3 + [PANIC]
    for record, crash in zip(found, (0, 4, 5, 6)):
        assert f"crash-{crash}" in record.text and f"crash-{crash + 1}" not in record.text


def test_the_ring_goes_on_where_it_was_after_each_reboot(vm: VM, records: Reader) -> None:
    # Two boots, three dumps each: the second boot must overwrite what is oldest, not start over at slot 0.
    for first in (0, 3):
        vm.ramoops(**FOUR_SLOTS)
        for crash in (first, first + 1):
            vm.ok(f"echo crash-{crash} > /dev/kmsg")
            vm.oops()
        vm.ok(f"echo crash-{first + 2} > /dev/kmsg")
        vm.crash()
    found = records(vm, **FOUR_SLOTS)
    for record, crash in zip(found, (2, 3, 4, 5), strict=True):
        assert f"crash-{crash}" in record.text and f"crash-{crash + 1}" not in record.text


def test_an_oops_is_kept_and_so_is_the_panic_later(vm: VM, records: Reader) -> None:
    vm.ramoops(record_size=RECORD_SIZE)
    vm.oops()
    vm.ok("echo the system goes on > /dev/kmsg")
    vm.crash()
    oops, panic = records(vm, record_size=RECORD_SIZE)
    assert oops.reason == OOPS and panic.reason == PANIC
    assert "NULL pointer dereference" in oops.text and "test_oops_write" in oops.text
    assert "the system goes on" in panic.text and "the system goes on" not in oops.text
    assert (oops.boot_id, oops.seq) < (panic.boot_id, panic.seq) and oops.dump != panic.dump


@pytest.mark.parametrize("word", ["oops", "bug"])
def test_an_oops_that_panics_is_kept(vm: VM, records: Reader, word: str) -> None:
    vm.ramoops(record_size=RECORD_SIZE)
    vm.load_test_oops()
    vm.ok("echo 1 > /proc/sys/kernel/panic_on_oops")
    vm.crash(f"echo {word} > /proc/test_oops")
    panic = records(vm, record_size=RECORD_SIZE)[-1]
    assert panic.reason == PANIC and panic.description == "Fatal exception"
    assert "test_oops_write" in panic.text


def test_a_panic_within_an_nmi_is_kept(vm: VM, records: Reader) -> None:
    vm.ramoops(record_size=RECORD_SIZE)
    vm.ok("echo 1 > /proc/sys/kernel/unknown_nmi_panic")
    vm.nmi(reboot=True)
    [record] = records(vm, record_size=RECORD_SIZE)
    assert record.kind == "sealed" and record.reason == PANIC
    # Where it hits user space, the trace has no section of its own for it.
    assert "exc_nmi" in record.text
