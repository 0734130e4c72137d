"""Numbers → issues. One file per finder; a finder is a function from facts to a table.

A finder names the facts that it needs as its parameters (see `Facts` in curate.verbs.find): `scan`, `samples`,
`embeddings`, `thumbs`, `neighbors`, `pairs`, `groups`, `prediction`. It returns `sample_id` and, for each issue
that it knows, `is_<issue>_issue`, `<issue>_score` (0 to 1, lower = worse) and evidence.
To add one: one file here, one line in FINDERS, one test file, one docs page. Another package adds
its own by an entry point in the group `curate.finders`.

The other files make these facts, or are parts of one finder:
neighbors; candidates, align, verify, borders of near_duplicate; predict, noise of label; typicality of outlier;
weak_groups, shortcuts of classes; rows of all.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Any

import pandas as pd

from curate.errors import SchemaError
from curate.find.classes.report import find_classes
from curate.find.duplicates.exact import find_exact_duplicate
from curate.find.duplicates.leak import find_leak
from curate.find.duplicates.near import find_near_duplicate
from curate.find.labels.errors import find_label
from curate.find.outlier import find_outlier
from curate.find.quality import find_quality

Finder = Callable[..., pd.DataFrame]

FINDERS: dict[str, Finder] = {
    "exact_duplicate": find_exact_duplicate,
    "near_duplicate": find_near_duplicate,
    "leak": find_leak,
    "outlier": find_outlier,
    "label": find_label,
    "quality": find_quality,
    "classes": find_classes,
}


def all_finders() -> dict[str, Finder]:
    """The built-in finders and those of installed packages; a name that is taken is refused."""
    finders = dict(FINDERS)
    for entry in entry_points(group="curate.finders"):
        if entry.name in finders:
            raise SchemaError(f"the finder '{entry.name}' of {entry.value} has a name that is taken")
        finders[entry.name] = entry.load()
    return finders


def needs(finder: Finder, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts that `finder` names as parameters; raises SchemaError where it needs one that is unknown."""
    wanted = {}
    for name, parameter in inspect.signature(finder).parameters.items():
        if name in facts:
            wanted[name] = facts[name]
        elif parameter.default is inspect.Parameter.empty:
            raise SchemaError(f"the finder {finder.__name__} needs '{name}'", f"one of {', '.join(facts)}")
    return wanted


def issue_names(table: pd.DataFrame) -> list[str]:
    """The issues of a finder's table, in the order of its columns."""
    return [match[1] for column in table.columns if (match := re.fullmatch(r"is_(\w+)_issue", column))]


def cover_all(table: pd.DataFrame, sample_ids: pd.Series) -> pd.DataFrame:
    """Give `table` a row for every sample: those that could not be scored get no flag and no score."""
    covered = sample_ids.to_frame("sample_id").merge(table, on="sample_id", how="left", validate="one_to_one")
    for issue in issue_names(table):
        covered[f"is_{issue}_issue"] = covered[f"is_{issue}_issue"].eq(True)
    return covered
