"""A record whose header and seal were lost, and whose text was not: told apart from records, and its text is found."""

from __future__ import annotations

import pytest

from records import Reader
from vm import VM

PARAMETERS = {"record_size": 0x10000}
HEADER_LENGTH = 12


@pytest.fixture(scope="module")
def vm_options() -> dict[str, object]:
    return {"cmdline": "pstore.compress=none"}


def check_salvaged(vm: VM, records: Reader, text: str) -> None:
    """The record of slot 0 is told to be salvaged, with this text, and the next dump takes another slot."""
    before = vm.read()
    found = "0 sealed, 0 torn, 0 foreign, 1 to be salvaged, next slot 1"
    assert found in vm.ramoops(**PARAMETERS)
    assert f"found at load: {found}\n" in vm.ok("cat /sys/kernel/debug/rust_ramoops/status")
    assert vm.read() == before
    vm.oops()
    [_, slot, new, *_] = records.lines(vm, **PARAMETERS)
    assert slot["kind"] == "salvaged" and slot["text"] is None and slot["salvaged_text"] == text
    assert new["kind"] == "sealed"


@pytest.mark.parametrize("seal", ["magic", "crc"])
def test_our_record_without_header_and_seal(vm: VM, records: Reader, seal: str) -> None:
    vm.ramoops(**PARAMETERS)
    vm.oops()
    vm.ok("rmmod rust_ramoops")
    [_, whole, *_] = records.lines(vm, **PARAMETERS)
    for corruption in records.corruptions(vm, 0, **PARAMETERS):
        # `sig` is 1: with 0 it would be a record that is being written.
        if (corruption.field, corruption.value, corruption.forged) in [("header sig", "1", False), (seal, "1", False)]:
            vm.write(corruption.data, corruption.offset)
    check_salvaged(vm, records, whole["text"])


@pytest.mark.parametrize("header", [bytes(HEADER_LENGTH), b"\xff" * HEADER_LENGTH], ids=["zeros", "ones"])
def test_a_record_of_stock_ramoops_without_header(vm: VM, records: Reader, header: bytes) -> None:
    vm.ramoops("ramoops", **PARAMETERS)
    vm.oops()
    vm.ok("rmmod ramoops")
    [_, whole, *_] = records.lines(vm, **PARAMETERS)
    assert whole["kind"] == "foreign" and "NULL pointer dereference" in whole["text"]
    vm.write(header)
    lost = vm.read()
    vm.ramoops("ramoops", **PARAMETERS)
    assert vm.ok("ls /sys/fs/pstore") == ""
    vm.ok("rmmod ramoops")
    vm.write(lost)
    check_salvaged(vm, records, whole["text"])
