"""Small sources to read: files with an image's name and no pixels, for ingest opens none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

Plant = Callable[..., Path]


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    """`plant("cat/1.jpg", "notes.txt")` makes these files below a folder `data` and returns it."""

    def make(*names: str) -> Path:
        root = tmp_path / "data"
        root.mkdir(exist_ok=True)
        for name in names:
            file = root / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        return root

    return make


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """`write("m.csv", "image\\n1.jpg\\n")` writes text or bytes below the folder `data` and returns the file."""

    def make(name: str, content: str | bytes) -> Path:
        file = tmp_path / "data" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return file

    return make


@pytest.fixture
def sources() -> Callable[..., pd.DataFrame]:
    """`sources("1.jpg", "2.jpg")` is a table SOURCES of unlabelled images below /data."""

    def make(*ids: str) -> pd.DataFrame:
        none = pd.Series(None, index=range(len(ids)), dtype="str")
        return pd.DataFrame(
            {
                "sample_id": pd.Series(ids, dtype="str"),
                "path": pd.Series([f"/data/{i}" for i in ids], dtype="str"),
                "label": none,
                "split": none,
                "group": none,
            }
        )

    return make


@pytest.fixture
def said() -> Callable[..., pd.DataFrame]:
    """`said("1 ann cat", "1 bob dog")` is a table ANNOTATIONS."""

    def make(*votes: str) -> pd.DataFrame:
        return pd.DataFrame([v.split() for v in votes], columns=["sample_id", "annotator", "label"], dtype="str")

    return make
