"""Fixtures: what all tests share is built once per run; a file of tests shares one guest."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from _pytest._code.code import ExceptionRepr

from accel import choose_accel
from guests import Guests, HUNG_BOOTS, locked
from initramfs import build_helpers, build_initramfs, build_test_modules, our_modules, PROGRAMS, PROJECT, reader
from kernel import unpack_kernel
from records import build_reader, Reader
from vm import kernel_image, REGION_SIZE, VM

CONSOLE_LINES = 60


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--resets", default=30, type=int, help="resets in the long test of test_torture.py (default: 30)")
    parser.addoption("--seed", type=int, help="for what is random in test_torture.py (default: RUST_RAMOOPS_SEED, or 1)")


@pytest.fixture(scope="session")
def run_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that all workers of this run share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if base.name.startswith("popen-") else base


@pytest.fixture(scope="session")
def initramfs(run_directory: Path) -> Path:
    with locked(run_directory, "initramfs.cpio") as image:
        if not image.exists():
            modules = [*our_modules(), *build_test_modules(run_directory)]
            helpers = build_helpers(run_directory / "helpers")
            build_initramfs(image, modules, programs=(*PROGRAMS, reader(), *helpers))
    return image


@pytest.fixture(scope="session")
def hooked_initramfs(run_directory: Path) -> Path:
    """The same with modules that were built with test hooks."""
    with locked(run_directory, "hooks") as directory:
        image = directory.with_suffix(".cpio")
        if not image.exists():
            build = directory.with_suffix(".build")
            command = ["make", "modules", f"BUILD_DIR={build}", "TEST_HOOKS=1"]
            subprocess.run(command, cwd=PROJECT, check=True, capture_output=True)
            modules = [build / "rust_ramoops.ko", build / "rust_phram.ko", *build_test_modules(build)]
            build_initramfs(image, modules)
    return image


@pytest.fixture(scope="session")
def accel(initramfs: Path) -> str:
    return choose_accel(initramfs)


@pytest.fixture(scope="session")
def records(run_directory: Path) -> Reader:
    """Reads the records of a guest's region: `records(vm, record_size=...)`."""
    with locked(run_directory, "reader"):
        return Reader(build_reader())


@pytest.fixture(scope="session")
def guests(
    run_directory: Path, initramfs: Path, kernel: Path, accel: str, tmp_path_factory: pytest.TempPathFactory
) -> Guests:
    VM.hung_boots_allowed = HUNG_BOOTS
    guests = Guests(run_directory, accel)
    VM.pace = guests.measure_pace(initramfs, tmp_path_factory.mktemp("guest"), kernel=kernel)
    return guests


@pytest.fixture(scope="session")
def kernel(run_directory: Path) -> Path:
    """What guests boot unless a file of tests says otherwise: the stock kernel, unpacked, because that boots faster."""
    with locked(run_directory, "vmlinux") as kernel:
        if not kernel.exists():
            unpack_kernel(kernel_image(), kernel)
    return kernel


@pytest.fixture(scope="session")
def start(guests: Guests, kernel: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., VM]:
    """Starts a guest from an initramfs: `with start(...) as vm`."""

    def start(initramfs: Path, **options: object) -> VM:
        return guests.start(initramfs, tmp_path_factory.mktemp("guest"), **({"kernel": kernel} | options))

    return start


@pytest.fixture(scope="session")
def boot(start: Callable[..., VM], initramfs: Path) -> Callable[..., VM]:
    """Starts a guest from the initramfs that most tests use."""
    return partial(start, initramfs)


@pytest.fixture(scope="module")
def vm_options() -> dict[str, object]:
    """What is special about the guest of a file of tests; files override it."""
    return {}


@pytest.fixture(scope="module")
def shared_vm(boot: Callable[..., VM], vm_options: dict[str, object]) -> Iterator[VM]:
    with boot(**vm_options) as vm:
        yield vm


@pytest.fixture
def vm(shared_vm: VM) -> VM:
    """The guest of this file of tests, with an empty region and nothing loaded.

    A case that lost the guest does not take the other cases with it.
    """
    if shared_vm.lost:
        shared_vm.restart()
    shared_vm.unload()
    shared_vm.write(bytes(REGION_SIZE))
    return shared_vm


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["hung_boots"] = VM.hung_boots


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    VM.hung_boots += getattr(node, "workeroutput", {}).get("hung_boots", [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if VM.hung_boots:
        terminalreporter.section("BOOTS THAT HUNG BEFORE ANYTHING UNDER TEST RAN, AND WERE TRIED AGAIN", red=True)
        for report in VM.hung_boots:
            terminalreporter.write_line(report)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    if report.failed and VM.last_used:
        tail = VM.last_used.all_consoles().splitlines()[-CONSOLE_LINES:]
        # A section of the failure itself gets into the JUnit file, too. (A missing fixture has none.)
        if isinstance(report.longrepr, ExceptionRepr):
            report.longrepr.addsection("guest console", "\n".join(tail))
    return report


def pytest_runtest_setup(item: pytest.Item) -> None:
    VM.last_used = None
