"""A guest that runs the debug kernel, and whose console is searched for whatever that kernel finds."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from initramfs import build_initramfs, PROJECT, STOCK_MODULES
from vm import VM

HERE = Path(__file__).resolve().parent
BUILD = PROJECT / ".build/debug"

FAULT_MAKERS = ("drivers/misc/lkdtm/lkdtm",)
MTD_TESTS = tuple(f"drivers/mtd/tests/mtd_{name}test" for name in ("", "read", "stress", "torture", "speed"))

# KASAN shall report every fault, not the first only, and stalls are reported. A busy host lets emulated timers wait, and
# that is no fault.
QUIRKS = (
    "kasan_multi_shot kunit.enable=0 tsc=nowatchdog no_timer_check rcupdate.rcu_cpu_stall_suppress=0 printk.time=1"
)

# What the kernel's checkers, and the kernel itself, begin a complaint with.
COMPLAINT = re.compile(
    r"BUG[: ]|KASAN|UBSAN|\bWARNING: |possible .*deadlock|circular locking|inconsistent lock state|suspicious RCU"
    r"|INFO: (possible|trying|task|rcu)|rcu: INFO|stall(s|ed)\b|sleeping function|scheduling while atomic|refcount_t"
    r"|held lock freed|lock held when returning|bad unlock|invalid wait context|turning off the locking"
    r"|DEBUG_LOCKS_WARN|list_(add|del) corruption|hogged CPU|soft lockup|[Hh]ard LOCKUP"
    r"|unreferenced object|new suspected memory leaks"
    r"|\b[Oo]ops\b|general protection|page fault|NULL pointer|stack guard|double fault|Kernel panic|panicked at"
    r"|Hardware Error|unchecked MSR|nobody cared"
    # One of the modules under test in a backtrace.
    r"|\[rust_(ramoops|phram)\]"
)
TIME = re.compile(r"\[ *\d+\.\d{6}\] ")
LOCKDEP = re.compile("inconsistent lock state")
# Lines with such words that are no complaint, of this kernel's boot and of the commands that provoke faults.
HARMLESS = re.compile(
    r"Command line:|Kernel command line:|unknown kernel command line|kasan: KernelAddressSanitizer initialized"
    r"|lkdtm: (Performing direct entry|Crash point)|RCU CPU stall|ramoops: |phram: |pstore: "
    r"|crash matrix: |Deleting MTD "
)


def debug_kernel() -> Path:
    """The build directory of the debug kernel."""
    return Path(os.environ["KDIR"])


def build_debug_initramfs(image: Path, directory: Path, *others: Path) -> None:
    """Like the initramfs of the other tests, with everything, and other modules, built for the debug kernel."""
    ours = [BUILD / "rust_ramoops.ko", BUILD / "rust_phram.ko"]
    missing = [module.name for module in ours if not module.exists()]
    if missing:
        raise FileNotFoundError(f"{' and '.join(missing)} missing for the debug kernel: use `make test-debug`")
    stock = [debug_kernel() / f"{name}.ko" for name in (*STOCK_MODULES, *FAULT_MAKERS, *MTD_TESTS)]
    source = directory / "debug-modules"
    shutil.copytree(HERE / "modules", source)
    build_debug_module(source)
    build_initramfs(image, [*ours, source / "test_faults.ko", *stock, *others], stock_modules=())


def build_debug_module(source: Path) -> None:
    """Builds modules in C out of tree, and insists on no warnings."""
    command = ["make", "-C", str(debug_kernel()), f"M={source}", "LLVM=-19", "modules"]
    build = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if build.returncode or "warning:" in build.stdout:
        raise RuntimeError(f"{source.name} does not build cleanly:\n{build.stdout}")


class DebugVM(VM):
    """`VM`, on the debug kernel."""

    BOOT_SECONDS = 15.0

    def __init__(self, initramfs: Path, directory: Path, *, cmdline: str = "", **options: object) -> None:
        self._seen = 0
        super().__init__(
            initramfs,
            directory,
            kernel=debug_kernel() / "bzImage",
            # With 5-level page tables KASAN has a false alarm early in the boot.
            cpu="max,la57=off",
            cmdline=f"{QUIRKS} {cmdline}",
            **({"smp": 2} | options),
        )

    def complaints(self, asked: str = "") -> list[str]:
        """The complaints on the console since this was last asked, but for those that match `asked`."""
        text = self.all_consoles()
        new, self._seen = text[self._seen :].splitlines(), len(text)
        found = []
        for number, line in enumerate(new):
            if _is_cut(line, new[number + 1 :]):
                continue
            if COMPLAINT.search(line) and not HARMLESS.search(line):
                # lockdep says a few lines further on which lock it is about.
                end = number + (8 if LOCKDEP.search(line) else 1)
                complaint = "\n".join(new[number:end])
                if not (asked and re.search(asked, complaint)):
                    found.append(complaint)
        return found


def _is_cut(line: str, later: list[str]) -> bool:
    """Whether a line comes again, whole: a CPU that panics takes the console over wherever another one is."""
    return bool(TIME.match(line)) and any(other.startswith(line) and len(other) > len(line) for other in later)
