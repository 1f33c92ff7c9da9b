"""Where rust_phram's devices lie, and what may be done with them: read-only ones, and ones that share memory."""

import random

import pytest

from refusal import check_refused
from vm import insmod, REGION_SIZE, REGION_START, VM

PLACE = f"{REGION_START:#x},{REGION_SIZE:#x}"
CONTENT = random.Random(5).randbytes(REGION_SIZE)
HALF = REGION_SIZE // 2


@pytest.mark.parametrize("words", ["ro", "64k,ro", "ro,overlap"])
def test_a_read_only_device_is_read_and_never_written(vm: VM, words: str) -> None:
    vm.write(CONTENT)
    vm.insmod("rust_phram", phram=f"oops,{PLACE},{words}")
    assert vm.ok("dd if=/dev/mtd0 bs=64k 2>/dev/null | wc -c").strip() == str(REGION_SIZE)
    assert "denied" in vm.fails("echo > /dev/mtd0")
    vm.fails("flash_erase -q /dev/mtd0 0 0")
    vm.fails("mtd_debug write /dev/mtd0 0 4 /proc/version")
    vm.insmod("mtdblock")
    assert vm.ok("cat /sys/block/mtdblock0/ro").strip() == "1"
    vm.fails("echo > /dev/mtdblock0")
    vm.ok("rmmod mtdblock")
    # mtdoops wants to write.
    vm.run(insmod("mtdoops", mtddev="oops", record_size=4096))
    vm.oops()
    vm.ok("sleep 1; ! grep -q ^mtdoops /proc/modules || rmmod mtdoops")
    assert vm.read() == CONTENT


def test_words_after_the_numbers_only(vm: VM) -> None:
    check_refused(vm, "rust_phram", f"phram=oops,{PLACE},ro,64k", "too many arguments")
    check_refused(vm, "rust_phram", f"phram=oops,{PLACE},64k,rw", "too many arguments")
    check_refused(vm, "rust_phram", f"phram=oops,{REGION_START:#x},ro", "not enough arguments")


@pytest.mark.parametrize(("offset", "length"), [(0, REGION_SIZE), (HALF - 4096, 8192), (0, 4096), (HALF - 4096, 4096)])
def test_devices_that_overlap_are_refused(vm: VM, offset: int, length: int) -> None:
    first, second = f"a,{REGION_START:#x},{HALF:#x}", f"b,{REGION_START + offset:#x},{length:#x}"
    check_refused(vm, "rust_phram", f"phram={first} phram={second}", "overlaps that of b")
    vm.insmod("rust_phram", phram=first)
    vm.fails(f"echo {second} > /sys/module/rust_phram/parameters/phram")
    vm.ok(f"echo {second},overlap > /sys/module/rust_phram/parameters/phram")
    vm.ok("printf shared > /dev/mtd1")
    assert vm.ok("dd if=/dev/mtd0 bs=4096 2>/dev/null | strings -n 6 | grep -c shared").strip() == "1"


def test_devices_side_by_side_do_not_overlap(vm: VM) -> None:
    vm.ok(f"insmod rust_phram.ko phram=a,{REGION_START:#x},{HALF:#x} phram=b,{REGION_START + HALF:#x},{HALF:#x}")
    vm.ok("printf first > /dev/mtd0; printf second > /dev/mtd1")
    assert vm.read(0, 5) == b"first" and vm.read(HALF, 6) == b"second"


def test_a_read_only_window_on_a_device(vm: VM) -> None:
    vm.ok(f"insmod rust_phram.ko phram=oops,{PLACE} phram=log,{PLACE},ro,overlap")
    vm.ok("printf text > /dev/mtd0")
    assert vm.ok("head -c 4 /dev/mtd1") == "text"
    vm.fails("echo > /dev/mtd1")
