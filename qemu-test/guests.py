"""Starts the guests of a run. A guest that was booted once need not boot again: others go on from where it was saved."""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vm import VM


@contextmanager
def locked(directory: Path, name: str) -> Iterator[Path]:
    """Lets one worker at a time do something that is to be done once per run."""
    with (directory / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield directory / name


class Guests:
    """The kinds of guests of this run: those that were started with the same options."""

    def __init__(self, directory: Path, accel: str, machine: type[VM] = VM) -> None:
        self._directory = directory
        self._accel = accel
        self._machine = machine

    def start(self, initramfs: Path, directory: Path, **options: object) -> VM:
        """Starts a guest: `with guests.start(...) as vm`. The second one of a kind boots and is saved, for all later ones.

        (Not the first one, because of most kinds there is only one, and 80 MB of state. With KVM a boot takes no longer
        than to go on does.)
        """
        options |= {"accel": self._accel}
        if self._accel == "kvm":
            return self._machine(initramfs, directory, **options)
        name = hashlib.sha256(repr((self._machine.__name__, initramfs, sorted(options.items()))).encode()).hexdigest()[:16]
        with locked(self._directory, f"guest-{name}") as place:
            if place.exists():
                return self._machine(initramfs, directory, saved=place, **options)
            vm = self._machine(initramfs, directory, **options)
            known = place.with_suffix(".known")
            if known.exists():
                try:
                    vm.wait_for_boot()
                    unfinished = place.with_suffix(".unfinished")
                    unfinished.mkdir()
                    vm.save(unfinished)
                    unfinished.rename(place)
                    vm.saved = place
                except BaseException:
                    vm.close()
                    raise
            known.touch()
            return vm
