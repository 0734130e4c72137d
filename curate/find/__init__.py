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

from importlib.metadata import entry_points

from curate.errors import SchemaError
from curate.find.classes.report import find_classes
from curate.find.duplicates.exact import find_exact_duplicate
from curate.find.duplicates.leak import find_leak
from curate.find.duplicates.near import find_near_duplicate
from curate.find.facts import Finder
from curate.find.labels.errors import find_label
from curate.find.outlier import find_outlier
from curate.find.quality import find_quality

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
