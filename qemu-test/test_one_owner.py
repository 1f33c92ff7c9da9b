"""The kernel's own ramoops and rust_ramoops never work on the same memory."""

from collections.abc import Iterator

import pytest

from initramfs import build_initramfs, our_modules, PROJECT
from vm import insmod, REGION_SIZE, REGION_START, VM

PARAMETERS = {"record_size": 0x10000}
HALF = REGION_SIZE // 2


def place(offset: int, length: int) -> dict[str, int]:
    return {"mem_address": REGION_START + offset, "mem_size": length}


@pytest.mark.parametrize(("offset", "length"), [(0, REGION_SIZE), (0, HALF), (HALF, HALF), (HALF - 0x10000, 0x20000)])
def test_memory_of_stock_ramoops_is_refused(vm: VM, offset: int, length: int) -> None:
    vm.ramoops("ramoops", **PARAMETERS)
    load = insmod("rust_ramoops", **place(offset, length))
    said = vm.logged(load)
    assert said.status != 0 and "busy" in said.output and "the module ramoops uses this memory" in said.log, str(said)
    vm.ok(f"rmmod ramoops && {load}")


def test_stock_ramoops_records_after_ours_was_refused(vm: VM) -> None:
    vm.ramoops("ramoops", **PARAMETERS)
    vm.fails(insmod("rust_ramoops", **place(0, REGION_SIZE)))
    vm.crash()
    vm.ramoops("ramoops", **PARAMETERS)
    assert "Kernel panic" in vm.ok("cat /sys/fs/pstore/dmesg-ramoops-0")


def test_what_stock_ramoops_does_not_use_is_ours(vm: VM) -> None:
    vm.insmod("ramoops", **place(HALF, HALF), **PARAMETERS)
    vm.insmod("rust_ramoops", **place(0, HALF), **PARAMETERS)


@pytest.mark.parametrize("parameters", ["", "mem_size=4096 mem_address={start:#x}"], ids=["none", "bad"])
def test_a_stock_ramoops_that_uses_nothing_is_no_obstacle(vm: VM, parameters: str) -> None:
    vm.ok(f"insmod ramoops.ko {parameters.format(start=REGION_START)}")
    vm.ramoops()


@pytest.fixture(scope="module")
def installed_vm(accel: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VM]:
    """A guest with the real modprobe, and the file that `make install` installs."""
    directory = tmp_path_factory.mktemp("modprobe")
    image = directory / "initramfs.cpio"
    name = "modprobe.d/ramoops-or-rust_ramoops.conf"
    files = {f"usr/lib/{name}": PROJECT / "packaging" / name}
    build_initramfs(image, our_modules(), programs=("modprobe", "depmod"), files=files)
    with VM(image, directory / "guest", accel=accel) as vm:
        vm.ok("mkdir -p /sbin /lib/modules; ln -s /bin/modprobe /sbin")
        vm.ok("ln -s /modules /lib/modules/$(uname -r); /bin/depmod")
        yield vm


def test_modprobe_keeps_stock_ramoops_away(installed_vm: VM) -> None:
    vm = installed_vm
    stock = f"/sbin/modprobe ramoops mem_address={REGION_START} mem_size={REGION_SIZE}"
    vm.ok("/sbin/modprobe rust_ramoops mem_address={mem_address} mem_size={mem_size}".format(**place(0, REGION_SIZE)))
    assert "rust_ramoops is loaded instead" in vm.fails(stock)
    vm.fails("grep '^ramoops ' /proc/modules")
    vm.ok("rmmod rust_ramoops")
    vm.ok(f"{stock} record_size=0x10000")
    assert vm.ok("cat /sys/module/ramoops/parameters/record_size").strip() == str(0x10000)
