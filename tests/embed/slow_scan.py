"""A scan that takes its time, in a process of its own: something to kill."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from embed_samples import FakeEmbedder

from curate.config import EmbedOptions
from curate.embed import store
from curate.embed.scan import scan


class SlowEmbedder(FakeEmbedder):
    def embed(self, images: np.ndarray) -> np.ndarray:
        time.sleep(0.01)
        return super().embed(images)


def _slowly(write: Callable[..., Any]) -> Callable[..., Any]:
    def slow(*given: Any) -> None:
        write(*given)
        time.sleep(0.02)

    return slow


def scan_slowly(sources: pd.DataFrame, folder: Path, begun: Any) -> None:
    """Scan in shards of two, with pauses while embedding and between the files of a shard."""
    store.np.save = _slowly(np.save)  # type: ignore[attr-defined]
    begun.set()
    scan(sources, SlowEmbedder(), folder, options=EmbedOptions(shard_size=2, workers=2))  # type: ignore[arg-type]
