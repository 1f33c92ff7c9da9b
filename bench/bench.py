#!/usr/bin/env python3
"""Measures our modules against the kernel's own, in QEMU. `make bench` runs this; docs/bench.md is what it found."""

from __future__ import annotations

import argparse
import os
import platform
import re
import subprocess
import sys
import tempfile
from datetime import datetime, timezone
from importlib import import_module
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT / "qemu-test"))
sys.dont_write_bytecode = True

from common import Bench  # noqa: E402
from report import Section  # noqa: E402
from vm import GuestError, kernel_release  # noqa: E402

SECTIONS = ("dump", "region", "kept", "mtd", "load", "stack", "append", "reader")

INTRODUCTION = """\
Our modules against the C modules of the same kernel, on the same region and the same log. Figures are **instruction
counts** where a section does not say otherwise: the guest runs with QEMU's `-icount`, where its clock counts
instructions, so that a busy machine gives the same figures as an idle one. They tell how much work the code does.
They cannot tell what caches, branches and memory cost on real hardware; above all, that writing to uncached or
write-combined memory is slow does not show. Wall time, too, is of an emulator, and depends on what else the machine
does. So look at the ratios: the units say little.

The **floor** is the kernel's own `kmsg_dump_get_buffer` copying the same text into RAM, measured in the same boot:
what it costs to get at the text at all, with that function. A module that finds its text otherwise can be below it.
"""


def machine(bench: Bench) -> list[tuple[str, str]]:
    """What the figures were measured on."""
    model = re.search(r"^model name\s*: (.*)", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    qemu = subprocess.run(["qemu-system-x86_64", "--version"], capture_output=True, text=True, check=True).stdout
    return [
        ("host", f"{model[1] if model else platform.machine()}, {os.cpu_count()} CPUs"),
        ("QEMU", qemu.splitlines()[0].removeprefix("QEMU emulator version ")),
        ("accelerator", f"tcg; without -icount: {bench.accel}"),
        ("kernel", kernel_release()),
        ("date", datetime.now(timezone.utc).strftime("%Y-%m-%d")),
    ]


def targets(sections: list[Section]) -> str:
    """How many targets are met, and where not all are."""
    verdicts = {section.title: [row.met for row in section.rows if row.met is not None] for section in sections}
    met, total = sum(map(sum, verdicts.values())), sum(map(len, verdicts.values()))
    missed = [f"{title} ({len(rows) - sum(rows)} of {len(rows)})" for title, rows in verdicts.items() if not all(rows)]
    return f"{met} of {total} targets are met" + (f"; missed in: {', '.join(missed)}." if missed else ".")


def write_report(path: Path, bench: Bench, sections: list[Section]) -> None:
    picture = path.with_suffix(".svg")
    facts = "".join(f"| {name} | {value} |\n" for name, value in machine(bench))
    text = "\n".join(
        [
            "# Benchmarks",
            "",
            f"`make bench` has written this page in {bench.seconds() / 60:.0f} minutes. {targets(sections)}",
            "",
            INTRODUCTION,
            f"| | |\n| --- | --- |\n{facts}",
            *(section.markdown(picture.name) for section in sections),
        ]
    )
    path.write_text(text.rstrip("\n") + "\n")
    for section in sections:
        if section.plot:
            picture.write_text(section.plot)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    known = ", ".join(SECTIONS)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"what to measure: {known} (default: all)")
    parser.add_argument("--output", type=Path, help="where the report goes (default: docs/bench.md, for all sections)")
    arguments = parser.parse_args()
    if unknown := set(arguments.sections) - set(SECTIONS):
        parser.error(f"no such section: {', '.join(sorted(unknown))}")
    if "KERNEL_RELEASE" not in os.environ:
        parser.error("this runs inside the build environment only: use `make bench`")
    names = arguments.sections or SECTIONS
    output = arguments.output or (PROJECT / "docs/bench.md" if set(names) == set(SECTIONS) else None)

    sections: list[Section] = []
    with tempfile.TemporaryDirectory(prefix="rust_ramoops-bench-") as directory:
        try:
            bench = Bench(Path(directory))
            for name in names:
                sections += import_module(name).run(bench)
        except (GuestError, FileNotFoundError, AssertionError) as error:
            print(f"\nerror: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("\nInterrupted: the guest is gone too.")
            return 130
        print()
        for section in sections:
            print(section.terminal())
        print(targets(sections))
        if output:
            write_report(output, bench, sections)
            print(f"written: {output}")
    print(f"The bench took {bench.seconds():.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
