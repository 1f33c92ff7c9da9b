"""A load of rust_phram that fails late: one device is there, and open, when the next one cannot be registered."""

from refusal import CONTENT
from vm import REGION_START, VM


def test_who_has_a_device_open_meanwhile_loses_nothing(vm: VM) -> None:
    vm.write(CONTENT)
    before = vm.ok("cat /proc/mtd /proc/iomem")
    vm.insmod("test_mtd")
    load = f"insmod rust_phram.ko phram=held,{REGION_START:#x},64k phram=next,{REGION_START + 0x10000:#x},64k"
    vm.ok(f"rm -f /tmp/status; dmesg -c; ({load}; echo $? > /tmp/status) > /dev/null 2>&1 & exit 0")
    vm.ok("until [ -e /tmp/status ] || dmesg | grep -q 'held is in use: waiting'; do usleep 10000; done")
    assert bytes.fromhex(vm.ok("head -c 4 /proc/test_mtd | od -An -tx1")) == CONTENT[:4]
    # Nobody else can open it, and the load is not over: the code would go with it.
    assert '"held"' not in vm.ok("cat /proc/mtd")
    vm.fails("cat /tmp/status")
    vm.ok("echo > /proc/test_mtd; until [ -s /tmp/status ]; do usleep 10000; done")
    assert vm.ok("cat /tmp/status") != "0\n"
    vm.ok("rmmod test_mtd")
    assert vm.ok("cat /proc/mtd /proc/iomem") == before
    vm.fails(f"grep phys={REGION_START:#018x} /proc/vmallocinfo")
    vm.fails("grep ^rust_phram /proc/modules")
    vm.fails("dmesg | grep -E 'BUG|Oops|page fault|general protection|refcount'")
