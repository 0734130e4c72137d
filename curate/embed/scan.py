"""One look at every file, shard by shard, and only at what is new."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from curate.config import EmbedOptions
from curate.embed.embedder import load_embedder
from curate.embed.look import THUMB, File, Look, Row
from curate.embed.seen import COLUMNS, Contents, SeenIndex
from curate.embed.store import NO_PLACE, Store
from curate.embed.workers import WorkerPool, list_files, open_pool
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
    pool: WorkerPool | None = None,
    open_worker: Callable[[frozenset[str]], ShardWorker] | None = None,
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
    pool : of this embedder's image size, where it has begun already; it ends with the scan
    open_worker : what opens a worker for the contents that are stored, where the engine's workers are elsewhere
        (`OpenShardWorker`); by default one that uses `embedder` here
    advance : told how many more images are done

    Returns
    -------
    Table SCAN, in the order of `sources`; what can't be read has a status and the reason. `attrs["looked_at"]` tells
    how many files were opened.
    """
    shards = Store.prepared(store, f"{embedder.fingerprint}-scan{SCAN_VERSION}", embedder.dim)
    seen = SeenIndex(shards, options.max_pixels)
    files, failed = list_files(sources)
    new = [file for file in files if not seen.has(file)]
    advance(len(sources) - len(new))
    tasks = [new[start : start + options.shard_size] for start in range(0, len(new), options.shard_size)]
    if open_worker is None:
        pool = pool or open_pool([file.path for file in new], embedder.image_size, options)
        open_worker, told = partial(ShardWorker, embedder, pool, advance=advance), lambda count: None
    else:
        told = advance  # a worker elsewhere can't say how far it is
    for looks in (engine or LocalEngine()).map(partial(open_worker, seen.contents), tasks):
        looks = seen.completed(looks)
        told(len(looks))
        keep_shard(shards, seen, [look for look in looks if look.is_lasting], {f.sample_id: f.path for f in new})
        failed += [look.row for look in looks if not look.is_lasting]
    table = _assembled(sources["sample_id"], shards.rows(), failed)
    table.attrs["looked_at"] = len(new)
    return table


class ShardWorker:
    """Looks at the files of a shard; each thread takes a batch from file to embedding. A context manager.

    Parameters
    ----------
    embedder : what turns pixels into numbers
    pool : who looks at files; ends with the worker
    stored : SHA-256 of contents that need not be decoded
    advance : told how many more images are done
    """

    def __init__(
        self,
        embedder: Embedder,
        pool: WorkerPool,
        stored: frozenset[str],
        *,
        advance: Callable[[int], None] = lambda count: None,
    ) -> None:
        self.embedder, self.pool, self.contents, self.advance = embedder, pool, Contents(stored), advance
        pool.know(self.contents)
        self._resources = ExitStack()

    def __enter__(self) -> ShardWorker:
        self._resources.enter_context(self.pool)
        self._resources.enter_context(torch_threads(max(1, torch.get_num_threads() // self.embedder.lanes)))
        self._resources.enter_context(quiet_decoders())
        return self

    def __exit__(self, *error: object) -> None:
        self._resources.close()

    def __call__(self, files: list[File]) -> list[Look]:
        """A look at each file, in order; those at a content that was seen before tell no more than which it is."""
        size, looks = self.embedder.batch_size, list[Look]()
        batches = [files[start : start + size] for start in range(0, len(files), size)]
        with ThreadPoolExecutor(self.pool.workers + 1) as threads:
            for batch in threads.map(self.look_at_batch, batches):
                looks += batch
                self.advance(len(batch))
        return looks

    def look_at_batch(self, files: list[File]) -> list[Look]:
        """One look at each file, in order; pictures of new contents are embedded together."""
        looks = self.pool.look(files)
        new = [look for look in looks if self.contents.is_new(look)]
        finished = {look.row["sample_id"]: look for look in self.embedded(new)}
        return [finished.get(look.row["sample_id"]) or look.known() for look in looks]

    def embedded(self, looks: list[Look]) -> list[Look]:
        """These looks, their pixels made embedding and thumbnail."""
        pixels = [look.pixels for look in looks if look.pixels is not None]
        if not pixels:
            return looks
        embeddings = self.embedder.embed(squared(pixels, self.embedder.image_size))
        thumbs = [look.pixels if look.thumb is None else look.thumb for look in looks if look.pixels is not None]
        made = iter(zip(squared(thumbs, THUMB), embeddings, strict=True))
        return [look if look.pixels is None else look.finished(*next(made)) for look in looks]


@dataclass(frozen=True)
class OpenShardWorker:
    """Opens a `ShardWorker` wherever an engine wants one: it pickles, and holds options rather than a network.

    Attributes
    ----------
    options : with the model and the image size that the scan was begun with
    """

    options: EmbedOptions

    def __call__(self, stored: frozenset[str]) -> ShardWorker:
        assert self.options.image_size
        pool = WorkerPool(self.options.image_size, self.options.max_pixels, self.options.workers or 1, processes=0)
        return ShardWorker(load_embedder(self.options, []), pool, stored)


def keep_shard(shards: Store, seen: SeenIndex, looks: list[Look], paths: dict[str, str]) -> None:
    """Store a shard of these looks; `paths` tells where the file of a sample was."""
    if not looks:
        return
    pictures = np.array([look.embedding is not None for look in looks])
    rows = conform("scan", pd.DataFrame([look.row for look in looks], columns=COLUMNS))
    rows["path"] = rows["sample_id"].map(paths)
    rows["place"] = np.where(pictures, np.cumsum(pictures) - 1, NO_PLACE)
    embeddings = [look.embedding for look in looks if look.embedding is not None]
    thumbs = [look.thumb for look in looks if look.thumb is not None]
    shard = shards.add(
        rows,
        np.array(embeddings, np.float16).reshape(-1, shards.dim),
        np.array(thumbs, np.uint8).reshape(-1, THUMB, THUMB, 3),
    )
    seen.store(shard, rows["sha256"])


def _assembled(sample_ids: pd.Series, stored: pd.DataFrame, failed: list[Row]) -> pd.DataFrame:
    """A row for each sample: what was stored last, unless this time it failed."""
    table = pd.concat([stored[COLUMNS], conform("scan", pd.DataFrame(failed, columns=COLUMNS))])
    table = table.drop_duplicates("sample_id", keep="last").set_index("sample_id")
    return conform("scan", table.loc[sample_ids].reset_index())
