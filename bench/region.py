"""Does the cost of a dump depend on the size of the region, or on how full it is?"""

from __future__ import annotations

from common import Bench, load, measure, OURS, show, TIMEOUT
from images import filled
from report import Section
from vm import MIB, VM

# No other zones, so that slots have the same size everywhere.
REGION = {"record_size": 0x1000, "console_size": 0, "ftrace_size": 0, "pmsg_size": 0}
PARTS = 64
LOG_OF_PARTS = 280000  # Text enough for them, and as much as the ring holds.
SETTLE = 1000000  # See dump.py; the ring is twice as large here.
SEED = 1
DUMPS = {1: 8, PARTS: 4}  # In a row. They fit into the smallest empty region.
ALL_REGIONS = {"64 KiB": MIB // 16, "1 MiB": MIB, "16 MiB": 16 * MIB, "64 MiB": 64 * MIB}
REGIONS = {
    parts: {name: size for name, size in ALL_REGIONS.items() if size >= dumps * parts * REGION["record_size"]}
    for parts, dumps in DUMPS.items()
}

NOTES = """\
Does it cost more to choose a slot where there are many, or where none is free? Dumps of one part and of {parts}
(`kmsg_bytes`) into records of 4 KiB, without other zones, in an empty region and in a full one: the module itself says
at load that it found a record in every slot, and afterwards how many records it wrote. The dump before lies across the
end of the full region, and the ones measured continue its panic loop. Lines of the log are of one length. "worst" is the
dearest of {dumps} dumps in a row, in thousands of instructions per part; "to smallest" divides it by that of the smallest
empty region."""


def run(bench: Bench) -> list[Section]:
    """Does the cost depend on the size of the region, or on how full it is?"""
    columns = ("region", "slots", "parts", "worst: empty", "full", "full / empty", "to smallest: empty", "full")
    section = Section("Dump cost and the region", "", columns)
    with bench.guest("region", region=64 * MIB, ram=512 * MIB, cmdline="log_buf_len=256K") as vm:
        vm.ok(f"echo noise {SETTLE} {SEED} > /proc/bench", TIMEOUT)
        kmsg_bytes = {1: 0, PARTS: bytes_of_parts(vm)}
        for parts, sizes in REGIONS.items():
            smallest = 0.0
            for name, size in sizes.items():
                bench.step(f"region: {name}, {parts} parts")
                empty, full = (
                    worst_of_dumps(vm, size, parts, kmsg_bytes[parts], full=full) / parts for full in (False, True)
                )
                smallest = smallest or empty
                relative = (full / empty, empty / smallest, full / smallest)
                section.add(
                    name,
                    size // REGION["record_size"],
                    parts,
                    f"{empty / 1e3:.1f}",
                    f"{full / 1e3:.1f}",
                    *(f"{value:.2f}" for value in relative),
                    target="<= 1.10",
                    met=max(relative) <= 1.1,
                )
    dumps = " or ".join(str(number) for number in DUMPS.values())
    section.notes = NOTES.format(parts=PARTS, dumps=dumps)
    return [section]


def bytes_of_parts(vm: VM) -> int:
    """The `kmsg_bytes` with which a dump has so many parts."""
    size = 4 * MIB
    vm.write(bytes(size))
    load(vm, OURS, **REGION, mem_size=size, kmsg_bytes=LOG_OF_PARTS)
    vm.ok("echo dump 1 > /proc/bench && rmmod rust_ramoops", TIMEOUT)
    record = show(vm, size)["records"][-1]
    assert record["parts_total"] > PARTS, f"the log is too short: {record['parts_total']} parts"
    return round(record["bytes"] / record["parts_total"] * (PARTS - 0.5))


def worst_of_dumps(vm: VM, size: int, parts: int, kmsg_bytes: int, *, full: bool) -> int:
    """What the dearest of several dumps in a row costs. All that is said of the region is proved by the module."""
    slots = size // REGION["record_size"]
    if full:
        # Once around, so that the last dump is at the end and at the beginning.
        of_one_dump = min(PARTS, slots // 2)
        vm.write(filled(size, slots + of_one_dump // 2, parts=of_one_dump, **REGION))
    else:
        vm.write(bytes(size))
    found = vm.ramoops(OURS, mem_size=size, kmsg_bytes=kmsg_bytes, **REGION)
    expected = f"{slots} slots of {REGION['record_size']} bytes: {slots if full else 0} sealed, 0 torn, 0 foreign, next"
    assert expected in found, f"not in what the module found: {expected}\n{found}"
    vm.ok(f"echo noise {LOG_OF_PARTS} {SEED} > /proc/bench", TIMEOUT)
    cost = measure(vm, f"dump {DUMPS[parts]}")
    status = vm.ok("cat /sys/kernel/debug/rust_ramoops/status; rmmod rust_ramoops")
    assert f"records written: {DUMPS[parts] * parts}\n" in status and "no slot: 0\n" in status, status
    return cost.most
