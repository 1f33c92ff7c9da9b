"""The drivers built into a kernel: their tests in the kernel, and a panic before there is any user space."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from vm import REGION_SIZE, REGION_START, VM

# No init, and no root file system: the kernel panics when it would start user space, and reboots.
NO_USER_SPACE = "rdinit=/nowhere root=/dev/nowhere"
CAUSE = b"Unable to mount root fs"

OURS = f"rust_ramoops.mem_address={REGION_START:#x} rust_ramoops.mem_size={REGION_SIZE:#x}"
PHRAM = f"rust_phram.phram=oops,{REGION_START:#x},{REGION_SIZE:#x}"
STOCK = f"ramoops.mem_address={REGION_START:#x} ramoops.mem_size={REGION_SIZE:#x}"
# Those of the tests that take long under emulation, and are not about this series.
NO_KUNIT = "kunit.enable=0"


@pytest.fixture(scope="module")
def kunit(kernel: Path, initramfs: Path, accel: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What a boot with all tests said."""
    with VM(initramfs, tmp_path_factory.mktemp("guest"), accel=accel, kernel=kernel, cmdline=f"{OURS} {PHRAM}") as vm:
        yield vm.console()


@pytest.mark.parametrize(("suite", "least"), [("rust_ramoops_ringbuf", 7), ("rust_doctests_kernel", 200)])
def test_kunit_passes(kunit: str, suite: str, least: int) -> None:
    result = re.search(rf"# {suite}: pass:(\d+) fail:(\d+) skip:(\d+) total:(\d+)", kunit)
    assert result, f"the suite {suite} did not run"
    assert int(result[2]) == 0, "\n".join(re.findall(r".*(?:not ok|EXPECTATION FAILED|ASSERTION FAILED).*", kunit))
    assert int(result[1]) >= least
    assert f"ok {suite}" in re.sub(r"ok \d+ ", "ok ", kunit)


@pytest.mark.parametrize(
    "name",
    ["array", "crc32c", "fast_time", "kmsg_dump", "param", "random", "region", "try_lock", "utsname", "zlib"],
)
def test_each_abstraction_has_an_example_that_ran(kunit: str, name: str) -> None:
    assert re.search(rf"^\[[ .\d]+\]\s+ok \d+ rust_doctest_kernel_{name}_rs_\d+", kunit, re.M)


def panic_early(kernel: Path, initramfs: Path, accel: str, directory: Path, cmdline: str) -> bytes:
    """What the region holds after a panic before user space."""
    options = f"{cmdline} {NO_USER_SPACE} {NO_KUNIT}"
    vm = VM(initramfs, directory, accel=accel, kernel=kernel, cmdline=options)
    try:
        vm.wait_until("the reboot", lambda: vm.all_consoles().count("] Linux version ") > 1)
        assert CAUSE.decode() in vm.all_consoles()
        return vm.read()
    finally:
        vm.close()


def test_a_panic_before_user_space_is_there_after_the_reboot(
    kernel: Path, initramfs: Path, accel: str, tmp_path: Path
) -> None:
    kept = panic_early(kernel, initramfs, accel, tmp_path / "crash", f"{OURS} {PHRAM}")
    options = f"{OURS} {PHRAM} {NO_KUNIT}"
    with VM(initramfs, tmp_path / "read", accel=accel, kernel=kernel, cmdline=options) as vm:
        vm.write(kept)
        vm.reset()
        assert re.search(r"rust_ramoops: using .*: [1-9]\d* sealed", vm.console()), vm.console()
        read = vm.ok("dd if=/dev/mtd0 bs=64k 2>/dev/null | strings | grep 'Unable to mount root fs'")
        assert CAUSE.decode() in read
        # What it needs of the kernel was there that early.
        assert "next slot: " in vm.ok("cat /sys/kernel/debug/rust_ramoops/status")
        assert " : rust_ramoops" in vm.ok("cat /proc/iomem")
        assert vm.ok("cat /sys/module/rust_ramoops/parameters/mem_size").strip() == str(REGION_SIZE)


def test_the_same_with_the_kernels_own(kernel: Path, initramfs: Path, accel: str, tmp_path: Path) -> None:
    kept = panic_early(kernel, initramfs, accel, tmp_path / "crash", STOCK)
    with VM(initramfs, tmp_path / "read", accel=accel, kernel=kernel, cmdline=f"{STOCK} {NO_KUNIT}") as vm:
        vm.write(kept)
        vm.reset()
        assert CAUSE.decode() in vm.ok("cat /sys/fs/pstore/dmesg-ramoops-*")


def test_it_is_there_no_later_than_the_kernels_own(
    kernel: Path, initramfs: Path, accel: str, tmp_path: Path
) -> None:
    other = REGION_START + REGION_SIZE // 2
    half = REGION_SIZE // 2
    options = (
        f"rust_ramoops.mem_address={REGION_START:#x} rust_ramoops.mem_size={half:#x} "
        f"ramoops.mem_address={other:#x} ramoops.mem_size={half:#x} initcall_debug loglevel=8 {NO_KUNIT}"
    )
    with VM(initramfs, tmp_path, accel=accel, kernel=kernel, cmdline=options) as vm:
        console = vm.console()
    ours = re.search(r"initcall __rust_ramoops_init\S* returned 0", console)
    stock = re.search(r"calling  ramoops_init", console)
    assert ours and stock
    assert ours.start() < stock.start()


def test_a_region_of_reserve_mem_is_found_that_early(
    kernel: Path, initramfs: Path, accel: str, tmp_path: Path
) -> None:
    options = f"reserve_mem=2M:2M:oops rust_ramoops.mem_name=oops {NO_KUNIT}"
    with VM(initramfs, tmp_path, accel=accel, kernel=kernel, cmdline=options) as vm:
        assert re.search(r"rust_ramoops: using 0x200000@.*: 0 sealed", vm.console()), vm.console()
        vm.crash()
        assert re.search(r"rust_ramoops: using 0x200000@.*: 1 sealed", vm.console()), vm.console()
