"""How fast ramoopsctl reads a region, and how much memory that takes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from common import Bench
from images import filled, noise
from initramfs import reader
from load import slots_of
from report import Section
from vm import MIB

SIZE = 64 * MIB
RUNS = 5
COMMANDS = (("list",), ("show", "latest"), ("show", "all"), ("map",), ("verify",))

NOTES = """\
Milliseconds of CPU time that ramoopsctl takes for an image of 64 MiB, the least of {runs} runs; it is not told how the image
is divided. {reading:.0f} ms of each are the kernel's, which hands over the file. "scan" is `show latest` without what the
kernel does: the layout is found out, and the checksum of every record is compared. This machine copies memory at {copy:.1f}
GB/s. "peak" is the most memory that any of the commands needs, in MiB: the image is in memory as a whole."""


@dataclass(frozen=True)
class Cost:
    user: float  # Seconds.
    kernel: float
    peak: int  # KiB


def run(bench: Bench) -> list[Section]:
    heading = ("64 MiB of", *(" ".join(command) for command in COMMANDS), "scan, GB/s", "peak")
    section = Section("Reader", "", heading)
    copy = copy_speed()
    least = min(1.0, copy)
    readings = []
    image = bench.directory / "image"
    for name in write_images(image):
        bench.step(f"reader: {name}")
        costs = {command: measure(image, command) for command in COMMANDS}
        readings.append(min(cost.kernel for cost in costs.values()))
        speed = SIZE / costs["show", "latest"].user / 1e9
        section.add(
            name,
            *(f"{(cost.user + cost.kernel) * 1e3:.0f}" for cost in costs.values()),
            f"{speed:.1f}",
            f"{max(cost.peak for cost in costs.values()) / 1024:.0f}",
            target=f">= {least:.1f} GB/s",
            met=speed >= least,
        )
    section.notes = NOTES.format(runs=RUNS, reading=min(readings) * 1e3, copy=copy)
    return [section]


def write_images(image: Path) -> Iterator[str]:
    """One after the other. None of them stays in our own memory, which would count as that of the programs we start."""
    image.write_bytes(bytes(SIZE))
    yield "zeros"
    image.write_bytes(noise(SIZE))
    yield "noise"
    for records, record_size, ecc in ((3, 64, 0), (0, 64, 0), (0, 4, 0), (0, 64, 16)):
        count = records or slots_of(SIZE, record_size << 10)
        image.write_bytes(filled(SIZE, count, record_size=record_size << 10, ecc=ecc))
        yield f"{count} records of {record_size} KiB" + (f", ecc={ecc}" if ecc else "")


def measure(image: Path, command: tuple[str, ...]) -> Cost:
    costs = []
    for _ in range(RUNS):
        arguments = [reader(), "--file", image, *command]
        # Without `preexec_fn` the child would begin in our memory, and our peak would count as its own.
        process = subprocess.Popen(
            arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=lambda: None
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        # 1: there is no record.
        assert process.returncode in (0, 1), f"{arguments}: exit status {process.returncode}"
        costs.append(Cost(usage.ru_utime, usage.ru_stime, usage.ru_maxrss))
    return min(costs, key=lambda cost: cost.user + cost.kernel)


def copy_speed() -> float:
    """GB per second."""
    source, target = bytearray(SIZE), memoryview(bytearray(SIZE))
    times = []
    for _ in range(RUNS):
        begin = perf_counter()
        target[:] = source
        times.append(perf_counter() - begin)
    return SIZE / min(times) / 1e9
