"""The region was used with other parameters before: the module says with which, keeps the records, and they are there
again with the old ones."""

from __future__ import annotations

import pytest

from records import Reader
from vm import VM

FIRST = {"record_size": 0x10000}
OTHERS = [
    {"record_size": 0x4000},
    {"record_size": 0x10000, "console_size": 0x20000},
    {"record_size": 0x10000, "ecc": 16},
    {"record_size": 0x10000, "mem_size": 0x90000},
]

AS_SAID = "mem_size={mem_size} record_size={record_size} console_size={console_size} ftrace_size=4096 pmsg_size=4096 ecc={ecc}"
DEFAULTS = {"mem_size": 0x100000, "console_size": 4096, "ecc": 0}


def said(parameters: dict[str, int]) -> str:
    return "; 1 of other parameters, to be seen with " + AS_SAID.format(**(DEFAULTS | parameters))


@pytest.mark.parametrize("other", OTHERS, ids=str)
def test_records_of_other_parameters_are_told_and_kept(vm: VM, records: Reader, other: dict[str, int]) -> None:
    if "ecc" in other:
        vm.ok("grep -q ^reed_solomon /proc/modules || insmod reed_solomon.ko")
    vm.ramoops(**FIRST)
    vm.oops()
    vm.ok("rmmod rust_ramoops")
    [_, first, *_] = records.lines(vm, **FIRST)

    assert said(FIRST) in vm.ramoops(**other)
    assert said(FIRST) in vm.ok("cat /sys/kernel/debug/rust_ramoops/status")
    vm.oops()
    vm.ok("rmmod rust_ramoops")
    [_, *found] = records.lines(vm, **other)
    [second] = [record for record in found if record["kind"] == "sealed"]
    assert second["seq"] == first["seq"] + 1

    line = vm.ramoops(**FIRST)
    assert "1 sealed" in line and said(other) in line
    [_, again, *_] = records.lines(vm, **FIRST)
    assert again == first
