"""Dumps at the same time, and dumps that never end: what the modules do then is stopped in the middle by test hooks."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cases import few
from records import OOPS, PANIC, Reader, Record
from vm import VM

PARAMETERS = {"record_size": 0x10000}
FEW_OOPSES, OOPSES = 50, 500  # On each of two CPUs. The slots are 15.
SCRIBBLES = 1000  # At most so many times random bytes are written over the whole region.
TAINT_WARN, TAINT_SOFTLOCKUP = 1 << 9, 1 << 14
WRITES = 7  # Into the region, for one record: see FORMAT.md.


@pytest.fixture(scope="module")
def shared_vm(start: Callable[..., VM], hooked_initramfs: Path) -> Iterator[VM]:
    """A guest with two CPUs, and modules that can be stopped in the middle of a dump."""
    with start(hooked_initramfs, smp=2, cmdline="unknown_nmi_panic") as vm:
        yield vm


@pytest.fixture
def loaded(vm: VM) -> VM:
    """The guest with one record in its region, that of an oops."""
    # CPU 1 will hang, and what runs there.
    vm.ok("taskset -p 1 1")
    vm.ramoops(**PARAMETERS)
    vm.oops("bug")
    return vm


def hook(vm: VM, action: str, write: int) -> None:
    parameters = "/sys/module/rust_ramoops/parameters"
    vm.ok(f"echo {action} > {parameters}/hook; echo {write} > {parameters}/hook_at")


def oops_on_cpu_1(vm: VM) -> None:
    """Starts an oops whose dump will not end."""
    vm.ok("taskset 2 sh -c 'echo oops > /proc/test_oops' >/dev/null 2>&1 &")
    vm.ok("until grep -qx 0 /sys/module/rust_ramoops/parameters/hook_at; do usleep 10000; done")


def check_panic_is_whole(vm: VM, records: Reader, cause: str) -> Record:
    found = records(vm, **PARAMETERS)
    [panic] = [record for record in found if record.reason == PANIC]
    assert panic.kind == "sealed" and panic.parts == 1 and cause in panic.text, panic
    # The record from before is still there, and at most the one that was under way is torn.
    sealed = [record for record in found if record.kind == "sealed"]
    assert sealed[0].reason == OOPS and "kernel BUG at" in sealed[0].text
    assert len(found) - len(sealed) <= 1, found
    return panic


@pytest.mark.parametrize("write", few(range(1, WRITES + 1), 1, 4))
def test_a_cpu_that_hangs_in_a_dump_does_not_spoil_a_panic(loaded: VM, records: Reader, write: int) -> None:
    hook(loaded, "spin", write)
    oops_on_cpu_1(loaded)
    loaded.crash("taskset 1 sh -c 'echo c > /proc/sysrq-trigger'")
    check_panic_is_whole(loaded, records, "Kernel panic - not syncing: sysrq triggered crash")


def test_dumps_of_oopses_are_dropped_and_counted_while_one_hangs(loaded: VM) -> None:
    hook(loaded, "spin", 3)
    oops_on_cpu_1(loaded)
    for _ in range(3):
        loaded.ok("taskset 1 sh -c 'echo oops > /proc/test_oops'; true")
    status = loaded.ok("cat /sys/kernel/debug/rust_ramoops/status")
    assert "dropped, another dump under way: 3" in status, status
    loaded.restart()


def test_an_nmi_in_the_middle_of_a_dump(loaded: VM, records: Reader) -> None:
    hook(loaded, "spin", 3)
    oops_on_cpu_1(loaded)
    loaded.nmi()
    check_panic_is_whole(loaded, records, "NMI")


@pytest.mark.parametrize("write", few([1, 3, 5], 3))
def test_a_fault_inside_the_dumper(loaded: VM, records: Reader, write: int) -> None:
    """The dumper oopses itself; the kernel goes on, and the next panic is recorded."""
    hook(loaded, "fault", write)
    loaded.oops()
    loaded.crash()
    panic = check_panic_is_whole(loaded, records, "Kernel panic - not syncing: sysrq triggered crash")
    assert "test fault in the middle of a dump" in panic.text


def test_a_fault_inside_the_dumper_that_is_a_panic(loaded: VM, records: Reader) -> None:
    hook(loaded, "fault", 3)
    loaded.crash("echo 1 > /proc/sys/kernel/panic_on_oops; sh -c 'echo oops > /proc/test_oops'")
    check_panic_is_whole(loaded, records, "Kernel panic - not syncing: Fatal exception")


def storm(vm: VM, oopses: int, meanwhile: str = "") -> dict[str, int]:
    """So many oopses on each CPU, and a command that ends when /tmp/storm is gone. Returns the counters."""
    vm.load_test_oops()
    vm.ok(f"echo 'for i in $(seq {oopses}); do (echo oops > /proc/test_oops); done' > /tmp/storm")
    # The console is slower than all the rest.
    vm.ok(
        f"echo 1 > /proc/sys/kernel/printk; {meanwhile}\n"
        "taskset 1 sh /tmp/storm >/dev/null 2>&1 & first=$!\n"
        "taskset 2 sh /tmp/storm >/dev/null 2>&1; wait $first; rm /tmp/storm; wait; echo 7 > /proc/sys/kernel/printk",
        timeout=300,
    )
    status = vm.ok("cat /sys/kernel/debug/rust_ramoops/status")
    count = {name: int(number) for name, number in re.findall(r"^([a-z, ]+): (\d+)$", status, re.MULTILINE)}
    dropped = count["dropped, another dump under way"] + count["dropped, no slot"]
    # No other oops came in between.
    assert count["dumps"] == 2 * oopses == count["records written"] + dropped, status
    return count


@pytest.mark.parametrize("oopses", [FEW_OOPSES, pytest.param(OOPSES, marks=pytest.mark.long)])
def test_two_cpus_oops_at_the_same_moment(vm: VM, records: Reader, oopses: int) -> None:
    vm.ramoops(**PARAMETERS)
    count = storm(vm, oopses)
    found = records(vm, **PARAMETERS)
    assert all(record.kind == "sealed" for record in found)
    # The first quarter of the slots is used once, and the rest has the newest.
    slots, written = count["slots"], count["records written"]
    first = slots // 4
    newest = range(written - (slots - first), written)
    assert [record.seq - 1 for record in found] == [*range(first), *newest]
    for record in found:
        assert "NULL pointer dereference" in record.text and record.text.endswith("\n")


@pytest.mark.long
def test_random_bytes_over_the_region_during_dumps(vm: VM, records: Reader) -> None:
    vm.phram()
    vm.ramoops(**PARAMETERS)
    scribble = (
        f"(for i in $(seq {SCRIBBLES}); do [ -e /tmp/storm ] || break; dd if=/dev/urandom of=/dev/mtd0 bs=64k; done;"
        " echo $i > /tmp/scribbles) 2>/dev/null &"
    )
    storm(vm, OOPSES // 2, scribble)
    assert 10 < int(vm.ok("cat /tmp/scribbles")) < SCRIBBLES

    # When it is over, all is well again.
    for word in ("one", "two"):
        vm.ok(f"echo after-{word} > /dev/kmsg")
        vm.oops()
    taint = int(vm.ok("cat /proc/sys/kernel/tainted"))
    assert not taint & (TAINT_WARN | TAINT_SOFTLOCKUP)
    vm.ok("echo after-three > /dev/kmsg")
    vm.crash()
    found = records(vm, **PARAMETERS)[-3:]
    assert [(record.kind, record.reason) for record in found] == [("sealed", OOPS), ("sealed", OOPS), ("sealed", PANIC)]
    for record, word in zip(found, ("one", "two", "three")):
        assert f"after-{word}" in record.text and "Call Trace" in record.text
