"""Good parameters: how sizes may be written, and which values are in effect."""

import re

import pytest

from records import Reader
from vm import REGION_SIZE, REGION_START, VM

SIZES = {
    "65536": 65536,
    "0x10000": 65536,
    "0X10000": 65536,
    "0200000": 65536,
    "64k": 65536,
    "64K": 65536,
    "64ki": 65536,
    "1M": 1 << 20,
    "1Mi": 1 << 20,
    "0x1M": 1 << 20,
}


@pytest.mark.parametrize(("text", "size"), SIZES.items(), ids=SIZES)
def test_sizes_of_devices(vm: VM, text: str, size: int) -> None:
    vm.ok(f"insmod rust_phram.ko phram=oops,128Mi,{text}")
    assert f'mtd0: {size:08x} 00001000 "oops"' in vm.ok("cat /proc/mtd")


@pytest.mark.parametrize(("text", "size"), SIZES.items(), ids=SIZES)
def test_sizes_of_ramoops(vm: VM, text: str, size: int) -> None:
    vm.ramoops(mem_address="128M", mem_size=text)
    assert vm.ok("cat /sys/module/rust_ramoops/parameters/mem_size").strip() == str(size)


def effective_values(vm: VM) -> dict[str, str]:
    lines = vm.ok("cd /sys/module/rust_ramoops/parameters; grep . *").splitlines()
    return dict(line.split(":", 1) for line in lines)


def test_defaults_in_effect_are_those_of_mainline(vm: VM) -> None:
    vm.ramoops()
    values = effective_values(vm)
    expected = {
        "mem_address": REGION_START,
        "mem_size": REGION_SIZE,
        "mem_type": 0,
        "record_size": 4096,
        "console_size": 4096,
        "ftrace_size": 4096,
        "pmsg_size": 4096,
        "max_reason": 2,
        "ecc": 0,
    }
    assert {name: values[name] for name in expected} == {name: str(value) for name, value in expected.items()}


def test_values_in_effect_after_rounding(vm: VM) -> None:
    log = vm.ramoops(record_size=3000, console_size=5000, mem_size=0xFFFFF, dump_oops=0)
    assert re.search("record_size=3000 .*2048", log) and re.search("console_size=5000 .*4096", log)
    values = effective_values(vm)
    vm.ok("rmmod rust_ramoops")
    vm.ramoops("ramoops", record_size=3000, console_size=5000, mem_size=0xFFFFF, dump_oops=0)
    stock = vm.ok("cd /sys/module/ramoops/parameters; grep . *").splitlines()
    theirs = dict(line.split(":", 1) for line in stock)
    for name in ("mem_size", "record_size", "console_size", "ftrace_size", "pmsg_size", "max_reason"):
        assert values[name] == theirs[name], name


def test_parameters_are_readable_by_root_only(vm: VM) -> None:
    vm.ramoops()
    files = vm.ok("cd /sys/module/rust_ramoops/parameters; stat -c '%n %a' *").splitlines()
    assert {file.split()[1] for file in files} == {"400"}


@pytest.mark.parametrize("mem_type", [0, 1, 2])
def test_each_memory_type_keeps_a_panic(vm: VM, records: Reader, mem_type: int) -> None:
    vm.ramoops(record_size=0x10000, mem_type=mem_type)
    assert vm.ok("cat /sys/module/rust_ramoops/parameters/mem_type").strip() == str(mem_type)
    vm.crash()
    [record] = records(vm, record_size=0x10000)
    assert record.kind == "sealed" and "Kernel panic" in record.text


def test_the_last_one_of_a_parameter_counts(vm: VM) -> None:
    place = f"mem_address={REGION_START:#x} mem_size={REGION_SIZE:#x}"
    twice = "record_size=4k record_size=8k ecc=1 ecc=0 compress=none compress=deflate"
    vm.ok(f"insmod rust_ramoops.ko mem_address=4096 {place} {twice}")
    values = effective_values(vm)
    assert (values["record_size"], values["ecc"], values["compress"]) == ("8192", "0", "deflate")
    vm.ok("rmmod rust_ramoops")
    result = vm.logged(f"insmod rust_ramoops.ko mem_name=first mem_name=a-longer-one mem_name=last {place}")
    assert "mem_name=last: no reserve_mem" in result.log


def test_the_last_device_of_a_name_counts(vm: VM) -> None:
    # The one of "b" overlaps the first one of "a", which counts no longer.
    start = f"{REGION_START:#x}"
    vm.ok(f"insmod rust_phram.ko phram=a,{start},64k phram=b,{start},64k phram=a,{REGION_START + 0x10000:#x},128k")
    assert vm.ok("cat /proc/mtd").splitlines()[1:] == ['mtd0: 00020000 00001000 "a"', 'mtd1: 00010000 00001000 "b"']


@pytest.mark.parametrize("name", ["größe", "日本", r"\351\377"], ids=["utf-8", "three bytes", "no text"])
def test_names_of_devices_may_be_any_bytes(vm: VM, name: str) -> None:
    vm.ok(f'name=$(printf "{name}"); insmod rust_phram.ko "phram=$name,{REGION_START:#x},64k"')
    vm.ok(f'printf "{name}\\n" | cmp - /sys/class/mtd/mtd0/name')
    vm.ok(f'printf "\\"{name}\\"\\n" > /tmp/name; grep -aqFf /tmp/name /proc/mtd')
