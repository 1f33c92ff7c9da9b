"""Resets at random moments of a storm of oopses on two CPUs, and dumps that are followed step by step.

After each reset, and at many moments before, the region is compared with what was acknowledged before: see ledger.py.
`make torture` does it with more resets.

All that is random comes from the seed. With the same seed the guest is stopped, and reset, at the same places of the
write sequence again; what its CPUs did until then is never quite the same. So the region is kept when a check fails.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from records import Reader
from torture import Look, Torture
from vm import GuestError, VM

NewTorture = Callable[[dict[str, int]], Torture]

# No other zones, so that the ring is small and soon full.
REGION = {"mem_size": 0x20000, "record_size": 0x2000, "console_size": 0, "ftrace_size": 0, "pmsg_size": 0}
SMALL_REGION = REGION | {"mem_size": 0x8000, "record_size": 0x1000}

SIG = b"DBGC"
RANDOM_LOOKS = 20  # Before each reset.
STEPPED_LOOKS = 12
PROGRESS = 10  # Resets between two lines that tell the totals.

# What the resets are shared out to.
VARIANTS = {
    "default": {},
    "ecc": {"ecc": 16, "mem_type": 2},
    "parts": {"kmsg_bytes": 0x5000, "loop_secs": 0, "mem_type": 1},
}


@pytest.fixture(scope="module")
def vm_options() -> dict[str, object]:
    return {"smp": 2, "cmdline": "quiet nokaslr unknown_nmi_panic"}


@pytest.fixture
def gdb_socket(vm: VM, tmp_path: Path) -> Path:
    path = tmp_path / "socket"
    vm.monitor("gdbserver none")
    vm.monitor(f"gdbserver unix:{path},server=on,wait=off")
    return path


@pytest.fixture
def new_torture(vm: VM, records: Reader, gdb_socket: Path, request: pytest.FixtureRequest) -> Iterator[NewTorture]:
    failed = request.session.testsfailed
    yield lambda parameters: Torture(vm, records, gdb_socket, parameters)
    if request.session.testsfailed > failed:
        vm.lost = True  # A storm may be raging.


@pytest.fixture(scope="session")
def seed(pytestconfig: pytest.Config) -> int:
    return int(pytestconfig.getoption("seed") or os.environ.get("RUST_RAMOOPS_SEED", 1))


@pytest.mark.long
@pytest.mark.parametrize("variant", VARIANTS)
def test_resets(new_torture: NewTorture, seed: int, pytestconfig: pytest.Config, variant: str) -> None:
    resets = int(pytestconfig.getoption("resets"))
    torture = new_torture(REGION | VARIANTS[variant])
    numbers = range(list(VARIANTS).index(variant), resets, len(VARIANTS))
    for count, number in enumerate(numbers, 1):
        try:
            reset_once(torture, random.Random(f"{seed} {number}"), number)
        except (AssertionError, GuestError) as error:
            raise AssertionError(f"seed {seed}, reset {number}: {error}") from error
        if count % PROGRESS == 0 or count == len(numbers):
            print(f"seed {seed}, {variant}: {count} resets, {torture.ledger.totals()}", flush=True)


def reset_once(torture: Torture, rng: random.Random, number: int) -> None:
    vm = torture.vm
    torture.load()
    torture.start_storm(number)
    looks: list[Look] = []
    for _ in range(RANDOM_LOOKS):
        time.sleep(rng.uniform(0, 0.02))
        with torture.stopped() as look:
            looks.append(look)
    written = torture.written()

    how = rng.choice(["running", "stopped", "stepped", "stepped", "panic"])
    with torture.at_a_write() as gdb:
        for i in range(STEPPED_LOOKS):
            if i > 0:
                gdb.go_on()
            looks.append(torture.in_a_write(gdb, rng))
        if how == "stepped":
            vm.press_reset()
        elif how == "panic":
            vm.qmp("inject-nmi")
    if how == "stopped":
        time.sleep(rng.uniform(0, 0.05))
        with torture.stopped() as look:
            looks.append(look)
            vm.press_reset()
    elif how != "stepped":
        # A panic may be through by then, and the guest be booting already.
        time.sleep(rng.uniform(0, 0.5 if how == "panic" else 0.05))
        vm.press_reset()

    torture.check(looks, panic=how == "panic")  # The guest boots meanwhile.
    try:
        vm.wait_for_boot()
    except GuestError as error:
        registers = vm.monitor("info registers -a")
        raise GuestError(f"after a reset ({how}), {looks[-1].where}: {error}\n{registers}") from error
    after = torture.look(f"after a reset ({how}), {looks[-1].where}")
    if how in ("stopped", "stepped"):
        assert after.image == looks[-1].image, f"the region was changed by a reset ({how}), or after it"
    torture.check([after], panic=how == "panic", written=written)


@pytest.mark.parametrize(
    ("crash", "parameters"),
    [pytest.param("oops", {}, id="oops"), pytest.param("panic", {"ecc": 16}, id="panic-ecc", marks=pytest.mark.long)],
)
def test_each_step_of_a_dump(new_torture: NewTorture, crash: str, parameters: dict[str, int]) -> None:
    torture = new_torture(SMALL_REGION | parameters)
    vm = torture.vm
    slots = SMALL_REGION["mem_size"] // SMALL_REGION["record_size"]
    torture.load()
    vm.load_test_oops()
    # Once around the ring, and one more.
    vm.ok(f"for n in $(seq {slots + 1}); do (echo oops > /proc/test_oops); done 2>/dev/null; true")
    torture.check([torture.look("after the first dumps")], written=slots + 1)
    assert {slot["kind"] for slot in torture.ledger.slots} == {"sealed"}

    command = {"oops": "(echo oops > /proc/test_oops); true", "panic": "echo c > /proc/sysrq-trigger"}[crash]
    last = torture.look("before the dump")
    looks = []
    with torture.at_a_write(command) as gdb:
        for _ in range(1000):
            assert torture.look("").image == last.image, "something else than the dump writes"
            for last in torture.each_step_of_a_write(gdb):
                looks.append(last)
            # It hides its zone from stock ramoops first, and shows it last.
            if looks and last.image[0 :: SMALL_REGION["record_size"]].count(SIG[0]) == slots:
                break
            gdb.go_on()
    torture.check(looks)
    print(f"{crash}: {len(looks)} states of the region")

    if crash == "panic":
        vm.wait_for_boot()
    else:
        vm.answer(command, torture.sent)
    assert torture.look("").image == last.image
    assert torture.ledger.newest == slots + 2
    assert {slot["kind"] for slot in torture.ledger.slots} == {"sealed"}
