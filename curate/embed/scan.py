"""One look at every file, shard by shard, and only at what is new."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from curate.config import EmbedOptions
from curate.embed.look import THUMB, File, Look, Row
from curate.embed.seen import COLUMNS, Memory
from curate.embed.store import NO_PLACE, Store
from curate.embed.workers import Lookers, list_files, open_lookers
from curate.engine import Engine, LocalEngine
from curate.images.decode import quiet_decoders
from curate.images.resize import squared
from curate.machine.threads import torch_threads
from curate.networks.embedder import Embedder
from curate.schema import conform

SCAN_VERSION = 2  # goes up when decoding or measuring the same bytes gives something else: old shards are stale then


def scan(
    sources: pd.DataFrame,
    embedder: Embedder,
    store: Path,
    *,
    options: EmbedOptions,
    engine: Engine | None = None,
    lookers: Lookers | None = None,
    advance: Callable[[int], None] = lambda count: None,
) -> pd.DataFrame:
    """Look at every source that has not been looked at, and return a row for each.

    A file whose place, size and time are unchanged is not opened, and a content known under another name is not
    embedded again. A finished shard is kept, so a killed scan loses at most the shard in work. Rows and embeddings
    are the same to the bit whichever way they came about.

    Parameters
    ----------
    sources : table SOURCES
    embedder : what turns pixels into numbers
    store : folder of this embedder's shards; one process writes to it at a time
    engine : where the shards run; by default here, one after the other
    lookers : of this embedder's image size, where they have begun already; they end with the scan
    advance : told how many more images are done

    Returns
    -------
    Table SCAN, in the order of `sources`; what can't be read has a status and the reason. `attrs["looked_at"]` tells
    how many files were opened.
    """
    shards = Store.prepared(store, f"{embedder.fingerprint}-scan{SCAN_VERSION}", embedder.dim)
    memory = Memory(shards, options.max_pixels)
    files, failed = list_files(sources)
    new = [file for file in files if not memory.knows(file)]
    advance(len(sources) - len(new))
    tasks = [new[start : start + options.shard_size] for start in range(0, len(new), options.shard_size)]
    lookers = lookers or open_lookers([file.path for file in new], embedder.image_size, options)
    lookers.know(memory)
    work = ShardWork(embedder, shards, memory, lookers, advance)
    with lookers, torch_threads(max(1, torch.get_num_threads() // embedder.lanes)), quiet_decoders():
        for rows in (engine or LocalEngine()).map(work, tasks):
            failed += rows
    table = _assembled(sources["sample_id"], shards.rows(), failed)
    table.attrs["looked_at"] = len(new)
    return table


class ShardWork:
    """Looks at the files of one shard and stores what it saw; each thread takes a batch from file to embedding."""

    def __init__(
        self, embedder: Embedder, shards: Store, memory: Memory, lookers: Lookers, advance: Callable[[int], None]
    ) -> None:
        self.embedder, self.shards, self.memory, self.lookers, self.advance = embedder, shards, memory, lookers, advance

    def __call__(self, files: list[File]) -> list[Row]:
        """Returns the rows that are not stored, because another time the same file may give another."""
        size, looks = self.embedder.batch_size, list[Look]()
        batches = [files[start : start + size] for start in range(0, len(files), size)]
        with ThreadPoolExecutor(self.lookers.workers + 1) as threads:
            for batch in threads.map(self.look_at_batch, batches):
                looks += batch
                self.advance(len(batch))
        self.keep([look for look in looks if look.is_lasting], {file.sample_id: file.path for file in files})
        return [look.row for look in looks if not look.is_lasting]

    def look_at_batch(self, files: list[File]) -> list[Look]:
        """One look at each file, in order; pictures of new contents are embedded together."""
        looks = self.lookers.look(files)
        first = [look for look in looks if self.memory.is_first(look)]
        try:
            finished = {look.row["sample_id"]: look for look in self.embedded(first)}
        except BaseException as error:
            self.memory.fail(first, error)
            raise
        self.memory.tell(finished.values())
        return [finished.get(look.row["sample_id"]) or self.memory.recall(look) for look in looks]

    def embedded(self, looks: list[Look]) -> list[Look]:
        """These looks, their pixels made embedding and thumbnail."""
        pixels = [look.pixels for look in looks if look.pixels is not None]
        if not pixels:
            return looks
        embeddings = self.embedder.embed(squared(pixels, self.embedder.image_size))
        thumbs = [look.pixels if look.thumb is None else look.thumb for look in looks if look.pixels is not None]
        made = iter(zip(squared(thumbs, THUMB), embeddings, strict=True))
        return [look if look.pixels is None else look.finished(*next(made)) for look in looks]

    def keep(self, looks: list[Look], paths: dict[str, str]) -> None:
        """Store a shard of these looks; `paths` tells where the file of a sample was."""
        if not looks:
            return
        pictures = np.array([look.embedding is not None for look in looks])
        rows = conform("scan", pd.DataFrame([look.row for look in looks], columns=COLUMNS))
        rows["path"] = rows["sample_id"].map(paths)
        rows["place"] = np.where(pictures, np.cumsum(pictures) - 1, NO_PLACE)
        embeddings = [look.embedding for look in looks if look.embedding is not None]
        thumbs = [look.thumb for look in looks if look.thumb is not None]
        shard = self.shards.add(
            rows,
            np.array(embeddings, np.float16).reshape(-1, self.embedder.dim),
            np.array(thumbs, np.uint8).reshape(-1, THUMB, THUMB, 3),
        )
        self.memory.store(shard, rows["sha256"])


def _assembled(sample_ids: pd.Series, stored: pd.DataFrame, failed: list[Row]) -> pd.DataFrame:
    """A row for each sample: what was stored last, unless this time it failed."""
    table = pd.concat([stored[COLUMNS], conform("scan", pd.DataFrame(failed, columns=COLUMNS))])
    table = table.drop_duplicates("sample_id", keep="last").set_index("sample_id")
    return conform("scan", table.loc[sample_ids].reset_index())
