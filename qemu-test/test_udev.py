"""The udev rule that `make install` installs, with the real udev: a device node under the name of the device."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from initramfs import build_initramfs, our_modules, PROJECT
from vm import REGION_START, VM

UDEVD = Path("/usr/lib/systemd/systemd-udevd")
RULES = "usr/lib/udev/rules.d/60-rust_phram.rules"


@pytest.fixture(scope="module")
def shared_vm(start: Callable[..., VM], tmp_path_factory: pytest.TempPathFactory) -> Iterator[VM]:
    directory = tmp_path_factory.mktemp("udev")
    image = directory / "initramfs.cpio"
    rules = PROJECT / "packaging/udev/60-rust_phram.rules"
    build_initramfs(image, our_modules(), programs=("udevadm", UDEVD), files={RULES: rules})
    with start(image) as vm:
        vm.ok("mkdir -p /run /etc/udev; systemd-udevd --daemon; udevadm control --ping")
        yield vm


def test_devices_have_a_node_under_their_name(vm: VM) -> None:
    vm.ok(f"insmod rust_phram.ko phram=oops,{REGION_START:#x},64k phram=log,{REGION_START + 0x10000:#x},64k,ro")
    vm.ok("udevadm settle --timeout=120")
    links = {name: vm.ok(f"readlink -f /dev/mtdchar/{name}").strip() for name in ("oops", "log")}
    assert sorted(links.values()) == ["/dev/mtd0", "/dev/mtd1"]
    vm.ok("printf text > /dev/mtdchar/oops")
    assert vm.read(0, 4) == b"text"
    vm.fails("printf text > /dev/mtdchar/log")
    vm.ok("rmmod rust_phram; udevadm settle --timeout=120")
    vm.fails("ls /dev/mtdchar/oops")
