"""Guests that go on from a saved state: they are what a boot would have made them, and no two are the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from time import time

import pytest

from cases import few
from guests import Guests
from records import PANIC, Reader
from vm import REGION_SIZE, REGION_START, VM

CONTENT = bytes(range(256)) * (REGION_SIZE // 256)
PARAMETERS = {"record_size": 0x10000}
KINDS = [{}, {"smp": 2}, {"icount": True}]


@pytest.fixture(scope="module", params=few(KINDS, {}), ids=["one CPU", "two CPUs", "icount"])
def pair(
    initramfs: Path, kernel: Path, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[VM, VM]]:
    """Two guests that go on from one state, and one of them is saved a moment later."""
    directory = tmp_path_factory.mktemp("saved")
    options = {"kernel": kernel, "accel": "tcg"} | request.param
    with VM(initramfs, directory / "first", **options) as first:
        first.ok("date -s @1000000000; echo kept > /tmp/kept; insmod test_oops.ko")
        first.write(CONTENT)
        first.save(directory)
        first.ok("echo later > /tmp/kept")
        with VM(initramfs, directory / "second", saved=directory, **options) as second:
            yield first, second


def test_it_has_the_memory_programs_and_modules_of_the_saved_one(pair: tuple[VM, VM]) -> None:
    first, second = pair
    assert (first.ok("cat /tmp/kept"), second.ok("cat /tmp/kept")) == ("later\n", "kept\n")
    assert second.read() == CONTENT
    for command in ("cat /proc/iomem /proc/cmdline /proc/cpuinfo | grep -v MHz", "cut -d' ' -f1-3 /proc/modules"):
        assert first.ok(command) == second.ok(command)
    assert first.all_consoles().partition("Run /init")[0] == second.all_consoles().partition("Run /init")[0]


def test_it_draws_random_numbers_of_its_own_and_knows_the_time(pair: tuple[VM, VM]) -> None:
    numbers = [vm.ok("cat /proc/sys/kernel/random/uuid") for vm in pair]
    assert numbers[0] != numbers[1]
    # A guest whose time are its instructions is slow.
    assert abs(int(pair[1].ok("date +%s")) - time()) < 3600


def test_it_crashes_reboots_and_keeps_its_region(pair: tuple[VM, VM], records: Reader) -> None:
    boot_ids = []
    for vm in pair:
        vm.write(bytes(REGION_SIZE))
        vm.ramoops(**PARAMETERS)
        vm.crash()
        assert vm.boots == 2
        [record] = records(vm, **PARAMETERS)
        assert record.kind == "sealed" and record.reason == PANIC and "sysrq triggered crash" in record.text
        assert "crng reseeded due to virtual machine fork" in record.text or vm is pair[0]
        boot_ids.append(record.boot_id)
        # Another boot, of the same kernel.
        vm.fails("cat /tmp/kept")
        assert f"{REGION_START:08x}-{REGION_START + REGION_SIZE - 1:08x} : Reserved" in vm.ok("cat /proc/iomem")
    assert boot_ids[0] != boot_ids[1]


def test_a_kind_is_booted_twice_and_then_saved(
    initramfs: Path, kernel: Path, tmp_path: Path, guests: Guests, accel: str
) -> None:
    if accel != "tcg":
        pytest.skip("with KVM guests boot")
    mine = Guests(tmp_path, accel)
    options = {"kernel": kernel, "cmdline": "of_this_test_only"}
    saved = []
    for number in range(3):
        with mine.start(initramfs, tmp_path / str(number), **options) as vm:
            vm.ok("grep of_this_test_only /proc/cmdline")
            saved.append(vm.saved is not None)
            if number == 2:
                vm.ok("touch /tmp/mark")
                vm.restart()
                vm.fails("ls /tmp/mark")
    assert saved == [False, True, True]
