"""Fixtures of the tests on the debug kernel, which `make test-debug` runs; other runs leave this folder out.

The fixtures of the folder above hold here too, unless this file replaces them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from debug_vm import build_debug_initramfs, DebugVM
from guests import Guests, HUNG_BOOTS
from vm import VM

if not (Path(os.environ.get("KDIR", "")) / "bzImage").exists():
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def initramfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("initramfs")
    build_debug_initramfs(directory / "initramfs.cpio", directory)
    return directory / "initramfs.cpio"


@pytest.fixture(scope="session")
def guests(run_directory: Path, initramfs: Path, accel: str, tmp_path_factory: pytest.TempPathFactory) -> Guests:
    VM.hung_boots_allowed = HUNG_BOOTS
    guests = Guests(run_directory, accel, DebugVM, saving=False)
    VM.pace = guests.measure_pace(initramfs, tmp_path_factory.mktemp("guest"))
    return guests


@pytest.fixture(scope="session")
def boot(guests: Guests, initramfs: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., DebugVM]:
    """Starts a guest: `with boot(...) as vm`."""

    def start(image: Path = initramfs, **options: object) -> DebugVM:
        return guests.start(image, tmp_path_factory.mktemp("guest"), **options)

    return start


@pytest.fixture
def vm(vm: DebugVM) -> Iterator[DebugVM]:
    """As in the folder above; and a complaint of the kernel fails the case."""
    # An oops turns lockdep off until the next boot.
    if "debug_locks: 1" not in " ".join(vm.ok("cat /proc/lockdep_stats").split()):
        vm.reset()
    vm.complaints()
    yield vm
    assert vm.complaints() == []


# The table of the crash matrix: each case attaches its row to its report.

HEAD = """\
# Crash matrix

What `make test-debug` recorded of each kind of crash, on kernel {release} in QEMU (x86_64, 2 CPUs) with KASAN,
lockdep, UBSAN and Rust's debug assertions. After each crash the machine reboots, and the record is read back:
*complete* says that every part of the panic's record is there and sealed, that the line that tells the cause stands in
it, that every record of earlier crashes is as it was, and that none of the kernel's checkers complained of anything but
the crash itself.

This page is written by the run: `make test-debug MATRIX=docs/crash-matrix.md`.

| case | provoked by | the line that tells the cause | records | verdict |
| --- | --- | --- | --- | --- |
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--matrix", help="a file to write the table of crashes to")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    rows, release = [], ""
    for outcome, verdict in (("passed", "complete"), ("skipped", "not run"), ("failed", "FAILED"), ("error", "FAILED")):
        for report in terminalreporter.getreports(outcome):
            properties = dict(report.user_properties)
            release = properties.get("release", release)
            if row := properties.get("row"):
                number, name, provoked, cause, kept = row
                # A verdict on what came after the case (its console) replaces the case's own.
                rows = [other for other in rows if other[0] != number]
                rows.append((number, name, provoked, cause, kept if verdict != "FAILED" else "", verdict))
    if not rows:
        return
    lines = []
    for _, *cells in sorted(rows):
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    terminalreporter.section("crash matrix")
    terminalreporter.write_line("\n".join(lines))
    if path := terminalreporter.config.getoption("--matrix"):
        Path(path).parent.mkdir(exist_ok=True)
        Path(path).write_text(HEAD.format(release=release) + "\n".join(lines) + "\n")
