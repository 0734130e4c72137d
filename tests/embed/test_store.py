"""Shards are whole or not there, and belong to one embedder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from curate.embed.store import NO_PLACE, Store
from curate.schema import conform


def rows(*names: str, places: list[int]) -> pd.DataFrame:
    table = pd.DataFrame({"sample_id": names, "status": "ok"}).reindex(columns=_columns())
    return conform("scan", table).assign(place=places)


def _columns() -> list[str]:
    from curate.schema import TABLES

    return [column.name for column in TABLES["scan"].columns]


def add(store: Store, number: int) -> None:
    embeddings = np.full((2, 3), number, np.float16)
    thumbs = np.full((2, 32, 32, 3), number, np.uint8)
    names = (f"{number}a", f"{number}b", f"{number}c")
    store.add(rows(*names, places=[0, NO_PLACE, 1]), embeddings, thumbs)


def test_what_is_added_is_there(tmp_path: Path) -> None:
    store = Store.prepared(tmp_path / "s", "one", 3)
    for number in range(12):
        add(store, number)
    table = Store(tmp_path / "s").rows()
    assert len(table) == 36
    assert table["shard"].iloc[-1] == "00011"
    embeddings, thumbs = store.gather(["00011", "00002", "00011"], [1, 0, 0])
    assert embeddings[:, 0].tolist() == thumbs[:, 0, 0, 0].tolist() == [11, 2, 11]
    assert embeddings.dtype == np.float16


def test_a_new_store_has_no_rows(tmp_path: Path) -> None:
    store = Store.prepared(tmp_path / "s", "one", 3)
    assert store.rows().empty
    assert [array.shape for array in store.gather([], [])] == [(0, 3), (0, 32, 32, 3)]


def test_another_embedders_shards_are_stale(tmp_path: Path) -> None:
    add(Store.prepared(tmp_path / "s", "one", 3), 0)
    assert len(Store.prepared(tmp_path / "s", "one", 3).rows()) == 3
    assert Store.prepared(tmp_path / "s", "two", 3).rows().empty


def test_other_files_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    add(Store.prepared(tmp_path, "one", 3), 0)
    Store.prepared(tmp_path, "two", 3)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_shard_that_fails_halfway_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.prepared(tmp_path / "s", "one", 3)
    add(store, 0)

    def full_disk(file: Path, array: np.ndarray) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full_disk)
    with pytest.raises(OSError, match="No space left"):
        add(store, 1)
    assert [path.name for path in sorted((tmp_path / "s").iterdir())] == ["00000", "made.json"]
