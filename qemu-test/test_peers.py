"""What the C modules do where README.md says that ours do better. If one of these fails, they have got better: say so there."""

from collections.abc import Iterator

import pytest

from vm import REGION_SIZE, REGION_START, VM

# How the peers behave, which no change of ours changes.
pytestmark = pytest.mark.long

PSTORE = "/sys/fs/pstore"
PARAMETERS = {"record_size": 0x10000}
PLACE = f"{REGION_START:#x},{REGION_SIZE:#x}"


@pytest.fixture(scope="module")
def vm_options() -> dict[str, object]:
    return {"cmdline": "pstore.compress=none pstore.kmsg_bytes=1000000"}


@pytest.fixture
def doomed_vm(vm: VM) -> Iterator[VM]:
    """The guest, for a case that harms its kernel: it is reset after that."""
    yield vm
    vm.lost = True


def test_each_panic_overwrites_the_same_slot(vm: VM) -> None:
    for _ in range(3):
        vm.ramoops("ramoops", **PARAMETERS)
        vm.crash()
    vm.ramoops("ramoops", **PARAMETERS)
    assert vm.ok(f"ls {PSTORE}").split() == ["dmesg-ramoops-0"]


def test_a_log_is_cut_to_one_record(vm: VM) -> None:
    vm.ramoops("ramoops", record_size=0x2000)
    vm.crash()
    vm.ramoops("ramoops", record_size=0x2000)
    assert vm.ok(f"ls {PSTORE}").split() == ["dmesg-ramoops-0"]
    assert "Linux version" not in vm.ok(f"cat {PSTORE}/dmesg-ramoops-0")


def test_damaged_text_is_shown_as_good(vm: VM) -> None:
    vm.ramoops("ramoops", **PARAMETERS)
    vm.ok("echo this line is right > /dev/kmsg")
    vm.crash()
    region = vm.read()
    vm.write(b"wrong", region.rindex(b"this line is right") + len("this line is "))
    vm.ramoops("ramoops", **PARAMETERS)
    text = vm.ok(f"cat {PSTORE}/dmesg-ramoops-0")
    assert "this line is wrong" in text and text.startswith("Panic#1 Part1\n")


def test_loading_writes_into_the_region(vm: VM) -> None:
    vm.ramoops("ramoops", **PARAMETERS)
    assert vm.read() != bytes(REGION_SIZE)


@pytest.mark.parametrize("parameters", ["mem_size=0", f"mem_address={REGION_START:#x} mem_size=4096", "mem_name=unknown"])
def test_insmod_of_ramoops_succeeds_with_bad_parameters(vm: VM, parameters: str) -> None:
    result = vm.logged(f"insmod ramoops.ko {parameters}")
    assert result.status == 0 and "Registered ramoops" not in result.log, str(result)


@pytest.mark.parametrize("value", ["oops,1", "oops,a,b", f"oops,{REGION_START:#x},0"])
def test_insmod_of_phram_succeeds_with_bad_parameters(vm: VM, value: str) -> None:
    vm.ok(f"insmod phram.ko phram={value}")
    assert "mtd0" not in vm.ok("cat /proc/mtd")


def test_memory_of_the_kernel_is_accepted(doomed_vm: VM) -> None:
    assert "using 0x100000@0x5000000" in doomed_vm.insmod("ramoops", mem_address=0x5000000, mem_size=0x100000)


def test_a_bad_device_leaves_a_good_one_without_its_module(doomed_vm: VM) -> None:
    doomed_vm.fails(f"insmod phram.ko phram=good,{PLACE} phram=bad,0x5000000,4096")
    assert '"good"' in doomed_vm.ok("cat /proc/mtd")
    doomed_vm.fails("grep -q ^phram /proc/modules")

