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


@dataclass(frozen=True)
class Corruption:
    """A way to spoil one field of a record."""

    field: str
    value: str
    forged: bool  # The CRC of the seal is right.
    offset: int
    data: bytes
    length: int  # Bytes that differ.

    def __str__(self) -> str:
        return f"{self.field} = {self.value}{', forged' if self.forged else ''}"

    def apply(self, image: bytes) -> bytes:
        """The image with the field spoilt."""
        return image[: self.offset] + self.data + image[self.offset + len(self.data) :]


class Reader:
    """Runs the host programs on the region of a guest."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __call__(self, vm: VM, **parameters: object) -> list[Record]:
        """What the slots hold, in the order of the sequence numbers. Slots without a record are left out."""
        found = [slot for slot in self.lines(vm, **parameters) if slot.get("kind") in KINDS]
        fields = Record.__dataclass_fields__
        records = [Record(**{name: slot.get(name) for name in fields}) for slot in found]
        return sorted(records, key=lambda record: record.seq or 0)

    def lines(self, source: VM | bytes, **parameters: object) -> list[dict]:
        """All that the program says of a guest's region, or an image: the census, then each slot."""
        return self._run("records", source, parameters)

    def corruptions(self, source: VM | bytes, slot: int, **parameters: object) -> list[Corruption]:
        """Ways to spoil each field of the record in a slot."""
        lines = self._run("corruptions", source, {"slot": slot} | parameters)
        return [
            Corruption(line["field"], line["value"], line["forged"], line["offset"], bytes(line["bytes"]), line["length"])
            for line in lines
        ]

    def _run(self, program: str, source: VM | bytes, parameters: dict[str, object]) -> list[dict]:
        with tempfile.NamedTemporaryFile() as image:
            image.write(source.read() if isinstance(source, VM) else source)
            image.flush()
            arguments = [f"{name}={value}" for name, value in ({"mem_size": REGION_SIZE} | parameters).items()]
            command = [self._directory / program, image.name, *arguments]
            output = subprocess.run(command, capture_output=True, text=True)
        assert output.returncode == 0, output.stderr
        return [json.loads(line) for line in output.stdout.split("\n") if line]


def build_reader() -> Path:
    """Builds the host programs. (As part of the whole workspace: that shares what the host tests have compiled.)"""
    command = ["cargo", "build", "--locked", "--release", "--quiet", "--examples"]
    subprocess.run(command, cwd=PROJECT, check=True)
    return PROJECT / "target/release/examples"
