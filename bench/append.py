"""How fast the record store itself is, on this machine."""

from __future__ import annotations

import json
import subprocess
import tempfile

from common import Bench
from records import build_reader
from report import Section
from vm import MIB

REGION = MIB // 4  # Less than a core's own cache; records take up all of it.
ROUNDS = 2001
TARGET = 0.7

NOTES = """\
What of this can be measured on real hardware: the store (`ringbuf/`) as a program of the host, in a full region of 256 KiB
of ordinary memory, which the caches hold. As in real logs, up to 1 KiB is left free where the next line does not fit.
"floor" is copying the same bytes, payload and seal, to the same places, and computing their CRC-32C, with the same
functions. In nanoseconds per record, medians of {rounds} rounds, in which both
take turns; "speed" is the median of what the floor takes, divided by what storing takes in the same round."""


def run(bench: Bench) -> list[Section]:
    bench.step("append: building the program")
    program = build_reader() / "append"
    section = Section("Storing a record on the host", NOTES.format(rounds=ROUNDS), ("record", "bytes", "stored", "floor", "speed"))
    with tempfile.NamedTemporaryFile() as image:
        image.truncate(REGION)
        for size in (4, 8, 16, 32, 64):
            bench.step(f"append: {size} KiB")
            command = [program, image.name, f"rounds={ROUNDS}", f"record_size={size << 10}"]
            found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
            section.add(
                f"{size} KiB",
                found["bytes"],
                f"{found['append_ns']:.0f}",
                f"{found['least_ns']:.0f}",
                f"{found['ratio']:.2f}",
                target=f">= {TARGET:.2f}",
                met=found["ratio"] >= TARGET,
            )
    return [section]
