"""Cases of a test, of which `make test` runs only some."""

from __future__ import annotations

from collections.abc import Iterable

import pytest


def few(values: Iterable[object], *chosen: object) -> list[object]:
    """All values, for `pytest.mark.parametrize`: those that were not chosen are left to `make test-all`."""
    return [value if value in chosen else _long(value) for value in values]


def _long(value: object) -> object:
    return pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=pytest.mark.long)
