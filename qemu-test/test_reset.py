"""The reset button in the middle of dumps: what was recorded before stays, for us and for stock ramoops."""

import time

import pytest

from records import OOPS, Reader
from vm import VM

PARAMETERS = {"record_size": 0x10000}


@pytest.mark.parametrize("delay", [0.05, 0.13, 0.31])
def test_a_reset_during_dumps_harms_no_other_record(vm: VM, records: Reader, delay: float) -> None:
    vm.ramoops(**PARAMETERS)
    vm.load_test_oops()
    vm.ok("(while :; do sh -c 'echo oops > /proc/test_oops'; done) >/dev/null 2>&1 &")
    # Their slots begin with this signature.
    vm.wait_until("three records", lambda: vm.read().count(b"DBGC") >= 3, timeout=30)
    time.sleep(delay)
    vm.reset()

    found = records(vm, **PARAMETERS)
    sealed = [record for record in found if record.kind == "sealed"]
    assert sealed and len(found) - len(sealed) <= 1, [record.kind for record in found]
    assert all(record.kind in ("sealed", "torn") for record in found)
    assert [record.seq for record in sealed] == list(range(sealed[0].seq, sealed[-1].seq + 1))
    for record in sealed:
        assert record.reason == OOPS and "NULL pointer dereference" in record.text
    assert f"{len(sealed)} sealed, {len(found) - len(sealed)} torn" in vm.ramoops(**PARAMETERS)

    vm.unload()
    vm.ramoops("ramoops", **PARAMETERS)
    assert int(vm.ok("ls /sys/fs/pstore | wc -l")) == len(sealed)
