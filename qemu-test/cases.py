"""Cases of a test, of which `make test` runs only some."""

from __future__ import annotations

from collections.abc import Iterable

import pytest


def few(values: Iterable[object], *chosen: object) -> list[object]:
    """All values, for `pytest.mark.parametrize`: those that were not chosen are left to `make test-all`."""
    return [value if value in chosen else pytest.param(value, marks=pytest.mark.long) for value in values]
