"""What every refused load has in common."""

from __future__ import annotations

import random
import re

from vm import REGION_SIZE, VM

SPLAT = re.compile("WARNING|BUG|Oops|Call Trace|general protection|page fault")
CONTENT = random.Random(3).randbytes(REGION_SIZE)


def check_refused(vm: VM, module: str, parameters: str, said: str) -> None:
    """Loads a module that must refuse: one clear line says why, and the machine is as it was."""
    observe = "cat /proc/iomem /proc/mtd; ls /dev | grep mtd; cut -d' ' -f1 /proc/modules"
    before = vm.ok(observe)
    vm.write(CONTENT)
    result = vm.logged(f"insmod {module}.ko {parameters}")
    assert result.status != 0, str(result)
    assert not SPLAT.search(result.log), str(result)

    # busybox's insmod tries each module twice.
    lines = list(dict.fromkeys(re.findall(rf"\] ({module}: .*)", result.log)))
    # The kernel has its own line on parameters that cannot be parsed (it quotes them, and may cut the line), and on
    # modules that were not built with it.
    own = [line for line in lines if not re.search("invalid for parameter|: `|taint", line)]
    assert len(own) <= 1, str(result)
    [line] = own or [line for line in lines if "invalid for parameter" in line]
    assert re.search(said, line), str(result)

    assert vm.ok(observe) == before
    assert vm.read() == CONTENT
