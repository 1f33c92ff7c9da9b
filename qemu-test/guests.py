"""Starts the guests of a run. A guest that was booted once need not boot again: others go on from where it was saved."""

from __future__ import annotations

import fcntl
import hashlib
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from vm import VM

FIRST_BOOT_TIMEOUT = 600.0

# So many boots that hang before anything under test has run are tried again, and reported, in each worker.
HUNG_BOOTS = 2


@contextmanager
def locked(directory: Path, name: str) -> Iterator[Path]:
    """Lets one worker at a time do something that is to be done once per run."""
    with (directory / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield directory / name


class Guests:
    """The kinds of guests of this run: those that were started with the same options."""

    def __init__(self, directory: Path, accel: str, machine: type[VM] = VM, saving: bool = True) -> None:
        self._directory = directory
        self._accel = accel
        self._machine = machine
        # With KVM a boot takes no longer than to go on does.
        self._saving = saving and accel == "tcg"

    def measure_pace(self, initramfs: Path, directory: Path, **options: object) -> float:
        """How many times as long as on an idle machine the first boot of this run takes."""
        with locked(self._directory, f"pace-{self._machine.__name__}") as result:
            if not result.exists():
                started = time.monotonic()
                # Nothing is known yet: for a while it may take any time.
                vm = self._machine(initramfs, directory, accel=self._accel, **options)
                with closing(vm):
                    vm.wait_for_boot(FIRST_BOOT_TIMEOUT)
                    seconds = time.monotonic() - started
                    if self._saving:
                        with locked(self._directory, self._name(initramfs, options)) as place:
                            self._save(vm, place)
                result.write_text(str(max(1.0, seconds / self._machine.BOOT_SECONDS)))
        return float(result.read_text())

    def start(self, initramfs: Path, directory: Path, **options: object) -> VM:
        """Start a guest: `with guests.start(...) as vm`. The first one of a kind boots and is saved, for all later ones,
        and for itself when it has crashed."""
        if not self._saving:
            return self._machine(initramfs, directory, accel=self._accel, **options)
        with locked(self._directory, self._name(initramfs, options)) as place:
            if place.exists():
                return self._machine(initramfs, directory, accel=self._accel, saved=place, **options)
            vm = self._machine(initramfs, directory, accel=self._accel, **options)
            try:
                vm.wait_for_boot()
                self._save(vm, place)
            except BaseException:
                vm.close()
                raise
            return vm

    def _name(self, initramfs: Path, options: dict[str, object]) -> str:
        kind = (self._machine.__name__, initramfs, sorted(options.items()))
        return "guest-" + hashlib.sha256(repr(kind).encode()).hexdigest()[:16]

    def _save(self, vm: VM, place: Path) -> None:
        """Saves a guest; its state appears complete or not at all."""
        unfinished = place.with_suffix(".unfinished")
        unfinished.mkdir()
        vm.save(unfinished)
        unfinished.rename(place)
        vm.saved = place
