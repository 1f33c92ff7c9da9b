"""The module is loaded over random bytes, flipped bits, and stores of which each field was spoilt or forged, hundreds of
times: nothing warns or hangs, no length is believed, and what was not spoilt is still found.

Many stores lie side by side in a large region, so that one command loads the module over one after the other.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

import pytest

from records import Corruption, OOPS, PANIC, Reader
from vm import insmod, MIB, REGION_START, VM

RESERVED = 32 * MIB
BATCH = 25  # Stores per command.

# Four slots, and nothing else.
SMALL = {"mem_size": 0x8000, "record_size": 0x2000, "console_size": 0, "ftrace_size": 0, "pmsg_size": 0}
SLOTS = 4
SPOILT = 1  # The slot whose record is spoilt: neither the oldest nor the newest one.
LARGE = {"mem_size": MIB, "record_size": 0x10000}

# An insmod may take so many seconds of an idle machine, or so many times as long as over a good store, which takes 0.05 s
# there.
SECONDS, SLOWER = 0.5, 10
# What loading takes does not depend on the region: two buffers, the list of slots, and the module itself.
MEMORY = 1024  # KiB
# What all the loads of a test may keep for ever: the kernel frees some things late. (test_lifecycle.py looks closer.)
LEFT = 1024  # KiB

FLIPS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)  # Share of the region's bits.


@pytest.fixture(scope="module")
def vm_options() -> dict[str, object]:
    # A warning, and an oops while the module is loaded or unloaded, reboot the guest, which is an error here.
    return {"memmap": f"{RESERVED:#x}${REGION_START:#x}", "cmdline": "panic_on_warn=1"}


@dataclass(frozen=True)
class Load:
    """What the guest said of one load."""

    seconds: float
    memory: int  # KiB
    found: dict[str, int]
    dumps: int


def parse_load(output: str) -> Load:
    [before, after] = (int(kib) for kib in re.findall(r"^MemFree: +(\d+) kB$", output, re.MULTILINE))
    [(minutes, seconds)] = re.findall(r"^real\t(\d+)m ([\d.]+)s$", output, re.MULTILINE)
    line = re.findall(r"^found at load: (.*)$", output, re.MULTILINE)[0]
    found = {name: int(count) for count, name in re.findall(r"(\d+) ([a-z ]+)(?=,)", line)}
    found |= {name: int(slot) for name, slot in re.findall(r"(next slot) (\d+)", line)}
    dumps = int(re.findall(r"^records written: (\d+)$", output, re.MULTILINE)[-1])
    return Load(60 * int(minutes) + float(seconds), before - after, found, dumps)


def census_as_found(census: dict) -> dict[str, int]:
    """What the module should say if the host program says this."""
    always = {"sealed": "sealed", "torn": "torn", "foreign": "foreign", "next slot": "next"}
    if census["corrected"] or census["bad_blocks"]:
        always |= {"corrected bytes": "corrected", "unrecoverable blocks": "bad_blocks"}
    sometimes = {"damaged": "damaged", "to be salvaged": "salvaged", "of a newer version": "newer"}
    return {name: census[key] for name, key in always.items()} | {
        name: census[key] for name, key in sometimes.items() if census[key]
    }


def load_each(vm: VM, images: list[bytes], dump: bool = False, **parameters: object) -> list[Load]:
    """Loads the module over each image, and has it store a dump there if asked to."""
    size = int(parameters["mem_size"])
    assert size * len(images) <= RESERVED and all(len(image) == size for image in images)
    vm.write(b"".join(images))
    load = insmod("rust_ramoops", **parameters)
    free = "grep MemFree /proc/meminfo"
    status = "cat /sys/kernel/debug/rust_ramoops/status"
    # The kernel may not survive any other oops than this one.
    setting = "/proc/sys/kernel/panic_on_oops"
    oops = f"echo 0 > {setting}; (echo oops > /proc/test_oops); echo 1 > {setting}; {status};" if dump else ""
    vm.load_test_oops()
    vm.ok("echo 1 > /proc/sys/kernel/panic_on_oops")
    loads = []
    for begin in range(0, len(images), BATCH):
        last = min(begin + BATCH, len(images)) - 1
        output = vm.ok(
            f"for i in $(seq {begin} {last}); do\n"
            f"echo load $i; {free}; time {load} mem_address=$(({REGION_START} + i * {size})) || exit\n"
            f"{free}; {status}; {oops} rmmod rust_ramoops || exit\n"
            "done",
        )
        loads += [parse_load(text) for text in re.split(r"^load \d+$", output, flags=re.MULTILINE)[1:]]
    vm.ok("echo 0 > /proc/sys/kernel/panic_on_oops")
    assert len(loads) == len(images)
    return loads


def check_cost(vm: VM, images: list[bytes], loads: list[Load], good: bytes, **parameters: object) -> None:
    """Checks what loading over `images` takes; `good` is what to compare with."""
    limit = SECONDS * VM.pace
    costs = list(enumerate(loads))
    # On a busy machine anything is slow now and then, but not the same thing each time.
    for attempt in range(4):
        if attempt > 0:
            suspects = [index for index, _ in costs]
            [reference, *again] = load_each(vm, [good, *(images[index] for index in suspects)], **parameters)
            limit = max(SECONDS * VM.pace, SLOWER * reference.seconds)
            costs = list(zip(suspects, again))
        costs = [(index, load) for index, load in costs if load.seconds > limit or load.memory > MEMORY]
        if not costs:
            return
    pytest.fail(f"more than {limit} s or {MEMORY} KiB: {costs}")


def memory_free(vm: VM) -> int:
    return int(vm.ok("echo 3 > /proc/sys/vm/drop_caches; grep MemFree /proc/meminfo").split()[1])


def full_store(vm: VM, dumps: int, **parameters: object) -> bytes:
    """A store with a record in each slot."""
    vm.write(bytes(int(parameters["mem_size"])))
    vm.ramoops(**parameters)
    for i in range(dumps):
        vm.ok(f"echo record-{i} > /dev/kmsg")
        vm.oops()
    vm.ok("rmmod rust_ramoops")
    return vm.read(0, int(parameters["mem_size"]))


def spoil_each_field(
    vm: VM, records: Reader, forged: bool, ecc: int
) -> tuple[list[dict], list[Corruption], list[bytes]]:
    """What a good store holds, and the same store with one field spoilt (or forged), and with another one, ..."""
    image = full_store(vm, SLOTS, ecc=ecc, **SMALL)
    good = look(records, image, ecc=ecc, **SMALL)
    assert good[0]["sealed"] == SLOTS
    found = records.corruptions(image, SPOILT, ecc=ecc, **SMALL)
    corruptions = [corruption for corruption in found if corruption.forged == forged]
    assert len(corruptions) > 100
    return good, corruptions, [corruption.apply(image) for corruption in corruptions]


def look(records: Reader, image: bytes, **parameters: object) -> list[dict]:
    """What the module should find."""
    return records.lines(image, **parameters)


def check_only_one_differs(good: list[dict], found: list[dict], slot: int, what: object) -> dict:
    """All slots but one are as they were. Returns that one."""
    assert [line for line in found[1:] if line["slot"] != slot] == [
        line for line in good[1:] if line["slot"] != slot
    ], what
    return found[1 + slot]


def check_dump(
    vm: VM, records: Reader, index: int, before: list[dict], load: Load, what: object, **parameters: object
) -> None:
    """The dump over an image went where the module said, is whole, and changed nothing else."""
    assert load.dumps == 1, what
    slot, size = load.found["next slot"], int(parameters["mem_size"])
    after = look(records, vm.read(index * size, size), **parameters)
    new = check_only_one_differs(before, after, slot, what)
    assert new["kind"] == "sealed" and new["reason"] == OOPS, what
    assert "NULL pointer dereference" in new["text"] and new["text"].endswith("\n"), what


# Each value of each field, or each eighth of those.
EIGHTH = pytest.mark.parametrize("step", [8, pytest.param(1, marks=pytest.mark.long)], ids=["eighth", "all"])


@EIGHTH
@pytest.mark.parametrize("forged", [False, True], ids=["spoilt", "forged"])
def test_every_field(vm: VM, records: Reader, forged: bool, step: int) -> None:
    good, corruptions, images = spoil_each_field(vm, records, forged, ecc=0)
    corruptions, images = corruptions[::step], images[::step]
    text = good[1 + SPOILT]["text"]
    good_store = full_store(vm, SLOTS, **SMALL)
    # The first ones leave things that stay.
    load_each(vm, [good_store] * BATCH, **SMALL)
    # The kernel frees some things late: the least of three times counts.
    kept: list[int] = []
    while not kept or (min(kept) >= LEFT and len(kept) < 3):
        before = memory_free(vm)
        loads = load_each(vm, images, dump=forged, **SMALL)
        kept.append(before - memory_free(vm))
    assert min(kept) < LEFT, kept

    for index, (corruption, image, load) in enumerate(zip(corruptions, images, loads)):
        found = look(records, image, **SMALL)
        spoilt = check_only_one_differs(good, found, SPOILT, corruption)
        assert load.found == census_as_found(found[0]), corruption
        # No byte of the text was touched.
        assert text in (spoilt["text"], spoilt["salvaged_text"]), (corruption, spoilt["kind"])
        if forged:
            # The newest record that is whole is kept, however the forged one is ranked.
            assert load.found["next slot"] != SLOTS - 1, corruption
            check_dump(vm, records, index, found, load, corruption, **SMALL)
        elif corruption.field.startswith("header"):
            assert spoilt["kind"] in ("sealed", "cleared"), corruption
        else:
            assert spoilt["kind"] == "foreign", corruption
    check_cost(vm, images, loads, good_store, **SMALL)


@pytest.mark.long
def test_every_field_with_parity(vm: VM, records: Reader) -> None:
    good, corruptions, images = spoil_each_field(vm, records, False, ecc=16)
    # Each third is enough for all: several values of each field.
    corruptions, images = corruptions[::3], images[::3]
    loads = load_each(vm, images, ecc=16, **SMALL)
    for corruption, image, load in zip(corruptions, images, loads):
        found = look(records, image, ecc=16, **SMALL)
        slot = check_only_one_differs(good, found, SPOILT, corruption)
        assert load.found == census_as_found(found[0]), corruption
        assert slot["text"] == good[1 + SPOILT]["text"], corruption
        # The others are too long for 16 bytes of parity.
        if corruption.length <= 8:
            assert slot["kind"] == "sealed" and slot["corrected"] > 0 == slot["bad_blocks"], corruption


@pytest.mark.long
@pytest.mark.parametrize("ecc", [0, 16])
def test_random_bytes(vm: VM, records: Reader, ecc: int) -> None:
    images = [random.Random(seed).randbytes(MIB) for seed in range(10)]
    loads = load_each(vm, images, dump=True, ecc=ecc, **LARGE)
    for index, (image, load) in enumerate(zip(images, loads)):
        found = look(records, image, ecc=ecc, **LARGE)
        assert found[0]["garbage"] == found[0]["slots"]
        assert load.found == census_as_found(found[0])
        check_dump(vm, records, index, found, load, index, ecc=ecc, **LARGE)
    check_cost(vm, images, loads, bytes(MIB), ecc=ecc, **LARGE)


def flip(image: bytes, rate: float, seed: int) -> bytes:
    flips = random.Random(seed)
    data = bytearray(image)
    for bit in flips.sample(range(8 * len(data)), round(8 * len(data) * rate)):
        data[bit // 8] ^= 1 << bit % 8
    return bytes(data)


@pytest.mark.parametrize("ecc", [0, 16])
def test_flipped_bits(vm: VM, records: Reader, ecc: int) -> None:
    image = full_store(vm, 14, ecc=ecc, **LARGE)
    good = look(records, image, ecc=ecc, **LARGE)
    assert good[0]["sealed"] >= 13
    cases = [(rate, seed) for rate in FLIPS for seed in range(2)]
    images = [flip(image, rate, seed) for rate, seed in cases]
    loads = load_each(vm, images, dump=True, ecc=ecc, **LARGE)
    texts = {line["seq"]: line["text"] for line in good[1:] if line["kind"] == "sealed"}
    for index, (case, spoilt, load) in enumerate(zip(cases, images, loads)):
        found = look(records, spoilt, ecc=ecc, **LARGE)
        assert load.found == census_as_found(found[0]), case
        sealed = {line["seq"]: line["text"] for line in found[1:] if line["kind"] == "sealed"}
        # Never another text; and with parity all of it, up to a rate at which most words have too many errors.
        assert sealed.items() <= texts.items(), case
        if ecc and case[0] <= 1e-3:
            assert sealed == texts, case
        check_dump(vm, records, index, found, load, case, ecc=ecc, **LARGE)
    check_cost(vm, images, loads, image, ecc=ecc, **LARGE)


# A number far ahead, and one that no seal may have.
@pytest.mark.parametrize(("field", "value"), [("seq and dump", (1 << 32) - 1), ("seq and dump", (1 << 64) - 1)])
def test_a_panic_over_the_worst(vm: VM, records: Reader, field: str, value: int) -> None:
    _, corruptions, images = spoil_each_field(vm, records, True, ecc=0)
    [image] = [image for c, image in zip(corruptions, images) if (c.field, c.value) == (field, str(value))]
    vm.write(image)
    vm.ramoops(**SMALL)
    vm.ok("echo still alive > /dev/kmsg")
    vm.crash()
    found = look(records, vm.read(), **SMALL)
    [panic] = [line for line in found[1:] if line["reason"] == PANIC]
    assert panic["kind"] == "sealed" and "still alive" in panic["text"] and "Call Trace" in panic["text"]
    check_only_one_differs(look(records, image, **SMALL), found, panic["slot"], field)
