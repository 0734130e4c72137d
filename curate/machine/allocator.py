"""How the C library gives memory back."""

from __future__ import annotations

import ctypes
import platform


def keep_large_blocks() -> None:
    """Tell glibc to keep large blocks for the next call: else each activation is mapped and faulted in anew.

    Holds for the process from here on. Elsewhere than on glibc it does nothing.
    """
    if (libc := _glibc()) is not None:
        libc.mallopt(_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(_TRIM_THRESHOLD, (1 << 31) - 1)
        libc.mallopt(_ARENA_MAX, 1)  # further arenas give their memory back whatever the threshold


def give_back() -> None:
    """Give the system what is free: between two steps of large arrays, which need it in other places."""
    if (libc := _glibc()) is not None:
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None


_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # numbers of mallopt, from malloc.h
