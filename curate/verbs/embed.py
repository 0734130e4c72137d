"""`curate embed`: one look at every file."""

from __future__ import annotations

import time
from dataclasses import asdict, replace

import pandas as pd

from curate.config import EmbedOptions
from curate.progress import Progress, silent
from curate.workspace import Workspace

EMBEDDER = "embeddings/current.json"  # which embedder made what the finders read; its digest goes with its weights


def embed(workspace: Workspace, *, options: EmbedOptions | None = None, progress: Progress = silent) -> pd.DataFrame:
    """Scan the sources: hash, measure and embed each readable file. Returns the SCAN table.

    Files that are unchanged since the last scan are not opened; a killed scan goes on at its last shard.
    """
    from curate.embed.models import load_embedder
    from curate.embed.scan import scan

    options = options or EmbedOptions()
    with workspace.writing():
        sources = workspace.read("sources")
        started = time.perf_counter()
        embedder = load_embedder(_as_before(workspace, options), sources["path"].to_list())
        store = f"embeddings/{embedder.name}-{embedder.image_size}px"
        with progress("scan", len(sources), "img") as advance:
            table = scan(sources, embedder, workspace.path(store), options=options, advance=advance)
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


def _as_before(workspace: Workspace, options: EmbedOptions) -> EmbedOptions:
    """With the size that was chosen for the last scan, so that a grown folder is not embedded anew."""
    made = workspace.sidecar("scan")
    if options.image_size or not made or made["parameters"]["model"] != options.model:
        return options
    return replace(options, image_size=made["parameters"]["image_size"])
