"""The shards of one embedder: rows, embeddings and thumbnails, each shard whole or not there.

    embeddings/<model>/
      made.json           whose embeddings these are, and their length
      00000/              rows.parquet, embeddings.npy, thumbs.npy; then 00001/ …

A shard never changes. A sample looked at again has a row in a later shard, and the last one counts.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curate.schema import empty
from curate.workspace import replacing_folder, write_atomically

THUMB = 32  # pixels, square: enough to tell whether two pictures are the same shot
NO_PLACE = -1  # `place` of a row without pixels


@dataclass(frozen=True)
class Embedded:
    """What was computed of the readable samples, row by row.

    Attributes
    ----------
    sample_ids : (n,) in the order of the scan
    embeddings : (n, d) float16, L2-normalised
    thumbs : (n, 32, 32, 3) uint8, RGB, squeezed to a square
    """

    sample_ids: list[str]
    embeddings: np.ndarray
    thumbs: np.ndarray


class Store:
    """A folder of shards. One process writes to it at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def prepared(cls, folder: Path, fingerprint: str, dim: int) -> Store:
        """The store in `folder` for embeddings of this fingerprint; shards of another are removed: they are stale."""
        made = {"fingerprint": fingerprint, "dim": dim}
        if _read_json(folder / "made.json") != made:
            for shard in cls(folder).shards():
                shutil.rmtree(shard)
            write_atomically(folder / "made.json", json.dumps(made).encode())
        return cls(folder)

    @property
    def dim(self) -> int:
        return int(_read_json(self.folder / "made.json")["dim"])

    def shards(self) -> list[Path]:
        """The finished shards, oldest first."""
        return sorted((path for path in self.folder.glob("*") if path.name.isdigit()), key=lambda path: int(path.name))

    def rows(self) -> pd.DataFrame:
        """Every stored row, oldest first: SCAN columns, `shard` (its folder) and `place` in that shard's arrays."""
        parts = [pd.read_parquet(path / "rows.parquet").assign(shard=path.name) for path in self.shards()]
        return pd.concat(parts, ignore_index=True) if parts else empty("scan").assign(place=0, shard="")

    def add(self, rows: pd.DataFrame, embeddings: np.ndarray, thumbs: np.ndarray) -> None:
        """Write a new shard, whole or not at all. The rows' `place` counts through the arrays."""
        number = 1 + max((int(path.name) for path in self.shards()), default=-1)
        with replacing_folder(self.folder / f"{number:05d}") as folder:
            rows.to_parquet(folder / "rows.parquet", index=False)
            np.save(folder / "embeddings.npy", embeddings.astype(np.float16))
            np.save(folder / "thumbs.npy", thumbs)
            for file in folder.iterdir():
                _flush(file)

    def arrays(self, shard: str) -> tuple[np.ndarray, np.ndarray]:
        """Embeddings and thumbnails of one shard, memory-mapped."""
        folder = self.folder / shard
        return np.load(folder / "embeddings.npy", mmap_mode="r"), np.load(folder / "thumbs.npy", mmap_mode="r")

    def gather(self, shards: Iterable[str], places: Iterable[int]) -> tuple[np.ndarray, np.ndarray]:
        """Embeddings (n, d) float16 and thumbnails (n, 32, 32, 3) uint8 at n places, in their order."""
        names, rows = np.array(list(shards), dtype=object), np.array(list(places), dtype=np.int64)
        embeddings = np.empty((len(rows), self.dim), np.float16)
        thumbs = np.empty((len(rows), THUMB, THUMB, 3), np.uint8)
        for shard in dict.fromkeys(names):
            here = np.flatnonzero(names == shard)
            some_embeddings, some_thumbs = self.arrays(shard)
            embeddings[here], thumbs[here] = some_embeddings[rows[here]], some_thumbs[rows[here]]
        return embeddings, thumbs


def _read_json(file: Path) -> dict[str, Any]:
    try:
        made: dict[str, Any] = json.loads(file.read_text())
    except FileNotFoundError:
        return {}
    return made


def _flush(file: Path) -> None:
    """Bring a file to the disk, so that a shard whose folder has its name also has its content."""
    handle = os.open(file, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
