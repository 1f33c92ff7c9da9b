"""What a dump costs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from common import Bench, COMPRESS, compressing, Cost, load, measure, OURS, show, STOCK, TIMEOUT
from plot import Line, plot
from report import ratio, Section
from vm import MIB, VM

RUNS = 3  # The least of them counts.
WALL_RUNS, WALL_TURNS = 10, 4  # A busy machine disturbs some of them: ours and stock take turns.
SEED = 1
KIB = 1 << 10
RING = 200000  # More text than the ring holds.
# More messages than the ring has room for, however short they are: searching a log for its beginning costs more from
# then on, because the kernel remembers messages for a while after their text is gone.
SETTLE = 600000
WHOLE = {"kmsg_bytes": 1000000}


@dataclass(frozen=True)
class Setting:
    name: str
    parameters: dict[str, object] = field(hash=False)
    target: float | None = None  # What is to be reached, relative to the floor.
    stock_compress: str = "none"  # Ours has the same, if `parameters` say nothing else.
    wall: bool = False  # Wall time is measured too.


SETTINGS = (
    Setting("4 KiB", {"record_size": 0x1000}, 0.15, wall=True),
    Setting("64 KiB", {"record_size": 0x10000}, 0.7, wall=True),
    Setting("256 KiB", {"record_size": 0x40000}),
    Setting("whole log, slots of 16 KiB", {"record_size": 0x4000} | WHOLE, 1.05),
    Setting("whole log, slots of 64 KiB", {"record_size": 0x10000} | WHOLE, 1.05, wall=True),
    Setting("64 KiB, ecc=16", {"record_size": 0x10000, "ecc": 16}, 1.3, wall=True),
    Setting("4 KiB, defaults of each", {"record_size": 0x1000, "compress": "none"}, 0.15, "deflate"),
    Setting("4 KiB, deflate", {"record_size": 0x1000}, None, "deflate"),
    Setting("64 KiB, deflate", {"record_size": 0x10000}, None, "deflate", wall=True),
    Setting("64 KiB, deflate, ecc=16", {"record_size": 0x10000, "ecc": 16}, None, "deflate"),
)

COST_NOTES = """\
A dump of a full log (ring of 128 KiB, {log} bytes of text) into a region of 1 MiB. "ours" and "stock" are what one
dump costs, each divided by the floor of the text that it stores; "floor" is the one of ours, in {unit}. Stock has its
default `kmsg_bytes` where the setting does not say "whole log": with that it makes several parts, of which all but
the first are refused. Each figure is the least of {runs} runs."""

SPREAD_NOTES = """\
The runs of one boot differ by at most {spread:.2%}."""

WALL_NOTES = """\
Measured without `-icount`, in wall time."""

SIZE_NOTES = """\
Dump cost in millions of instructions against the size of the log (`log_buf_len=2M`), record of 64 KiB. The floor is
the iterator copying what an uncompressed record holds. Stock and the floor walk the whole log to find where to
start. Bytes of the largest log that are stored: {bytes}."""


def run(bench: Bench) -> list[Section]:
    return [
        cost_table(bench, icount=True),
        size_table(bench),
        cost_table(bench, icount=False),
    ]


def settle(vm: VM) -> None:
    """Makes the log one that has been running for long."""
    vm.ok(f"echo fill {SETTLE} {SEED} > /proc/bench", TIMEOUT)


def cost_of_dump(vm: VM, module: str, *, runs: int = RUNS, **parameters: object) -> tuple[Cost, Cost]:
    """Has the module dump a full log. Returns what it costs, and the floor of the text that came back."""
    vm.write(bytes(MIB))
    load(vm, module, **parameters)
    vm.ok(f"echo fill {RING} {SEED} > /proc/bench", TIMEOUT)
    cost = measure(vm, f"dump {runs}")
    text = show(vm)["records"][-1]["bytes"]
    floor = measure(vm, f"floor {text} {runs}")
    vm.ok(f"rmmod {module}")
    return replace(cost, bytes=text), floor


def cost_table(bench: Bench, *, icount: bool) -> Section:
    """Ours, stock and the floor for each setting."""
    columns = ("record", "bytes: ours", "stock", "floor", "ours", "stock", "ours / stock")
    section = Section("Dump cost" if icount else "Dump cost in wall time", "", columns)
    runs, turns = (RUNS, 1) if icount else (WALL_RUNS, WALL_TURNS)
    settings = [setting for setting in SETTINGS if icount or setting.wall]
    costs: dict[Setting, tuple[Cost, ...]] = {}

    def measure_settings(compress: str) -> int:
        with bench.guest(section.title.lower(), icount=icount, cmdline=compressing(compress)) as vm:
            settle(vm)
            for setting in settings:
                if setting.stock_compress == compress:
                    bench.step(f"{section.title.lower()}: {setting.name}")
                    parameters = {"runs": runs, "compress": compress} | setting.parameters
                    pairs = [cost_of_dump(vm, who, **parameters) for _ in range(turns) for who in (OURS, STOCK)]
                    costs[setting] = (*least(pairs[::2]), *least(pairs[1::2]))
            return measure(vm, f"floor {RING} 1").bytes

    # Instructions can be counted in several guests at once.
    log, _ = (bench.each if icount else map)(measure_settings, COMPRESS)
    for setting in settings:
        ours, floor, stock, stock_floor = costs[setting]
        section.add(
            setting.name,
            ours.bytes,
            stock.bytes,
            f"{floor.least / 1e6:.2f}",
            ratio(ours.least, floor.least),
            ratio(stock.least, stock_floor.least),
            ratio(ours.least, stock.least),
            **(verdict(ours.least / floor.least, setting.target) if icount else {}),
        )
    unit = "millions of instructions" if icount else "milliseconds"
    spread = SPREAD_NOTES.format(spread=max(cost.spread() for four in costs.values() for cost in four))
    section.notes = f"{COST_NOTES.format(log=log, unit=unit, runs=runs * turns)} {spread if icount else WALL_NOTES}"
    return section


def least(costs: list[tuple[Cost, Cost]]) -> list[Cost]:
    """The least of the dumps, and of the floors."""
    return [min(kind, key=lambda cost: cost.least) for kind in zip(*costs, strict=True)]


def verdict(value: float, target: float | None) -> dict[str, object]:
    return {} if target is None else {"target": f"<= {target}", "met": value <= target}


def size_table(bench: Bench) -> Section:
    """Dump cost against log size, with the plot."""
    columns = ("log", *(f"{who}, {compress}" for compress in COMPRESS for who in ("ours", "stock")), "floor")
    section = Section("Dump cost and the size of the log", "", columns)
    stored: dict[str, int] = {}
    sizes = [KIB << shift for shift in range(4, 11)]
    costs: dict[tuple[int, str], float] = {}

    def measure_sizes(compress: str) -> None:
        with bench.guest("log size", cmdline=f"log_buf_len=2M {compressing(compress)}") as vm:
            for size in sizes:
                bench.step(f"log size: {size // KIB} KiB, {compress}")
                for module, who in ((OURS, "ours"), (STOCK, "stock")):
                    name = f"{who}, {compress}"
                    vm.write(bytes(MIB))
                    load(vm, module, record_size=0x10000, compress=compress)
                    vm.ok("dmesg -c > /dev/null", TIMEOUT)
                    vm.ok(f"echo fill {size} {SEED} > /proc/bench", TIMEOUT)
                    costs[size, name] = measure(vm, f"dump {RUNS}").least / 1e6
                    vm.ok(f"rmmod {module}")
                    stored[name] = show(vm)["records"][-1]["bytes"]
                costs[size, "floor"] = measure(vm, f"floor {0x10000} {RUNS}").least / 1e6

    bench.each(measure_sizes, COMPRESS)
    for size in sizes:
        section.add(f"{size // KIB} KiB", *(f"{costs[size, name]:.2f}" for name in columns[1:]))
    section.notes = SIZE_NOTES.format(bytes="; ".join(f"{name}: {stored[name]}" for name in columns[1:-1]))
    section.plot = plot(
        "Dump cost against log size, record of 64 KiB",
        "log, KiB",
        "millions of instructions",
        [Line(name, [(size / KIB, costs[size, name]) for size in sizes]) for name in columns[1:]],
    )
    return section
