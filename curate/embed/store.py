"""The shards of one embedder: rows, embeddings and thumbnails, each shard whole or not there.

    embeddings/<model>/
      made.json           whose embeddings these are, and their length
      00000/              rows.parquet, embeddings.npy, thumbs.npy, and shard.json with their digests; then 00001/ …

A shard never changes. A sample looked at again has a row in a later shard, and the last one counts.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from curate.embed.look import THUMB
from curate.errors import DamagedFile, StageMissing
from curate.files import (
    digest_of,
    read_json,
    read_sealed,
    read_table,
    replacing_folder,
    require_digest,
    sealed,
    write_atomically,
)
from curate.schema import empty

NO_PLACE = -1  # `place` of a row without pixels
DIGESTS = "shard.json"  # of a shard: the digest of each of its files
FILES = ("rows.parquet", "embeddings.npy", "thumbs.npy")
AGAIN = "curate ingest SOURCE, which looks at its images again"


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
        self._digests: dict[str, dict[str, str]] = {}  # of the shards that were found to be what was written

    @classmethod
    def prepared(cls, folder: Path, fingerprint: str, dim: int) -> Store:
        """The store in `folder` for embeddings of this fingerprint.

        Shards of another fingerprint are stale, and damaged ones are of no use: they are removed, so that their
        images are looked at again.
        """
        made, store = {"fingerprint": fingerprint, "dim": dim}, cls(folder)
        is_ours = read_json(folder / "made.json") == sealed(made)
        for shard in store.shards():
            if not (is_ours and store.is_whole(shard.name)):
                shutil.rmtree(shard)
        if not is_ours:
            write_atomically(folder / "made.json", json.dumps(sealed(made)).encode())
        return store

    @property
    def dim(self) -> int:
        return int(read_sealed(self.folder / "made.json", {"fingerprint": str, "dim": int}, do=AGAIN)["dim"])

    def is_whole(self, shard: str) -> bool:
        """Whether the rows of a shard can be read, and its arrays are as long as they say."""
        try:
            pictures = int(self.rows_of(shard)["place"].ne(NO_PLACE).sum())
            return all(len(array) == pictures for array in self.arrays(shard))
        except DamagedFile:
            return False

    def shards(self) -> list[Path]:
        """The finished shards, oldest first."""
        found = (path for path in self.folder.glob("*") if re.fullmatch("[0-9]{5,9}", path.name))
        return sorted(found, key=lambda path: int(path.name))

    def rows(self) -> pd.DataFrame:
        """Every stored row, oldest first: SCAN columns, `path`, `shard` (its folder) and `place` in its arrays."""
        parts = [self.rows_of(path.name).assign(shard=path.name) for path in self.shards()]
        return pd.concat(parts, ignore_index=True) if parts else empty("scan").assign(path="", place=0, shard="")

    def rows_of(self, shard: str) -> pd.DataFrame:
        """The rows of one shard, as they were added."""
        digest = self._intact(shard)["rows.parquet"]
        return read_table(self.folder / shard / "rows.parquet", digest=digest, do=AGAIN)

    def _intact(self, shard: str) -> dict[str, str]:
        """The digests of a shard's files, if these are what was written; looked at once."""
        if shard not in self._digests:
            digests = read_sealed(self.folder / shard / DIGESTS, dict.fromkeys(FILES, str), do=AGAIN)
            for name, digest in digests.items():
                require_digest(self.folder / shard / name, digest, do=AGAIN)
            self._digests[shard] = digests
        return self._digests[shard]

    def add(self, rows: pd.DataFrame, embeddings: np.ndarray, thumbs: np.ndarray) -> str:
        """Write a new shard, whole or not at all, and return its name. The rows' `place` counts through the arrays."""
        number = 1 + max((int(path.name) for path in self.shards()), default=-1)
        name = f"{number:05d}"
        with replacing_folder(self.folder / name) as folder:
            rows.to_parquet(folder / "rows.parquet", index=False)
            np.save(folder / "embeddings.npy", embeddings.astype(np.float16))
            np.save(folder / "thumbs.npy", thumbs)
            digests = {file: digest_of(folder / file) for file in FILES}
            (folder / DIGESTS).write_text(json.dumps(sealed(digests)))
            for file in folder.iterdir():
                _flush(file)
        return name

    def arrays(self, shard: str) -> tuple[np.ndarray, np.ndarray]:
        """Embeddings and thumbnails of one shard, memory-mapped."""
        self._intact(shard)
        embeddings, thumbs = (self.folder / shard / name for name in FILES[1:])
        return np.load(embeddings, mmap_mode="r"), np.load(thumbs, mmap_mode="r")

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


def load(folder: Path, scan: pd.DataFrame) -> Embedded:
    """The embeddings and thumbnails of the readable samples of a scan, in its order.

    Raises
    ------
    StageMissing : the store lacks some of them
    DamagedFile : a shard can't be read
    """
    shards, readable = Store(folder), scan.loc[scan["status"] == "ok", ["sample_id", "sha256"]]
    rows = shards.rows().drop_duplicates(["sample_id", "sha256"], keep="last")
    found = readable.merge(rows, on=["sample_id", "sha256"], how="left", validate="one_to_one")
    if lost := int(found["place"].isna().sum()):
        raise StageMissing(
            f"{folder} lacks the embeddings of {lost:,} images", "those of the whole scan", "curate embed"
        )
    embeddings, thumbs = shards.gather(found["shard"], found["place"])
    return Embedded(found["sample_id"].tolist(), embeddings, thumbs)


def _flush(file: Path) -> None:
    """Bring a file to the disk, so that a shard whose folder has its name also has its content."""
    handle = os.open(file, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
