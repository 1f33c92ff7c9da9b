"""What the sections of the bench share: guests, the module that measures, and the log."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from accel import choose_accel
from initramfs import build_initramfs, build_test_modules, our_modules, PROGRAMS, PROJECT, reader
from vm import insmod, MIB, REGION_START, VM

OURS, STOCK = "rust_ramoops", "ramoops"
COMPRESS = ("none", "deflate")
STOCK_KMSG_BYTES = 10240  # The default.
TIMEOUT = 120.0  # For a command that does much.


class Bench:
    """What a run of the bench has from its beginning to its end."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.initramfs = directory / "initramfs.cpio"
        self._started = time.monotonic()
        self._guests = count()
        self._next_line = 0.0
        self.step("packing modules and programs into a guest")
        modules = [*our_modules(), *build_test_modules(directory, PROJECT / "bench/modules")]
        build_initramfs(self.initramfs, modules, programs=(*PROGRAMS, reader()))
        self.accel = choose_accel(self.initramfs)

    def step(self, text: str) -> None:
        """Says what comes next. On a terminal that is one line that changes; elsewhere a line now and then."""
        line = f"[{self.seconds():5.1f} s] {text}"
        if sys.stdout.isatty():
            print(f"\r\033[K{line}", end="", flush=True)
        elif self.seconds() >= self._next_line:
            self._next_line = self.seconds() + 5
            print(line, flush=True)

    def seconds(self) -> float:
        return time.monotonic() - self._started

    def each[Item, Result](self, function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """Calls the function for each item, on as many CPUs as there are: for what does not take wall time."""
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(pool.map(function, items))

    @contextmanager
    def guest(
        self, what: str, *, icount: bool = True, region: int = MIB, cmdline: str = "", **options: object
    ) -> Iterator[VM]:
        """A guest with so much reserved RAM, and the module of the bench loaded."""
        self.step(f"{what}: booting")
        with VM(
            self.initramfs,
            self.directory / f"guest-{next(self._guests)}",
            accel="tcg" if icount else self.accel,
            icount=icount,
            memmap=f"{region:#x}${REGION_START:#x}",
            # The serial console is slow, and nobody reads it.
            cmdline=f"quiet loglevel=1 {cmdline}",
            **options,
        ) as vm:
            vm.ok("insmod bench.ko")
            yield vm


@dataclass(frozen=True)
class Cost:
    """Of a dump, or of the floor, in nanoseconds of the guest: instructions, if it counts them."""

    bytes: int
    least: int
    most: int

    def spread(self) -> float:
        """How far the repeats differ."""
        return self.most / self.least - 1


def measure(vm: VM, command: str) -> Cost:
    """Gives the module of the bench an order; modules/bench.c has a list."""
    return Cost(*map(int, vm.ok(f"echo {command} > /proc/bench && cat /proc/bench", TIMEOUT).split()))


def load(vm: VM, module: str, *, compress: str = "none", kmsg_bytes: int = 0, **parameters: object) -> None:
    """Loads a ramoops onto the reserved region.

    Stock takes `compress` from the kernel's command line (see `compressing`), and `kmsg_bytes` from its file system.
    """
    values = {"mem_address": hex(REGION_START), "mem_size": MIB} | parameters
    if module == STOCK:
        vm.ok(f"mount -o remount,kmsg_bytes={kmsg_bytes or STOCK_KMSG_BYTES} /sys/fs/pstore")
    else:
        values |= {"compress": compress, "kmsg_bytes": kmsg_bytes}
    vm.ok(insmod(module, **values), TIMEOUT)


def compressing(compress: str) -> str:
    """What stock ramoops needs on the kernel's command line."""
    return f"pstore.compress={compress}"


def show(vm: VM, size: int = MIB) -> dict:
    """The newest dump in the region, and the layout, as ramoopsctl has it: docs/json.md."""
    with tempfile.NamedTemporaryFile() as image:
        image.write(vm.read(0, size))
        image.flush()
        command = [reader(), "--file", image.name, "show", "latest", "--json"]
        return json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=TIMEOUT).stdout)
