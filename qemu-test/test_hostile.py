"""Whatever is in the region, or comes into it meanwhile: the next crash is recorded, and loading writes nothing."""

import random
import re
from collections.abc import Callable

import pytest

from messages import write_file
from records import PANIC, Reader
from vm import REGION_SIZE, VM

PARAMETERS = {"record_size": 0x10000}
GARBAGE = random.Random(1).randbytes(REGION_SIZE)


def check_next_panic_is_complete(vm: VM, records: Reader) -> None:
    vm.ok("echo still alive > /dev/kmsg")
    vm.crash()
    [panic] = [record for record in records(vm, **PARAMETERS) if record.kind == "sealed" and record.reason == PANIC]
    assert "still alive" in panic.text and "Kernel panic" in panic.text and "Call Trace" in panic.text


def test_garbage_from_outside_while_loaded(vm: VM, records: Reader) -> None:
    vm.ramoops(**PARAMETERS)
    vm.oops()
    vm.write(GARBAGE)
    check_next_panic_is_complete(vm, records)


def test_garbage_through_the_mtd_device_while_loaded(vm: VM, records: Reader) -> None:
    write_file(vm, GARBAGE, "/tmp/garbage")
    vm.phram()
    vm.ramoops(**PARAMETERS)
    vm.oops()
    vm.ok("dd if=/tmp/garbage of=/dev/mtd0 bs=64k")
    check_next_panic_is_complete(vm, records)


def test_ff_while_loaded(vm: VM, records: Reader) -> None:
    vm.ramoops(**PARAMETERS)
    vm.write(b"\xff" * REGION_SIZE)
    check_next_panic_is_complete(vm, records)


def test_garbage_before_loading(vm: VM, records: Reader) -> None:
    vm.write(GARBAGE)
    vm.ramoops(**PARAMETERS)
    check_next_panic_is_complete(vm, records)


def test_records_with_bits_flipped_before_loading(vm: VM, records: Reader) -> None:
    vm.ramoops(**PARAMETERS)
    for _ in range(3):
        vm.oops()
    vm.ok("rmmod rust_ramoops")
    flips = random.Random(2)
    data = bytearray(vm.read())
    for _ in range(2000):
        data[flips.randrange(len(data))] ^= 1 << flips.randrange(8)
    vm.write(bytes(data))
    result = vm.ramoops(**PARAMETERS)
    assert not re.search("WARNING|BUG|Oops", result)
    check_next_panic_is_complete(vm, records)


def fill_with_nothing(_: VM) -> None:
    pass


def fill_with_garbage(vm: VM) -> None:
    vm.write(GARBAGE)


def fill_with_records(vm: VM) -> None:
    vm.ramoops(**PARAMETERS)
    for _ in range(2):
        vm.oops()
    vm.ok("rmmod rust_ramoops")


def fill_with_other_geometry(vm: VM) -> None:
    vm.ramoops(record_size=0x4000)
    for _ in range(5):
        vm.oops()
    vm.ok("rmmod rust_ramoops")
    # Slot 0 begins at the same place whatever the geometry, and its record would be taken for one of stock ramoops.
    vm.write(bytes(0x1000))


@pytest.mark.parametrize(
    ("fill", "said"),
    [
        (fill_with_nothing, r"15 slots.*zero"),
        (fill_with_garbage, r"15 slots.*garbage"),
        (fill_with_records, r"15 slots.*\b2 sealed.*\b0 torn.*\b0 foreign.*next.*\b2\b"),
        (fill_with_other_geometry, r"15 slots.*; records seem to be there of another layout, record_size=16384: "),
    ],
    ids=["zeros", "garbage", "records", "other geometry"],
)
def test_loading_tells_what_it_found_and_writes_nothing(vm: VM, fill: Callable[[VM], None], said: str) -> None:
    fill(vm)
    before = vm.read()
    line = vm.ramoops(**PARAMETERS)
    vm.phram()
    assert vm.read() == before
    vm.ok("rmmod rust_ramoops rust_phram")
    assert vm.read() == before
    assert re.search(said, line), line
