"""ramoopsctl on the zones of stock ramoops that the stock kernel does not write: console and pmsg."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from debug_vm import DebugVM
from initramfs import reader


@pytest.mark.parametrize("ecc", [0, 16])
def test_console_and_pmsg(vm: DebugVM, tmp_path: Path, ecc: int) -> None:
    sizes = {"record_size": 0x8000, "console_size": 0x8000, "pmsg_size": 0x4000, "ftrace_size": 0}
    vm.ramoops("ramoops", **sizes, ecc=ecc)
    vm.ok("echo the console has this > /dev/kmsg; for i in $(seq 100); do echo a program says $i > /dev/pmsg0; done")
    vm.crash()
    vm.complaints("Kernel panic")
    image = tmp_path / "ramoops.img"
    image.write_bytes(vm.read())

    def run(*arguments: str) -> str:
        return subprocess.run([reader(), "-f", image, *arguments], check=True, capture_output=True, text=True).stdout

    found = json.loads(run("list", "--json"))
    assert [record["origin"] for record in found["records"]] == ["dmesg", "console", "pmsg"]
    assert found["layout"]["ecc"] == ecc
    assert "the console has this" in run("show", "console")
    assert "Kernel panic - not syncing: sysrq triggered crash" in run("show", "1")
    pmsg = run("show", "pmsg")
    assert [f"a program says {i}" in pmsg for i in range(1, 101)] == [True] * 100
