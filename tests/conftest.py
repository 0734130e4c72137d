"""What every test may use: the bench images where they are present."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def bench() -> Path:
    """The folder of real images with known truth beside the checkout; skips where it is absent."""
    folder = Path(__file__).parents[2] / "shared" / "bench"
    if not folder.is_dir():
        pytest.skip("shared/bench (real images with human labels) is not beside this checkout")
    return folder
