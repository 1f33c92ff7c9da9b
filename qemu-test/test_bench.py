"""What docs/bench.md says of the cost of a dump still holds. It counts instructions, so a busy machine is no matter."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from initramfs import PROJECT
from vm import VM

sys.path.insert(0, str(PROJECT / "bench"))

from common import Bench, compressing, measure, OURS, TIMEOUT  # noqa: E402
from dump import cost_of_dump, settle, SETTINGS  # noqa: E402


# Minutes of emulation, and only a change of the crash path changes it.
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VM]:
    with Bench(tmp_path_factory.mktemp("bench")).guest("test", cmdline=compressing("none")) as vm:
        settle(vm)
        yield vm


def test_a_dump_costs_no_more_than_it_should(guest: VM) -> None:
    costs = {}
    for setting in SETTINGS:
        if setting.target and setting.stock_compress == "none":
            cost, floor = cost_of_dump(guest, OURS, runs=1, **setting.parameters)
            costs[setting.name] = (round(cost.least / floor.least, 2), setting.target)
    assert {name: cost for name, cost in costs.items() if cost[0] > cost[1]} == {}, costs


@pytest.mark.parametrize("record_size", [0x1000, 0x10000, 0x40000])
def test_the_text_is_that_of_the_kernels_own_iterator(guest: VM, record_size: int) -> None:
    cost, _ = cost_of_dump(guest, OURS, runs=1, record_size=record_size)
    measure(guest, f"floor {cost.bytes + 1} 1")
    text = guest.ok("cat /proc/bench_text", TIMEOUT).encode()
    assert len(text) == cost.bytes and text in guest.read()
