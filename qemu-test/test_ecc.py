"""Parity against bit flips, in the geometry of stock ramoops: each module reads what the other wrote, and corrects it."""

import random
import re

import pytest

from vm import VM

PSTORE = "/sys/fs/pstore"
PARAMETERS = {"record_size": 0x10000, "ecc": 16}
HEADER_LENGTH = 12
BLOCK = 128  # Bytes of data that one parity protects.


@pytest.fixture(scope="module")
def vm_options() -> dict[str, object]:
    return {"cmdline": "pstore.compress=none"}


def spoil(vm: VM, wrong: int, blocks: int) -> None:
    """Changes that many bytes in each of the first blocks of slot 0, and in its header."""
    randomness = random.Random(1)
    region = bytearray(vm.read())
    starts = [0] + [HEADER_LENGTH + block * BLOCK for block in range(blocks)]
    for start in starts:
        length = HEADER_LENGTH if start == 0 else BLOCK
        for offset in randomness.sample(range(length), wrong):
            region[start + offset] ^= randomness.randrange(1, 256)
    vm.write(bytes(region))


def stock_reads(vm: VM) -> str:
    """What the one record is to stock ramoops, with its notice about errors. Ours must not be loaded."""
    vm.ramoops("ramoops", **PARAMETERS)
    text = vm.ok(f"cat {PSTORE}/dmesg-ramoops-0")
    vm.ok("rmmod ramoops")
    return text


def ours_says(vm: VM) -> str:
    said = vm.ramoops(**PARAMETERS)
    vm.ok("rmmod rust_ramoops")
    return said


def panic_recorded_by(vm: VM, module: str) -> None:
    vm.ramoops(module, **PARAMETERS)
    vm.ok("echo parity protects this > /dev/kmsg")
    vm.crash()


def test_stock_ramoops_reads_ours(vm: VM) -> None:
    panic_recorded_by(vm, "rust_ramoops")
    text = stock_reads(vm)
    assert "parity protects this" in text and "Kernel panic" in text
    assert "ECC: No errors detected" in text


def test_ours_reads_stock_ramoops(vm: VM) -> None:
    panic_recorded_by(vm, "ramoops")
    assert "0 sealed, 0 torn, 1 foreign, next slot 1" in ours_says(vm)


def test_wrong_bytes_are_corrected_and_counted_as_stock_ramoops_does(vm: VM) -> None:
    panic_recorded_by(vm, "rust_ramoops")
    good = stock_reads(vm).partition("\nECC:")[0]
    spoil(vm, wrong=8, blocks=40)
    # The header and 40 blocks, 8 bytes each.
    assert "1 sealed, 0 torn, 0 foreign, 328 corrected bytes, 0 unrecoverable blocks" in ours_says(vm)
    text, _, notice = stock_reads(vm).partition("\nECC:")
    assert text == good
    assert "328 Corrected bytes, 0 unrecoverable blocks" in notice


def test_too_many_wrong_bytes_are_never_shown_as_a_good_record(vm: VM) -> None:
    panic_recorded_by(vm, "rust_ramoops")
    spoil(vm, wrong=10, blocks=3)
    said = ours_says(vm)
    assert "0 sealed" in said and re.search(r"[1-4] unrecoverable blocks", said)


@pytest.mark.parametrize("ecc", [2, 32, 127])
def test_other_lengths_of_parity_are_those_of_stock_ramoops(vm: VM, ecc: int) -> None:
    parameters = PARAMETERS | {"ecc": ecc}
    vm.ramoops(**parameters)
    vm.oops()
    vm.ok("rmmod rust_ramoops")
    vm.ramoops("ramoops", **parameters)
    text = vm.ok(f"cat {PSTORE}/dmesg-ramoops-0")
    assert "NULL pointer dereference" in text and "ECC: No errors detected" in text


def test_ecc_1_means_16(vm: VM) -> None:
    vm.ramoops(record_size=0x10000, ecc=1)
    assert vm.ok("cat /sys/module/rust_ramoops/parameters/ecc").strip() == "16"


def test_no_other_module_is_needed(vm: VM) -> None:
    vm.ok("! grep -q ^reed_solomon /proc/modules || rmmod reed_solomon")
    vm.ramoops(**PARAMETERS)
    vm.oops()
    vm.ok("rmmod rust_ramoops")
    spoil(vm, wrong=8, blocks=3)
    said = ours_says(vm)
    vm.ok("insmod reed_solomon.ko")
    assert "1 sealed" in said and "32 corrected bytes, 0 unrecoverable blocks" in said, said
