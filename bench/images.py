"""Regions as a module or the reader may find them."""

from __future__ import annotations

import random
import subprocess
import tempfile

from records import build_reader


def noise(size: int) -> bytes:
    return random.Random(1).randbytes(size)


def filled(size: int, records: int, **parameters: object) -> bytes:
    """A region with so many records of ours, each as long as its slot allows."""
    with tempfile.NamedTemporaryFile() as image:
        image.truncate(size)
        arguments = [f"{name}={value}" for name, value in ({"records": records} | parameters).items()]
        return subprocess.run([build_reader() / "fill", image.name, *arguments], capture_output=True, check=True).stdout
