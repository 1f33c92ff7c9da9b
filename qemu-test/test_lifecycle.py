"""Loading and unloading leaves the machine as it was."""

import re
import subprocess
from collections.abc import Callable

import pytest

from initramfs import our_modules
from vm import REGION_SIZE, REGION_START, VM


CYCLES = 30
LEAKS = {"Used": 3, "Slab": 1, "VmallocUsed": 1}  # KiB in each cycle; a page is 4.


def memory(vm: VM) -> dict[str, int]:
    """KiB that are in use."""
    vm.ok("sync; echo 3 > /proc/sys/vm/drop_caches")
    text = vm.ok("cat /proc/meminfo")
    kib = {name: int(value) for name, value in re.findall(r"^(\w+): +(\d+) kB", text, re.MULTILINE)}
    return {"Used": kib["MemTotal"] - kib["MemFree"], "Slab": kib["Slab"], "VmallocUsed": kib["VmallocUsed"]}


def check_leaks(vm: VM, cycles: Callable[[int], None]) -> None:
    """Check that cycles leave no memory in use. The kernel frees some things late: the least growth of three times counts."""
    cycles(10)  # What the kernel allocates once, it has allocated after these.
    grown: list[dict[str, int]] = []
    for _ in range(3):
        before = memory(vm)
        cycles(CYCLES)
        after = memory(vm)
        grown.append({name: after[name] - before[name] for name in before})
        if all(min(each[name] for each in grown) < CYCLES * leak for name, leak in LEAKS.items()):
            return
    pytest.fail(f"KiB more in use after {CYCLES} cycles: {grown}")


def test_loading_and_unloading_leaks_nothing(vm: VM) -> None:
    ramoops = f"insmod rust_ramoops.ko mem_address={REGION_START:#x} mem_size={REGION_SIZE:#x}"
    phram = f"insmod rust_phram.ko phram=oops,{REGION_START:#x},{REGION_SIZE:#x}"

    def cycles(count: int) -> None:
        vm.ok(f"for i in $(seq {count}); do {ramoops} && {phram} && rmmod rust_phram rust_ramoops || exit; done")

    iomem = vm.ok("cat /proc/iomem")
    check_leaks(vm, cycles)
    assert vm.ok("cat /proc/iomem") == iomem
    assert not re.search("WARNING|BUG:|Oops|leak", vm.ok("dmesg"))


def test_failed_loads_leak_nothing(vm: VM) -> None:
    bad = "insmod rust_ramoops.ko mem_address=0x1000000 mem_size=0x100000"
    bad_phram = f"insmod rust_phram.ko phram=oops,{REGION_START:#x},{REGION_SIZE:#x},3"

    def cycles(count: int) -> None:
        vm.ok(f"for i in $(seq {count}); do ! {bad} 2>/dev/null && ! {bad_phram} 2>/dev/null || exit; done")

    check_leaks(vm, cycles)


def test_both_modules_show_who_they_are() -> None:
    for module in our_modules():
        info = subprocess.run(["modinfo", module], capture_output=True, text=True, check=True).stdout
        for field in ("license", "description", "author", "parm"):
            assert re.search(rf"^{field}:\s+\S", info, re.MULTILINE), info


def test_an_unloaded_ramoops_records_nothing(vm: VM) -> None:
    vm.ramoops()
    vm.ok("rmmod rust_ramoops")
    vm.oops()
    assert vm.read() == bytes(REGION_SIZE)
