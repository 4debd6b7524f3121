"""Gives freed memory back to the system: glibc keeps what loading, compiling and resizing free."""

from __future__ import annotations

import ctypes
import platform

_GLIBC = platform.libc_ver()[0] == "glibc"


def trim_memory() -> None:
    """Return free pages to the system; nothing happens where the C library is not glibc."""
    if _GLIBC:
        ctypes.CDLL(None).malloc_trim(0)
