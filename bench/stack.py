"""How much stack a crash and loading need."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from common import Bench, compressing, load, OURS, STOCK, TIMEOUT
from dump import RING, SEED
from gdbstub import Gdb, RDI, RSP
from report import Section
from vm import insmod, MIB, REGION_START, VM

STACK = 16 << 10  # Aligned to its size.
END_MARK = 8  # The kernel's own, at the lowest address.
PAINT = b"\xa5"

NOTES = """\
In bytes, of the 16 KiB that a task has: the stack is painted when a function is entered, and looked at when it returns.
So what is called of the kernel is in it. "dump" is what the kernel calls in a crash, with a full log; "load" is the init
function of the module, during which an interrupt may use the same stack. Stock compresses in each setting.
`scripts/check-stack`, a part of `make check`, keeps each frame of ours below 2048, and those on the deepest way through a
dump together as well."""

SETTINGS: dict[str, dict[str, object]] = {
    "64 KiB": {},
    "64 KiB, ecc=16": {"ecc": 16},
    "4 KiB, whole log": {"record_size": 0x1000, "kmsg_bytes": 1000000},
    "64 KiB, deflate": {"compress": "deflate"},
}

# The functions that the kernel calls in a crash, in /proc/kallsyms.
DUMPERS = {OURS: r" _R.*DumperVTable.*4dump.*\[rust_ramoops]$", STOCK: " pstore_dump$"}


def run(bench: Bench) -> list[Section]:
    section = Section("Stack", NOTES, ("setting", "dump: ours", "stock", "load: ours", "stock"))
    with bench.guest("stack", cmdline=compressing("deflate")) as vm:
        watch = Watch(vm, bench.directory / "gdb")
        vm.ok(f"echo fill {RING} {SEED} > /proc/bench", TIMEOUT)
        for name, setting in SETTINGS.items():
            bench.step(f"stack: {name}")
            (ours, load_ours), (stock, load_stock) = (
                watch.ramoops(module, **{"record_size": 0x10000} | setting) for module in (OURS, STOCK)
            )
            section.add(name, ours, stock, load_ours, load_stock)
        bench.step("stack: rust_phram and phram")
        section.add("rust_phram and phram", "", "", *(watch.phram(module) for module in ("rust_phram", "phram")))
    return [section]


class Watch:
    """Looks at the stacks of a guest."""

    def __init__(self, vm: VM, path: Path) -> None:
        self._vm = vm
        self._path = path
        vm.monitor(f"gdbserver unix:{path},server=on,wait=off")

    def ramoops(self, module: str, **parameters: object) -> tuple[int, int]:
        """What a dump needs, and loading."""
        self._vm.write(bytes(MIB))
        loading = self._load(partial(load, self._vm, module, **parameters))
        dump = self._needed(DUMPERS[module], partial(self._vm.ok, "echo dump 1 > /proc/bench", TIMEOUT))
        self._vm.ok(f"rmmod {module}")
        return dump, loading

    def phram(self, module: str) -> int:
        """What loading needs."""
        loading = self._load(partial(self._vm.ok, insmod(module, phram=f"oops,{REGION_START:#x},{MIB:#x}")))
        self._vm.ok(f"rmmod {module}")
        return loading

    def _load(self, order: Callable[[], object]) -> int:
        """What the init function of a module needs, which `order` loads."""
        return self._needed(" do_one_initcall$", order, first_argument=True)

    def _needed(self, symbol: str, order: Callable[[], object], *, first_argument: bool = False) -> int:
        """How much stack a function needs that is called in the course of `order`: this one, or what it is given."""
        [line] = self._vm.ok(f"grep '{symbol}' /proc/kallsyms").splitlines()
        gdb = Gdb(self._path)
        with ThreadPoolExecutor(1) as pool:
            try:
                function = int(line.split()[0], 16)
                gdb.add_breakpoint(function)
                done = pool.submit(order)
                gdb.go_on()
                # It does not go on from a breakpoint.
                gdb.remove_breakpoint(function)
                if first_argument:
                    function = gdb.register(RDI)
                    gdb.add_breakpoint(function)
                    gdb.go_on()
                    gdb.remove_breakpoint(function)
                top = gdb.register(RSP)
                end = (top & -STACK) + END_MARK
                gdb.write(end, PAINT * (top - end))
                gdb.add_breakpoint(gdb.return_address())
                gdb.go_on()
                unused = gdb.read(end, top - end)
            finally:
                gdb.detach()
            done.result()
        # The return address belongs to it.
        return len(unused.lstrip(PAINT)) + 8
