"""Builds what the guest boots into: busybox, a few mtd-utils, modules, and guest/init. Takes about a second."""

from __future__ import annotations

import lzma
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent

STOCK_MODULES = (
    "drivers/mtd/mtd",
    "drivers/mtd/mtd_blkdevs",
    "drivers/mtd/mtdblock",
    "drivers/mtd/mtdoops",
    "drivers/mtd/devices/phram",
    "lib/reed_solomon/reed_solomon",
    "fs/pstore/ramoops",
)
PROGRAMS = ("flash_erase", "mtd_debug")


def our_modules() -> list[Path]:
    """The modules under test, as they were last built."""
    modules = [PROJECT / "rust_ramoops.ko", PROJECT / "rust_phram.ko"]
    missing = [module.name for module in modules if not module.exists()]
    if missing:
        raise FileNotFoundError(f"{' and '.join(missing)} missing: build with `make modules` first")
    return modules


def stock_module(name: str) -> bytes:
    """A module of the kernel's package."""
    path = Path("/usr/lib/modules") / os.environ["KERNEL_RELEASE"] / f"kernel/{name}.ko.xz"
    return lzma.decompress(path.read_bytes())


def reader() -> Path:
    """ramoopsctl, as it was last built."""
    program = PROJECT / "target/release/ramoopsctl"
    if not program.exists():
        raise FileNotFoundError(f"{program.name} missing: build with `make ramoopsctl` first")
    return program


def build_initramfs(
    image: Path,
    modules: Iterable[Path],
    stock_modules: Iterable[str] = STOCK_MODULES,
    programs: Iterable[str | Path] = PROGRAMS,
    files: Mapping[str, Path] = {},  # Where in the guest: which.
) -> None:
    """Writes the image; it appears complete or not at all."""
    with tempfile.TemporaryDirectory(dir=image.parent) as directory:
        root = Path(directory)
        for folder in ("bin", "modules"):
            (root / folder).mkdir()
        shutil.copy(HERE / "guest/init", root / "init")
        shutil.copy("/usr/bin/busybox", root / "bin")
        for program in programs:
            _copy_program(root, program)
        for target, source in files.items():
            (root / target).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, root / target)
        for name in stock_modules:
            (root / f"modules/{Path(name).name}.ko").write_bytes(stock_module(name))
        for module in modules:
            # As an installation does; debug information would be most of the image.
            subprocess.run(["strip", "--strip-debug", "-o", root / "modules" / module.name, module], check=True)

        names = "\n".join(str(path.relative_to(root)) for path in sorted(root.rglob("*")))
        unfinished = image.with_suffix(".unfinished")
        with unfinished.open("wb") as output:
            subprocess.run(
                ["cpio", "--create", "--format=newc", "--quiet", "--owner=+0:+0"],
                cwd=root,
                input=names.encode(),
                stdout=output,
                check=True,
            )
        unfinished.rename(image)


def build_test_modules(directory: Path, folder: Path = HERE / "modules") -> list[Path]:
    """Build a folder of modules in C out of tree, and insist on no warnings."""
    source = directory / "modules"
    shutil.copytree(folder, source)
    # CC: the compiler that the kernel was built with.
    command = ["make", "-C", os.environ["KDIR"], f"M={source}", "CC=gcc-14", "modules"]
    build = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if build.returncode or "warning:" in build.stdout:
        raise RuntimeError(f"{folder} does not build cleanly:\n{build.stdout}")
    return sorted(source.glob("*.ko"))


def build_helpers(directory: Path) -> list[Path]:
    """Build the programs in C that tests run in the guest."""
    directory.mkdir()
    helpers = []
    for source in sorted((HERE / "guest").glob("*.c")):
        helpers.append(directory / source.stem)
        subprocess.run(["gcc-14", "-Wall", "-Werror", "-o", helpers[-1], source], check=True)
    return helpers


def _copy_program(root: Path, name: str | Path) -> None:
    program = shutil.which(name)
    if not program:
        raise FileNotFoundError(f"{name} is not installed (package mtd-utils)")
    shutil.copy(program, root / "bin")
    libraries = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    for library in re.findall(r"(/\S+) \(0x", libraries):
        target = root / library.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, target)
