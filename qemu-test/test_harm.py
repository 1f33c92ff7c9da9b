"""Nothing that user space does with the files of a module takes the machine down, whenever the module goes."""

import pytest

from refusal import SPLAT
from vm import insmod, REGION_SIZE, REGION_START, VM

PLACE = f"{REGION_START:#x},{REGION_SIZE:#x}"
LOAD = {
    "rust_ramoops": insmod("rust_ramoops", mem_address=REGION_START, mem_size=REGION_SIZE),
    "rust_phram": insmod("rust_phram", phram=f"oops,{PLACE}"),
}
STATUS = ("rust_ramoops", "/sys/kernel/debug/rust_ramoops/status")
DEVICES = [("rust_phram", f"/dev/mtd0{mode}") for mode in ("", "ro")]
PARAMETERS = [
    ("rust_ramoops", "/sys/module/rust_ramoops/parameters/record_size"),
    ("rust_phram", "/sys/module/rust_phram/parameters/mem_type"),
]
ATTRIBUTE = ("rust_phram", "/sys/class/mtd/mtd0/name")
ROUNDS = 20


@pytest.fixture(scope="module")
def vm_options() -> dict[str, object]:
    return {"smp": 2}


@pytest.mark.parametrize(("module", "file"), [STATUS, *DEVICES])
def test_an_open_file_keeps_its_module(vm: VM, module: str, file: str) -> None:
    vm.ok(LOAD[module])
    said = vm.ok(f"exec 3<{file}; rmmod {module} 2>&1 && exit 1; head -c 16 <&3 >/dev/null || exit 1; exec 3<&-")
    assert "temporarily unavailable" in said
    vm.ok(f"rmmod {module}")
    assert not SPLAT.search(vm.ok("dmesg"))


@pytest.mark.parametrize(("module", "file"), [*PARAMETERS, ATTRIBUTE])
def test_an_open_file_of_sysfs_outlives_its_module(vm: VM, module: str, file: str) -> None:
    vm.ok(LOAD[module])
    vm.ok(f"exec 3<{file}; rmmod {module} || exit 1; ! cat <&3 2>/dev/null || exit 1; exec 3<&-; true")
    assert not SPLAT.search(vm.ok("dmesg"))


@pytest.mark.parametrize(("module", "file"), [STATUS, DEVICES[0], *PARAMETERS])
def test_a_file_is_read_while_its_module_goes(vm: VM, module: str, file: str) -> None:
    # The shell opens, reads and closes it by itself: no time is lost with starting programs.
    reader = f"while [ ! -e /tmp/stop ]; do read -n 16 text <{file} && : $((reads += 1)); done; echo $reads"
    rounds = f"for i in $(seq {ROUNDS}); do {LOAD[module]} && until rmmod {module}; do :; done || exit; done"
    reads = vm.ok(f"rm -f /tmp/stop; {{ {reader}; }} 2>/dev/null & ({rounds}) 2>/dev/null; touch /tmp/stop; wait", 180)
    assert int(reads) >= ROUNDS
    assert not SPLAT.search(vm.ok("dmesg"))
