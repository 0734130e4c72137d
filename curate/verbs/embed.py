"""`curate embed`: one look at every file."""

from __future__ import annotations

import resource
import time
from dataclasses import asdict

import pandas as pd

from curate.config import EmbedOptions
from curate.progress import Progress, silent
from curate.workspace import Workspace


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
        embedder = load_embedder(options, sources["path"])
        store = f"embeddings/{embedder.name}-{embedder.image_size}px"
        with progress("scan", len(sources), "img") as advance:
            table = scan(sources, embedder, workspace.path(store), options=options, advance=advance)
        seconds = time.perf_counter() - started
        workspace.write(
            "scan",
            table,
            parameters={"store": store, "fingerprint": embedder.fingerprint, **asdict(options)},
            inputs=["sources"],
            counts={
                "images_per_second": round(len(table) / seconds, 1),
                "unreadable": int((table["status"] != "ok").sum()),
                "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            },
            started=started,
        )
    return table
