"""The harness itself: a guest that does not answer as it should must fail a test, and soon."""

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from vm import GuestError, REGION_SIZE, REGION_START, VM

# About the harness only, and each case that loses a guest takes its time.
pytestmark = pytest.mark.long


def test_commands_give_status_and_output(vm: VM) -> None:
    result = vm.run("echo out; echo 'it''s' err >&2; exit 3")
    assert (result.status, result.output) == (3, "out\nits err\n")
    assert vm.ok("head -c 100000 /dev/zero | tr '\\0' x") == "x" * 100000


def test_the_region_is_reserved_and_visible_from_outside(vm: VM) -> None:
    assert f"{REGION_START:08x}-{REGION_START + REGION_SIZE - 1:08x} : Reserved" in vm.ok("cat /proc/iomem")
    vm.write(b"seen in the guest", 0x1230)
    # /dev/mem refuses reserved memory on this kernel; an MTD device is the way to it.
    vm.phram("phram")
    assert vm.ok("dd if=/dev/mtd0 bs=1 skip=$((0x1230)) count=17 2>/dev/null") == "seen in the guest"
    vm.ok("printf 'seen on the host' | dd of=/dev/mtd0 bs=1 seek=$((0x4560)) conv=notrunc 2>/dev/null")
    assert vm.read(0x4560, 16) == b"seen on the host"


def test_the_region_survives_a_crash(vm: VM) -> None:
    content = bytes(range(256)) * (REGION_SIZE // 256)
    vm.write(content)
    boots = vm.boots
    vm.crash(reboot=True)
    assert vm.boots == boots + 1
    assert "Kernel panic" in vm.all_consoles() and "Kernel panic" not in vm.console()
    assert vm.read() == content


def test_an_oops_kills_its_process_only(vm: VM) -> None:
    messages = {"oops": "NULL pointer dereference", "bug": "kernel BUG at", "warn": "a warning, as asked"}
    for word, message in messages.items():
        mark = len(vm.ok("dmesg"))
        vm.oops(word)
        assert message in vm.ok("dmesg")[mark:]


def test_a_hanging_guest_fails_the_test(vm: VM) -> None:
    patience = vm.patience(10)
    with pytest.raises(GuestError, match="hangs"):
        vm.run("while :; do :; done", timeout=3)
    assert patience.used() >= 3 * VM.pace and patience.left() > 0
    with pytest.raises(GuestError, match="lost before"):
        vm.run("true")


def test_a_silent_reboot_fails_the_test(vm: VM) -> None:
    patience = vm.patience(60)
    with pytest.raises(GuestError, match="rebooted"):
        vm.run("echo b > /proc/sysrq-trigger", timeout=60)
    assert patience.left() > 0


def test_a_reboot_between_commands_fails_the_test(vm: VM) -> None:
    boots = vm.boots
    vm.ok("(sleep 0.5; echo b > /proc/sysrq-trigger) >/dev/null 2>&1 &")
    # The command that meets the reboot may be lost with it.
    with pytest.raises(GuestError, match="rebooted|hangs"):
        for _ in range(100):
            vm.run("true", timeout=60)
            time.sleep(0.1)
    assert vm.boots == boots + 1


def test_a_boot_that_hangs_is_tried_again_once_and_told(
    initramfs: Path, kernel: Path, accel: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(VM, "hung_boots", [])
    monkeypatch.setattr(VM, "hung_boots_allowed", 1)
    with closing(VM(initramfs, tmp_path, accel=accel, kernel=kernel, cmdline="rdinit=/bin/none panic=0")) as vm:
        with pytest.raises(GuestError, match="hung, and was tried again"):
            vm.wait_for_boot(timeout=2)
    [report] = VM.hung_boots
    assert "waited in vain for the guest's boot" in report
    assert "CR3=" in report  # The registers, whatever mode the machine is in by then.


def test_a_hang_of_a_guest_that_was_up_is_not_a_boot_that_hangs(vm: VM) -> None:
    before = list(VM.hung_boots)
    with pytest.raises(GuestError, match="waited in vain for the reset"):
        vm.crash("exec sleep 1000", timeout=2)
    assert VM.hung_boots == before


def test_a_guest_that_powers_off_fails_the_test(vm: VM) -> None:
    with pytest.raises(GuestError, match="powered off"):
        vm.crash("poweroff -f")


def test_a_crash_that_does_not_happen_fails_the_test(vm: VM) -> None:
    with pytest.raises(GuestError, match="survived"):
        vm.crash("true")


def test_a_dead_qemu_fails_the_test(vm: VM) -> None:
    vm.qmp("quit")
    with pytest.raises(GuestError, match="QEMU ended"):
        vm.run("true")
