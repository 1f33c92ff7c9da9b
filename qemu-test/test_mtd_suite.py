"""The kernel's own MTD tests, mtd-utils and a file system, on rust_phram and on stock phram: the same verdicts."""

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from initramfs import build_helpers, build_initramfs, our_modules, STOCK_MODULES
from vm import insmod, REGION_SIZE, REGION_START, VM

# The kernel's tests have to be built first.
pytestmark = pytest.mark.long

DRIVERS = ("phram", "rust_phram")

# Of the kernel's source; what needs NAND flash tells so.
KERNEL_TESTS = ("read", "stress", "torture", "speed", "page", "oob", "subpage")
PARAMETERS = {"torture": "cycles_count=2 ebcnt=4 eb=2", "stress": "count=2000"}
FILE_SYSTEM = ("lib/crc/crc16", "fs/mbcache", "fs/jbd2/jbd2", "fs/ext4/ext4")
UTILITIES = ("flash_erase", "mtd_debug", "mtdinfo", "flashcp", "nanddump", "mtdpart")


def build_kernel_tests(directory: Path) -> list[Path]:
    """Builds drivers/mtd/tests and the partition parser out of the kernel's source package."""
    release = os.environ["KERNEL_RELEASE"]
    [archive] = Path("/usr/src").glob(f"linux-source-{'.'.join(release.split('.')[:2])}.tar.xz")
    folders = ("drivers/mtd/tests", "drivers/mtd/parsers")
    directory.mkdir()
    wanted = [f"{archive.name.removesuffix('.tar.xz')}/{folder}" for folder in folders]
    subprocess.run(["tar", "-xf", archive, "-C", directory, "--strip-components=1", *wanted], check=True)
    for folder, option in zip(folders, ("CONFIG_MTD_TESTS=m", "CONFIG_MTD_CMDLINE_PARTS=m"), strict=True):
        command = ["make", "-C", os.environ["KDIR"], f"M={directory / folder}", option, "CC=gcc-14", "modules"]
        subprocess.run(command, check=True, capture_output=True)
    built = [directory / f"drivers/mtd/tests/mtd_{name}test.ko" for name in KERNEL_TESTS]
    return [*built, directory / "drivers/mtd/tests/mtd_test.ko", directory / "drivers/mtd/parsers/cmdlinepart.ko"]


@pytest.fixture(scope="module")
def shared_vm(start: Callable[..., VM], tmp_path_factory: pytest.TempPathFactory) -> Iterator[VM]:
    directory = tmp_path_factory.mktemp("mtd-suite")
    image = directory / "initramfs.cpio"
    build_initramfs(
        image,
        [*our_modules(), *build_kernel_tests(directory / "linux")],
        stock_modules=(*STOCK_MODULES, *FILE_SYSTEM),
        programs=(*UTILITIES, *build_helpers(directory / "helpers")),
    )
    with start(image) as vm:
        yield vm


def compare(vm: VM, run: Callable[[str], object], **options: str) -> object:
    """What is observed of both drivers, each over an empty region; it must be the same."""
    observed = []
    for driver in DRIVERS:
        vm.unload()
        vm.write(bytes(REGION_SIZE))
        vm.phram(driver, **options)
        observed.append((run(driver), vm.read()))
    assert observed[0][0] == observed[1][0]
    assert observed[0][1] == observed[1][1], "the memory differs"
    return observed[1][0]


@pytest.mark.parametrize("erasesize", ["", "0x10000"])
@pytest.mark.parametrize("name", KERNEL_TESTS)
def test_the_tests_of_the_kernel(vm: VM, name: str, erasesize: str) -> None:
    # What the stress test does is random: there the memory differs.
    def run(driver: str) -> tuple[int, list[str]]:
        module = f"mtd_{name}test"
        vm.ok("grep -q ^mtd_test /proc/modules || insmod mtd_test.ko")
        result = vm.logged(f"insmod {module}.ko dev=0 {PARAMETERS.get(name, '')}")
        vm.run(f"rmmod {module}")
        said = re.findall(rf"{module}: (.*)", result.log)
        print(driver, result.status, *said, sep="\n  ")
        if name == "stress":
            vm.write(bytes(REGION_SIZE))
        # Speeds and seeds differ, verdicts do not.
        return result.status, [re.sub(r"\d+ (KiB/s|milliseconds|seconds).*|took .*", "", line) for line in said]

    status, said = compare(vm, run, erasesize=erasesize)
    if name in ("read", "stress", "speed", "torture"):
        assert any("finished" in line for line in said), said
    assert not any("error" in line.replace("0 errors", "") for line in said), said


def test_mtd_utils(vm: VM) -> None:
    def run(driver: str) -> list[str]:
        outputs = []
        for command in (
            "mtdinfo -a",
            "mtd_debug info /dev/mtd0",
            "head -c 100000 /dev/zero | tr '\\0' x > /tmp/file; mtd_debug write /dev/mtd0 0x123 100000 /tmp/file",
            "mtd_debug read /dev/mtd0 0x123 100000 /tmp/back; cmp /tmp/file /tmp/back",
            "flash_erase -q /dev/mtd0 0x10000 2",
            "flashcp -v /tmp/file /dev/mtd0 | tr '\\r' '\\n' | tail -n 1; head -c 100000 /dev/mtd0 | cmp - /tmp/file",
            "head -c 2000000 /dev/zero > /tmp/big; flashcp /tmp/big /dev/mtd0",
            "nanddump -l 4096 -f /tmp/dump /dev/mtd0; md5sum /tmp/dump",
            "mtdpart add /dev/mtd0 part 0x40000 0x20000; cat /proc/mtd; printf here > /dev/mtd1",
            "mtdpart del /dev/mtd0 1",
        ):
            outputs.append(str(vm.run(command)))
        return outputs

    said = compare(vm, run, erasesize="0x10000")
    print(*said, sep="\n")
    assert sum("[exit status 0]" in output for output in said) >= 8, said


def test_calls_at_the_edges_of_the_device(vm: VM) -> None:
    print(compare(vm, lambda driver: vm.ok("mtd_edges")))


def test_a_file_system(vm: VM) -> None:
    def run(driver: str) -> list[str]:
        vm.ok("for m in crc16 mbcache jbd2 ext4; do grep -q ^$m' ' /proc/modules || insmod $m.ko; done")
        vm.insmod("mtdblock")
        vm.ok(
            "set -e; mke2fs /dev/mtdblock0; mkdir -p /mnt; mount -t ext2 /dev/mtdblock0 /mnt\n"
            "cp /bin/mtd_debug /mnt; for i in $(seq 100); do echo $i > /mnt/$i; done; rm /mnt/5*; umount /mnt"
        )
        # Through the block layer's cache no more: the module is loaded anew.
        vm.ok("rmmod mtdblock; insmod mtdblock.ko; mount -t ext2 -o ro /dev/mtdblock0 /mnt")
        vm.ok("cmp /bin/mtd_debug /mnt/mtd_debug")
        files = vm.ok("cd /mnt; ls; cat [0-9]* | md5sum").split()
        vm.ok("umount /mnt; rmmod mtdblock")
        vm.write(bytes(REGION_SIZE))  # The file system has an identity of its own, and times.
        return files

    files = compare(vm, run)
    assert "mtd_debug" in files and len(files) > 80


def test_partitions_of_the_command_line(vm: VM) -> None:
    vm.ok(insmod("cmdlinepart", mtdparts="oops:64k(first),128k(second)ro,-(rest)"))

    def run(driver: str) -> list[str]:
        vm.ok("printf one > /dev/mtd0; printf rest > /dev/mtd2")
        vm.fails("printf two > /dev/mtd1")
        return vm.ok("cat /proc/mtd; for i in 0 1 2; do md5sum < /dev/mtd$i; done").splitlines()

    table = compare(vm, run)
    vm.unload()
    vm.ok("rmmod cmdlinepart")
    assert [line.split()[-1] for line in table[1:4]] == ['"first"', '"second"', '"rest"']
    assert vm.read(0, 3) == b"one" and vm.read(0x30000, 4) == b"rest"


def test_two_devices_at_once(vm: VM) -> None:
    half = REGION_SIZE // 2
    parameter = "/sys/module/rust_phram/parameters/phram"
    vm.insmod("rust_phram", phram=f"a,{REGION_START:#x},{half:#x}")
    vm.ok(f"echo b,{REGION_START + half:#x},{half:#x} > {parameter}")
    vm.ok("yes left | dd of=/dev/mtd0 bs=64k 2>/dev/null & yes right | dd of=/dev/mtd1 bs=4k 2>/dev/null; wait")
    assert vm.read(0, half).strip(b"left\n") == b"" and vm.read(half).strip(b"right\n") == b""
