"""Memory reserved by name: reserve_mem= on the kernel command line, where no address needs to be known."""

import pytest

from vm import VM


@pytest.fixture(scope="module")
def vm_options() -> dict[str, object]:
    # The kernel picks the place: the same at each boot, as long as the kernel itself stays where it is. 2 MiB and no
    # less: a smaller region may be what the kernel left of its per-CPU areas, which it zeroes at each boot.
    return {"memmap": "", "cmdline": "reserve_mem=2M:2M:oops reserve_mem=0x10040:64:odd nokaslr"}


@pytest.fixture
def vm(shared_vm: VM) -> VM:
    if shared_vm.lost:
        shared_vm.reset()
    shared_vm.unload()
    return shared_vm


def test_a_panic_is_kept_and_read_back_by_name(vm: VM) -> None:
    vm.insmod("rust_ramoops", mem_name="oops", record_size="0x10000")
    vm.ok("echo a marker > /dev/kmsg")
    vm.crash(reboot=True)
    assert "1 sealed" in vm.insmod("rust_ramoops", mem_name="oops", record_size="0x10000")
    vm.insmod("rust_phram", phram="oops,@oops")
    assert 'mtd0: 00200000 00001000 "oops"' in vm.ok("cat /proc/mtd")
    text = vm.ok("dd if=/dev/mtd0 bs=64k 2>/dev/null | strings")
    assert "a marker" in text and "Kernel panic - not syncing: sysrq triggered crash" in text


def test_stock_ramoops_shows_the_record(vm: VM) -> None:
    vm.insmod("rust_ramoops", mem_name="oops", record_size="0x10000")
    vm.ok("echo marker for stock > /dev/kmsg")
    vm.crash(reboot=True)
    vm.insmod("ramoops", mem_name="oops", record_size="0x10000")
    assert "marker for stock" in vm.ok("cat /sys/fs/pstore/*")


def test_a_length_makes_the_device_smaller(vm: VM) -> None:
    vm.insmod("rust_phram", phram="oops,@oops,64k")
    assert 'mtd0: 00010000 00001000 "oops"' in vm.ok("cat /proc/mtd")


@pytest.mark.parametrize("value", ["oops,@nothing", "oops,@", "oops,@oops,4M", "oops,@oops,0"])
def test_a_name_or_length_that_does_not_fit_is_refused(vm: VM, value: str) -> None:
    result = vm.logged(f"insmod rust_phram.ko phram={value}")
    assert result.status != 0 and "rust_phram: " in result.log
    vm.fails("ls /dev/mtd0")
    vm.fails("grep -q ^rust_phram /proc/modules")


def test_an_unknown_mem_name_is_refused(vm: VM) -> None:
    result = vm.logged("insmod rust_ramoops.ko mem_name=nothing")
    assert result.status != 0 and "mem_name" in result.log


def test_a_region_need_not_start_at_a_page(vm: VM) -> None:
    vm.insmod("rust_ramoops", mem_name="odd")
    address = int(vm.ok("cat /sys/module/rust_ramoops/parameters/mem_address"))
    assert address % 4096 != 0
    vm.insmod("rust_phram", phram="oops,@odd,0x10040,64")
    vm.oops()
    assert "NULL pointer dereference" in vm.ok("strings /dev/mtd0")
    vm.ok("printf text | dd of=/dev/mtd0 bs=4 seek=16399 2>/dev/null && tail -c 4 /dev/mtd0 | grep -q text")
