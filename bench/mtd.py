"""How fast the MTD device is read and written."""

from __future__ import annotations

import re
from collections import defaultdict

from common import Bench, TIMEOUT
from initramfs import build_initramfs, our_modules
from report import ratio, Section
from test_mtd_suite import build_kernel_tests
from vm import insmod, MIB, REGION_START, VM

OURS, STOCK, FILE = "rust_phram", "phram", "tmpfs"
SIZE = 16 * MIB
BLOCKS = ("512", "4k", "64k", "1M")
SPEEDTEST = ("eraseblock write", "eraseblock read", "page write", "page read", "erase")
RUNS, WALL_RUNS = 2, 5

COUNTED_NOTES = """\
A device of 16 MiB, by dd and by the kernel's mtd_speedtest, in MB per second if each instruction took a nanosecond. "tmpfs"
is the same dd on a file in RAM: what there is to be had, as that is copied once, and a device twice. Ours copies four bytes
at a time, as the kernel does with memory that is no RAM of its own (`memcpy_fromio`); stock uses `memcpy`, which copies by
the byte, and emulation counts each step. The same is so for uncached memory on real hardware, where each step is an access.
What cannot be seen here is how the memory is mapped: stock's is uncached, ours write-combined, or with `mem_type=2` cached,
under which reading is as fast as from other RAM."""

WALL_NOTES = """\
The same in MB per second of wall time: the best of {runs} runs, in which ours and stock take turns. "noise" is how far the
best two runs of stock differ, by which ours may be slower."""


def run(bench: Bench) -> list[Section]:
    initramfs = bench.directory / "mtd.cpio"
    bench.step("mtd: building the kernel's own tests")
    build_initramfs(initramfs, [*our_modules(), *build_kernel_tests(bench.directory / "linux")])
    sections = []
    for icount in (True, False):
        with VM(
            initramfs,
            bench.directory / ("mtd-counted" if icount else "mtd"),
            accel="tcg" if icount else bench.accel,
            icount=icount,
            ram=512 * MIB,
            memmap=f"{SIZE:#x}${REGION_START:#x}",
            cmdline="quiet loglevel=1",
        ) as vm:
            sections.append(speed_table(bench, vm, icount))
    return sections


def speed_table(bench: Bench, vm: VM, icount: bool) -> Section:
    title, notes = ("MTD", COUNTED_NOTES) if icount else ("MTD in wall time", WALL_NOTES.format(runs=WALL_RUNS))
    section = Section(title, notes, ("access", "ours", "stock", "tmpfs", "ours / stock", *(() if icount else ("noise",))))
    # Both at once, on the same memory.
    vm.ok(f"head -c {SIZE} /dev/urandom > /tmp/file; insmod mtd.ko; insmod mtdblock.ko; insmod mtd_test.ko")
    for module in (OURS, STOCK):
        vm.ok(insmod(module, phram=f"{module},{REGION_START:#x},{SIZE:#x},{MIB // 16:#x}"))
    commands = [(f"dd, read, bs={bs}", f"if={{}} of=/dev/null bs={bs}") for bs in BLOCKS]
    commands += [(f"dd, write, bs={bs}", f"if=/tmp/file of={{}} bs={bs}") for bs in BLOCKS]
    runs = RUNS if icount else WALL_RUNS
    speeds: dict[tuple[str, str], list[float]] = defaultdict(list)
    for name, command in commands:
        bench.step(f"{title}: {name}")
        for _ in range(runs):
            speeds[name, OURS].append(dd(vm, command.format("/dev/mtd0")))
            speeds[name, STOCK].append(dd(vm, command.format("/dev/mtd1")))
            if "read" in name:
                speeds[name, FILE].append(dd(vm, command.format("/tmp/file")))
    for _ in range(runs):
        bench.step(f"{title}: block devices and speedtest")
        for number, module in enumerate((OURS, STOCK)):
            speed = dd(vm, f"if=/dev/mtdblock{number} of=/dev/null bs=1M")
            speeds["dd of mtdblock, read, bs=1M", module].append(speed)
            for name, speed in speedtest(vm, number).items():
                speeds[f"speedtest, {name}", module].append(speed)

    for name in dict.fromkeys(name for name, _ in speeds):
        ours, stock = max(speeds[name, OURS]), max(speeds[name, STOCK])
        best, second = sorted(speeds[name, STOCK], reverse=True)[:2]
        noise = 0 if icount else best / second - 1
        section.add(
            name,
            f"{ours:.0f}",
            f"{stock:.0f}",
            f"{max(speeds[name, FILE]):.0f}" if (name, FILE) in speeds else "",
            ratio(ours, stock),
            *(() if icount else (f"{noise:.0%}",)),
            target=">= 1.00",
            met=ours / stock >= 1 - noise,
        )
    return section


def speedtest(vm: VM, number: int) -> dict[str, float]:
    """What the kernel's mtd_speedtest says of a device, in MB per second."""
    log = vm.logged(f"insmod mtd_speedtest.ko dev={number}", TIMEOUT).log
    vm.ok("rmmod mtd_speedtest")
    speeds = dict(re.findall(r"mtd_speedtest: (.*) speed is (\d+) KiB/s", log))
    return {name: int(speeds[name]) * 1024 / 1e6 for name in SPEEDTEST}


def dd(vm: VM, arguments: str) -> float:
    """MB per second, without what it takes to start dd."""
    return SIZE / (seconds(vm, f"dd {arguments}") - seconds(vm, f"dd {arguments} count=0")) / 1e6


def seconds(vm: VM, command: str) -> float:
    """The guest's clock while a command runs."""
    vm.ok("dmesg -c > /dev/null")
    vm.ok(f"echo begin > /dev/kmsg; {command} 2> /dev/null; echo end > /dev/kmsg", TIMEOUT)
    stamps = re.findall(r"^\[ *([\d.]+)\] (?:begin|end)$", vm.ok("dmesg"), re.MULTILINE)
    begin, end = map(float, stamps)
    return end - begin
