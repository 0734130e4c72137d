"""What the user gave, as tables: a folder of images or a manifest → sources; a file of votes → annotations.

Nothing is opened here but the manifest: the scan opens each image once, later.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from curate.errors import SourceError
from curate.files import refuse_no_utf8
from curate.formats.folders import read_folder
from curate.formats.manifest import read_manifest
from curate.formats.problems import join_problems
from curate.ingest.annotations import join_annotations, read_annotations

__all__ = ["Source", "join_annotations", "join_problems", "read_annotations", "read_source"]


@dataclass(frozen=True)
class Source:
    """A labelled data set as the user gave it.

    Attributes
    ----------
    root : the folder that sample_ids are relative to, absolute
    layout : 'class folders', 'split and class folders', 'flat folder' or 'manifest'
    sources : table SOURCES, sorted by sample_id
    problems : table ROW_PROBLEMS, sorted
    """

    root: Path
    layout: str
    sources: pd.DataFrame
    problems: pd.DataFrame


def read_source(source: Path, *, image_root: Path | None = None, own: Path | None = None) -> Source:
    """Read a folder of images, or a manifest with a column `image` and any of `label, split, group`.

    Parameters
    ----------
    source : a folder (root/<class>/img, root/{train,val,test}/<class>/img, or images without classes),
        or a CSV, TSV, Parquet or JSONL file
    image_root : the folder that a manifest's paths are relative to; the manifest's own if not given
    own : the workspace that this is read for; where it lies in the folder it is passed over without a word

    Raises
    ------
    SourceError : nothing there, no images, a layout or a column that can't be told, no usable row
    """
    source = Path(os.path.abspath(source))
    if source.is_dir():
        refuse_no_utf8(source, SourceError)
        if image_root is not None:
            raise SourceError(f"{source} is a folder, and an image root was given", "an image root with a manifest")
        layout, sources, problems = read_folder(source, own=own)
        return Source(source, layout, sources, problems)
    if not source.exists():
        raise SourceError(f"there is no file or folder {source}", "a folder of images or a manifest")
    root = Path(os.path.abspath(image_root)) if image_root is not None else source.parent
    if not root.is_dir():
        raise SourceError(f"there is no folder {root}", "the folder that the manifest's paths are relative to")
    refuse_no_utf8(root, SourceError)
    sources, problems = read_manifest(source, root)
    return Source(root, "manifest", sources, problems)
