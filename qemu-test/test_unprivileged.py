"""What an unprivileged user gets into the kernel log is text, whatever it looks like.

The kernel logs the name of a program that dies of a segmentation fault: up to 255 bytes, any but NUL and `/`.
"""

from __future__ import annotations

import json
import random
import re
import struct

import pytest

from ctl import list_records, run, show
from records import Reader
from vm import VM

NOBODY = 65534
SEAL_LEN = 220
SEED = 20261126


def names(region: bytes) -> list[bytes]:
    """Names of programs: everything that means something to a reader of the region, at every alignment."""
    chance = random.Random(SEED)
    stamp = b"====1999999999.000000-D\nPanic#9 Part1\n<0>[    1.000000] Kernel panic - not syncing: forged\n"
    # The headers of zones, the seals and their ends that are there.
    seals = [at + 4 - SEAL_LEN for at in range(len(region)) if region[at : at + 4] == b"SEAL"]
    pieces = [b"DBGCAAAABBBB" * 21, b"SEAL" * 60, b"SEAW" * 60, stamp, stamp.replace(b"-D", b"-C")]
    pieces += [b"DBGC" + struct.pack("<II", 0x01010101, 0x01010101) + stamp, b"\x5dP\x00\x01" + b"DBGC"]
    for at in seals[:3]:
        seal = region[at : at + SEAL_LEN]
        pieces += [seal, seal[-64:], seal[-12:], seal[-20:] * 10]
    pieces += [chance.randbytes(250) for _ in range(4)]
    pieces += [b"\xff" * 250, b"=" * 250, b"\n" * 250, b"\r\x1b[2J\x1b]0;owned\x07" * 10]
    found = []
    for number, piece in enumerate(pieces):
        # Different ones, and each two of them shift all that comes after them.
        for shift in range(2):
            name = b"%d" % number + b"x" * shift + piece
            found.append(name.replace(b"\0", b"\1").replace(b"/", b"\2")[:255])
    return found


def segfaults(vm: VM, of: list[bytes]) -> None:
    """Has a user who may nothing run programs of these names."""
    vm.ok("mkdir -p -m 777 /tmp/nobody; echo 0 > /proc/sys/kernel/printk_ratelimit")
    vm.ok("mkdir -p /etc; echo nobody:x:65534:65534::/:/bin/sh > /etc/passwd; chmod 1777 /tmp; chmod 666 /dev/null")
    for name in of:
        quoted = "".join(f"\\{byte:03o}" for byte in name)
        command = f'name="$(printf \'{quoted}_\')"; name="${{name%_}}"; cp /bin/segv "$name" && ./"$name"; rm "$name"'
        vm.ok(f"cat > /tmp/nobody/run.sh <<'END'\ncd /tmp/nobody; id -u > uid; {command}\nEND")
        vm.run("su -s /bin/sh nobody /tmp/nobody/run.sh")
    assert vm.ok("cat /tmp/nobody/uid").strip() == str(NOBODY)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="plain"),
        pytest.param({"ecc": 16}, id="ecc", marks=pytest.mark.long),
        pytest.param({"compress": "deflate"}, id="deflate", marks=pytest.mark.long),
    ],
)
def test_names_of_programs_are_text(vm: VM, records: Reader, options: dict) -> None:
    geometry = {"record_size": 0x10000} | {name: value for name, value in options.items() if name == "ecc"}
    parameters = {**geometry, **options, "kmsg_bytes": 0x20000}
    vm.ramoops(**parameters)
    for word in ("oops", "bug"):
        vm.oops(word)
    hostile = names(vm.read())
    print(f"seed {SEED}, {len(hostile)} names")
    segfaults(vm, hostile)
    dmesg = vm.ok("dmesg | grep -c segfault")
    assert int(dmesg) >= len(hostile), dmesg
    vm.crash()

    truth = records(vm, **geometry)
    assert {record.kind for record in truth} == {"sealed"}, truth
    found = list_records(vm)
    assert [record["reason"] for record in found] == ["Oops", "Oops", "Panic"]
    assert {record["state"] for record in found} == {"complete"}
    panic = found[-1]
    assert "sysrq triggered crash" in panic["cause"], panic
    # Each byte is there, and nothing of it reaches a terminal as it is. The kernel begins each line of a message.
    lines = [line for name in hostile for line in name.split(b"\n")]
    if "compress" in options:
        [shown] = json.loads(run(vm.read(), "show", panic["id"], "--json"))["records"]
        text = shown["text"].encode()
        lines = [line for line in lines if line.isascii() and line.decode().isprintable()]
    else:
        text = run(vm.read(), "show", panic["id"], "--raw")
    assert [line for line in lines if line not in text] == []
    assert not any(byte in show(vm, panic["id"]) for byte in "\x1b\x07\r")
    layout = json.loads(run(vm.read(), "list", "--json"))["layout"]
    assert (layout["record_size"], layout["ecc"]) == (0x10000, options.get("ecc", 0))

    # Nor does the module take it for anything, be it with these parameters or with others.
    line = vm.ramoops(**parameters)
    assert f"{len(truth)} sealed, 0 torn, 0 foreign" in line and "another layout" not in line, line
    vm.unload()
    line = vm.ramoops(**parameters | {"record_size": 0x4000})
    assert "another layout, record_size=65536: " in line and re.search(r"\b0 sealed, 0 torn, [01] foreign", line), line
