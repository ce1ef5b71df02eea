"""The C library's memory allocator, told to keep what is freed for the next tensor.

By default glibc gives large blocks back to the system at once. Every tensor of a forward pass is
then made of pages that the system has to hand out, and fill with zeros, anew: a tenth of the time
of a ResNet-50, and more on a busy machine (benchmarks/README.md). What is kept is what the process
had in use at its peak.
"""

import ctypes
import os

SWITCH = "STSM_ALLOCATOR"
"""Environment variable; `off` leaves the allocator as it is."""

# numbers of glibc's malloc.h
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_SIZES = (2**31 - 1, 2**25)  # the largest that is accepted: older versions refuse above 32 MiB


def keep_freed_memory() -> bool:
    """Have this process, and those forked from it, keep freed memory; whether that was done.

    Not where `STSM_ALLOCATOR=off`, nor where the C library is not glibc.
    """
    if os.environ.get(SWITCH) == "off" or not _is_glibc():
        return False
    mallopt = ctypes.CDLL(None).mallopt
    thresholds = (_MMAP_THRESHOLD, _TRIM_THRESHOLD)
    return all(any(mallopt(threshold, size) for size in _SIZES) for threshold in thresholds)


def _is_glibc() -> bool:
    """Tell whether it is: musl has no such setting, and other systems no such function."""
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") is not None  # type: ignore[attr-defined,unused-ignore]
    except (AttributeError, ValueError, OSError):
        return False
