"""What a dump costs."""

from __future__ import annotations

from common import Bench, Cost, latest, load, measure, OURS, STOCK, TIMEOUT
from report import ratio, Section
from vm import MIB, VM

RUNS = 3  # The least of them counts.
RING = 200000  # More text than the ring holds.


def cost_of_dump(vm: VM, module: str, **parameters: object) -> Cost:
    """Loads the module onto an empty region, and has it dump the log."""
    vm.write(bytes(MIB))
    load(vm, module, **parameters)
    cost = measure(vm, f"dump {RUNS}")
    vm.ok(f"rmmod {module}")
    return Cost(latest(vm)["bytes"], cost.least, cost.most)


def run(bench: Bench) -> list[Section]:
    section = Section("Dump cost", "", ("setting", "bytes", "floor", "ours / floor", "stock / floor", "ours / stock"))
    with bench.guest("dump cost", cmdline="pstore.compress=none") as vm:
        vm.ok(f"echo fill {RING} 1 > /proc/bench", TIMEOUT)
        for name, parameters, target in (
            ("record of 4 KiB", {"record_size": 0x1000}, 0.15),
            ("record of 64 KiB", {"record_size": 0x10000}, 0.7),
            ("record of 64 KiB, ecc=16", {"record_size": 0x10000, "ecc": 16}, 1.3),
        ):
            bench.step(f"dump cost: {name}")
            ours, stock = (cost_of_dump(vm, module, **parameters) for module in (OURS, STOCK))
            floor, stock_floor = (measure(vm, f"floor {cost.bytes} {RUNS}") for cost in (ours, stock))
            section.add(
                name,
                ours.bytes,
                floor.least,
                ratio(ours.least, floor.least),
                ratio(stock.least, stock_floor.least),
                ratio(ours.least, stock.least),
                target=f"<= {target}",
                met=ours.least <= target * floor.least,
            )
    return [section]
