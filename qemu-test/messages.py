"""Text for the kernel log of a guest, made on the host: the same in each run."""

from __future__ import annotations

import base64
import random

from vm import VM


def random_bytes(length: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(length)


def write_file(vm: VM, content: bytes, name: str) -> None:
    """Writes a file in the guest. By the way of the region, which then is as it was: the port for commands is slow."""
    before = vm.read()
    vm.write(content)
    vm.phram()
    vm.ok(f"head -c {len(content)} /dev/mtd0 > {name}; rmmod rust_phram")
    vm.write(before)


def write_messages(vm: VM, messages: list[bytes]) -> None:
    """Puts messages into the log, all of one length."""
    write_file(vm, b"".join(messages), "/tmp/messages")
    [length] = {len(message) for message in messages}
    vm.ok(f"dd if=/tmp/messages of=/dev/kmsg bs={length} 2>/dev/null")


def write_noise(vm: VM) -> None:
    """Fills the log with text that does not compress: three quarters of its characters are random."""
    write_messages(vm, [base64.b64encode(random_bytes(66, seed)) + b"\n" for seed in range(1300)])
