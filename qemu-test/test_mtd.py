"""The MTD device as a user meets it, through dd and mtd-utils. Stock phram passes the same tests."""

import hashlib
import random

import pytest

from cases import few
from records import PANIC, Reader
from vm import REGION_SIZE, VM


@pytest.fixture(params=few(["phram", "rust_phram"], "rust_phram"))
def device(vm: VM, request: pytest.FixtureRequest) -> VM:
    """A guest in which the region is /dev/mtd0."""
    vm.phram(request.param)
    return vm


def random_bytes(length: int) -> bytes:
    return random.Random(length).randbytes(length)


def test_proc_mtd_and_the_device_nodes_are_there(device: VM) -> None:
    assert 'mtd0: 00100000 00001000 "oops"' in device.ok("cat /proc/mtd")
    device.ok("test -c /dev/mtd0 && test -c /dev/mtd0ro")
    sysfs = device.ok("cd /sys/class/mtd/mtd0; cat name type size erasesize writesize").split()
    assert sysfs == ["oops", "ram", "1048576", "4096", "1"]
    assert "mtd.size = 1048576 (1M)" in device.ok("mtd_debug info /dev/mtd0")


@pytest.mark.parametrize("size", [1, 512, 4096, 65536, 1 << 20])
def test_what_dd_writes_it_reads_back(device: VM, size: int) -> None:
    length = min(REGION_SIZE, size * 3000) if size > 1 else 3000
    device.ok(f"head -c {length} /dev/urandom > /tmp/file")
    device.ok(f"dd if=/tmp/file of=/dev/mtd0 bs={size} conv=notrunc 2>/dev/null")
    count = -(-length // size)
    device.ok(f"dd if=/dev/mtd0 bs={size} count={count} 2>/dev/null | head -c {length} | cmp - /tmp/file")
    md5 = device.ok("md5sum < /tmp/file").split()[0]
    assert hashlib.md5(device.read(0, length)).hexdigest() == md5
    assert device.read(length).strip(b"\0") == b""


def test_unaligned_writes_touch_nothing_else(device: VM) -> None:
    content = random_bytes(REGION_SIZE)
    device.write(content)
    for offset, text in ((0, b"a"), (4095, b"across"), (0xFFFFF, b"z"), (12345, b"some more text")):
        device.ok(f"printf '{text.decode()}' | dd of=/dev/mtd0 bs=1 seek={offset} conv=notrunc 2>/dev/null")
        content = content[:offset] + text + content[offset + len(text) :]
    assert device.read() == content


def test_zeros_reset_the_region(device: VM) -> None:
    device.write(random_bytes(REGION_SIZE))
    # dd goes on until the device is full, which it calls an error.
    device.run("dd if=/dev/zero of=/dev/mtd0 bs=64k")
    assert device.read() == bytes(REGION_SIZE)


@pytest.mark.parametrize("command", ["flash_erase -q /dev/mtd0 0 0", "mtd_debug erase /dev/mtd0 0 0x100000"])
def test_erase_fills_with_ff(device: VM, command: str) -> None:
    device.write(random_bytes(REGION_SIZE))
    device.ok(command)
    assert device.read() == b"\xff" * REGION_SIZE


def test_erase_of_one_block_leaves_its_neighbours_alone(device: VM) -> None:
    content = random_bytes(REGION_SIZE)
    device.write(content)
    device.ok("flash_erase -q /dev/mtd0 0x3000 1")
    assert device.read() == content[:0x3000] + b"\xff" * 0x1000 + content[0x4000:]


def test_reads_past_the_end_are_short(device: VM) -> None:
    assert device.ok("dd if=/dev/mtd0 bs=1k skip=1023 2>/dev/null | wc -c").strip() == "1024"
    assert device.ok("dd if=/dev/mtd0 bs=1M skip=1 2>/dev/null | wc -c").strip() == "0"
    assert device.ok("dd if=/dev/mtd0 bs=3M 2>/dev/null | wc -c").strip() == str(REGION_SIZE)


def test_writes_past_the_end_are_refused(device: VM) -> None:
    content = random_bytes(REGION_SIZE)
    device.write(content)
    assert "No space left" in device.fails("dd if=/dev/zero of=/dev/mtd0 bs=1 count=1 seek=1M conv=notrunc")
    assert device.read() == content


def test_the_read_only_node_refuses_writes(device: VM) -> None:
    assert "denied" in device.fails("echo > /dev/mtd0ro")
    assert device.ok("dd if=/dev/mtd0ro bs=1M 2>/dev/null | wc -c").strip() == str(REGION_SIZE)


def test_the_block_device_reads_the_same(device: VM) -> None:
    device.write(random_bytes(REGION_SIZE))
    device.insmod("mtdblock")
    assert device.ok("md5sum < /dev/mtdblock0").split()[0] == hashlib.md5(device.read()).hexdigest()
    device.ok("rmmod mtdblock")


def test_bad_erases_are_refused(vm: VM) -> None:
    # Stock phram accepts them.
    vm.phram()
    content = random_bytes(REGION_SIZE)
    vm.write(content)
    for arguments in ("1 0x1000", "0 0x1001", "0x100000 0x1000", "0xff000 0x2000"):
        vm.fails(f"mtd_debug erase /dev/mtd0 {arguments}")
    assert vm.read() == content


def test_the_module_stays_while_the_device_is_open(device: VM) -> None:
    module = device.ok("cut -d' ' -f1 /proc/modules | grep phram").strip()
    device.ok("sleep 1000 < /dev/mtd0 > /dev/null 2>&1 & echo $! > /tmp/holder")
    assert "temporarily unavailable" in device.fails(f"rmmod {module}")
    device.ok("pid=$(cat /tmp/holder); kill $pid; while [ -e /proc/$pid/fd/0 ]; do usleep 10000; done")
    device.ok(f"rmmod {module}")
    device.fails("ls /dev/mtd0")


def test_a_crash_after_a_reset_by_zeros_is_recorded(vm: VM, records: Reader) -> None:
    vm.phram()
    vm.ramoops(record_size=0x10000)
    vm.oops()
    vm.run("dd if=/dev/zero of=/dev/mtd0 bs=64k")
    assert records(vm, record_size=0x10000) == []
    vm.crash()
    [record] = records(vm, record_size=0x10000)
    assert record.kind == "sealed" and record.reason == PANIC


def test_a_crash_after_an_erase_is_recorded(vm: VM, records: Reader) -> None:
    vm.phram()
    vm.ramoops(record_size=0x10000)
    vm.ok("flash_erase -q /dev/mtd0 0 0")
    vm.crash()
    [record] = records(vm, record_size=0x10000)
    assert record.kind == "sealed" and record.reason == PANIC
