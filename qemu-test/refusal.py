"""What every refused load has in common."""

from __future__ import annotations

import random
import re
import secrets

from vm import REGION_SIZE, Result, VM

SPLAT = re.compile("WARNING|BUG|Oops|Call Trace|general protection|page fault")
CONTENT = random.Random(3).randbytes(REGION_SIZE)

# What a load that fails must leave as it was.
OBSERVE = "echo /dev/mtd*; cat /proc/iomem /proc/mtd /proc/modules"


class Refusals:
    """Commands that must fail, run by one script because each way to the guest and back takes its time."""

    def __init__(self, vm: VM, commands: list[str]) -> None:
        mark = f"mark-{secrets.token_hex(4)}"
        script = [f"observe() {{ {OBSERVE}; }}; observe > /tmp/before"]
        for number, command in enumerate(commands):
            script.append(
                f"echo {mark}-{number}- > /dev/kmsg; {{ {command}; }} 2>&1; echo {mark} $?\n"
                "observe > /tmp/after; cmp -s /tmp/before /tmp/after || "
                "{ diff /tmp/before /tmp/after; rmmod rust_ramoops; rmmod rust_phram; } 2>/dev/null\n"
                f"echo {mark}"
            )
        vm.write(CONTENT)
        said = vm.ok("\n".join(script)).split(f"{mark}\n")
        log = vm.ok("dmesg")
        self.region_is_intact = vm.read() == CONTENT
        self._results: dict[str, tuple[Result, str]] = {}
        for number, (command, text) in enumerate(zip(commands, said)):
            output, status, changed = re.fullmatch(rf"(.*?){mark} (\d+)\n(.*)", text, re.DOTALL).groups()
            lines = log.partition(f"{mark}-{number}-\n")[2].partition(f"{mark}-{number + 1}-\n")[0]
            self._results[command] = Result(command, int(status), output, lines), changed

    def check(self, command: str) -> Result:
        """Check that a command failed, without a splat, and that the machine is as it was."""
        result, changed = self._results[command]
        assert result.status != 0, str(result)
        assert not SPLAT.search(result.log), str(result)
        assert not changed, f"{result}\n{changed}"
        return result


def check_line(result: Result, module: str, said: str) -> None:
    """Check that one clear line of the module says why it refused."""
    # busybox's insmod tries each module twice.
    lines = list(dict.fromkeys(re.findall(rf"\] ({module}: .*)", result.log)))
    # The kernel has its own line on parameters that cannot be parsed (it quotes them, and may cut the line), and on
    # modules that were not built with it.
    own = [line for line in lines if not re.search("invalid for parameter|: `|taint", line)]
    assert len(own) <= 1, str(result)
    [line] = own or [line for line in lines if "invalid for parameter" in line]
    assert re.search(said, line), str(result)


def check_refused(vm: VM, module: str, parameters: str, said: str) -> None:
    """Load a module that must refuse: one clear line says why, and the machine is as it was."""
    command = f"insmod {module}.ko {parameters}"
    refusals = Refusals(vm, [command])
    check_line(refusals.check(command), module, said)
    assert refusals.region_is_intact
