"""patches/phram: what they mend in the kernel's own phram is broken without them, and works with them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from debug_vm import build_debug_initramfs, build_debug_module, debug_kernel, DebugVM
from initramfs import PROJECT
from vm import insmod, REGION_SIZE, REGION_START

SOURCE = "drivers/mtd/devices/phram.c"
DEVICE = f"oops,{REGION_START:#x},{REGION_SIZE:#x}"
BLOCK = 4096
CONTENT = bytes(range(1, 251)) * 65

with_and_without = pytest.mark.parametrize("module", ["phram", "patched_phram"])


def build_patched(directory: Path) -> Path:
    """Builds phram out of the source of the debug kernel, with all patches. Each of them has to apply."""
    series = ".".join((debug_kernel() / "include/config/kernel.release").read_text().split(".")[:2])
    source = directory / "phram"
    source.mkdir()
    archive = f"/usr/src/linux-source-{series}.tar.xz"
    member = f"linux-source-{series}/{SOURCE}"
    subprocess.run(["tar", "-xJf", archive, "--occurrence", "--strip-components=1", "-C", source, member], check=True)
    for patch in sorted((PROJECT / "patches/phram").glob("*.patch")):
        subprocess.run(["patch", "--fuzz=0", "-p1", "-i", patch], cwd=source, check=True)
    (source / SOURCE).rename(source / "phram.c")
    (source / "Kbuild").write_text("obj-m := phram.o\n")
    build_debug_module(source)
    return (source / "phram.ko").rename(source / "patched_phram.ko")


@pytest.fixture(scope="module")
def shared_vm(boot: Callable[..., DebugVM], tmp_path_factory: pytest.TempPathFactory) -> Iterator[DebugVM]:
    directory = tmp_path_factory.mktemp("phram")
    image = directory / "initramfs.cpio"
    build_debug_initramfs(image, directory, build_patched(directory))
    with boot(image=image) as vm:
        yield vm


@with_and_without
def test_mtdoops_keeps_a_panic(vm: DebugVM, module: str) -> None:
    vm.ok(insmod(module, phram=DEVICE))
    vm.insmod("mtdoops", mtddev="oops", record_size=BLOCK)
    vm.crash("echo c > /proc/sysrq-trigger")
    is_kept = b"Kernel panic - not syncing: sysrq" in vm.read()
    assert is_kept == (module == "patched_phram")
    vm.complaints()


@with_and_without
def test_a_part_of_an_erase_block_is_not_erased(vm: DebugVM, module: str) -> None:
    vm.write(CONTENT)
    vm.ok(insmod(module, phram=DEVICE))
    vm.ok(f"mtd_debug erase /dev/mtd0 {2 * BLOCK} {BLOCK}")
    erased = CONTENT[: 2 * BLOCK] + b"\xff" * BLOCK + CONTENT[3 * BLOCK :]
    assert vm.read(0, len(erased)) == erased
    for place in f"{BLOCK + 1} {BLOCK}", f"{BLOCK} {BLOCK - 1}", "16 16":
        vm.run(f"mtd_debug erase /dev/mtd0 {place}")
    assert (vm.read(0, len(erased)) == erased) == (module == "patched_phram")
    vm.ok("rmmod phram")


@with_and_without
def test_a_device_that_is_unbound_while_it_is_open(vm: DebugVM, module: str) -> None:
    vm.write(b"text")
    vm.ok(f"insmod test_faults.ko; insmod {module}.ko; echo phram > /proc/test_faults")
    unbind = "echo phram > /sys/bus/platform/drivers/phram/unbind"
    mapped = f"grep -c phys={REGION_START:#018x} /proc/vmallocinfo"
    if module == "phram":
        # Whoever closes it may wait for ever for a lock that is gone.
        vm.ok(f"(exec 3</dev/mtd0; {unbind}; head -c 4 <&3; exec 3<&-) >/dev/null 2>&1 &")
        vm.wait_until("KASAN's report", lambda: "KASAN: slab-use-after-free in mtdchar" in vm.console())
        vm.reset()
        vm.complaints()
        return
    assert vm.ok(f"exec 3</dev/mtd0; {unbind}; head -c 4 <&3; {mapped}; exec 3<&-; {mapped} || true") == "text1\n0\n"
    vm.ok("rmmod phram test_faults")
