"""How much of a log comes back."""

from __future__ import annotations

from dataclasses import dataclass

from common import Bench, COMPRESS, compressing, load, OURS, show, STOCK, TIMEOUT
from report import Section
from vm import insmod, MIB, REGION_START, VM

LAST_WORDS = "bench: these are my last words"
WHOLE = 1000000
RECORDS = {0x1000: "4 KiB", 0x4000: "16 KiB", 0x10000: "64 KiB", 0x40000: "256 KiB"}
REGIONS = {MIB // 16: "64 KiB", MIB: "1 MiB", 4 * MIB: "4 MiB"}
OTHER_ZONES = 3 * 4096
OUT = 4 * MIB  # Behind the region: what the guest leaves there, the host reads.
PHRAM = insmod("phram", phram=f"out,{REGION_START + OUT:#x},{OUT:#x}")

NOTES = """\
Whole lines of the log that come back after a dump, and their kilobytes: from ours through ramoopsctl, from stock
through `/sys/fs/pstore` after it is loaded anew. The log has {lines} lines and {bytes} bytes. Where it says "whole
log", `kmsg_bytes` is 1000000, and else the default of each module. A star: the newest line, written just before the
dump, is not among them. To reach: no fewer lines than stock with the same compression, the newest line always, and
the whole log where `kmsg_bytes` asks for it and the records have a tenth more room than that. {shortfall}"""

PANIC_NOTES = """\
A real panic (sysrq-c) after a full ring of lines that do not compress, with records of 64 KiB in 1 MiB. Lines: how
many of those before the panic come back after the reboot."""


@dataclass(frozen=True)
class Log:
    name: str
    order: str  # For the module of the bench.
    cmdline: str = ""


LOGS = (
    Log("a full ring", "fill 200000 1"),
    Log("a full ring that does not compress", "noise 200000 1"),
    Log("log_buf_len=1M", "fill 263000 1", "log_buf_len=1M"),
)


@dataclass(frozen=True)
class Setting:
    record: int
    region: int
    kmsg_bytes: int

    def __str__(self) -> str:
        name = f"{RECORDS[self.record]} in {REGIONS[self.region]}"
        return f"{name}, whole log" if self.kmsg_bytes else name

    def parameters(self) -> dict[str, int]:
        return {"record_size": self.record, "mem_size": self.region, "kmsg_bytes": self.kmsg_bytes}

    def holds(self, log: bytes) -> bool:
        """The setting asks for the whole log, and gives room enough."""
        return bool(self.kmsg_bytes) and self.region - OTHER_ZONES >= len(log) * 1.1


SETTINGS = [
    Setting(record, region, kmsg_bytes)
    for region in REGIONS
    for record in RECORDS
    if record < region
    for kmsg_bytes in (0, WHOLE)
]


@dataclass(frozen=True)
class Kept:
    """What came back of a log."""

    lines: int
    bytes: int
    newest: bool
    whole: bool

    def __str__(self) -> str:
        return f"{self.lines} / {self.bytes / 1000:.1f}{'' if self.newest else ' *'}"


@dataclass(frozen=True)
class Panic:
    """What came back of a log and a panic."""

    module: str
    compress: str
    lines: int
    tells: bool  # The line that says why is among it.


def run(bench: Bench) -> list[Section]:
    guests = [(compress, cmdline) for compress in COMPRESS for cmdline in dict.fromkeys(log.cmdline for log in LOGS)]
    logs: dict[Log, bytes] = {}
    kept: dict[tuple[Log, Setting, str, str], Kept] = {}
    panics: list[Panic] = []

    def measure(options: tuple[str, str]) -> None:
        compress, cmdline = options
        arguments = f"{compressing(compress)} {cmdline}"
        with bench.guest("log kept", icount=False, region=2 * OUT, cmdline=arguments) as vm:
            vm.ok(PHRAM)
            for log in (log for log in LOGS if log.cmdline == cmdline):
                for setting in SETTINGS:
                    bench.step(f"log kept, {compress}: {log.name}, {setting}")
                    for module in (OURS, STOCK):
                        logs[log], back = dump(vm, module, log, compress=compress, **setting.parameters())
                        kept[log, setting, module, compress] = compare(logs[log], back)
            if not cmdline:
                for module in (OURS, STOCK):
                    bench.step(f"log kept, {compress}: a panic with {module}")
                    panics.append(panic(vm, module, compress))

    bench.each(measure, guests)
    return [*(table(log, logs[log], kept) for log in LOGS), panic_table(panics)]


def dump(vm: VM, module: str, log: Log, **parameters: object) -> tuple[bytes, bytes]:
    """Writes a log and has it dumped. Returns it, and what came back."""
    vm.write(bytes(OUT))
    load(vm, module, **parameters)
    vm.ok("dmesg -c > /dev/null")
    vm.ok(f"echo {log.order} > /proc/bench && echo {LAST_WORDS} > /dev/kmsg", TIMEOUT)
    text = whole_log(vm)
    vm.ok(f"echo dump 1 > /proc/bench && rmmod {module}")
    return text, read_back(vm, module, **parameters)


def read_back(vm: VM, module: str, **parameters: object) -> bytes:
    """The text of the newest dump."""
    if module == OURS:
        return show(vm, int(parameters["mem_size"]))["records"][-1]["text"].encode()
    load(vm, module, **parameters)
    text = output(vm, "cat /sys/fs/pstore/dmesg-*")
    vm.ok(f"rmmod {module}")
    return text


def whole_log(vm: VM) -> bytes:
    vm.ok(f"echo floor {OUT} 1 > /proc/bench")
    return output(vm, "cat /proc/bench_text")


def output(vm: VM, command: str) -> bytes:
    """What a command prints, by way of memory: the serial port is slow."""
    size = int(vm.ok(f"{command} | tee /dev/mtd0 | wc -c"))
    return vm.read(OUT, size)


def compare(log: bytes, back: bytes) -> Kept:
    lines = log.splitlines()
    found = set(lines) & set(back.splitlines())
    return Kept(len(found), sum(len(line) + 1 for line in found), lines[-1] in found, len(found) == len(set(lines)))


def panic(vm: VM, module: str, compress: str) -> Panic:
    parameters = {"mem_size": MIB, "record_size": 0x10000, "compress": compress}
    vm.write(bytes(OUT))
    load(vm, module, **parameters)
    vm.ok("echo noise 200000 1 > /proc/bench", TIMEOUT)
    text = whole_log(vm)
    vm.crash()
    vm.ok(PHRAM)
    vm.ok("insmod bench.ko")
    back = read_back(vm, module, **parameters)
    return Panic(module, compress, compare(text, back).lines, b"Kernel panic - not syncing" in back)


def panic_table(panics: list[Panic]) -> Section:
    section = Section("Panics in a log that does not compress", PANIC_NOTES, ("module", "lines", "the panic"))
    for found in sorted(panics, key=lambda found: COMPRESS.index(found.compress)):
        target = {"target": "kept", "met": found.tells} if found.module == OURS else {}
        section.add(f"{found.module}, {found.compress}", found.lines, "kept" if found.tells else "lost", **target)
    return section


def table(log: Log, text: bytes, kept: dict[tuple[Log, Setting, str, str], Kept]) -> Section:
    columns = ("record", *(f"{module}, {compress}" for compress in COMPRESS for module in ("stock", "ours")))
    section = Section(f"Log kept: {log.name}", "", columns)
    shortfall = dict.fromkeys(COMPRESS, 0)
    for setting in SETTINGS:
        cells, met = [], True
        for compress in COMPRESS:
            stock, ours = (kept[log, setting, module, compress] for module in (STOCK, OURS))
            # The ring does not always hold the same number of lines.
            fewer = 0 if ours.whole else max(0, stock.lines - ours.lines)
            if fewer:
                shortfall[compress] = max(shortfall[compress], stock.bytes - ours.bytes)
            cells += [str(stock), f"{ours} ({fewer} fewer)" if fewer else str(ours)]
            met = met and not fewer and ours.newest and (ours.whole or not setting.holds(text))
        section.add(str(setting), *cells, target="whole" if setting.holds(text) else ">= stock", met=met)
    section.notes = NOTES.format(
        lines=len(text.splitlines()),
        bytes=len(text),
        shortfall=" ".join(
            f"With compress={compress}, ours is at most {fewer} bytes short of stock: the seal takes its place."
            for compress, fewer in shortfall.items()
            if fewer
        ),
    )
    return section
