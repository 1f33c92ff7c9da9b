"""What it takes to load a ramoops, what it holds then, and how large the modules are."""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from common import Bench, load, OURS, STOCK
from images import filled, noise
from initramfs import our_modules, stock_module
from report import ratio, Section
from vm import MIB, REGION_START, VM

RUNS = 3  # The kernel may have something else to do in one of them.
SIZES = (1, 16, 64)  # MiB
CONTENTS = ("zeros", "noise", "records")
RECORD_SIZES = (4, 64)  # KiB
# With ecc=16, what takes long is to decode what records there are.
KINDS = [(record_size, contents, 0, SIZES) for record_size, contents in product(RECORD_SIZES, CONTENTS)] + [
    (64, "records", 16, SIZES[:2])
]

TIME_NOTES = """\
What the init functions of the modules take (the kernel's `initcall_debug`), in millions of instructions: the region is
mapped, and what is in it is found out. "records": every slot holds one of ours, as long as fits. Stock copies each of them
into memory of its own; ours compares each with its checksum, and keeps none. "per slot", in thousands of instructions, is
what ours takes for each slot more than in the smallest region of the kind: loading is linear in slots if it stays the same.
"insmod" is the program from its start to its end: there, that ours is the larger file counts as well. Each figure is the
least of {runs} runs."""

MEMORY_NOTES = """\
By how many KiB less memory is free once the module is loaded. The kernel takes and gives back memory of its own meanwhile,
so that each figure, the middle one of {runs}, is right to some hundred KiB; modules themselves come out of a pool that it holds
anyway (their size is below). Ours holds two buffers of the size of a record, and 32 bytes per slot; stock a mapping for each
slot, and a copy of each record."""


SIZE_NOTES = """\
In bytes, by the sections that are loaded: "init" is code that is freed after that, "unwind" the kernel's tables for stack
traces, "other" its tables of places to patch, of parameters and of what modinfo shows. "in memory" is what /proc/modules
says: pages, of which each kind of memory has its own. Stock ramoops is the smaller part of what it takes: records, files
and compression are in fs/pstore, which is part of the kernel's image. Ours checks what it is given and what it finds, and
says in words what is wrong; every check that C leaves out is code."""

SYMBOL_NOTES = """\
The largest functions and objects of ours, in bytes of the module's file."""

# How the names of sections begin.
SECTIONS = {
    "text": (".text",),
    "init": (".init.", ".exit."),
    "rodata": (".rodata",),
    "data": (".data", ".gnu.linkonce.this_module"),
    "bss": (".bss",),
    "unwind": (".orc_",),
}
LARGEST = 8


@dataclass(frozen=True)
class Load:
    """In thousands of instructions, and KiB."""

    init: int
    insmod: int
    held: int


def run(bench: Bench) -> list[Section]:
    columns = ("region", "slots", "ours", "per slot", "stock", "ours / stock", "insmod: ours / stock")
    time = Section("Load", TIME_NOTES.format(runs=RUNS), columns)
    memory = Section("Memory held", MEMORY_NOTES.format(runs=RUNS), ("region", "slots", "ours", "stock"))
    with bench.guest("load", region=SIZES[-1] * MIB, ram=512 * MIB, cmdline="initcall_debug") as vm:
        for record_size, contents, ecc, sizes in KINDS:
            first = None
            for size in sizes:
                name = f"{size} MiB, record_size={record_size}k, {contents}" + (f", ecc={ecc}" if ecc else "")
                bench.step(f"load: {name}")
                parameters = {"record_size": record_size << 10, "ecc": ecc}
                vm.write(image(contents, size * MIB, **parameters))
                ours, stock = (measure_load(vm, module, mem_size=size * MIB, **parameters) for module in (OURS, STOCK))
                slots = slots_of(size * MIB, record_size << 10)
                per_slot = "" if first is None else f"{(ours.init - first[1]) / (slots - first[0]):.2f}"
                first = first or (slots, ours.init)
                time.add(
                    name,
                    slots,
                    f"{ours.init / 1e3:.2f}",
                    per_slot,
                    f"{stock.init / 1e3:.2f}",
                    ratio(ours.init, stock.init),
                    ratio(ours.insmod, stock.insmod),
                    target="<= 1.00",
                    met=max(ours.init / stock.init, ours.insmod / stock.insmod) <= 1,
                )
                memory.add(name, slots, ours.held, stock.held)
        return [time, memory, size_table(vm), symbol_table()]


def size_table(vm: VM) -> Section:
    section = Section("Size of the modules", SIZE_NOTES, ("module", *SECTIONS, "other", "in memory"))
    region = {"mem_address": hex(REGION_START), "mem_size": MIB}
    phram = {"phram": f"oops,{REGION_START:#x},{MIB:#x}"}
    ours = {path.stem: path.read_bytes() for path in our_modules()}
    stock = {Path(name).name: stock_module(name) for name in ("fs/pstore/ramoops", "drivers/mtd/devices/phram")}
    for (name, contents), parameters in zip((ours | stock).items(), (region, phram) * 2, strict=True):
        vm.insmod(name, **parameters)
        loaded = vm.ok(f"grep '^{name} ' /proc/modules").split()[1]
        vm.ok(f"rmmod {name}")
        section.add(name, *sections_of(contents), loaded)
    return section


def sections_of(module: bytes) -> list[int]:
    """The bytes of each of `SECTIONS`, and of what else is loaded."""
    sizes = dict.fromkeys((*SECTIONS, "other"), 0)
    with tempfile.NamedTemporaryFile() as file:
        file.write(module)
        file.flush()
        table = subprocess.run(["readelf", "-SW", file.name], capture_output=True, text=True, check=True).stdout
    # Name, type, address, offset, size, size of an entry, flags: A is for what is loaded.
    for name, size in re.findall(r"\] (\S+) +\w+ +\w+ \w+ (\w+) \w+ +\w*A", table):
        kind = next((kind for kind, beginnings in SECTIONS.items() if name.startswith(beginnings)), "other")
        sizes[kind] += int(size, 16)
    return list(sizes.values())


def symbol_table() -> Section:
    section = Section("Largest symbols", SYMBOL_NOTES, ("module", "symbol", "bytes"))
    for path in our_modules():
        command = ["nm", "--print-size", "--size-sort", "--reverse-sort", "--radix=d", "--demangle", path]
        symbols = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        symbols = [line.split(maxsplit=3) for line in symbols if "__this_module" not in line]
        for _, size, _, name in symbols[:LARGEST]:
            # Without paths.
            section.add(path.stem, f"`{re.sub(r'\w+(\[\w+])?::(?=\w)', '', name)}`", int(size))
    return section


def slots_of(size: int, record_size: int) -> int:
    """How many there are beside the three other zones, of 4 KiB each."""
    return (size - 3 * 4096) // record_size


def image(contents: str, size: int, **parameters: int) -> bytes:
    if contents == "records":
        return filled(size, slots_of(size, parameters["record_size"]), **parameters)
    return noise(size) if contents == "noise" else bytes(size)


def measure_load(vm: VM, module: str, **parameters: int) -> Load:
    loads = [load_once(vm, module, **parameters) for _ in range(RUNS)]
    least = [min(getattr(load, name) for load in loads) for name in ("init", "insmod")]
    return Load(*least, sorted(load.held for load in loads)[RUNS // 2])


def load_once(vm: VM, module: str, **parameters: int) -> Load:
    before = free(vm)
    vm.ok("dmesg -c > /dev/null; echo begin > /dev/kmsg")
    load(vm, module, **parameters)
    vm.ok("echo end > /dev/kmsg")
    held = before - free(vm)
    log = vm.ok("dmesg")
    vm.ok(f"rmmod {module}")
    [init] = re.findall(r"initcall \w+\+.* returned 0 after (\d+) usecs", log)
    begin, end = (float(stamp) for stamp in re.findall(r"^\[ *([\d.]+)\] (?:begin|end)$", log, re.MULTILINE))
    return Load(int(init), round((end - begin) * 1e6), held)


def free(vm: VM) -> int:
    """KiB of memory that nobody uses."""
    vm.ok("echo 3 > /proc/sys/vm/drop_caches; echo 1 > /proc/sys/vm/compact_memory")
    return int(vm.ok("grep MemFree: /proc/meminfo").split()[1])
