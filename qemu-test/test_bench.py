"""What docs/bench.md says of the cost of a dump still holds. It counts instructions, so a busy machine is no matter."""

import sys
from pathlib import Path

from initramfs import PROJECT

sys.path.insert(0, str(PROJECT / "bench"))

from common import Bench, compressing, OURS  # noqa: E402
from dump import cost_of_dump, settle, SETTINGS  # noqa: E402


def test_a_dump_costs_no_more_than_it_should(tmp_path: Path) -> None:
    costs = {}
    with Bench(tmp_path).guest("test", cmdline=compressing("none")) as vm:
        settle(vm)
        for setting in SETTINGS:
            if setting.target and setting.stock_compress == "none":
                cost, floor = cost_of_dump(vm, OURS, runs=1, **setting.parameters)
                costs[setting.name] = (round(cost.least / floor.least, 2), setting.target)
    assert {name: cost for name, cost in costs.items() if cost[0] > cost[1]} == {}, costs
