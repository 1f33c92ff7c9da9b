"""Logs larger than a record: kmsg_bytes spreads one dump over several slots."""

import re

import pytest

from cases import few
from messages import write_noise
from records import EMERGENCY, PANIC, Record, Reader
from vm import VM

LIMITS = [(0, 1), (10000, 1), (40000, 3)]  # kmsg_bytes, and the slots that a dump takes.
LINES = 600  # With 90 characters each they fit the kernel's ring of 128 KiB together with the boot messages.


def write_log(vm: VM) -> None:
    padding = "x" * 60
    vm.ok(f"for i in $(seq {LINES}); do echo line $i of the log {padding} > /dev/kmsg; done")


def whole_text(parts: list[Record]) -> str:
    """Part 1 is the newest text."""
    return "".join(record.text for record in sorted(parts, key=lambda record: record.part, reverse=True))


def line_numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\] line (\d+) of the log x{60}$", text, re.MULTILINE)]


def test_a_log_larger_than_a_record_is_kept_whole(vm: VM, records: Reader) -> None:
    parameters = {"record_size": 0x4000}
    vm.ramoops(**parameters, kmsg_bytes=200000)
    write_log(vm)
    vm.crash()
    parts = records(vm, **parameters)
    assert all(record.kind == "sealed" and record.reason == PANIC for record in parts)
    assert len({record.dump for record in parts}) == 1
    assert sorted(record.part for record in parts) == list(range(1, len(parts) + 1))
    assert max(record.parts for record in parts) == len(parts) > 4
    text = whole_text(parts)
    assert line_numbers(text) == list(range(1, LINES + 1))
    assert text.index("Linux version") < 200, "the log begins at its beginning"
    assert text.index("Kernel panic") > text.index(f"line {LINES} of") and "Call Trace" in text
    newest = next(record for record in parts if record.part == 1)
    assert "Kernel panic" in newest.text


@pytest.mark.parametrize(("kmsg_bytes", "slots"), few(LIMITS, (40000, 3)))
def test_kmsg_bytes_limits_what_is_kept_to_the_newest(vm: VM, records: Reader, kmsg_bytes: int, slots: int) -> None:
    # As in mainline, it is rounded up to whole records.
    parameters = {"record_size": 0x4000}
    vm.ramoops(**parameters, kmsg_bytes=kmsg_bytes)
    write_log(vm)
    vm.crash()
    parts = records(vm, **parameters)
    text = whole_text(parts)
    assert len(parts) == slots
    assert 0.95 * slots * 0x4000 < len(text) < slots * 0x4000 * 1.05
    numbers = line_numbers(text)
    assert numbers == list(range(numbers[0], LINES + 1)) and "Kernel panic" in text


# The first of five slots is used once; of the other four a dump leaves one or two for the panic that may stop it.
@pytest.mark.parametrize(
    ("command", "max_reason", "slots"), [("c", PANIC, 3), ("b", EMERGENCY, 2)], ids=["panic", "emergency"]
)
def test_a_dump_larger_than_all_slots_keeps_the_newest(
    vm: VM, records: Reader, command: str, max_reason: int, slots: int
) -> None:
    # A log of 100 KB.
    parameters = {"mem_size": 5 * 0x4000, "record_size": 0x4000, "console_size": 0, "ftrace_size": 0, "pmsg_size": 0}
    line = vm.ramoops(**parameters, kmsg_bytes=1000000, max_reason=max_reason)
    assert "kmsg_bytes=1000000: a crash has at most 3 records here" in line
    write_log(vm)
    vm.crash(f"echo {command} > /proc/sysrq-trigger")
    parts = records(vm, **parameters)
    assert sorted(record.part for record in parts) == list(range(1, slots + 1))
    text = whole_text(parts)
    numbers = line_numbers(text)
    assert numbers == list(range(numbers[0], LINES + 1)) and "sysrq: " in text[text.index(f"line {LINES} of") :]


def test_a_log_of_incompressible_lines_keeps_the_panic(vm: VM, records: Reader) -> None:
    # Stock ramoops, which counts on compression, loses the newest text of such a log.
    parameters = {"record_size": 0x10000}
    vm.ramoops(**parameters)
    write_noise(vm)
    vm.crash()
    [record] = records(vm, **parameters)
    assert "Kernel panic" in record.text and "Call Trace" in record.text


@pytest.mark.xfail(strict=True, raises=AssertionError, reason="a dumper cannot read past dmesg -c")
def test_text_before_dmesg_c_is_kept(vm: VM, records: Reader) -> None:
    parameters = {"record_size": 0x10000}
    vm.ramoops(**parameters)
    vm.ok("echo before the clearing > /dev/kmsg; dmesg -c > /dev/null; echo after it > /dev/kmsg")
    vm.crash()
    [record] = records(vm, **parameters)
    assert "before the clearing" in record.text and "after it" in record.text
