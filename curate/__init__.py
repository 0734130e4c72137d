"""curate makes a labelled image dataset trustworthy, and proves it.

    ingest ──► embed ──► find ──► review ──► apply ──► train ──► report
    tables     pixels →  numbers → people →   a new     models    what changed,
    of labels  numbers   issues    decisions  version   + proof   with pictures
                 ▲                                        │
                 └──────── out-of-sample predictions ─────┘   (the loop)

Each stage is a folder of plain functions that turn tables into tables. `curate.workspace` keeps the
tables on disk, `curate.verbs` joins the two (one verb per command), `curate.cli` names the verbs for the
terminal and `curate.Dataset` (by `curate.open`) for Python. `curate.api` has the functions that need no
workspace: arrays and paths in, tables out. The names below are loaded when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from curate.offline import silence_libraries
from curate.version import __version__ as __version__

silence_libraries()

_HOMES = {
    "curate.api": (
        "Duplicates",
        "ImageEmbeddings",
        "agreement",
        "compare_models",
        "consensus",
        "embed_images",
        "find_duplicates",
        "find_label_errors",
        "find_outliers",
        "find_quality_issues",
        "open",
        "split",
    ),
    "curate.config": (
        "AnnotationOptions",
        "EmbedOptions",
        "FindOptions",
        "PolicyOptions",
        "SplitOptions",
        "TrainOptions",
    ),
    "curate.dataset": ("Dataset",),
    "curate.errors": ("CurateError", "InputError"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = ["__version__", *_HOME]  # noqa: PLE0604 - names of strings, as they should be

if TYPE_CHECKING:  # what a type checker and an editor see
    from curate.api import Duplicates as Duplicates
    from curate.api import ImageEmbeddings as ImageEmbeddings
    from curate.api import agreement as agreement
    from curate.api import compare_models as compare_models
    from curate.api import consensus as consensus
    from curate.api import embed_images as embed_images
    from curate.api import find_duplicates as find_duplicates
    from curate.api import find_label_errors as find_label_errors
    from curate.api import find_outliers as find_outliers
    from curate.api import find_quality_issues as find_quality_issues
    from curate.api import open as open
    from curate.api import split as split
    from curate.config import AnnotationOptions as AnnotationOptions
    from curate.config import EmbedOptions as EmbedOptions
    from curate.config import FindOptions as FindOptions
    from curate.config import PolicyOptions as PolicyOptions
    from curate.config import SplitOptions as SplitOptions
    from curate.config import TrainOptions as TrainOptions
    from curate.dataset import Dataset as Dataset
    from curate.errors import CurateError as CurateError
    from curate.errors import InputError as InputError


def __getattr__(name: str) -> Any:
    """PEP 562: the API on first use, so that `import curate` and the command line stay fast."""
    if name not in _HOME:
        raise AttributeError(f"module 'curate' has no attribute '{name}'")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
