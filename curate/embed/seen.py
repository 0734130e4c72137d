"""What was seen already: by earlier scans, in earlier shards, or just now in another batch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from threading import Lock

from curate.embed.look import File, Look
from curate.embed.store import NO_PLACE, Store
from curate.schema import TABLES

COLUMNS = [column.name for column in TABLES["scan"].columns]
NAMED = ("sample_id", "bytes", "mtime_ns")  # what a row tells of the file rather than of its content


class SeenIndex:
    """Which files need not be opened, and what became of contents that were seen. It belongs to who writes the store.

    Attributes
    ----------
    contents : SHA-256 of what is in the store, with this limit of pixels
    """

    def __init__(self, shards: Store, max_pixels: int) -> None:
        rows = shards.rows()
        rows = rows.assign(number=rows.groupby("shard").cumcount())
        rows = rows[~(rows["width"] * rows["height"] > max_pixels)]  # the limit may have come down since
        latest = rows.drop_duplicates("sample_id", keep="last")
        states = zip(latest["path"], latest["bytes"], latest["mtime_ns"], strict=True)
        self._states = dict(zip(latest["sample_id"], states, strict=True))
        self._stored = dict(zip(rows["sha256"], zip(rows["shard"], rows["number"], strict=True), strict=True))
        self._not_stored: dict[str, Look] = {}
        self._shards, self._rows_of = shards, lru_cache(maxsize=4)(shards.rows_of)

    @property
    def contents(self) -> frozenset[str]:
        return frozenset(self._stored)

    def has(self, file: File) -> bool:
        """Whether a file of this place, size and time has been looked at. Times count as the table holds them.

        Of the place, as another folder may hold files of the same names, sizes and times: what an archive holds, twice.
        """
        return self._states.get(file.sample_id) == (file.path, float(file.bytes), float(file.mtime_ns))

    def completed(self, looks: Iterable[Look]) -> list[Look]:
        """The looks of one shard in order, those at a known content with what is known of it."""
        looks = list(looks)
        first = {look.row["sha256"]: look for look in looks if not look.is_known and "sha256" in look.row}
        self._not_stored |= {sha256: look for sha256, look in first.items() if not look.is_lasting}
        return [self._known(look, first) if look.is_known else look for look in looks]

    def store(self, shard: str, contents: Iterable[str]) -> None:
        """The contents of the rows of a new shard, in order: from now on it tells of them."""
        self._stored |= {sha256: (shard, number) for number, sha256 in enumerate(contents)}

    def _known(self, look: Look, first: dict[str, Look]) -> Look:
        """What is known of the content of a look, under the look's own name, size and time."""
        own, sha256 = {name: look.row[name] for name in NAMED}, look.row["sha256"]
        if known := first.get(sha256) or self._not_stored.get(sha256):
            return replace(known, row={**known.row, **own})
        shard, number = self._stored[sha256]
        row = self._rows_of(shard).iloc[number]
        found = {**row[COLUMNS].to_dict(), **own}
        if row["place"] == NO_PLACE:
            return Look(found)
        embeddings, thumbs = self._shards.gather([shard], [row["place"]])
        return Look(found, thumbs[0], embedding=embeddings[0])


class Contents:
    """The contents that a worker need not look at: in the store, or seen by itself. Safe to use from several threads.

    A container of their SHA-256; what another process gets of it is those that were in the store.
    """

    def __init__(self, stored: Iterable[str]) -> None:
        self._stored, self._own, self._lock = frozenset(stored), set[str](), Lock()

    def __contains__(self, sha256: object) -> bool:
        return sha256 in self._stored or sha256 in self._own

    def __reduce__(self) -> tuple[type[frozenset[str]], tuple[tuple[str, ...]]]:
        return frozenset, (tuple(self._stored),)

    def is_new(self, look: Look) -> bool:
        """Whether nobody has looked at this content before; from now on somebody has."""
        sha256 = look.row.get("sha256")
        with self._lock:
            if look.is_known or sha256 in self:
                return False
            if sha256:  # a file that could not be read has none
                self._own.add(sha256)
            return True
