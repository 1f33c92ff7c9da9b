"""Stock ramoops reads our records, we respect its records, and the same parameters mean the same zones."""

from collections.abc import Callable

import pytest

from records import PANIC, Reader
from vm import VM

PSTORE = "/sys/fs/pstore"


@pytest.fixture(scope="module")
def vm_options() -> dict[str, object]:
    return {"cmdline": "pstore.compress=none"}


@pytest.mark.parametrize("record_size", [0x2000, 0x10000])
def test_stock_ramoops_shows_our_records(vm: VM, records: Reader, record_size: int) -> None:
    vm.ramoops(record_size=record_size)
    vm.oops()
    vm.oops("bug")
    vm.crash()
    ours = records(vm, record_size=record_size)
    assert len(ours) == 3

    vm.ramoops("ramoops", record_size=record_size)
    files = vm.ok(f"ls {PSTORE}").split()
    assert len(files) == 3
    # A file of pstore is the line "<Reason>#<n> Part<k>" and the text.
    theirs = {vm.ok(f"cat {PSTORE}/{file}").partition("\n")[2] for file in files}
    assert theirs == {record.text for record in ours}

    # Nor does it spoil them by looking.
    vm.ok("rmmod ramoops")
    assert records(vm, record_size=record_size) == ours


def test_a_record_removed_through_stock_pstore_is_gone(vm: VM, records: Reader) -> None:
    vm.ramoops(record_size=0x10000)
    vm.oops()
    vm.oops("bug")
    first, second = records(vm, record_size=0x10000)
    vm.ok("rmmod rust_ramoops")
    vm.ramoops("ramoops", record_size=0x10000)
    vm.ok(f"rm {PSTORE}/dmesg-ramoops-{first.slot}; rmmod ramoops")
    assert [record for record in records(vm, record_size=0x10000) if record.kind == "sealed"] == [second]


def check_stock_records_are_kept(vm: VM, records: Reader) -> None:
    parameters = {"record_size": 0x10000}
    vm.ramoops("ramoops", **parameters)
    vm.crash()
    vm.ramoops("ramoops", **parameters)
    text = vm.ok(f"cat {PSTORE}/dmesg-ramoops-0")
    assert "Kernel panic" in text
    vm.ok("rmmod ramoops")

    assert "1 foreign" in vm.ramoops(**parameters)
    vm.crash()
    # Ours went into a free slot.
    [panic] = [record for record in records(vm, **parameters) if record.kind == "sealed"]
    assert panic.reason == PANIC and panic.slot != 0
    assert [record.slot for record in records(vm, **parameters) if record.kind == "foreign"] == [0]
    vm.ramoops("ramoops", **parameters)
    assert vm.ok(f"cat {PSTORE}/dmesg-ramoops-0") == text


def test_plain_records_of_stock_ramoops_are_kept(vm: VM, records: Reader) -> None:
    check_stock_records_are_kept(vm, records)


def test_compressed_records_of_stock_ramoops_are_kept(boot: Callable[..., VM], records: Reader) -> None:
    with boot() as vm:
        check_stock_records_are_kept(vm, records)


def test_stock_records_are_overwritten_only_when_all_slots_are_taken_and_the_newest_is_kept(vm: VM, records: Reader) -> None:
    parameters = {"record_size": 0x40000, "console_size": 0, "ftrace_size": 0, "pmsg_size": 0}
    vm.ramoops("ramoops", **parameters)
    vm.oops()
    vm.oops()
    vm.ok("rmmod ramoops")
    vm.ramoops(**parameters)
    kinds = []
    for _ in range(4):
        vm.oops()
        kinds.append(sorted(record.kind for record in records(vm, **parameters)))
    assert kinds == [
        ["foreign", "foreign", "sealed"],
        ["foreign", "foreign", "sealed", "sealed"],
        ["foreign", "sealed", "sealed", "sealed"],
        ["foreign", "sealed", "sealed", "sealed"],
    ]
