"""What was seen already: by earlier scans, in earlier shards, or just now by another thread."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from functools import lru_cache
from threading import Lock
from typing import Any

from curate.embed.look import File, Look
from curate.embed.store import NO_PLACE, Store
from curate.schema import TABLES

COLUMNS = [column.name for column in TABLES["scan"].columns]
NAMED = ("sample_id", "bytes", "mtime_ns")  # what a row tells of the file rather than of its content


class Memory:
    """What was seen: which files need not be opened, which contents need neither be decoded nor embedded.

    Of contents, it tells of those in the store and of those that somebody looks at just now. Safe to use from
    several threads. A container of their SHA-256; what another process gets of it is those in the store.
    """

    def __init__(self, shards: Store, max_pixels: int) -> None:
        rows = shards.rows()
        rows = rows.assign(number=rows.groupby("shard").cumcount())
        rows = rows[~(rows["width"] * rows["height"] > max_pixels)]  # the limit may have come down since
        latest = rows.drop_duplicates("sample_id", keep="last")
        states = zip(latest["path"], latest["bytes"], latest["mtime_ns"], strict=True)
        self._states = dict(zip(latest["sample_id"], states, strict=True))
        self._stored = dict(zip(rows["sha256"], zip(rows["shard"], rows["number"], strict=True), strict=True))
        self._under_way: dict[str, Future[Look]] = {}
        self._shards, self._rows_of, self._lock = shards, lru_cache(maxsize=4)(shards.rows_of), Lock()

    def __contains__(self, sha256: object) -> bool:
        return sha256 in self._stored or sha256 in self._under_way

    def __reduce__(self) -> tuple[Any, ...]:
        return frozenset, (tuple(self._stored),)

    def knows(self, file: File) -> bool:
        """Whether a file of this place, size and time has been looked at. Times count as the table holds them.

        Of the place, as another folder may hold files of the same names, sizes and times: what an archive holds, twice.
        """
        return self._states.get(file.sample_id) == (file.path, float(file.bytes), float(file.mtime_ns))

    def is_first(self, look: Look) -> bool:
        """Whether nobody has looked at this content before. Whoever did has to `tell`, or `fail`: others may wait."""
        sha256 = look.row.get("sha256")
        with self._lock:
            if look.is_known or sha256 in self:
                return False
            if sha256:  # a file that could not be read has none, and nobody waits for it
                self._under_way[sha256] = Future()
            return True

    def tell(self, looks: Iterable[Look]) -> None:
        """What became of first looks."""
        for future, look in self._awaited(looks):
            future.set_result(look)

    def fail(self, looks: Iterable[Look], error: BaseException) -> None:
        """Why nothing becomes of first looks."""
        for future, _ in self._awaited(looks):
            future.set_exception(error)

    def _awaited(self, looks: Iterable[Look]) -> Iterator[tuple[Future[Look], Look]]:
        return ((self._under_way[look.row["sha256"]], look) for look in looks if "sha256" in look.row)

    def store(self, shard: str, contents: Iterable[str]) -> None:
        """The contents of the rows of a new shard, in order: from now on it tells of them."""
        for number, sha256 in enumerate(contents):
            self._stored[sha256] = shard, number
            self._under_way.pop(sha256, None)

    def recall(self, look: Look) -> Look:
        """What is known of the content of a look, under the look's own name, size and time."""
        own = {name: look.row[name] for name in NAMED}
        if future := self._under_way.get(look.row["sha256"]):
            known = future.result()
            return replace(known, row={**known.row, **own})
        shard, number = self._stored[look.row["sha256"]]
        row = self._rows_of(shard).iloc[number]
        told = {**row[COLUMNS].to_dict(), **own}
        if row["place"] == NO_PLACE:
            return Look(told)
        embeddings, thumbs = self._shards.gather([shard], [row["place"]])
        return Look(told, thumbs[0], embedding=embeddings[0])
