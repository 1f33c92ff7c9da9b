"""Takes the kernel out of the compressed image that the distribution ships.

A guest unpacks the image at each boot, which under emulation is half of what the boot takes. QEMU starts the kernel
itself as well, by its PVH entry: after the same firmware, and then the same code runs. What is left out is the
unpacking and, as it is done there, the random choice of the kernel's place.
"""

from __future__ import annotations

import ctypes
import struct
from pathlib import Path

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


def unpack_kernel(image: Path, target: Path) -> None:
    """Writes the ELF file inside of the image; it appears complete or not at all.

    The layout is that of the x86 boot protocol: https://docs.kernel.org/arch/x86/boot.html
    """
    data = image.read_bytes()
    setup_sectors = data[0x1F1] or 4
    offset, length = struct.unpack_from("<II", data, 0x248)
    start = (1 + setup_sectors) * 512 + offset
    # The length of the unpacked kernel follows the packed one.
    packed, unpacked_length = data[start : start + length - 4], struct.unpack_from("<I", data, start + length - 4)[0]
    if not packed.startswith(ZSTD_MAGIC):
        raise ValueError(f"{image} is not packed by zstd")
    zstd = ctypes.CDLL("libzstd.so.1")  # Python has it from 3.14 on.
    zstd.ZSTD_decompress.restype = ctypes.c_size_t
    kernel = ctypes.create_string_buffer(unpacked_length)
    written = zstd.ZSTD_decompress(kernel, ctypes.c_size_t(unpacked_length), packed, ctypes.c_size_t(len(packed)))
    if written != unpacked_length:
        raise ValueError(f"{image} cannot be unpacked")
    unfinished = target.with_suffix(".unfinished")
    unfinished.write_bytes(kernel)
    unfinished.rename(target)
