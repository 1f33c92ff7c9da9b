"""Reads the records of a region by the project's own host program: the layout on media has one home, and not here."""

from __future__ import annotations

import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from vm import REGION_SIZE, VM

PROJECT = Path(__file__).resolve().parent.parent

PANIC, OOPS, EMERGENCY, SHUTDOWN = 1, 2, 3, 4  # enum kmsg_dump_reason

KINDS = ("sealed", "foreign", "newer", "damaged", "torn")  # Kinds of slots that hold something of a record.


@dataclass(frozen=True)
class Record:
    """One slot with something in it."""

    slot: int
    kind: str
    seq: int
    dump: int
    part: int
    parts: int  # In the last part only.
    reason: int
    realtime_ns: int
    boot_id: str
    description: str
    release: str
    text: str


class Reader:
    """Runs the host program on the region of a guest."""

    def __init__(self, program: Path) -> None:
        self._program = program

    def __call__(self, vm: VM, **parameters: object) -> list[Record]:
        """What the slots hold, in the order of the sequence numbers. Slots without a record are left out."""
        found = [slot for slot in self.lines(vm, **parameters) if slot.get("kind") in KINDS]
        fields = Record.__dataclass_fields__
        records = [Record(**{name: slot.get(name) for name in fields}) for slot in found]
        return sorted(records, key=lambda record: record.seq or 0)

    def lines(self, vm: VM, **parameters: object) -> list[dict]:
        """All that the program says."""
        return self.lines_of(vm.read(), **({"mem_size": REGION_SIZE} | parameters))

    def lines_of(self, image: bytes, **parameters: object) -> list[dict]:
        """The same of a copy of a region."""
        with tempfile.NamedTemporaryFile() as file:
            file.write(image)
            file.flush()
            command = [self._program, file.name, *(f"{name}={value}" for name, value in parameters.items())]
            output = subprocess.run(command, capture_output=True, text=True)
        assert output.returncode == 0, output.stderr
        return [json.loads(line) for line in output.stdout.split("\n") if line]


def build_reader() -> Path:
    """Builds the host program."""
    command = ["cargo", "build", "--locked", "--release", "--quiet", "--package", "ringbuf", "--example", "records"]
    subprocess.run(command, cwd=PROJECT, check=True)
    return PROJECT / "target/release/examples/records"
