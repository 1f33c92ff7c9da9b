"""The region was used with another record_size before: the module says so, and the reader finds what is left."""

from __future__ import annotations

import json

import pytest

from ctl import run
from vm import VM

SIZES = [(0x10000, 0x4000), (0x4000, 0x10000)]  # Before, and now.
HINT = (
    "; records seem to be there of another layout, record_size={}: save them with `ramoopsctl export` before new "
    "crashes overwrite them"
)
STATUS = "cat /sys/kernel/debug/rust_ramoops/status"


def crashes(vm: VM, record_size: int) -> list[dict]:
    document = json.loads(run(vm.read(), "--record-size", str(record_size), "list", "--json"))
    return [crash for crash in document["records"] if crash["state"] == "complete"]


@pytest.mark.parametrize(("before", "now"), SIZES, ids=["smaller", "larger"])
def test_a_change_of_record_size_is_told(vm: VM, before: int, now: int) -> None:
    vm.ramoops(record_size=before)
    for _ in range(3):
        vm.oops()
    vm.ok("rmmod rust_ramoops")
    old = crashes(vm, before)
    assert len(old) == 3

    hint = HINT.format(before)
    assert hint in vm.ramoops(record_size=now) and hint in vm.ok(STATUS)
    vm.oops("bug")
    [new] = crashes(vm, now)
    assert "kernel BUG at" in new["cause"]
    # At most the one whose memory the new record needs is gone.
    left = crashes(vm, before)
    assert len(left) >= 2 and all(crash in old for crash in left)

    # Now a whole record tells that these parameters are right.
    vm.ok("rmmod rust_ramoops")
    line = vm.ramoops(record_size=now)
    assert "1 sealed" in line and "another layout" not in line
