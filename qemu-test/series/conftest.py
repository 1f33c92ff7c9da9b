"""Fixtures of the tests on a kernel that has the patch series built in: scripts/test-series builds it.

The fixtures of the folder above hold here too. Other runs leave this folder out.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from guests import Guests
from initramfs import build_initramfs

if "SERIES_KERNEL" not in os.environ:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def kernel() -> Path:
    return Path(os.environ["SERIES_KERNEL"])


@pytest.fixture(scope="session")
def initramfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Without modules: what is tested is built in."""
    image = tmp_path_factory.mktemp("initramfs") / "initramfs.cpio"
    build_initramfs(image, [], stock_modules=[], programs=[])
    return image


@pytest.fixture(scope="session", autouse=True)
def pace(guests: Guests) -> None:
    """Waits are those of this machine, here and now."""
