"""`curate embed`: one look at every file."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from curate.artifacts import EMBEDDER
from curate.config import EmbedOptions
from curate.progress import Progress, silent
from curate.workspace import Workspace

if TYPE_CHECKING:
    from curate.embed.workers import WorkerPool


def embed(workspace: Workspace, *, options: EmbedOptions | None = None, progress: Progress = silent) -> pd.DataFrame:
    """Scan the sources: hash, measure and embed each readable file. Returns the SCAN table.

    Files that are unchanged since the last scan are not opened; a killed scan goes on at its last shard.
    """
    options = options or EmbedOptions()
    with workspace.writing():
        sources = workspace.read("sources")
        started = time.perf_counter()
        options = _sized(workspace, options, sources)
        store = f"embeddings/{options.model}-{options.image_size}px"
        with _begun(workspace.path(store), sources, options) as pool:
            from curate.embed.embedder import load_embedder  # takes a second to import; meanwhile files are looked at
            from curate.embed.scan import scan

            embedder = load_embedder(options, sources["path"].to_list())
            with progress("scan", len(sources), "img") as advance:
                table = scan(sources, embedder, workspace.path(store), options=options, pool=pool, advance=advance)
        chosen = {"store": store, "image_size": embedder.image_size, "fingerprint": embedder.fingerprint}
        workspace.write(EMBEDDER, {"model": embedder.name, **chosen})
        workspace.write(
            "scan",
            table,
            parameters={**asdict(options), **chosen},
            inputs=["sources"],
            counts={
                "looked_at": table.attrs.pop("looked_at"),  # not kept with the table: the same rows are the same file
                "images_per_second": round(len(table) / (time.perf_counter() - started), 1),
                "unreadable": int(table["status"].ne("ok").sum()),
            },
            started=started,
        )
    return table


def _sized(workspace: Workspace, options: EmbedOptions, sources: pd.DataFrame) -> EmbedOptions:
    """With the size that was chosen for the last scan, so that a grown folder is not embedded anew; else a new one."""
    from curate.embed.size import choose_image_size

    if options.image_size:
        return options
    made = workspace.intact_sidecar("scan")
    if made and made["parameters"]["model"] == options.model:
        return replace(options, image_size=made["parameters"]["image_size"])
    return replace(options, image_size=choose_image_size(sources["path"].to_list(), model=options.model))


def _begun(store: Path, sources: pd.DataFrame, options: EmbedOptions) -> AbstractContextManager[WorkerPool | None]:
    """Before the first scan, when every file is new: processes that look at files while the network is loaded."""
    from curate.embed.store import Store
    from curate.embed.workers import list_files, open_pool

    if Store(store).shards():
        return nullcontext()
    assert options.image_size
    pool = open_pool(sources["path"].to_list(), options.image_size, options)
    pool.begin(list_files(sources.head(pool.reach))[0])
    return pool
