"""Each step of a dump ends in a barrier over what it wrote, and the steps are those of ringbuf/FORMAT.md.

An emulated machine has no caches: a barrier that is missing spoils nothing there. So the modules, as they are installed,
are watched at work: breakpoints are where they write, where the kernel writes cached lines back, and at each fence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cases import few
from gdbstub import Gdb, RDI, RDX, RIP, RSI
from vm import REGION_SIZE, REGION_START, VM

HEADER, SEAL, BLOCK = 12, 220, 128  # Lengths, from FORMAT.md.
MAGIC = 4  # The seal's magic number, at its end.

PARAMETERS = [{"mem_type": 2}, {"mem_type": 2, "ecc": 16}, {"mem_name": "oops"}, {"mem_type": 0}, {"mem_type": 1}]

OOPS = "sh -c 'echo oops > /proc/test_oops'"

STEPS_TO_LEAVE = 10

Range = tuple[int, int]  # Begin and end.


@pytest.fixture(scope="module")
def shared_vm(initramfs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VM]:
    """A guest that is emulated, whatever the host can do: so there may be any number of breakpoints."""
    with VM(initramfs, tmp_path_factory.mktemp("guest"), cmdline="reserve_mem=1M:4096:oops") as vm:
        yield vm


@pytest.fixture(scope="module")
def gdb_socket(shared_vm: VM, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gdb") / "socket"
    shared_vm.monitor(f"gdbserver unix:{path},server=on,wait=off")
    return path


@dataclass
class Step:
    """What was written up to a fence, and what of it was written back, by offset in the region."""

    written: list[Range] = field(default_factory=list)
    written_back: list[Range] = field(default_factory=list)


def merged(ranges: list[Range]) -> list[Range]:
    """The same bytes, in as few ranges as can be."""
    result: list[Range] = []
    for begin, end in sorted(ranges):
        if result and begin <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((begin, end))
    return result


def symbols(vm: VM, *names: str) -> list[int]:
    """Where functions of the kernel and its modules begin."""
    lines = vm.ok(f"grep -E ' ({'|'.join(names)})([[:space:]]|$)' /proc/kallsyms").splitlines()
    addresses = {line.split()[2]: int(line.split()[0], 16) for line in lines}
    return [addresses[name] for name in names]


def leave(gdb: Gdb) -> None:
    """Goes on from a breakpoint. A step may end where it began: then nothing was executed, and it would count twice."""
    at = gdb.register(RIP)
    for _ in range(STEPS_TO_LEAVE):
        gdb.step()
        if gdb.register(RIP) != at:
            return
    raise AssertionError(f"{STEPS_TO_LEAVE} steps do not leave {at:#x}")


def watch(vm: VM, gdb_socket: Path, command: str, function: str) -> list[Step]:
    """Runs a command that makes the kernel call a function, and returns what a module does in that call.

    The first write, which tells where the region is mapped, must be to the beginning of the region.
    """
    # The last one is `wmb()` for Rust.
    names = ("memcpy_toio", "arch_wb_cache_pmem", function, "rust_helper_wmb")
    write, write_back, begin, fence = symbols(vm, *names)
    base = 0
    steps = [Step()]
    gdb = Gdb(gdb_socket)
    with ThreadPoolExecutor(1) as pool:
        try:
            gdb.add_breakpoint(begin)
            running = pool.submit(vm.run, command)
            gdb.go_on()
            gdb.remove_breakpoint(begin)
            end = gdb.return_address()
            for address in (write, write_back, fence, end):
                gdb.add_breakpoint(address)
            while True:
                leave(gdb)
                gdb.go_on()
                stop = gdb.register(RIP)
                if stop == end:
                    break
                if stop == fence:
                    steps.append(Step())
                    continue
                address = gdb.register(RDI)
                if stop == write:
                    base = base or address
                    at = address - base
                    assert not steps[-1].written_back, "written after it was written back"
                    steps[-1].written.append((at, at + gdb.register(RDX)))
                else:
                    assert stop == write_back, f"stopped at {stop:#x}, and not at one of {names} or {end:#x}"
                    at = address - base
                    steps[-1].written_back.append((at, at + gdb.register(RSI)))
        finally:
            gdb.detach()
        running.result()
    assert steps.pop() == Step(), "no fence after the last write"
    return steps


def expected(stride: int, size: int, ecc: int) -> list[list[Range]]:
    """What each step of a record in the first zone writes, by FORMAT.md."""
    blocks = -(-(stride - HEADER - ecc) // (BLOCK + ecc)) if ecc else 0
    capacity = stride - HEADER - (blocks + 1 if ecc else 0) * ecc
    seal = capacity - SEAL
    sig, rest = (0, 4), (4, HEADER)

    def at(begin: int, end: int) -> Range:
        return HEADER + begin, HEADER + end

    magic = at(capacity - MAGIC, capacity)
    if not ecc:
        return [[sig], [magic], [at(seal, capacity - MAGIC)], [rest, at(0, size)], [magic], [sig]]

    def parity(block: int) -> Range:
        return at(capacity + block * ecc, capacity + (block + 1) * ecc)

    def whole(block: int) -> list[Range]:
        return [at(block * BLOCK, min((block + 1) * BLOCK, capacity - MAGIC)), parity(block)]

    first = seal // BLOCK
    intent = range(first, -(-capacity // BLOCK))
    payload = range(min(-(-size // BLOCK), first))
    header = parity(blocks)
    return [
        [sig],
        [header],
        [magic],
        [piece for block in intent for piece in whole(block)],
        [rest, *(piece for block in payload for piece in whole(block))],
        [magic, header],
        [sig],
    ]


def check(steps: list[Step], *, cached: bool) -> None:
    for number, step in enumerate(steps):
        if cached:
            missing = [
                (begin, end)
                for begin, end in merged(step.written)
                if not any(first <= begin and end <= last for first, last in merged(step.written_back))
            ]
            assert not missing, f"step {number}: not written back: {missing}"
        else:
            assert not step.written_back


@pytest.mark.parametrize(
    "parameters",
    few(PARAMETERS, *PARAMETERS[:2]),
    ids=str,
)
def test_each_step_of_a_dump_ends_in_a_barrier(vm: VM, gdb_socket: Path, parameters: dict[str, object]) -> None:
    vm.load_test_oops()
    if "ecc" in parameters:
        vm.ok("grep -q ^reed_solomon /proc/modules || insmod reed_solomon.ko")
    if "mem_name" in parameters:
        line = vm.insmod("rust_ramoops", **parameters)
    else:
        line = vm.ramoops(**parameters)
    steps = watch(vm, gdb_socket, OOPS, "kmsg_dump_desc")

    place, stride = re.search(r"using 0x\w+@(0x\w+), \d+ slots of (\d+) bytes", line).groups()
    size = int.from_bytes(vm.read(int(place, 16) - REGION_START + 8, 4), "little")
    assert [merged(step.written) for step in steps] == [
        merged(step) for step in expected(int(stride), size, parameters.get("ecc", 0))
    ]
    check(steps, cached=parameters.get("mem_type", 2) == 2)


@pytest.mark.parametrize("mem_type", few([0, 1, 2], 2))
def test_a_write_to_the_device_ends_in_a_barrier(vm: VM, gdb_socket: Path, mem_type: int) -> None:
    vm.insmod("rust_phram", phram=f"oops,{REGION_START:#x},{REGION_SIZE:#x}", mem_type=mem_type)
    steps = watch(vm, gdb_socket, "dd if=/dev/zero of=/dev/mtd0 bs=4k count=1", "mtd_write")
    assert [merged(step.written) for step in steps] == [[(0, 0x1000)]]
    check(steps, cached=mem_type == 2)
