"""Folders to scan, and what scans them without a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
import torch
from embed_samples import FakeEmbedder, picture


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    """Small networks on a busy machine: threads would mostly wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def embedder() -> FakeEmbedder:
    return FakeEmbedder()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten pictures, `00.jpg` to `09.png`."""
    root = tmp_path / "images"
    root.mkdir()
    for number in range(10):
        kind = "png" if number % 3 == 0 else "jpg"
        picture(number).save(root / f"{number:02d}.{kind}")
    return root


@pytest.fixture
def sources_of() -> Callable[[Path], pd.DataFrame]:
    def read(folder: Path) -> pd.DataFrame:
        paths = sorted(folder.rglob("*"))
        rows = [(path.relative_to(folder).as_posix(), str(path), None, None, None) for path in paths]
        return pd.DataFrame(rows, columns=["sample_id", "path", "label", "split", "group"])

    return read
