"""Storms of many times as many oopses as there are slots: what tells the cause is there after them.

Three boots: one crash; a storm; another storm, and a panic. The first crash, and the last one of the first storm, are older
than all that the second storm writes, and are kept out of its way.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from records import OOPS, PANIC, Reader, Record
from vm import VM

SLOTS = 15
# Short records, as the time of a storm is the time to write them. There is nothing else in the region.
GEOMETRY = {"mem_size": SLOTS * 0x2000, "record_size": 0x2000, "console_size": 0, "ftrace_size": 0, "pmsg_size": 0}
OOPSES = 5 * SLOTS  # On each of two CPUs.
QUARTER = 3  # Of the slots in the list: 13 or 14.


@pytest.fixture(scope="module")
def vm_options() -> dict[str, object]:
    return {"smp": 2, "cmdline": "quiet"}


@dataclass
class Boots:
    """What was in the region after each of the boots, by number."""

    loop_secs: int
    crash: dict[int, Record]
    storm: dict[int, Record]
    storm_and_panic: dict[int, Record]


@pytest.fixture(scope="module", params=[600, 0], ids=["loop_secs=600", "loop_secs=0"])
def boots(shared_vm: VM, records: Reader, request: pytest.FixtureRequest) -> Boots:
    vm, loop_secs = shared_vm, request.param

    def found() -> dict[int, Record]:
        found = records(vm, **GEOMETRY)
        assert {record.kind for record in found} == {"sealed"}
        return {record.seq: record for record in found}

    begin_boot(vm, bytes(GEOMETRY["mem_size"]), loop_secs)
    vm.oops("bug")
    crash = found()
    begin_boot(vm, vm.read(), loop_secs)
    rage(vm)
    storm = found()
    begin_boot(vm, vm.read(), loop_secs)
    rage(vm)
    vm.crash()
    return Boots(loop_secs, crash, storm, found())


def begin_boot(vm: VM, region: bytes, loop_secs: int) -> None:
    """Begins a boot with what a reset leaves of the region."""
    vm.restart()
    vm.write(region)
    vm.ramoops(**GEOMETRY, loop_secs=loop_secs)


def rage(vm: VM) -> None:
    vm.load_test_oops()
    # The console is slower than all the rest.
    vm.ok(
        "echo 1 > /proc/sys/kernel/printk\n"
        f"echo 'for n in $(seq {OOPSES}); do (echo oops > /proc/test_oops); done' > /tmp/storm\n"
        "taskset 1 sh /tmp/storm >/dev/null 2>&1 & taskset 2 sh /tmp/storm >/dev/null 2>&1; wait"
    )
    assert "dropped, no slot: 0" in vm.ok("cat /sys/kernel/debug/rust_ramoops/status")


def test_the_newest_crash_of_the_boot_before_is_there(boots: Boots) -> None:
    newest = max(boots.storm)
    assert boots.storm_and_panic[newest] == boots.storm[newest]


def test_the_first_crash_of_a_loop_is_there(boots: Boots) -> None:
    [first] = boots.crash
    # It was the newest one when the first storm began.
    assert boots.storm[first] == boots.crash[first]
    if boots.loop_secs:
        assert boots.storm_and_panic[first] == boots.crash[first]
    else:
        assert first not in boots.storm_and_panic


def test_the_first_quarter_of_a_boot_is_there(boots: Boots) -> None:
    assert {max(boots.crash) + n for n in range(1, QUARTER + 1)} <= set(boots.storm)
    assert {max(boots.storm) + n for n in range(1, QUARTER + 1)} <= set(boots.storm_and_panic)
    # Some oopses were dropped, but there were more than slots all the same.
    assert max(boots.storm_and_panic) - max(boots.storm) > 2 * SLOTS < max(boots.storm) - max(boots.crash)


def test_the_panic_is_there_whole(boots: Boots) -> None:
    panic = boots.storm_and_panic[max(boots.storm_and_panic)]
    assert (panic.reason, panic.part, panic.parts) == (PANIC, 1, 1)
    assert "Kernel panic - not syncing: sysrq triggered crash" in panic.text and panic.text.endswith("\n")
    assert {record.reason for record in boots.storm_and_panic.values() if record != panic} == {OOPS}


def test_the_other_slots_have_the_newest(boots: Boots) -> None:
    newest = max(boots.storm_and_panic)
    kept = [*boots.crash] if boots.loop_secs else []
    kept += [max(boots.storm) + n for n in range(QUARTER + 1)]
    rest = range(newest - (SLOTS - len(kept)) + 1, newest + 1)
    assert sorted(boots.storm_and_panic) == kept + [*rest]
