"""Helpers for tests of the ledger: a process without root's rights, where the tests run as root."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# Modules are imported first: an ordinary user may not see root's Python.
BECOME_NOBODY = """
import os, sys
from curate.errors import LedgerError
from curate.review.ledger import Ledger
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
"""


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that any user of the machine may enter (pytest's own are closed to others)."""
    folder = Path(tempfile.mkdtemp(prefix="curate-test-"))
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


@pytest.fixture
def as_ordinary_user() -> Callable[..., str]:
    """Run a script, in which `os`, `sys`, `Ledger` and `LedgerError` are known, without root's rights."""

    def run(script: str, *arguments: str) -> str:
        command = [sys.executable, "-c", BECOME_NOBODY + script, *arguments]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
