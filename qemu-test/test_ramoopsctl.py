"""ramoopsctl on what real kernels wrote: our records, stock ramoops' and mtdoops', on the host and in the guest."""

from __future__ import annotations

import json
import os
import pty
import random
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ctl import list_records, run, show
from initramfs import reader
from records import Reader
from vm import COMMAND_TIMEOUT, insmod, patient, REGION_SIZE, REGION_START, VM

PSTORE = "/sys/fs/pstore"
PARAMETERS = {"record_size": 0x10000}


@pytest.fixture(scope="module")
def vm_options() -> dict[str, object]:
    return {"cmdline": "pstore.compress=none"}


def test_our_records_on_the_host_and_in_the_guest(vm: VM, records: Reader) -> None:
    vm.phram()
    vm.ramoops(**PARAMETERS)
    vm.oops()
    vm.oops("bug")
    vm.crash()

    found = list_records(vm)
    sealed = records(vm, **PARAMETERS)
    assert [record["number"] for record in found] == [1, 2, 3]
    assert [record["reason"] for record in found] == ["Oops", "Oops", "Panic"]
    assert {record["state"] for record in found} == {"complete"}
    assert [record["bytes"] for record in found] == [len(record.text.encode()) for record in sealed]
    assert {record["kernel"] for record in found} == {vm.ok("uname -r").strip()}
    causes = ("NULL pointer dereference", "kernel BUG at", "sysrq triggered crash")
    for cause, ours, theirs in zip(causes, found, sealed, strict=True):
        assert cause in ours["cause"]
        # The raw text begins with the stamp and the title.
        assert show(vm, ours["id"], "--raw").endswith(theirs.text)
    assert "Kernel panic - not syncing: sysrq triggered crash" in show(vm, "latest")

    # The same in the guest, on the device.
    vm.phram()
    assert json.loads(vm.ok("ramoopsctl list --json"))["records"] == found
    assert vm.ok("ramoopsctl show latest") == show(vm, "latest")
    assert vm.ok("dd if=/dev/mtd0 bs=64k 2>/dev/null | ramoopsctl -f - show 2") == show(vm, "2")
    table = vm.ok("ramoopsctl list").splitlines()
    assert len(table) == 4 and "sysrq triggered crash" in table[3] and "\x1b" not in "".join(table)


def test_a_dump_over_several_slots_is_put_together(vm: VM) -> None:
    vm.ramoops(record_size=0x2000, kmsg_bytes="0x20000")
    vm.ok("for i in $(seq 1000); do echo line $i of the log > /dev/kmsg; done")
    vm.crash()
    [record] = list_records(vm)
    assert record["state"] == "complete" and record["parts_total"] == len(record["parts"]) > 3
    text = show(vm, "latest", "--raw")
    assert re.findall(r"line (\d+) of the log", text) == [str(i) for i in range(1, 1001)]


def test_parity_corrects_what_flipped(vm: VM) -> None:
    vm.ramoops(**PARAMETERS, ecc=16)
    vm.crash()
    text = show(vm, "latest", "--raw")
    region = bytearray(vm.read())
    flips = random.Random(1)
    for block in range(40):
        for offset in flips.sample(range(128), 8):
            region[12 + block * 128 + offset] ^= flips.randrange(1, 256)
    vm.write(bytes(region))
    [record] = list_records(vm)
    assert record["state"] == "complete", record
    assert show(vm, "latest", "--raw") == text
    # It says so.
    assert "320" in run(vm.read(), "verify").decode()


@pytest.mark.parametrize("compress", ["none", "deflate"])
@pytest.mark.parametrize("ecc", [0, 16])
def test_records_of_stock_ramoops(vm: VM, boot: Callable[..., VM], compress: str, ecc: int) -> None:
    if compress == "none":
        check_stock_records(vm, ecc, compress)
        return
    with boot(cmdline="pstore.compress=deflate") as other:
        check_stock_records(other, ecc, compress)


def check_stock_records(vm: VM, ecc: int, compress: str) -> None:
    vm.ramoops("ramoops", **PARAMETERS, ecc=ecc)
    vm.oops()
    vm.crash()
    vm.ramoops("ramoops", **PARAMETERS, ecc=ecc)
    files = vm.ok(f"ls {PSTORE}").split()
    assert all(file.endswith(".enc.z") is False for file in files), files
    # The file ends with a notice about parity.
    theirs = {re.sub(r"\nNo errors detected\n$", "", vm.ok(f"cat {PSTORE}/{file}")) for file in files}
    vm.ok("rmmod ramoops")

    found = list_records(vm)
    assert [record["state"] for record in found] == ["foreign"] * len(files)
    assert (b"-C\n" in vm.read()) == (compress == "deflate")
    texts = {json.loads(run(vm.read(), "show", record["id"], "--json"))["records"][0]["text"] for record in found}
    for text in texts:
        assert any(text.strip() in other for other in theirs), text[:300]
    assert any("Kernel panic - not syncing: sysrq triggered crash" in text for text in texts)


def test_pages_of_mtdoops(vm: VM) -> None:
    vm.phram(erasesize="0x10000")
    vm.insmod("mtdoops", mtddev="oops", record_size=0x10000)
    vm.oops()
    # It writes oopses from a work queue.
    vm.wait_until("the oops in the region", lambda: b"NULL pointer dereference" in vm.read())
    vm.crash()
    document = json.loads(run(vm.read(), "list", "--json"))
    assert document["layout"]["format"] == "mtdoops"
    assert {record["origin"] for record in document["records"]} == {"mtdoops"}
    text = "".join(show(vm, record["id"]) for record in document["records"])
    assert "NULL pointer dereference" in text and "Kernel panic - not syncing: sysrq triggered crash" in text


def test_the_memory_of_a_guest(vm: VM, tmp_path: Path) -> None:
    vm.ramoops(**PARAMETERS)
    vm.oops()
    dump = tmp_path / "memory"
    assert vm.monitor(f"pmemsave 0 {REGION_START + REGION_SIZE:#x} \"{dump}\"") == ""
    place = ("--offset", hex(REGION_START), "--length", "1M")
    found = json.loads(run(b"", *place, "list", "--json", file=str(dump)))["records"]
    assert found == list_records(vm) and len(found) == 1


def test_export_in_the_guest_is_idempotent(vm: VM) -> None:
    vm.phram()
    vm.ramoops(**PARAMETERS)
    vm.oops()
    vm.oops("bug")
    first = vm.ok("rm -rf /tmp/crashes; ramoopsctl export /tmp/crashes").split()
    sums = vm.ok("md5sum /tmp/crashes/*")
    assert len(first) == 2 and len(sums.splitlines()) == 2
    vm.ok("ramoopsctl export /tmp/crashes")
    assert vm.ok("md5sum /tmp/crashes/*") == sums
    vm.oops()
    vm.ok("ramoopsctl export /tmp/crashes")
    later = vm.ok("md5sum /tmp/crashes/*").splitlines()
    assert len(later) == 3 and set(sums.splitlines()) < set(later)
    # What is on the disk can go, and only that.
    said = vm.ok("ramoopsctl export /tmp/crashes --clear")
    assert said == "ramoopsctl: rust_ramoops is loaded: it reuses deleted slots first from its next load on.\n"
    assert vm.ok("md5sum /tmp/crashes/*").splitlines() == later
    assert vm.run("ramoopsctl list").status == 1


def test_export_to_the_journal(vm: VM) -> None:
    vm.phram()
    vm.ramoops(**PARAMETERS)
    vm.oops()
    vm.oops("bug")
    vm.ok("mkdir -p /run/systemd/journal; journal > /tmp/journal 2>&1 &")
    vm.ok("until [ -S /run/systemd/journal/socket ]; do usleep 10000; done")
    for _ in range(2):  # What is in the folder was sent before.
        vm.ok("ramoopsctl export /tmp/journaled --journal")
    vm.ok("until [ $(grep -c -- '-- end of an entry' /tmp/journal) -ge 2 ]; do usleep 10000; done")
    entries = vm.ok("cat /tmp/journal").split("-- end of an entry")[:-1]
    assert len(entries) == 2
    for entry, cause in zip(entries, ("NULL pointer dereference", "kernel BUG at"), strict=True):
        assert cause in entry and "RAMOOPS_REASON=Oops" in entry and "MESSAGE_ID=" in entry, entry[:1000]


def test_verify_and_map_tell_of_damage(vm: VM) -> None:
    vm.phram()
    vm.ramoops(**PARAMETERS)
    vm.oops()
    vm.oops()
    vm.ok("ramoopsctl verify")
    assert vm.ok("ramoopsctl map").strip()
    at = vm.read().index(b"NULL pointer dereference")
    vm.write(b"X", at)
    assert "damaged" in vm.fails("ramoopsctl verify")
    assert [record["state"] for record in list_records(vm)].count("damaged") == 1


def test_clearing_one_record_and_all(vm: VM, records: Reader) -> None:
    vm.phram()
    vm.ramoops(**PARAMETERS)
    for _ in range(3):
        vm.oops()
    before = list_records(vm)
    vm.fails("ramoopsctl clear 2 < /dev/null")  # Nobody has agreed.
    assert list_records(vm) == before
    vm.ok("ramoopsctl clear 2 --yes")
    assert list_records(vm) == [before[0], before[2]]
    # The kernel sees it the same way, and uses the slot again.
    vm.ok("rmmod rust_ramoops")
    assert "2 sealed" in vm.ramoops(**PARAMETERS)
    vm.ok("ramoopsctl clear all --yes")
    assert vm.read() == b"\xff" * REGION_SIZE
    assert vm.run("ramoopsctl list").status == 1
    vm.oops()
    assert len(list_records(vm)) == 1


def on_terminal(image: Path, *arguments: str, answer: str = "") -> tuple[int, str]:
    """Runs ramoopsctl as on a terminal. Returns its exit status, and what the terminal got."""
    ours, its = pty.openpty()
    options = {"stdin": its, "stdout": its, "stderr": its, "start_new_session": True}
    options["env"] = {"PATH": os.environ["PATH"], "TERM": "xterm", "PAGER": "sed s/^/paged:/"}
    with subprocess.Popen([reader(), "--file", image, *arguments], **options) as program:
        os.close(its)
        os.write(ours, answer.encode())
        output = b""
        while True:
            try:
                output += os.read(ours, 1 << 16)
            except OSError:  # It has closed the terminal.
                break
        os.close(ours)
        return program.wait(patient(COMMAND_TIMEOUT)), output.decode()


def test_on_a_terminal(vm: VM, tmp_path: Path) -> None:
    vm.ramoops(**PARAMETERS)
    vm.oops()
    image = tmp_path / "oops.img"
    image.write_bytes(vm.read())
    status, table = on_terminal(image, "list")
    assert status == 0 and "\x1b[" in table and "NULL pointer" in table
    status, text = on_terminal(image, "show")
    assert status == 0 and "\x1b[" in text and "paged:" in text

    status, said = on_terminal(image, "clear", "1", answer="no\n")
    assert status != 0 and "nothing was changed" in said
    assert image.read_bytes() == vm.read()
    status, _ = on_terminal(image, "clear", "1", answer="yes\n")
    assert status == 0 and run(b"", "list", status=1, file=str(image)) == b""


def test_retention_of_memory_over_a_reset(vm: VM) -> None:
    vm.phram()
    vm.ramoops(**PARAMETERS)
    vm.oops()
    before = vm.read()
    vm.fails("ramoopsctl retention write --yes")  # There is something in it.
    assert vm.read() == before
    vm.ok("ramoopsctl retention write --yes --force")
    vm.reset()
    vm.phram()
    assert "100" in vm.ok("ramoopsctl retention check")
    # It begins and ends within the mark that each block begins with: the rest of the pattern has zeros of its own.
    vm.write(bytes(0x8004), 0x20000)
    said = vm.fails("ramoopsctl retention check")
    assert "0x00020000-0x00028004" in said, said


def test_a_read_only_device_is_not_cleared(vm: VM) -> None:
    vm.ramoops(**PARAMETERS)
    vm.oops()
    vm.ok("rmmod rust_ramoops")
    vm.ok(insmod("rust_phram", phram=f"oops,{REGION_START:#x},{REGION_SIZE:#x},ro"))
    before = vm.read()
    vm.ok("ramoopsctl list")
    vm.fails("ramoopsctl clear all --yes")
    assert vm.read() == before
