"""One look at each file without a network: what the scan measures, where no embedding is asked for."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pandas as pd

from curate.config import EmbedOptions
from curate.embed.look import THUMB, File, Row, look_at
from curate.embed.workers import list_files
from curate.images.decode import quiet_decoders
from curate.schema import TABLES, conform

TOGETHER = 64  # files that a thread looks at in one go


def measure_files(
    sources: pd.DataFrame, *, options: EmbedOptions, advance: Callable[[int], None] = lambda count: None
) -> pd.DataFrame:
    """Hash and measure every file, in threads.

    Parameters
    ----------
    sources : table SOURCES
    options : `workers` and `max_pixels`
    advance : told how many more images are done

    Returns
    -------
    Table SCAN in the order of `sources`, the same as `curate.embed.scan.scan` makes; what can't be read has a status
    and the reason
    """
    files, failed = list_files(sources)
    advance(len(failed))
    batches = [files[start : start + TOGETHER] for start in range(0, len(files), TOGETHER)]
    rows = list(failed)
    with ThreadPoolExecutor(options.workers or os.cpu_count() or 1) as threads, quiet_decoders():
        for some in threads.map(partial(_rows, max_pixels=options.max_pixels), batches):
            rows += some
            advance(len(some))
    table = pd.DataFrame(rows, columns=[column.name for column in TABLES["scan"].columns])
    return conform("scan", table.set_index("sample_id").loc[sources["sample_id"]].reset_index())


def _rows(files: list[File], max_pixels: int) -> list[Row]:
    return [look.row for look in look_at(files, image_size=THUMB, max_pixels=max_pixels)]
