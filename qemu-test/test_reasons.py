"""Which events are recorded: max_reason and dump_oops."""

import pytest

from records import EMERGENCY, OOPS, PANIC, Reader, SHUTDOWN
from vm import VM

RECORD_SIZE = 0x10000


def test_by_default_a_restart_leaves_no_record(vm: VM, records: Reader) -> None:
    vm.ramoops(record_size=RECORD_SIZE)
    vm.crash("echo b > /proc/sysrq-trigger")
    assert records(vm, record_size=RECORD_SIZE) == []
    vm.ramoops(record_size=RECORD_SIZE)
    vm.crash("reboot -f")
    assert records(vm, record_size=RECORD_SIZE) == []


@pytest.mark.parametrize(
    ("command", "reason"),
    [("echo b > /proc/sysrq-trigger", EMERGENCY), ("reboot -f", SHUTDOWN)],
    ids=["emergency", "reboot"],
)
def test_max_reason_4_records_a_restart(vm: VM, records: Reader, command: str, reason: int) -> None:
    vm.ramoops(record_size=RECORD_SIZE, max_reason=4)
    vm.ok("echo before the restart > /dev/kmsg")
    vm.crash(command)
    record = records(vm, record_size=RECORD_SIZE)[0]
    assert record.reason == reason and "before the restart" in record.text


def test_max_reason_3_records_emergencies_but_no_restarts(vm: VM, records: Reader) -> None:
    vm.ramoops(record_size=RECORD_SIZE, max_reason=3)
    vm.crash("reboot -f")
    assert records(vm, record_size=RECORD_SIZE) == []


# The rest needs no reboot: a record is in the region as soon as the oops is over.
@pytest.mark.parametrize(
    ("parameters", "recorded"),
    [
        ({}, True),
        ({"dump_oops": 0}, False),
        ({"dump_oops": 1}, True),
        ({"max_reason": 1}, False),
        ({"max_reason": 2}, True),
        # As in mainline, max_reason counts if both are given.
        ({"max_reason": 2, "dump_oops": 0}, True),
        ({"max_reason": 1, "dump_oops": 1}, False),
    ],
    ids=["defaults", "0", "1", "max 1", "max 2", "max 2, 0", "max 1, 1"],
)
def test_oopses_are_recorded_as_the_parameters_say(
    vm: VM, records: Reader, parameters: dict[str, int], recorded: bool
) -> None:
    vm.ramoops(record_size=RECORD_SIZE, **parameters)
    vm.oops()
    assert [record.reason for record in records(vm, record_size=RECORD_SIZE)] == [OOPS] * recorded


def test_with_dump_oops_0_a_panic_is_recorded(vm: VM, records: Reader) -> None:
    vm.ramoops(record_size=RECORD_SIZE, dump_oops=0)
    vm.oops()
    vm.crash()
    assert [record.reason for record in records(vm, record_size=RECORD_SIZE)] == [PANIC]


def test_a_warning_is_no_crash(vm: VM, records: Reader) -> None:
    vm.ramoops(record_size=RECORD_SIZE)
    vm.oops("warn")
    assert records(vm, record_size=RECORD_SIZE) == []
