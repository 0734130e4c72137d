"""Whether the files of a version still hold the pictures that were looked at and judged."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from curate.errors import StaleVersion

NAMED = 3  # files in the message


def require_contents(manifest: pd.DataFrame) -> None:
    """Raise where files have another content than they had when they were ingested: nobody judged those pictures.

    Parameters
    ----------
    manifest : schema MANIFEST, whose `sha256` tells the content

    Raises
    ------
    StaleVersion : tells how many, and names the first
    FileNotFoundError : one is gone
    """
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:  # hashing leaves Python to the others
        now = list(threads.map(sha256_of, manifest["path"]))
    changed = np.array(now, dtype=object) != manifest["sha256"].to_numpy(dtype=object)
    if changed.any():
        names = manifest.loc[changed, "sample_id"]
        shown = ", ".join(names[:NAMED]) + (" …" if len(names) > NAMED else "")
        raise StaleVersion(
            f"{len(names):,} file(s) have changed since they were ingested: {shown}",
            "the pictures that were looked at and judged",
            "curate ingest, which looks at those that are there now, then curate apply; or put the files back",
        )


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file's bytes, hex."""
    hasher = hashlib.sha256()
    with open(path, "rb") as handle:
        while block := handle.read(1 << 20):
            hasher.update(block)
    return hasher.hexdigest()
