"""A client for QEMU's gdbstub: stops the guest at an instruction, and goes on one instruction at a time.

Only what the tests need of the protocol: https://sourceware.org/gdb/current/onlinedocs/gdb.html/Remote-Protocol.html
"""

from __future__ import annotations

import socket
from pathlib import Path

from vm import patient

TIMEOUT = 120.0  # Of an idle machine: see vm.py. A breakpoint that is never reached must fail.

CHUNK = 1024  # Bytes of memory in a packet: any stub takes so many.

RDX, RSI, RDI, RSP, RIP = 3, 4, 5, 7, 16  # Numbers of registers in the protocol.


class Gdb:
    """A connection to a gdbstub. The guest stops when it is made."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(patient(TIMEOUT))
        self._socket.connect(str(path))
        self._stream = self._socket.makefile("rb")
        self._cpu = ""
        self.command("?")

    def detach(self) -> None:
        """Lets the guest run, without breakpoints."""
        self.command("D")
        self.close()

    def close(self) -> None:
        self._stream.close()
        self._socket.close()

    def command(self, packet: str) -> str:
        """Sends a packet, and returns the answer to it."""
        self._socket.sendall(f"${packet}#{sum(packet.encode()) % 256:02x}".encode())
        acknowledged = self._stream.read(1)
        assert acknowledged == b"+", f"{packet}: {acknowledged}"
        # The answer to an order to run is sent when the guest stops.
        start = self._stream.read(1)
        assert start == b"$", f"{packet}: {start}"
        answer = b""
        while not answer.endswith(b"#"):
            byte = self._stream.read(1)
            assert byte, f"{packet}: the connection ended after {answer}"
            answer += byte
        self._stream.read(2)
        self._socket.sendall(b"+")
        return answer[:-1].decode()

    def ok(self, packet: str) -> None:
        answer = self.command(packet)
        assert answer == "OK", f"{packet}: {answer}"

    def add_breakpoint(self, address: int) -> None:
        self.ok(f"Z1,{address:x},1")

    def remove_breakpoint(self, address: int) -> None:
        self.ok(f"z1,{address:x},1")

    def go_on(self) -> None:
        """Lets all CPUs run until one of them is at a breakpoint: the one that the other orders are for from now on."""
        self._note_cpu(self.command("vCont;c"))

    def step(self) -> None:
        """One instruction of that CPU. The others stand still, and there are no interrupts."""
        self._note_cpu(self.command(f"vCont;s:{self._cpu}"))

    def _note_cpu(self, answer: str) -> None:
        assert answer.startswith("T05thread:"), answer
        cpu = answer.partition("thread:")[2].rstrip(";")
        if cpu != self._cpu:
            self._cpu = cpu
            self.ok(f"Hg{cpu}")

    def register(self, number: int) -> int:
        return int.from_bytes(bytes.fromhex(self.command(f"p{number:x}")), "little")

    def return_address(self) -> int:
        """Where a function that was just called returns to."""
        return int.from_bytes(self.read(self.register(RSP), 8), "little")

    def read(self, address: int, length: int) -> bytes:
        """Reads memory, by virtual addresses."""
        return b"".join(
            bytes.fromhex(self.command(f"m{at:x},{min(CHUNK, address + length - at):x}"))
            for at in range(address, address + length, CHUNK)
        )

    def write(self, address: int, data: bytes) -> None:
        for at in range(0, len(data), CHUNK):
            chunk = data[at : at + CHUNK]
            self.ok(f"M{address + at:x},{len(chunk):x}:{chunk.hex()}")
