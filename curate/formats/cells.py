"""The cells of a table file as text, and which column plays which role."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pandas as pd

from curate.errors import CurateError
from curate.text import from_csv

log = logging.getLogger(__name__)

SYNONYMS = {
    "image": ("img", "path", "file", "filename", "file_name", "filepath", "file_path", "image_path"),
    "label": ("class", "class_name", "category"),
    "split": ("subset", "partition"),
    "group": ("group_id", "patient", "patient_id", "video", "video_id"),
    "annotator": ("annotator_id", "rater", "rater_id", "worker", "worker_id"),
}
NAMES_SHOWN = 20  # of columns, in an error
LONGEST_PATH = 4096  # bytes in Linux, NUL included
LONGEST_NAME = 255  # of a label, split, group or annotator: a class must be able to name a folder


@dataclass(frozen=True)
class Cells:
    """The cells of one file as text.

    Attributes
    ----------
    file : the file's name
    table : columns of text as the header names them, null where a cell is empty; the index is the row
        number, 1 for the first after the header
    problems : rows that could not be read, as a table ROW_PROBLEMS
    not_text : columns that hold no plain values, and what they hold instead
    error : what to raise where the file as a whole is no use
    nested : by column, the rows that hold a list or an object, and which; null in `table`
    names : of all columns of the file, also of those that were not wanted
    is_csv : cells may be guarded by `for_csv`; `exact` and `trimmed` take the sign off
    """

    file: str
    table: pd.DataFrame
    problems: pd.DataFrame
    error: type[CurateError]
    not_text: dict[str, str] = field(default_factory=dict)
    nested: dict[str, dict[int, str]] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    is_csv: bool = False

    def column_of(self, role: str) -> str | None:
        """The column that plays `role` (a key of SYNONYMS): of that name, or the one known synonym, or None."""
        names = [*self.table.columns, *self.not_text]
        found = [name for name in names if name.casefold() == role]
        found = found or [name for name in names if plays(name, role)]
        if len(found) > 1:
            raise self.error(
                f"columns {quoted(found)} of {self.file} could each be the {role}",
                f"one column '{role}'",
                f"rename the right one to '{role}'",
            )
        if found and found[0] in self.not_text:
            raise self.error(f"column '{found[0]}' of {self.file} holds {self.not_text[found[0]]}", "text")
        if found and found[0] != role:
            log.info("%s: column '%s' is read as the %s", self.file, found[0], role)
        return found[0] if found else None

    def exact(self, column: str) -> pd.Series:
        """A column to the letter: a file's name may begin or end in a space."""
        return self._without_guard(column, strip=False) if self.is_csv else self.table[column]

    def trimmed(self, column: str) -> pd.Series:
        """A column without the spaces around its texts, unless a guard says that they were meant; null where nothing
        is left."""
        if self.is_csv:
            return self._without_guard(column, strip=True)
        return text_column(self.table[column].str.strip().tolist(), self.table.index)

    def _without_guard(self, column: str, *, strip: bool) -> pd.Series:
        cells = self.table[column].to_numpy(dtype=object)
        return text_column([from_csv(c, strip=strip) if isinstance(c, str) else None for c in cells], self.table.index)

    def column_names(self) -> str:
        return some(self.names) or "none"


def plays(name: str, role: str) -> bool:
    """Whether a column of this name can play `role`."""
    return name.casefold() == role or name.casefold() in SYNONYMS[role]


def text_column(values: Iterable[object], index: pd.Index | None = None) -> pd.Series:
    """Values as a column of text; what is no text, or empty, is null."""
    # cell by cell: pandas before 3 turns a null of another column into the text 'nan'
    return pd.Series([v if isinstance(v, str) and v else None for v in values], index=index, dtype="str")


def some(names: Sequence[str]) -> str:
    """The first names in quotes, and how many more there are."""
    rest = len(names) - NAMES_SHOWN
    return quoted(names[:NAMES_SHOWN]) + (f" and {rest:,} more" if rest > 0 else "")


def quoted(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
