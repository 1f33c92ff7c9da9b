"""compress=deflate: more of the log in a record, in the form of stock ramoops, and never less than without."""

import random
import re

import pytest

from ctl import list_records, run, show
from messages import random_bytes, write_messages, write_noise
from test_big_log import line_numbers, LINES, write_log
from vm import VM

PSTORE = "/sys/fs/pstore"
PARAMETERS = {"record_size": 0x4000, "compress": "deflate"}


def stock_files(vm: VM, **parameters: object) -> dict[str, str]:
    """What stock ramoops makes of the region. Ours must not be loaded."""
    vm.ramoops("ramoops", **{name: value for name, value in parameters.items() if name != "compress"})
    files = {name: vm.ok(f"cat {PSTORE}/{name}") for name in vm.ok(f"ls {PSTORE}").split()}
    vm.ok("rmmod ramoops")
    return files


def text_of(vm: VM) -> str:
    """The newest record."""
    return show(vm, "latest").partition("<==\n")[2]


def without_priorities(text: str) -> str:
    return re.sub(r"^<\d+>", "", text, flags=re.MULTILINE)


def stored(vm: VM) -> list[int]:
    """How many bytes of each of the newest record's slots are in use."""
    slots = [part["slot"] for part in list_records(vm)[-1]["parts"]]
    sizes = re.findall(r"dmesg (\d+)\b.* (\d+) bytes", run(vm.read(), "map").decode())
    return [int(size) for slot, size in sizes if int(slot) in slots]


def test_a_record_holds_more_text_and_stock_ramoops_reads_it(vm: VM) -> None:
    vm.ramoops(**PARAMETERS)
    write_log(vm)
    vm.crash()
    [record] = list_records(vm)
    assert record["state"] == "complete" and "sysrq triggered crash" in record["cause"]
    text = text_of(vm)
    numbers = line_numbers(text)
    # Mainline inflates three times the record at most: this log compresses better than that.
    assert len(text) > 2.8 * 0x4000  # Without the priorities.
    assert numbers == list(range(numbers[0], LINES + 1)) and "Call Trace" in text
    [(name, stock)] = stock_files(vm, **PARAMETERS).items()
    assert name == "dmesg-ramoops-0" and without_priorities(stock) == "Panic#1 Part1\n" + text


def test_a_slot_is_filled(vm: VM) -> None:
    # Digits of 4 bits in 8: text that compresses to about a half, so that the limit is the slot.
    vm.ramoops(**PARAMETERS)
    write_messages(vm, [f"{random_bytes(32, seed).hex()}\n".encode() for seed in range(1300)])
    vm.crash()
    [size] = stored(vm)
    assert 0.95 * 0x4000 < size <= 0x4000 * 1.05
    assert list_records(vm)[0]["bytes"] > 1.5 * 0x4000
    [stock] = stock_files(vm, **PARAMETERS).values()
    assert without_priorities(stock) == "Panic#1 Part1\n" + text_of(vm)


# Messages that do not compress: random bytes, and each as long as this with the 20 characters that the kernel puts around
# it. A record of 16 KiB has room for 16 of them and for NOISE_REST bytes more, so that it holds a 17th only if compression
# saves 800 bytes. All that repeats are those 20 characters: no more than 340 bytes.
NOISE_LENGTH = 1000
NOISE_REST = 200


def write_binary(vm: VM) -> None:
    """Fills the log with messages that do not compress."""
    # A message ends with a newline or a zero, and may begin with a priority in brackets.
    alphabet = bytes(set(range(256)) - set(b"\n\0<"))
    length = NOISE_LENGTH - len("<12>[    1.234567] \n")
    write_messages(vm, [bytes(random.Random(seed).choices(alphabet, k=length)) for seed in range(100)])


def test_a_log_that_compresses_badly_keeps_the_panic(vm: VM) -> None:
    vm.ramoops(**PARAMETERS)
    write_noise(vm)
    vm.crash()
    text = text_of(vm)
    assert "Kernel panic" in text and "Call Trace" in text
    # Three quarters of what there is room for.
    assert len(text) > 1.2 * 0x4000


@pytest.mark.long
def test_stock_ramoops_loses_the_panic_of_such_a_log(vm: VM) -> None:
    vm.ramoops("ramoops", record_size=0x4000)
    write_noise(vm)
    vm.crash()
    [text] = stock_files(vm, record_size=0x4000).values()
    assert "Kernel panic" not in text


@pytest.mark.long
def test_stock_ramoops_leaves_room_in_the_slot(vm: VM) -> None:
    vm.ramoops("ramoops", record_size=0x4000)
    write_log(vm)
    vm.crash()
    [text] = stock_files(vm, record_size=0x4000).values()
    assert 1.6 * 0x4000 < len(text) < 0x4000 * 1.05 / 0.6 and "Kernel panic" in text


def test_text_that_does_not_compress_is_stored_as_it_is(vm: VM) -> None:
    # The text of a panic would compress well, and this has one line.
    vm.ramoops(**PARAMETERS, max_reason=3, kmsg_bytes=5 * 0x4000)
    write_binary(vm)
    vm.crash("echo b > /proc/sysrq-trigger")
    [record] = list_records(vm)
    assert len(record["parts"]) > 4 and not any(part["compressed"] for part in record["parts"])
    assert all(0 <= size - 16 * NOISE_LENGTH < NOISE_REST for size in stored(vm)), stored(vm)
    assert b"sysrq: Resetting" in vm.read()


def test_a_log_that_fits_stays_readable_without_inflating(vm: VM) -> None:
    parameters = {"record_size": 0x20000, "compress": "deflate"}
    vm.ramoops(**parameters)
    vm.oops()
    assert b"NULL pointer dereference" in vm.read() and re.match(rb".{12}====[0-9.]+-D\n", vm.read(), re.DOTALL)


def test_a_log_that_fits_compressed_takes_one_slot(vm: VM) -> None:
    vm.ramoops(record_size=0x10000, compress="deflate", kmsg_bytes=200000)
    # More than the ring holds, so that the oldest messages are gone.
    for _ in range(3):
        write_log(vm)
    vm.crash()
    [record] = list_records(vm)
    assert record["bytes"] > 0x10000 * 1.8 and [part["compressed"] for part in record["parts"]] == [True]
    assert line_numbers(text_of(vm))[-LINES:] == list(range(1, LINES + 1))


@pytest.mark.parametrize("ecc", [0, 16])
def test_a_log_over_several_slots_is_kept_whole(vm: VM, ecc: int) -> None:
    parameters = {"record_size": 0x2000, "compress": "deflate", "ecc": ecc}
    vm.ramoops(**parameters, kmsg_bytes=200000)
    write_log(vm)
    vm.crash()
    [record] = list_records(vm)
    assert record["state"] == "complete"
    assert len(record["parts"]) > 2 and all(part["compressed"] for part in record["parts"][1:])
    text = text_of(vm)
    assert line_numbers(text) == list(range(1, LINES + 1)) and "Linux version" in text[:200]
    files = stock_files(vm, **parameters)
    assert len(files) == len(record["parts"])
    if ecc:
        assert all("ECC: No errors detected" in stock for stock in files.values())


def test_what_it_is_shows_in_sysfs(vm: VM) -> None:
    parameter = "/sys/module/rust_ramoops/parameters/compress"
    vm.ramoops()
    assert vm.ok(f"cat {parameter}").strip() == "none"
    vm.ok("rmmod rust_ramoops")
    vm.ramoops(compress="deflate")
    assert vm.ok(f"cat {parameter}").strip() == "deflate"
