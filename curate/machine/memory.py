"""How much memory there is, and a budget of it that threads share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Condition
from typing import Any

CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")  # of a container; "max" where there is none


def total_memory() -> int:
    """Bytes of memory that this process may use: the machine's, or its container's."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):
        return min(machine, int(CGROUP_LIMIT.read_text()))
    return machine


class MemoryBudget:
    """Bytes that threads may hold together. Who asks for more than is free waits.

    Pickled, it is an equal budget of another process.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self._free, self._changed = total, Condition()

    def __reduce__(self) -> tuple[Any, ...]:
        return MemoryBudget, (self.total,)

    @contextmanager
    def holding(self, size: int) -> Iterator[None]:
        """Wait until `size` bytes are free, and hold them. Don't ask again while holding: two who do may wait for ever.

        Raises
        ------
        MemoryError : more than there is in all
        """
        if size > self.total:
            raise MemoryError(f"{size:,} bytes, of {self.total:,} in all")
        with self._changed:
            self._changed.wait_for(lambda: self._free >= size)
            self._free -= size
        try:
            yield
        finally:
            with self._changed:
                self._free += size
                self._changed.notify_all()
