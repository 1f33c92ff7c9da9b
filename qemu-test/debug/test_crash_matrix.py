"""Every kind of crash that this kernel and this machine can produce: the record is complete and tells the cause."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from debug_vm import DebugVM
from records import OOPS, PANIC, Reader, Record
from vm import insmod, REGION_SIZE, REGION_START

# A dump takes several slots, and there is room for many dumps. The oldest go first: these crashes are no loop.
GEOMETRY = {"record_size": 0x4000}
PARAMETERS = {**GEOMETRY, "kmsg_bytes": 0xC000, "loop_secs": 0}
SLOTS = 63

TAINT = 0x10000  # TAINT_AUX, which nothing sets by itself.
TRAP = "/tmp/.trapped"
OOPS_LINE = r"\bOops: .*\[#\d+\]"


@dataclass(frozen=True)
class Case:
    """One way to crash."""

    name: str
    command: str  # The last thing that the guest is told.
    panic: str  # What the panic says (a regular expression), which is also the description in the seal.
    cause: str = ""  # What else must stand in the record.
    setup: str = ""
    cmdline: str = ""  # What the guest has to be booted with.
    oops: bool = False  # The panic follows an oops, which has a record of its own.
    asked: str = ""  # Complaints of the kernel that belong to the crash.
    not_run: str = ""  # Why this cannot be had here.
    how: str = ""  # What the table says of it; by default the commands.

    def describe(self) -> str:
        text = "; ".join(filter(None, (self.cmdline, self.setup, self.how or self.command)))
        text = re.sub(r"echo (\w+) > /(?:proc/sys|sys/module)/\S*/(\w+)", r"\2=\1", text)
        text = re.sub(r"echo (\w+) > /sys/kernel/debug/provoke-crash/(\w+)", r"LKDTM \1 at \2", text)
        return f"`{text.replace(' at DIRECT', '')}`"


def direct(crash: str) -> str:
    return f"echo {crash} > /sys/kernel/debug/provoke-crash/DIRECT"


def lkdtm(crash: str, panic: str, **fields: object) -> Case:
    """A crash type of LKDTM; the record must hold LKDTM's line too."""
    return Case(crash, direct(crash), panic, **({"cause": f"lkdtm: Performing direct entry {crash}"} | fields))


def sysctl(**values: object) -> str:
    return "; ".join(f"echo {value} > /proc/sys/kernel/{name}" for name, value in values.items())


def in_init(command: str) -> str:
    """Has process 1 itself run a command."""
    return f'echo "{command}" > {TRAP}; kill -USR1 1'


PANIC_ON_OOPS = sysctl(panic_on_oops=1)
FATAL = {"setup": PANIC_ON_OOPS, "oops": True}

CASES = [
    Case("sysrq-c", "echo c > /proc/sysrq-trigger", "sysrq triggered crash", "sysrq: Trigger a crash"),
    lkdtm("PANIC", "dumptest"),
    lkdtm("PANIC_STOP_IRQOFF", "panic stop irqoff test"),
    lkdtm("PANIC_IN_HARDIRQ", "from hard IRQ context"),
    lkdtm("BUG", "Fatal exception", cause="kernel BUG at .*lkdtm", **FATAL),
    lkdtm("BUG_IN_HARDIRQ", "Fatal exception in interrupt", cause="kernel BUG at .*lkdtm", oops=True),
    Case(
        "PANIC at INT_HW_IRQ_EN",
        "echo PANIC > /sys/kernel/debug/provoke-crash/INT_HW_IRQ_EN; while :; do echo > /dev/ttyS0; done",
        "dumptest",
        "lkdtm: Crash point INT_HW_IRQ_EN of type PANIC hit, trigger in 0 rounds",
        # lockdep takes a breakpoint for an NMI, and the kernel takes a lock to stop the other CPUs.
        asked=r"inconsistent lock state[^&]*&nmi_desc\[NMI_LOCAL\]\.lock",
    ),
    lkdtm("INT_HARDWARE_ENTRY", "", not_run="needs the function do_IRQ, which x86 no longer has"),
    lkdtm("TIMERADD", "", not_run="needs the function hrtimer_start, which is inline in this kernel"),
    lkdtm(
        "EXCEPTION",
        "Fatal exception",
        cause="BUG: kernel NULL pointer dereference",
        asked="KASAN: null-ptr-deref",
        **FATAL,
    ),
    lkdtm("EXHAUST_STACK", "Fatal exception", cause="stack guard page was hit", **FATAL),
    lkdtm("CORRUPT_STACK", "", not_run="clang drops the writes that LKDTM makes for it; see the next line"),
    Case("corrupt stack", "echo smash-stack > /proc/test_faults", "stack-protector: Kernel stack is corrupted"),
    lkdtm(
        "CORRUPT_LIST_ADD",
        "kernel: panic_on_warn set",
        cause="list_add corruption",
        asked="WARNING: lib/list_debug.c",
        setup=sysctl(panic_on_warn=1),
    ),
    lkdtm("DOUBLE_FAULT", "", not_run="LKDTM has it for 32-bit x86 only; see the next line"),
    Case(
        "double fault",
        "echo double-fault > /proc/test_faults",
        "Fatal exception|Machine halted",
        "double fault",
        **FATAL,
    ),
    lkdtm(
        "SOFTLOCKUP",
        "softlockup: hung tasks",
        cause="soft lockup - CPU#",
        setup=sysctl(watchdog_thresh=2, softlockup_panic=1),
    ),
    lkdtm("HARDLOCKUP", "Hard LOCKUP", cause="hard LOCKUP", setup=sysctl(watchdog_thresh=2, hardlockup_panic=1)),
    lkdtm(
        "HUNG_TASK",
        "hung_task: blocked tasks",
        cause="blocked for more than",
        setup=sysctl(hung_task_timeout_secs=2, hung_task_panic=1),
    ),
    Case(
        "RCU stall",
        # Somebody has to wait for the other CPU.
        f"(sleep 1; rmmod test_faults) & {direct('SOFTLOCKUP')}",
        "RCU Stall",
        "rcu: INFO: .* stall|detected stalls",
        setup="echo 3 > /sys/module/rcupdate/parameters/rcu_cpu_stall_timeout; "
        + sysctl(soft_watchdog=0, panic_on_rcu_stall=1),
    ),
    lkdtm(
        "WRITE_AFTER_FREE",
        "kasan.fault=panic set",
        cause="BUG: KASAN: slab-use-after-free in lkdtm_WRITE_AFTER_FREE",
        cmdline="kasan.fault=panic",
    ),
    lkdtm("WARNING", "kernel: panic_on_warn set", cause="WARNING: .*lkdtm", setup=sysctl(panic_on_warn=1)),
    lkdtm(
        "ARRAY_BOUNDS",
        "UBSAN: panic_on_warn set",
        cause="UBSAN: array-index-out-of-bounds",
        setup=sysctl(panic_on_warn=1),
    ),
    Case("panic_on_taint", "echo taint > /proc/test_faults", "panic_on_taint set"),
    Case(
        "oops of process 1",
        in_init(direct("EXCEPTION")),
        "Attempted to kill init!",
        "BUG: kernel NULL pointer dereference",
        oops=True,
        asked="KASAN: null-ptr-deref",
        how=f"in process 1: {direct('EXCEPTION')}",
    ),
    Case(
        "BUG in process 1",
        in_init(direct("BUG")),
        "Attempted to kill init!",
        "kernel BUG at .*lkdtm",
        oops=True,
        how=f"in process 1: {direct('BUG')}",
    ),
    Case(
        "process 1 exits",
        in_init("exit 5"),
        "Attempted to kill init! exitcode=0x00000500",
        how="in process 1: exit 5",
    ),
    Case(
        "NMI",
        "",
        "NMI: Not continuing",
        "Uhhuh. NMI received for unknown reason",
        setup=sysctl(unknown_nmi_panic=1),
        how="inject-nmi (QMP)",
    ),
    Case(
        "out of memory",
        "mount -t tmpfs -o size=1G tmpfs /mnt; dd if=/dev/zero of=/mnt/fill bs=1M",
        "Out of memory: .*panic_on_oom is enabled",
        "invoked oom-killer",
        setup="mkdir -p /mnt; echo 1 > /proc/sys/vm/panic_on_oom",
    ),
    Case(
        "sysrq-c while a task holds the console",
        "echo c > /proc/sysrq-trigger",
        "sysrq triggered crash",
        "the console is held",
        setup="echo hold-console > /proc/test_faults; echo the console is held > /dev/kmsg",
    ),
    Case(
        "panics on two CPUs at once",
        f"({direct('PANIC')}) & echo c > /proc/sysrq-trigger; wait",
        "dumptest|sysrq triggered crash",
    ),
]


@pytest.fixture(scope="module")
def vm_options() -> dict[str, object]:
    return {"cmdline": f"panic_on_taint={TAINT:#x}"}


@pytest.fixture
def matrix_vm(
    shared_vm: DebugVM, boot: Callable[..., DebugVM], request: pytest.FixtureRequest, number: int
) -> Iterator[DebugVM]:
    """A guest that has just booted. Its region keeps the records of the cases before."""
    if CASES[number].cmdline:
        with boot(cmdline=CASES[number].cmdline) as vm:
            yield vm
        return
    yield shared_vm
    if getattr(request.node, "passed", False):
        return
    # The next case is not to suffer from this one.
    shared_vm.reset()
    shared_vm.complaints()
    shared_vm.write(bytes(REGION_SIZE))


@pytest.mark.parametrize("number", range(len(CASES)), ids=[case.name.replace(" ", "-") for case in CASES])
def test_crash(matrix_vm: DebugVM, records: Reader, request: pytest.FixtureRequest, number: int) -> None:
    vm, case = matrix_vm, CASES[number]
    row = [number, case.name, "" if case.not_run else case.describe(), case.not_run, ""]
    request.node.user_properties.append(("row", row))
    if case.not_run:
        request.node.passed = True
        pytest.skip(case.not_run)

    before = records(vm, **GEOMETRY)
    load(vm)
    marker = f"crash matrix: {case.name}"
    vm.ok("set -e; insmod lkdtm.ko; insmod test_faults.ko")
    assert vm.complaints() == []
    vm.ok(f"{case.setup or 'true'}; echo '{marker}' > /dev/kmsg")
    if case.command:
        vm.crash(case.command)
    else:
        vm.nmi()
    said = vm.complaints()

    line = load(vm)
    after = records(vm, **GEOMETRY)
    new = [record for record in after if record not in before]
    assert {record.kind for record in after} == {"sealed"}, after
    assert re.search(rf"\b{len(after)} sealed, 0 torn, 0 foreign", line), line
    # If there is no room for all, the oldest dumps go, and of one dump the oldest text.
    kept = sorted(before, key=lambda record: (record.dump, -record.part))[-(SLOTS - len(new)) :]
    kept = [record for record in before if record in kept]
    assert [record for record in after if record in before] == kept, "records of earlier crashes changed"

    dumps: dict[int, list[Record]] = {}
    for record in new:
        dumps.setdefault(record.dump, []).append(record)
    reasons = [parts[0].reason for parts in dumps.values()]
    assert reasons == [OOPS] * case.oops + [PANIC], new
    for parts in dumps.values():
        check_parts(parts)
    panic = list(dumps.values())[-1]
    text = "".join(record.text for record in sorted(panic, key=lambda record: -record.part))
    found = re.search(rf"Kernel panic - not syncing: (.*(?:{case.panic}).*)", text)
    assert found, text[-3000:]
    description = panic[0].description
    assert found[1].startswith(description) and description, description
    assert marker in text
    text = text.replace(marker, "")  # It is no evidence of a cause.
    provoked = re.search(r"echo (\w+) > \S+/DIRECT", case.command)
    if provoked and "sysrq" not in found[1]:
        assert f"lkdtm: Performing direct entry {provoked[1]}" in text
    cause = re.search(rf"^.*(?:{case.cause}).*$", text, re.MULTILINE) if case.cause else found
    assert cause, text[-3000:]
    size = sum(len(record.text) for record in panic)
    print(f"{len(panic)} parts, {size} bytes")

    row[3] = f"`{tidy(cause[0])}`"
    row[4] = "oops, panic" if case.oops else "panic"
    # The region as a user gets it.
    digest, release = vm.ok("dd if=/dev/mtd0 bs=64k 2>/dev/null | md5sum; uname -r").split("\n")[:2]
    assert digest.split()[0] == hashlib.md5(vm.read()).hexdigest()
    request.node.user_properties.append(("release", release))
    vm.unload()
    # The crash itself: once, and nothing else.
    oops = f"|{OOPS_LINE}" if case.oops else ""
    panic_line = f"Kernel panic - not syncing: .*(?:{case.panic})"
    asked = f"{panic_line}|{case.cause or panic_line}|{case.asked or panic_line}{oops}"
    assert [line for line in said if not re.search(asked, line)] == []
    assert sum("Kernel panic - not syncing" in line for line in said) == 1, said
    assert sum(bool(re.search(OOPS_LINE, line)) for line in said) == case.oops, said
    assert vm.complaints() == []
    request.node.passed = True


def load(vm: DebugVM) -> str:
    region = {"mem_address": hex(REGION_START), "mem_size": hex(REGION_SIZE)}
    phram = insmod("rust_phram", phram=f"oops,{REGION_START:#x},{REGION_SIZE:#x}")
    ramoops = insmod("rust_ramoops", **region, **PARAMETERS)
    return vm.ok(f"set -e; {phram}; {ramoops}; dmesg | grep 'rust_ramoops: using'").strip()


def check_parts(parts: list[Record]) -> None:
    numbers = sorted(record.part for record in parts)
    assert numbers == list(range(1, len(parts) + 1)), parts
    [total] = [record.parts for record in parts if record.parts]
    assert total == len(parts), parts


def tidy(line: str) -> str:
    """Without what differs from run to run."""
    line = re.sub(r"^<\d+>|\[ *\d+\.\d+\](\[.*?\])? ?", "", line).strip()
    line = re.sub(r"\b(?!0{16})[0-9a-f]{16}\b", "ADDRESS", line)
    line = re.sub(r"\b(CPU ?#?|cpu )\d", r"\1N", line)
    return re.sub(r"\b(sh|init|dd)[:/]\d+", r"\1", re.sub(r"\b\d+s\b", "N s", line))
