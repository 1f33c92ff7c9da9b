"""Records are deleted while rust_ramoops is loaded: it uses their slots at once, and loses nothing by looking."""

from __future__ import annotations

import re

import pytest

from records import Reader
from vm import insmod, REGION_SIZE, REGION_START, VM

PARAMETERS = {"record_size": 0x10000}
RESCAN = "/sys/module/rust_ramoops/parameters/rescan"
STATUS = "/sys/kernel/debug/rust_ramoops/status"


@pytest.fixture(scope="module")
def vm_options() -> dict[str, object]:
    return {"smp": 2}


def next_slot(vm: VM) -> int:
    return int(re.search(r"next slot: (\d+)", vm.ok(f"cat {STATUS}"))[1])


def test_a_deleted_slot_is_free_at_once(vm: VM, records: Reader) -> None:
    vm.phram()
    vm.ramoops(**PARAMETERS)
    slots = 15
    for _ in range(slots):
        vm.oops()
    before = records(vm, **PARAMETERS)
    assert (len(before), next_slot(vm)) == (slots, 0)
    # As an erase of the slot does, of whose size an erase block is.
    stride = (REGION_SIZE - 3 * 4096) // slots & ~1
    vm.ok(f"tr '\\0' '\\377' < /dev/zero | dd of=/dev/mtd0 bs={stride} seek=7 count=1 iflag=fullblock")
    assert next_slot(vm) == 0
    said = vm.logged(f"echo 1 > {RESCAN}")
    assert said.status == 0, said
    assert re.search(r"rust_ramoops: read again: 14 sealed, .*next slot 7\b", said.log), said
    assert next_slot(vm) == 7
    vm.oops()
    after = records(vm, **PARAMETERS)
    assert [record for record in after if record in before] == [record for record in before if record.slot != 7]
    assert next_slot(vm) == 0


def test_what_is_no_order_is_refused(vm: VM) -> None:
    vm.ramoops(**PARAMETERS)
    for word in ("0", "2", "yes", "11", ""):
        said = vm.logged(f"echo '{word}' > {RESCAN}")
        assert said.status != 0 and "rescan: write a 1" in said.log, said
    assert vm.ok(f"cat {RESCAN}") == "0\n"
    vm.unload()
    region = {"mem_address": hex(REGION_START), "mem_size": hex(REGION_SIZE)}
    said = vm.logged(insmod("rust_ramoops", **region, rescan=1))
    assert said.status != 0 and "not while the module is being loaded" in said.log, said


def test_oopses_and_rescans_at_the_same_time(vm: VM, records: Reader) -> None:
    vm.ramoops(**PARAMETERS)
    vm.load_test_oops()
    # Nobody counts on how many of them are refused.
    vm.ok(
        f"while [ -e {RESCAN} ]; do echo 1 > {RESCAN}; done 2>/dev/null &\n"
        "for i in $(seq 40); do sh -c 'echo oops > /proc/test_oops'; done; true",
    )
    found = records(vm, **PARAMETERS)
    # The ring has gone round: the newest are there, and no other.
    assert {record.kind for record in found} == {"sealed"}
    assert sorted(record.seq for record in found) == list(range(26, 41))
    assert vm.ok(f"cat {STATUS}").count("dropped, no slot: 0") == 1
    # The loop above holds nothing that keeps the module.
    vm.ok("rmmod rust_ramoops")
    assert "15 sealed" in vm.ramoops(**PARAMETERS)
    assert not re.search("WARNING|BUG: (?!kernel NULL)|hung|deadlock", vm.ok("dmesg"))
