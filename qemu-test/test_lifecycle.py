"""Loading and unloading leaves the machine as it was."""

import re
import subprocess

from initramfs import our_modules
from vm import REGION_SIZE, REGION_START, VM


def memory(vm: VM) -> dict[str, int]:
    """Kilobytes, after the caches were dropped."""
    vm.ok("sync; echo 3 > /proc/sys/vm/drop_caches")
    lines = re.findall(r"^(MemFree|Slab|VmallocUsed|Percpu): +(\d+) kB", vm.ok("cat /proc/meminfo"), re.MULTILINE)
    return {name: int(value) for name, value in lines}


def test_a_hundred_cycles_leak_nothing(vm: VM) -> None:
    ramoops = f"insmod rust_ramoops.ko mem_address={REGION_START:#x} mem_size={REGION_SIZE:#x}"
    phram = f"insmod rust_phram.ko phram=oops,{REGION_START:#x},{REGION_SIZE:#x}"

    def cycles(count: int) -> None:
        vm.ok(f"for i in $(seq {count}); do {ramoops} && {phram} && rmmod rust_phram rust_ramoops || exit; done", 180)

    cycles(10)  # What the kernel allocates once, it has allocated after these.
    iomem = vm.ok("cat /proc/iomem")
    before = memory(vm)
    cycles(100)
    after = memory(vm)
    assert vm.ok("cat /proc/iomem") == iomem
    # A leak of one page per cycle would be 400 kB.
    assert before["MemFree"] - after["MemFree"] < 300, (before, after)
    assert after["Slab"] - before["Slab"] < 200, (before, after)
    assert after["VmallocUsed"] - before["VmallocUsed"] < 100, (before, after)
    assert not re.search("WARNING|BUG:|Oops|leak", vm.ok("dmesg"))


def test_failed_loads_leak_nothing(vm: VM) -> None:
    bad = "insmod rust_ramoops.ko mem_address=0x1000000 mem_size=0x100000"
    bad_phram = f"insmod rust_phram.ko phram=oops,{REGION_START:#x},{REGION_SIZE:#x},3"

    def cycles(count: int) -> None:
        vm.ok(f"for i in $(seq {count}); do ! {bad} 2>/dev/null && ! {bad_phram} 2>/dev/null || exit; done", 180)

    cycles(10)
    before = memory(vm)
    cycles(100)
    after = memory(vm)
    assert before["MemFree"] - after["MemFree"] < 300, (before, after)
    assert after["VmallocUsed"] - before["VmallocUsed"] < 100, (before, after)


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
