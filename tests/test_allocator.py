"""The C library's settings, wherever the tests run."""

from __future__ import annotations

from curate.allocator import keep_large_blocks


def test_the_allocators_settings_can_be_made_anywhere() -> None:
    keep_large_blocks()
