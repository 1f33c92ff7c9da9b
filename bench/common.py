"""What the sections of the bench share: guests, the module that measures, and the log."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from accel import choose_accel
from initramfs import build_initramfs, build_test_module, our_modules, PROGRAMS, PROJECT, reader
from vm import insmod, MIB, REGION_START, VM

OURS, STOCK = "rust_ramoops", "ramoops"
TIMEOUT = 120.0


class Bench:
    """What the sections share."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._started = time.monotonic()
        self._guests = 0
        self.initramfs = directory / "initramfs.cpio"
        modules = [*our_modules(), build_test_module(directory, PROJECT / "bench/modules/bench.c")]
        build_initramfs(self.initramfs, modules, programs=(*PROGRAMS, reader()))
        self.accel = choose_accel(self.initramfs)

    def step(self, text: str) -> None:
        """Says what comes next. Nothing takes longer than 2 s without a word of it."""
        print(f"[{time.monotonic() - self._started:5.1f} s] {text}", flush=True)

    @contextmanager
    def guest(
        self, what: str, *, icount: bool = True, region: int = MIB, cmdline: str = "", **options: object
    ) -> Iterator[VM]:
        """A guest with so much reserved RAM, and the module of the bench loaded."""
        self.step(f"{what}: booting")
        self._guests += 1
        with VM(
            self.initramfs,
            self.directory / f"guest-{self._guests}",
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
    """Of one dump, or of the floor, in instructions or nanoseconds."""

    bytes: int
    least: int
    most: int


def measure(vm: VM, command: str) -> Cost:
    return Cost(*map(int, vm.ok(f"echo {command} > /proc/bench && cat /proc/bench", TIMEOUT).split()))


def load(vm: VM, module: str, **parameters: object) -> None:
    vm.ok(insmod(module, **({"mem_address": hex(REGION_START), "mem_size": MIB} | parameters)))


def latest(vm: VM, size: int = MIB) -> dict:
    """The newest dump in the region, as ramoopsctl has it."""
    with tempfile.NamedTemporaryFile() as image:
        image.write(vm.read(0, size))
        image.flush()
        command = [reader(), "--file", image.name, "show", "latest", "--json"]
        return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["records"][-1]
