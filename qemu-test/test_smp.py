"""Crashes on several CPUs at once."""

import pytest

from records import PANIC, Reader
from vm import kernel_image, VM


@pytest.fixture(scope="module")
def vm_options() -> dict[str, object]:
    return {"smp": 2, "kernel": kernel_image()}


@pytest.mark.parametrize("attempt", range(3))
def test_a_panic_is_kept_while_another_cpu_oopses(vm: VM, records: Reader, attempt: int) -> None:
    vm.ramoops(record_size=0x10000)
    vm.load_test_oops()
    # Whatever the other CPU was doing when the panic stopped it: the panic's record is complete.
    oopses = "(while :; do sh -c 'echo oops > /proc/test_oops'; done) >/dev/null 2>&1 &"
    vm.crash(f"{oopses}\n sleep 0.{attempt + 2}; echo the end is near > /dev/kmsg; echo c > /proc/sysrq-trigger")
    found = records(vm, record_size=0x10000)
    panics = [record for record in found if record.reason == PANIC]
    assert len(panics) == 1 and panics[0].kind == "sealed"
    assert "the end is near" in panics[0].text and "Kernel panic - not syncing: sysrq" in panics[0].text
    assert sum(record.kind == "torn" for record in found) <= 1, found
