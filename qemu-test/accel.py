"""Chooses how QEMU runs the guest: by KVM where it works, which only a boot can tell, and else by emulation."""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path

from vm import GuestError, VM

PROBE_TIMEOUT = 20.0  # KVM that works boots in 2 or 3 seconds.


def choose_accel(initramfs: Path) -> str:
    """`tcg` or `kvm`. The verdict on KVM is kept until the host reboots."""
    forced = os.environ.get("RUST_RAMOOPS_ACCEL")
    if forced:
        return forced
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rust_ramoops"
    cache.mkdir(parents=True, exist_ok=True)
    host_boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    with (cache / "accel").open("a+") as verdict:
        fcntl.flock(verdict, fcntl.LOCK_EX)
        verdict.seek(0)
        known = verdict.read().split()
        if known[:1] == [host_boot]:
            return known[1]
        accel = "kvm" if _kvm_works(initramfs) else "tcg"
        verdict.truncate(0)
        verdict.write(f"{host_boot} {accel}\n")
        return accel


def _kvm_works(initramfs: Path) -> bool:
    with tempfile.TemporaryDirectory() as directory:
        vm = VM(initramfs, Path(directory), accel="kvm")
        try:
            vm.wait_for_boot(PROBE_TIMEOUT)
            # A warm reboot too: that is what all tests do.
            vm.crash("echo b > /proc/sysrq-trigger", PROBE_TIMEOUT)
            return True
        except GuestError:
            return False
        finally:
            vm.close()
