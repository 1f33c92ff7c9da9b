"""Runs ramoopsctl on the host, on the region of a guest or an image of it."""

from __future__ import annotations

import json
import subprocess

import pytest

from initramfs import PROJECT, reader
from vm import COMMAND_TIMEOUT, patient, VM


def run(image: bytes, *arguments: str, status: int = 0, file: str = "-") -> bytes:
    """Runs ramoopsctl on the host; the image is its standard input unless a file is named."""
    command = [reader(), "--file", file, *arguments]
    result = subprocess.run(command, input=image, capture_output=True, timeout=patient(COMMAND_TIMEOUT))
    if result.returncode != status:
        kept = PROJECT / "test-logs/ramoopsctl.img"
        kept.parent.mkdir(exist_ok=True)
        kept.write_bytes(image)
        pytest.fail(f"{command}: {result.returncode}, not {status}; the image is {kept}\n{result}")
    return result.stdout


def list_records(vm: VM) -> list[dict]:
    """The records of the region, as the host sees them."""
    return json.loads(run(vm.read(), "list", "--json"))["records"]


def show(vm: VM, record: str, *arguments: str) -> str:
    return run(vm.read(), "show", record, *arguments).decode()
