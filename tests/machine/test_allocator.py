"""The C library's settings, wherever the tests run."""

from __future__ import annotations

import platform
from pathlib import Path

import numpy as np
import pytest

from curate.machine.allocator import give_back, keep_large_blocks


def test_the_allocators_settings_can_be_made_anywhere() -> None:
    keep_large_blocks()
    give_back()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no malloc_trim")
def test_memory_that_was_kept_is_given_back() -> None:
    keep_large_blocks()
    many = [np.ones(1 << 17) for _ in range(300)]  # 1 MiB each
    last = many[-1]
    del many
    held = _resident_mib()
    give_back()
    assert _resident_mib() < held - 200
    assert last.sum() == 1 << 17


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20
