"""One App per workspace: who has it, and at which address."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from curate.errors import ReviewError
from curate.files import parse_json


class Running:
    """The lock of a review that is open. The kernel frees it on any exit."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def tell(self, url: str) -> None:
        """Leave the address for whoever tries to open a second one."""
        content = json.dumps({"pid": os.getpid(), "url": url}).encode()
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, content, 0)


@contextmanager
def alone(file: Path) -> Iterator[Running]:
    """Hold the lock `file`.

    Raises
    ------
    ReviewError : another process has it; the message gives its address
    """
    handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)  # the address holds the key
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ReviewError(_who(handle, file), do="open that address, or end that process (Ctrl-C)") from None
        os.ftruncate(handle, 0)
        yield Running(handle)
    finally:
        os.close(handle)


def _who(handle: int, file: Path) -> str:
    try:
        other = parse_json(os.pread(handle, 4096, 0))
        return f"a review of {file.parent} is open already (pid {other['pid']}): {other['url']}"
    except (ValueError, KeyError, TypeError):
        return f"a review of {file.parent} is just starting in another process"
