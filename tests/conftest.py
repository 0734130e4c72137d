"""What every test may use: the bench images where they are present."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest_plugins = [f"fixtures.{name}" for name in ("scanning", "sources", "training", "users")]

# The arrays of tests are small: threads that wait for each other, on a busy machine, would take most of the time.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def bench() -> Path:
    """The folder of real images with known truth beside the checkout; skips where it is absent."""
    folder = Path(__file__).parents[2] / "shared" / "bench"
    if not folder.is_dir():
        pytest.skip("shared/bench (real images with human labels) is not beside this checkout")
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's chromium, driven by Playwright; skips where it is absent."""
    if (chromium := shutil.which("chromium")) is None:
        pytest.skip("no chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def images(first: Path, tmp_path: Path) -> Iterator[Path]:
    """The images of a module's `first` where they were when they were ingested; put back as they were at the end."""
    shutil.copytree(first / "images", tmp_path / "kept")
    yield first / "images"
    shutil.rmtree(first / "images")
    shutil.copytree(tmp_path / "kept", first / "images")


@pytest.fixture
def workspace(first: Path, tmp_path: Path) -> Path:
    """A copy of the workspace of a module's `first`."""
    return Path(shutil.copytree(first / "ws", tmp_path / "ws"))


@pytest.fixture(scope="session")
def digits_folder(tmp_path_factory) -> Path:
    """400 handwritten digits as root/CLASS/img.png; 20 of them in the wrong folder, 5 twice."""
    from PIL import Image
    from sklearn.datasets import load_digits

    root = tmp_path_factory.mktemp("digits")
    digits = load_digits()
    for number, (pixels, label) in enumerate(zip(digits.images[:400], digits.target[:400], strict=True)):
        folder = root / str((label + (number % 20 == 7)) % 10)
        folder.mkdir(exist_ok=True)
        picture = Image.fromarray((pixels * 15.9).astype("uint8")).resize((32, 32), Image.Resampling.BICUBIC)
        picture.save(folder / f"{number:04d}.png")
        if number % 80 == 3:
            picture.save(folder / f"{number:04d}-copy.png")
    return root
