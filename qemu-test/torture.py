"""A guest under torture: a storm of oopses on two CPUs, and looks at its region in the middle of it."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gdbstub import Gdb, RDX, RIP
from ledger import Ledger
from records import PROJECT, Reader
from vm import VM

STORM = 10000  # Oopses on each CPU: more than there is time for.
CALL_STEPS = 60  # Instructions of a write, besides those that copy.
WRITES = 7  # Into the region, for one record: see FORMAT.md.
WRITES_WITH_PARITY = 60  # There are more, but each takes its time.

GEOMETRY = ("mem_size", "record_size", "console_size", "ftrace_size", "pmsg_size", "ecc")


@dataclass(frozen=True)
class Look:
    """A copy of the region, and where the guest was then."""

    where: str
    image: bytes


class Torture:
    """A guest, its region, and the ledger of what is in it."""

    def __init__(self, vm: VM, reader: Reader, gdb_socket: Path, parameters: dict[str, int]) -> None:
        self.vm = vm
        self._gdb_socket = gdb_socket
        # All that the module writes goes through this function of the kernel.
        self._write = int(vm.ok("grep ' memcpy_toio$' /proc/kallsyms").split()[0], 16)
        self._parameters = parameters
        for_reader = {name: parameters[name] for name in GEOMETRY if name in parameters}
        self.ledger = Ledger(reader, for_reader)
        self._checked = self.look("at the beginning")

    def look(self, where: str) -> Look:
        return Look(where, self.vm.read(0, self._parameters["mem_size"]))

    def check(self, looks: list[Look], **limits: int) -> None:
        """Compares with what was acknowledged before, see `Ledger.check`."""
        for look in looks:
            try:
                self.ledger.check(look.image, **limits)
            except AssertionError as error:
                raise AssertionError(f"{look.where}: {error}\n{self._keep(look)}") from error
            self._checked = look

    def _keep(self, look: Look) -> str:
        """Keeps the region, as it was when all was well and as it is now."""
        directory = PROJECT / "test-logs"
        directory.mkdir(exist_ok=True)
        files = []
        for name, image in (("before", self._checked.image), ("after", look.image)):
            files.append(directory / f"torture-{time.strftime('%H%M%S')}-{name}.img")
            files[-1].write_bytes(image)
        arguments = (f"{name}={value}" for name, value in self.ledger.parameters.items())
        return f"kept: {files[0]}, {files[1]} (cargo run --example records IMAGE {' '.join(arguments)})"

    # The guest

    def load(self) -> None:
        """Loads the module, which writes nothing, and finds what the host's reader finds."""
        before = self.look("before the module is loaded")
        line = self.vm.ramoops(**self._parameters)
        assert self.look("after").image == before.image, "loading the module has changed the region"
        census = self.ledger.loaded(before.image)
        assert f"{census['sealed']} sealed, {census['torn']} torn, {census['foreign']} foreign, " in line, line
        assert f"next slot {census['next']}" in line and "damaged" not in line and "salvaged" not in line, line

    def start_storm(self, number: int) -> None:
        """Both CPUs oops from now on, and log the number of the storm, of the CPU, and of the oops before each."""
        before = self.look("before the storm")
        loop = f'for n in $(seq {STORM}); do echo "storm {number} $1 $n" >/dev/kmsg; (echo oops >/proc/test_oops); done'
        # Without the limit, the 10000th oops is a panic. The console is slower than all the rest.
        self.vm.ok(
            "insmod test_oops.ko; echo 0 >/proc/sys/kernel/oops_limit; echo 1 >/proc/sys/kernel/printk\n"
            f"echo '{loop}' >/tmp/storm\n"
            "for cpu in 0 1; do taskset $((cpu + 1)) sh /tmp/storm $cpu >/dev/null 2>&1 & done"
        )
        self.vm.wait_until("the first oops to be recorded", lambda: self.look("").image != before.image)

    def written(self) -> int:
        """How many records the guest has written since the module was loaded, as it says."""
        status = self.vm.ok("cat /sys/kernel/debug/rust_ramoops/status")
        assert "dropped, no slot: 0" in status, status
        return int(status.partition("records written: ")[2].split()[0])

    @contextmanager
    def stopped(self) -> Iterator[Look]:
        """The guest stands still at a random moment, and then goes on."""
        self.vm.qmp("stop")
        yield self.look("stopped at a random moment")
        self.vm.qmp("cont")

    @contextmanager
    def at_a_write(self, command: str = "") -> Iterator[Gdb]:
        """The guest stands still at the beginning of a write into the region, and in the end goes on.

        It runs the command, if there is one, when the breakpoint is set.
        """
        gdb = Gdb(self._gdb_socket)
        try:
            gdb.add_breakpoint(self._write)
            self.sent = self.vm.send(command) if command else ""
            gdb.go_on()
            yield gdb
        finally:
            gdb.detach()

    def in_a_write(self, gdb: Gdb, rng: random.Random) -> Look:
        """From the beginning of a write, goes on into the middle of a later one."""
        skip = rng.randrange(WRITES_WITH_PARITY if "ecc" in self._parameters else WRITES)
        for _ in range(skip):
            gdb.step()
            gdb.go_on()
        length = gdb.register(RDX)
        # It copies 4 bytes at a time.
        steps = rng.randrange(1, CALL_STEPS + length // 4)
        for _ in range(steps):
            gdb.step()
        return self.look(f"{skip} writes on, {steps} instructions into one of {length} bytes")

    def each_step_of_a_write(self, gdb: Gdb) -> Iterator[Look]:
        """From the beginning of a write to its end: what is different after a step."""
        end = gdb.return_address()
        length = gdb.register(RDX)
        last = self.look("").image
        for steps in range(1, CALL_STEPS + length + 1):
            gdb.step()
            look = self.look(f"{steps} instructions into a write of {length} bytes")
            if look.image != last:
                last = look.image
                yield look
            if gdb.register(RIP) == end:
                return
        raise AssertionError(f"a write of {length} bytes does not end")
