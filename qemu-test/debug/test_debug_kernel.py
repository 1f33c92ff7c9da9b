"""The modules' whole life on the debug kernel: whatever a checker of the kernel finds fails the case."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from ctl import show
from debug_vm import DebugVM
from records import EMERGENCY, OOPS, PANIC, Reader, SHUTDOWN
from vm import insmod, REGION_SIZE, REGION_START

RECORD_SIZE = 0x4000
GARBAGE = random.Random(4).randbytes(REGION_SIZE)
REGION = {"mem_address": hex(REGION_START), "mem_size": hex(REGION_SIZE)}
OOPS_LINES = r"BUG: |KASAN: null-ptr-deref|Oops|Modules linked in|general protection|lkdtm_EXCEPTION"


def oops(vm: DebugVM) -> None:
    vm.ok("grep -q ^lkdtm /proc/modules || insmod lkdtm.ko")
    vm.run("sh -c 'echo EXCEPTION > /sys/kernel/debug/provoke-crash/DIRECT'")


def test_the_checkers_are_on(vm: DebugVM) -> None:
    vm.phram()
    vm.ramoops(record_size=RECORD_SIZE)
    # lockdep turns itself off at the first fault that it finds, and for some kinds of modules.
    assert "debug_locks: 1" in " ".join(vm.ok("cat /proc/lockdep_stats").split())
    for crash, line in [
        ("READ_AFTER_FREE", "BUG: KASAN: slab-use-after-free"),
        ("ARRAY_BOUNDS", "UBSAN: array-index-out-of-bounds"),
        ("REFCOUNT_INC_OVERFLOW", "refcount_t: saturated"),
    ]:
        vm.ok("grep -q ^lkdtm /proc/modules || insmod lkdtm.ko")
        vm.run(f"sh -c 'echo {crash} > /sys/kernel/debug/provoke-crash/DIRECT'")
        assert any(line in complaint for complaint in vm.complaints()), crash


@pytest.mark.parametrize("options", [{}, {"mem_type": 1}, {"mem_type": 2}, {"compress": "deflate", "ecc": 16}], ids=str)
def test_a_crash_over_garbage(vm: DebugVM, records: Reader, options: dict[str, object]) -> None:
    vm.write(GARBAGE)
    assert "garbage" in vm.ramoops(record_size=RECORD_SIZE, kmsg_bytes="0xc000", **options)
    assert vm.complaints() == []
    oops(vm)
    vm.crash()
    vm.complaints(OOPS_LINES + "|Kernel panic")
    parity = {name: value for name, value in options.items() if name == "ecc"}
    found = [record for record in records(vm, record_size=RECORD_SIZE, **parity) if record.kind == "sealed"]
    assert {record.reason for record in found} == {OOPS, PANIC}
    assert "Kernel panic - not syncing: sysrq triggered crash" in show(vm, "latest")


def test_twenty_rounds_of_loading_dumping_and_unloading(vm: DebugVM, records: Reader) -> None:
    load = insmod("rust_ramoops", **REGION, record_size=RECORD_SIZE)
    phram = insmod("rust_phram", phram=f"oops,{REGION_START:#x},{REGION_SIZE:#x}")
    read_and_unload = "dd if=/dev/mtd0 of=/dev/null bs=64k; rmmod rust_ramoops rust_phram"
    vm.ok(f"set -e; for i in $(seq 20); do {load}; {phram}; {read_and_unload}; done", timeout=180)
    assert vm.complaints() == []
    oopses = "sh -c 'echo EXCEPTION > /sys/kernel/debug/provoke-crash/DIRECT'; true"
    vm.run(f"insmod lkdtm.ko; for i in $(seq 5); do {load}; {oopses}; rmmod rust_ramoops; done", timeout=180)
    assert vm.complaints(OOPS_LINES) == []
    assert [record.reason for record in records(vm, record_size=RECORD_SIZE)] == [OOPS] * 5


def test_loads_that_are_refused(vm: DebugVM) -> None:
    bad = [
        insmod("rust_ramoops", mem_address="0x100000", mem_size="0x100000"),
        insmod("rust_ramoops", **REGION, record_size=8),
        insmod("rust_ramoops", **REGION, record_size="4G"),
        insmod("rust_ramoops", mem_name="nothing"),
        insmod("rust_ramoops", mem_size="x"),
        insmod("rust_phram", phram="a,0x100000,0x1000"),
        insmod("rust_phram", phram="oops,@nothing"),
        insmod("rust_phram", phram="n" * 3000),
        f"insmod rust_phram.ko phram=a,{REGION_START:#x},0x1000 phram=bad",
    ]
    for command in bad:
        vm.fails(command)
    vm.fails("grep ^rust_ /proc/modules")


@pytest.mark.parametrize("module", ["rust_ramoops", "rust_phram"])
def test_allocations_that_fail_while_loading(vm: DebugVM, module: str) -> None:
    parameters = {
        "rust_ramoops": REGION | {"compress": "deflate", "ecc": 16},
        "rust_phram": {"phram": f"oops,{REGION_START:#x},{REGION_SIZE:#x}"},
    }[module]
    load = insmod(module, **parameters)
    vm.ok(
        "cd /sys/kernel/debug/failslab && echo N > ignore-gfp-wait && echo 0 > verbose_ratelimit_interval_ms\n"
        # insmod tries twice, so that the second attempt comes right after the failed one.
        f"echo 'dmesg -c >/dev/null; echo $1 > /proc/self/fail-nth; exec {load}' > /tmp/load"
    )

    def fail(number: int) -> tuple[bool, bool]:
        """Did the allocation of that number fail, and was it the module's? (Some fail silently, by __GFP_NOWARN.)"""
        unload = f"! grep -q ^{module} /proc/modules || rmmod {module}"
        log = f"dmesg | grep -oE 'FAULT_INJECTION|\\[{module}\\]' | sort -u"
        words = vm.ok(f"sh /tmp/load {number} 2>/dev/null; {unload} && {log}").split()
        return "FAULT_INJECTION" in words, f"[{module}]" in words

    # The module's own are close to each other: a first look finds some of them, then their neighbours are tried, all of
    # rust_ramoops' and half of rust_phram's, which has the MTD core make many.
    inside, silent, number = {}, 0, 0
    while silent < 10 and number < 500:
        number += 6
        failed, inside[number] = fail(number)
        silent = 0 if failed else silent + 1
    todo = [number for number, found in inside.items() if found]
    while todo and len(inside) < 70:
        for neighbour in {todo[-1] - 1, todo.pop() + 1} - set(inside):
            inside[neighbour] = fail(neighbour)[1]
            if inside[neighbour]:
                todo.append(neighbour)
    print(f"{len(inside)} allocations failed, {sum(inside.values())} of them in {module}")
    assert sum(inside.values()) >= 5
    # What the fault injection itself says has the module in its backtraces.
    assert vm.complaints(rf"\[{module}\]") == []


def test_the_mtd_tests_of_the_kernel(vm: DebugVM) -> None:
    vm.phram(erasesize="0x10000")
    vm.ok("grep -q ^mtd_test /proc/modules || insmod mtd_test.ko")
    for name, parameters in [("read", ""), ("stress", "count=200"), ("torture", "cycles_count=2 ebcnt=4"), ("speed", "")]:
        # As the tests of the kernel are: they do their work while they load, and then stay loaded or not.
        log = vm.logged(f"insmod mtd_{name}test.ko dev=0 {parameters}; rmmod mtd_{name}test", timeout=180).log
        assert f"mtd_{name}test: MTD device: 0" in log and "finished" in log, log
        assert "error" not in log.lower().replace("0 errors", ""), log
    assert vm.complaints() == []


# On the way of these dumps lockdep still watches, which an oops or a panic turns off.
@pytest.mark.parametrize(("command", "reason"), [("reboot -f", SHUTDOWN), ("echo b > /proc/sysrq-trigger", EMERGENCY)])
def test_a_restart_is_recorded_under_lockdep(vm: DebugVM, records: Reader, command: str, reason: int) -> None:
    vm.ramoops(record_size=RECORD_SIZE, kmsg_bytes="0xc000", max_reason=4)
    vm.crash(command)
    found = records(vm, record_size=RECORD_SIZE)
    assert reason in {record.reason for record in found} and {record.kind for record in found} == {"sealed"}


def test_memory_reserved_by_name(boot: Callable[..., DebugVM]) -> None:
    with boot(memmap="", cmdline="reserve_mem=2M:2M:oops nokaslr kmemleak=on") as vm:
        vm.insmod("rust_ramoops", mem_name="oops", record_size=RECORD_SIZE)
        vm.insmod("rust_phram", phram="oops,@oops")
        assert vm.complaints() == []
        vm.crash()
        vm.complaints("Kernel panic")
        assert " sealed, 0 torn" in vm.insmod("rust_ramoops", mem_name="oops", record_size=RECORD_SIZE)
        vm.insmod("rust_phram", phram="oops,@oops")
        assert "Kernel panic" in vm.ok("dd if=/dev/mtd0 bs=64k 2>/dev/null | strings")
        vm.ok("rmmod rust_ramoops rust_phram")
        # Nothing that the modules allocated may be left.
        vm.ok("for i in 1 2; do echo scan > /sys/kernel/debug/kmemleak; done")
        assert "rust_" not in vm.ok("cat /sys/kernel/debug/kmemleak")
        assert vm.complaints() == []
