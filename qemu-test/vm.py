"""A guest that runs the stock kernel with a piece of reserved RAM, crashes, warm-reboots, and is asked what it kept.

The kernel log comes over the first serial port into a file. Commands and answers go over the second one (see
guest/init). Every wait is bounded, and a guest that hangs, reboots unasked or dies raises `GuestError`.
"""

from __future__ import annotations

import base64
import contextlib
import json
import mmap
import os
import re
import secrets
import select
import shlex
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20
RAM_SIZE = 256 * MIB
REGION_START = 0x8000000  # The middle of the guest's RAM.
REGION_SIZE = MIB

STATE, CONSOLE, BOOT_ID = "state", "console.log", "boot-id"  # A saved guest: what QEMU keeps, and what this file does.

# What is waited for, in seconds of an idle machine on which a boot takes `VM.BOOT_SECONDS`: many times as long as it takes
# there, because patience costs nothing where all is well. `VM.pace` is for other machines: one that was idle when its pace
# was measured may be busy later.
LEAST_PACE = 3.0
BOOT_PATIENCE = 30  # Boots.
COMMAND_TIMEOUT = 120.0


def patient(timeout: float) -> float:
    """Return how long to wait here for what would take less than `timeout` seconds on an idle machine."""
    return timeout * max(LEAST_PACE, VM.pace)


class GuestError(Exception):
    """The guest did something other than answer: it hung, rebooted unasked, would not crash, or died."""


class Patience:
    """Waits so many seconds of an idle machine for a process. That it waits for a CPU of this machine itself does not count."""

    def __init__(self, pid: int, timeout: float) -> None:
        self._threads = Path(f"/proc/{pid}/task")
        self._seconds = patient(timeout)
        self._started = time.monotonic()
        self._starved = self._starved_for()

    def used(self) -> float:
        """The seconds that counted so far."""
        seconds = time.monotonic() - self._started
        starved = sum(now - self._starved.get(thread, 0) for thread, now in self._starved_for().items())
        # Threads that wait at the same time are no reason to wait for ever.
        return max(seconds - starved, seconds / 20)

    def left(self) -> float:
        return self._seconds - self.used()

    def _starved_for(self) -> dict[str, float]:
        """Seconds for which each thread was ready to run, and did not: Documentation/scheduler/sched-stats.rst."""
        starved = {}
        for statistics in self._threads.glob("*/schedstat"):
            with contextlib.suppress(OSError):  # Threads end.
                starved[statistics.parent.name] = int(statistics.read_text().split()[1]) / 1e9
        return starved


@dataclass(frozen=True)
class Result:
    """What a command in the guest came to."""

    command: str
    status: int
    output: str
    log: str = ""  # Kernel messages since the command began. Only `VM.logged` fills it in.

    def __str__(self) -> str:
        return f"$ {self.command}\n{self.output.rstrip()}\n[exit status {self.status}]\n{self.log}"


def kernel_release() -> str:
    return os.environ["KERNEL_RELEASE"]


def kernel_image() -> Path:
    return Path("/usr/lib/modules") / kernel_release() / "vmlinuz"


class VM:
    """A running guest: `with VM(initramfs, directory) as vm`. The directory keeps the console and QEMU's messages."""

    BOOT_SECONDS = 4.0
    pace = 1.0  # How many times as long everything takes here and now: a run measures its first boot.
    hung_boots: list[str] = []  # Reports of boots that hung before anything under test ran, and were tried again.
    hung_boots_allowed = 0
    last_used: VM | None = None  # Whose console goes with the report of a failed test.

    def __init__(
        self,
        initramfs: Path,
        directory: Path,
        *,
        accel: str = "tcg",
        ram: int = RAM_SIZE,
        region: int = REGION_START,
        memmap: str = f"{REGION_SIZE:#x}${REGION_START:#x}",
        cmdline: str = "",
        smp: int = 1,
        kernel: Path | None = None,
        cpu: str = "max",
        icount: bool = False,  # Guest time is the number of instructions, in nanoseconds. Emulation only.
        saved: Path | None = None,  # Where `save` has put a guest that was started with the same options.
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._console_file = directory / "console.log"
        self._qemu_log = directory / "qemu.log"
        self._region = region
        self._ram_size = ram
        self.saved = saved  # Where `restart` begins.

        kernel_args = ["console=ttyS0 panic=-1 printk.devkmsg=on"]
        # The self-tests of the crypto API are a fifth of the boot time under emulation and no concern of ours.
        kernel_args.append("cryptomgr.notests")
        # On a busy host the clocksource watchdog of one emulated CPU waits for the other with its interrupts off, and may do
        # so for ever (watchdog_check_skew on one, stop_one_cpu on the other): a boot with two CPUs hung now and then.
        kernel_args.append("tsc=reliable")
        # There, too, emulated CPUs and timers wait for the host, and that is no stall.
        kernel_args.append("rcupdate.rcu_cpu_stall_suppress=1 watchdog_thresh=60")
        if memmap:
            kernel_args.append(f"memmap={memmap}")
        kernel_args.append(cmdline)

        self._command = [
            # QEMU must not outlive us, even if we are killed.
            *("setpriv", "--pdeathsig", "KILL", "--"),
            *("qemu-system-x86_64", "-accel", accel, "-cpu", cpu, "-smp", str(smp)),
            *(("-icount", "shift=0") if icount else ()),
            *("-machine", "q35,memory-backend=ram", "-m", f"{ram // MIB}"),
            *("-no-user-config", "-nodefaults", "-display", "none"),
            *("-kernel", str(kernel or kernel_image()), "-initrd", str(initramfs), "-append", " ".join(kernel_args)),
            *("-chardev", f"file,id=console,path={self._console_file},append=on", "-serial", "chardev:console"),
            *("-serial", "chardev:agent", "-mon", "chardev=qmp,mode=control"),
            # Tells a guest that goes on from a saved state to draw new random numbers.
            *("-device", "vmgenid,guid=auto"),
            # Has a BAR of 1 MiB that no driver claims.
            *("-device", "edu"),
        ]
        self._start()

    def _start(self, console: bytes = b"") -> None:
        """Starts QEMU, at the beginning of a boot or where a guest was saved. The console comes behind what is given."""
        self._boot_id = ""
        self._pending = b""
        self.boots = 0
        self._shutdown_reason = ""
        self.lost = False  # Set by a `GuestError`: nothing is known of the guest's state until `reset`.
        # Anonymous shared memory: the host sees the guest's RAM, and no file is left behind whatever happens.
        self._ram_fd = os.memfd_create("guest-ram")
        os.ftruncate(self._ram_fd, self._ram_size)
        self._agent, agent_end = socket.socketpair()
        qmp, qmp_end = socket.socketpair()
        inherited = (self._ram_fd, agent_end.fileno(), qmp_end.fileno())
        ram = f"memory-backend-file,id=ram,size={self._ram_size},mem-path=/proc/self/fd/{inherited[0]},share=on"
        connections = [
            *("-object", ram),
            *("-chardev", f"socket,id=agent,fd={inherited[1]}", "-chardev", f"socket,id=qmp,fd={inherited[2]}"),
        ]
        if self.saved:
            connections += ["-incoming", f"file:{self.saved / STATE}"]
            console += (self.saved / CONSOLE).read_bytes()
            self._boot_id = (self.saved / BOOT_ID).read_text()
        self._console_file.write_bytes(console)
        self._done = self._begun()  # How many boots the console had seen when the last one was done.
        with self._qemu_log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command + connections, pass_fds=inherited, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        agent_end.close()
        qmp_end.close()
        qmp.settimeout(patient(COMMAND_TIMEOUT))
        self._qmp = qmp.makefile("rw")
        self._qmp_ready = False
        qmp.close()  # What was made of it keeps it open.
        self._ram = mmap.mmap(self._ram_fd, self._ram_size)

    def __enter__(self) -> VM:
        try:
            if self.boots == 0:
                self.wait_for_boot()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for thing in (self._agent, self._qmp, self._ram):
            thing.close()
        if self._ram_fd >= 0:
            os.close(self._ram_fd)
            self._ram_fd = -1

    # Commands

    def run(self, command: str, timeout: float = COMMAND_TIMEOUT) -> Result:
        """Runs a shell command in the guest, and waits for its end. The guest must survive it."""
        return self.answer(command, self.send(command), timeout)

    def answer(self, command: str, nonce: str, timeout: float = COMMAND_TIMEOUT) -> Result:
        """Wait for the end of a command that `send` has sent."""
        words = self._next_message(timeout, f"an answer to: {command}")
        if words[0] == "HELLO":
            raise self._error(f"the guest rebooted while it ran: {command}")
        if words[:2] != ["DONE", nonce]:
            raise self._error(f"not an answer to {command}: {words[:2]}")
        output = base64.b64decode(words[3]).decode(errors="replace") if len(words) > 3 else ""
        return Result(command, int(words[2]), output)

    def ok(self, command: str, timeout: float = COMMAND_TIMEOUT) -> str:
        """Runs a command that must succeed, and returns its output."""
        result = self.run(command, timeout)
        assert result.status == 0, str(result)
        return result.output

    def fails(self, command: str, timeout: float = COMMAND_TIMEOUT) -> str:
        """Runs a command that must fail, and returns its output."""
        result = self.run(command, timeout)
        assert result.status != 0, f"should have failed: {result}"
        return result.output

    def logged(self, command: str, timeout: float = COMMAND_TIMEOUT) -> Result:
        """Runs a command, and returns the kernel messages that came meanwhile too."""
        mark = f"mark-{secrets.token_hex(4)}"
        self.ok(f"echo {mark} > /dev/kmsg")
        result = self.run(command, timeout)
        log = self.ok(f"dmesg | sed '1,/{mark}/d'")
        return Result(result.command, result.status, result.output, log)

    def crash(
        self, command: str = "echo c > /proc/sysrq-trigger", timeout: float | None = None, *, reboot: bool = False
    ) -> None:
        """Run a command that ends in a reset, and wait until the guest is up again.

        With `reboot`, or if the guest was never saved, it goes through the reset and boots. Otherwise it stops at the
        reset, and the saved guest goes on with its region: that takes a fifth of the time.
        """
        self._reset_by(lambda: self.send(command), command, timeout, reboot)

    def nmi(self, timeout: float | None = None, *, reboot: bool = False) -> None:
        """Send a non-maskable interrupt, which the guest was told to panic on; otherwise like `crash`."""
        self._reset_by(lambda: self.qmp("inject-nmi"), "an NMI", timeout, reboot)

    def _reset_by(self, begin: Callable[[], object], what: str, timeout: float | None, reboot: bool) -> None:
        if self.saved is None or reboot:
            begin()
            words = self._next_boot_message(timeout, f"the reboot after: {what}")
            if words[0] != "HELLO":
                raise self._error(f"the guest survived: {what}")
            return
        self.qmp("set-action", reboot="shutdown", shutdown="pause")
        begin()
        patience = timeout or BOOT_PATIENCE * self.BOOT_SECONDS
        self.wait_until(f"the reset after: {what}", lambda: self._stopped_at_reset(what), patience)
        self._restart_with_region()

    def _stopped_at_reset(self, what: str) -> bool:
        self._check_qemu(f"the reset after: {what}")
        if select.select([self._agent], [], [], 0)[0]:
            self._pending += self._agent.recv(1 << 16)
        if b"DONE" in self._pending:
            raise self._error(f"the guest survived: {what}")
        if self.qmp("query-status")["status"] != "shutdown":
            return False
        if self._shutdown_reason != "guest-reset":
            raise self._error(f"the guest powered off, which loses its RAM, after: {what}")
        return True

    def reset(self) -> None:
        """Presses the reset button: RAM keeps its content. Also brings back a guest that was lost."""
        self.press_reset()
        self.wait_for_boot()

    def press_reset(self) -> None:
        """Waits for the reset itself, but not until the guest is up again."""
        self.qmp("set-action", reboot="reset", shutdown="poweroff")
        self.qmp("system_reset", done="host-qmp-system-reset")
        self.lost = False
        self._pending = b""

    def wait_for_boot(self, timeout: float | None = None) -> None:
        """Waits until a guest that is known to be booting is up. Answers that are still under way are dropped."""
        VM.last_used = self
        if self.saved and self.boots == 0:
            self._resume()
            return
        before = self.boots
        while self.boots == before:
            self._next_boot_message(timeout, "the guest's boot")

    # Saved guests

    def save(self, directory: Path) -> None:
        """Saves the guest, which stands still while that is done, and goes on."""
        self.qmp("stop")
        self.qmp("migrate", uri=f"file:{directory / STATE}")
        self.wait_until("the guest to be saved", self._migrated)
        (directory / CONSOLE).write_bytes(self._console_file.read_bytes())
        (directory / BOOT_ID).write_text(self._boot_id)
        self.qmp("cont")

    def restart(self) -> None:
        """Begins anew: where the guest was saved, or else with a boot."""
        self.close()
        self._start()
        self.wait_for_boot()

    def _restart_with_region(self) -> None:
        """Put the saved guest in the place of this one. It gets the region, and the console goes on."""
        region, boots, console = self.read(), self.boots, self._console_file.read_bytes()
        self.close()
        self._start(console)
        self._resume(region)
        self.boots += boots

    def _migrated(self) -> bool:
        status = self.qmp("query-migrate")["status"]
        if status == "failed":
            raise self._error("the guest cannot be saved")
        return status == "completed"

    def _resume(self, region: bytes | None = None) -> None:
        """Waits until a guest goes on from where it was saved, and gives it what it must not share with others."""
        self.wait_until("the saved guest", lambda: self.qmp("query-status")["status"] == "paused")
        if region is not None:
            self.write(region)
        self.qmp("cont")
        self.boots = 1
        self.ok(
            f"date -s @{time.time():.0f}\n"
            "until dmesg | grep -q 'crng reseeded due to virtual machine fork'; do usleep 10000; done"
        )

    # Modules

    def insmod(self, module: str, **parameters: object) -> str:
        """Loads a module, which must succeed, and returns what the kernel log said to it."""
        result = self.logged(insmod(module, **parameters))
        assert result.status == 0, str(result)
        return result.log

    def ramoops(self, module: str = "rust_ramoops", **parameters: object) -> str:
        """Loads a ramoops (ours, or the stock one under the same parameters) onto the reserved region."""
        return self.insmod(module, **({"mem_address": hex(self._region), "mem_size": hex(REGION_SIZE)} | parameters))

    def phram(self, module: str = "rust_phram", *, name: str = "oops", erasesize: str = "") -> str:
        """Makes an MTD device of the reserved region."""
        value = f"{name},{self._region:#x},{REGION_SIZE:#x}"
        return self.insmod(module, phram=value + (f",{erasesize}" if erasesize else ""))

    def load_test_oops(self) -> None:
        """Provides /proc/test_oops."""
        self.ok("[ -e /proc/test_oops ] || insmod test_oops.ko")

    def oops(self, word: str = "oops") -> None:
        """Has the kernel oops in a process of its own, and go on."""
        self.load_test_oops()
        # The writer is killed, and its shell says so: not an error here. The next command tells whether the rest lives.
        self.run(f"sh -c 'echo {word} > /proc/test_oops'")
        self.ok("true")

    def unload(self) -> None:
        """Unloads what tests load, as far as it is loaded."""
        # test_oops stays: an oops leaves a reference to its file behind for ever.
        modules = "mtdoops mtdblock rust_ramoops ramoops rust_phram phram"
        self.ok(f"for m in {modules}; do ! grep -q ^$m' ' /proc/modules || rmmod $m || exit; done")

    # Memory

    def read(self, offset: int = 0, length: int | None = None) -> bytes:
        """Reads the reserved region from outside."""
        end = REGION_SIZE if length is None else offset + length
        return self._ram[self._region + offset : self._region + end]

    def write(self, data: bytes, offset: int = 0) -> None:
        """Scribbles over the reserved region from outside."""
        self._ram[self._region + offset : self._region + offset + len(data)] = data

    # Evidence

    def console(self) -> str:
        """The kernel log since the last boot, as the first serial port had it."""
        return self.all_consoles().rpartition("] Linux version ")[2]

    def all_consoles(self) -> str:
        return self._console_file.read_text(errors="replace")

    def qemu_messages(self) -> str:
        return self._qemu_log.read_text(errors="replace")

    def wait_until(self, what: str, condition: Callable[[], bool], timeout: float = COMMAND_TIMEOUT) -> None:
        """Waits for something that is seen from outside."""
        patience = self.patience(timeout)
        while not condition():
            if patience.left() < 0:
                raise self._error(f"waited in vain for {what}")
            time.sleep(0.01)

    # Machinery

    def qmp(self, command: str, *, done: str = "", **arguments: object) -> object:
        """Gives QEMU an order, and returns its answer. If there is a sign that the order is `done`, waits for that too.

        (A client for a few orders; a library would be larger than its use here.)
        """
        if not self._qmp_ready and command != "qmp_capabilities":
            self.qmp("qmp_capabilities")
            self._qmp_ready = True
        self._qmp.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self._qmp.flush()
        # Events come in between, and a greeting first of all.
        answer = None
        for line in self._qmp:
            message = json.loads(line)
            if "error" in message:
                raise self._error(f"QEMU refused {command}: {message['error']}")
            if message.get("event") == "SHUTDOWN":
                self._shutdown_reason = message["data"]["reason"]
            if "return" in message:
                answer = message["return"]
            elif done and message.get("data", {}).get("reason") == done:
                done = ""
            if answer is not None and not done:
                return answer
        raise self._error(f"QEMU did not answer to {command}")

    def monitor(self, line: str) -> str:
        """Gives QEMU an order for which there is no other way than its monitor for humans."""
        return str(self.qmp("human-monitor-command", **{"command-line": line}))

    def send(self, command: str) -> str:
        """Send a command, and return what `answer` takes. A guest that stands still reads it when it goes on."""
        VM.last_used = self
        if self.lost:
            raise GuestError("the guest was lost before, and has not been reset")
        nonce = secrets.token_hex(8)
        encoded = base64.b64encode(command.encode()).decode()
        try:
            self._agent.sendall(f"RUN {nonce} {encoded}\n".encode())
        except BrokenPipeError:
            self._process.wait(patient(COMMAND_TIMEOUT))
            self._check_qemu(f"an answer to: {command}")
            raise
        return nonce

    def _next_boot_message(self, timeout: float | None, what: str) -> list[str]:
        """The next message, for which a boot is waited. A boot that hangs before guest/init is done is tried once more."""
        timeout = timeout or BOOT_PATIENCE * self.BOOT_SECONDS
        try:
            return self._next_message(timeout, what)
        except GuestError as error:
            allowed = len(VM.hung_boots) < VM.hung_boots_allowed
            if not allowed or self._process.poll() is not None or not self._hangs_in_a_boot():
                raise
            VM.hung_boots.append(f"{error}\n{self.console()[-2000:]}\n{self.monitor('info registers -a')}")
            self.press_reset()
            return self._next_message(timeout, f"{what}, which hung, and was tried again")

    def _hangs_in_a_boot(self) -> bool:
        """Whether nothing under test has run since the guest was started, or since it began to boot anew."""
        return self.boots == 0 or self._begun() > self._done

    def _begun(self) -> int:
        """How many boots the console has seen."""
        return self.all_consoles().count("] Linux version ")

    def patience(self, timeout: float) -> Patience:
        return Patience(self._process.pid, timeout)

    def _next_message(self, timeout: float, what: str) -> list[str]:
        patience = self.patience(timeout)
        while True:
            line, newline, rest = self._pending.partition(b"\n")
            if newline:
                self._pending = rest
                # The port may carry noise before the first message of a boot, or an answer that the reboot cut short.
                text = line.decode(errors="replace")
                if match := re.search(r"HELLO .*", text) or re.search(r"DONE .*", text):
                    words = match[0].split()
                    if words[0] == "HELLO":
                        self._note_boot(words[1])
                    return words
                continue
            self._check_qemu(what)
            left = patience.left()
            if left < 0:
                raise self._error(f"the guest hangs: waited in vain for {what}")
            self._agent.settimeout(min(1.0, max(0.01, left)))
            try:
                data = self._agent.recv(1 << 16)
            except TimeoutError:
                continue
            except ConnectionResetError:
                data = b""
            if not data:
                self._process.wait(patient(COMMAND_TIMEOUT))
            self._pending += data

    def _note_boot(self, boot_id: str) -> None:
        if boot_id == self._boot_id:
            raise self._error("the guest's agent started again without a reboot")
        self._boot_id = boot_id
        self.boots += 1
        self._done = self._begun()

    def _check_qemu(self, what: str) -> None:
        if self._process.poll() is not None:
            raise self._error(f"QEMU ended ({self._process.returncode}) while waiting for {what}")
        if "KVM internal error" in self.qemu_messages():
            raise self._error(f"KVM failed while waiting for {what}")

    def _error(self, message: str) -> GuestError:
        self.lost = True
        if messages := self.qemu_messages():
            message += f"\nQEMU: {messages[:1000]}"
        return GuestError(message)


def insmod(module: str, **parameters: object) -> str:
    """The shell command that loads a module."""
    return " ".join(["insmod", f"{module}.ko", *(shlex.quote(f"{name}={value}") for name, value in parameters.items())])
