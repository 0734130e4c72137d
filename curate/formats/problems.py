"""Rows that can't be used: kept with the reason, never skipped in silence."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np
import pandas as pd

from curate.formats.cells import text_column
from curate.schema import empty
from curate.text import for_table

SHOWN = 80  # characters of an image cell that a problem repeats


class Rows:
    """Rows of one file under examination. The first fault found of a row stays with it.

    Parameters
    ----------
    file : name of the file, as problems will give it
    table : one row per statement, indexed by its row number in the file (a wide row makes several
        statements under one number), with a column `image`
    """

    def __init__(self, file: str, table: pd.DataFrame) -> None:
        self.file, self.table = file, table
        self._reasons = np.full(len(table), None, dtype=object)

    def refuse(self, bad: pd.Series | np.ndarray, reason: str | pd.Series) -> None:
        """Mark the rows where `bad`, unless an earlier reason stands. `reason` may differ by row."""
        self._refuse_at(np.arange(len(self.table)), bad, reason)

    def _refuse_at(self, places: np.ndarray, bad: pd.Series | np.ndarray, reason: str | pd.Series) -> None:
        fresh = np.asarray(bad, dtype=bool) & self.is_good[places]
        self._reasons[places[fresh]] = reason if isinstance(reason, str) else reason.to_numpy(dtype=object)[fresh]

    def settle_repeats(self, keys: list[str], stated: list[str], *, of: str) -> None:
        """Leave one good row of each `keys`: repeats fill each other's gaps; of contradicting rows none stays.

        Which of two contradicting rows was meant can't be told, and must not depend on their order.
        """
        places = np.flatnonzero(self.is_good)
        good = self.table.iloc[places].assign(row=self.table.index[places])
        again = good.duplicated(keys, keep=False).to_numpy()
        if not again.any():
            return
        places, repeats = places[again], good[again]
        groups = repeats.groupby(keys, sort=False)
        first = groups["row"].transform("min").astype("str")
        for column in stated:
            reason = (
                f"contradicts the other rows of this {of} in {column} (the first is row " + first + "); none is used"
            )
            self._refuse_at(places, groups[column].transform("nunique").gt(1), reason)
        self._refuse_at(places, repeats.duplicated(keys), "repeats row " + first)
        for column in stated:
            filled = self.table[column].to_numpy(dtype=object, copy=True)
            filled[places] = groups[column].transform("first")
            self.table[column] = text_column(filled, self.table.index)

    @property
    def is_good(self) -> np.ndarray:
        """(rows,) bool: no fault found so far."""
        return np.asarray(self._reasons == None, dtype=bool)  # noqa: E711 (elementwise)

    def good(self) -> pd.DataFrame:
        """The rows without a fault."""
        return self.table[self.is_good]

    def problems(self) -> pd.DataFrame:
        """The rows with a fault, as a table ROW_PROBLEMS: one per row of the file."""
        bad = ~self.is_good
        return problem_table(self.file, self.table.index[bad], self.table["image"][bad], self._reasons[bad])


def problem_table(
    file: str, rows: Collection[int], images: Iterable[object], reasons: Iterable[object]
) -> pd.DataFrame:
    """A table ROW_PROBLEMS from equally long columns; several reasons of one row become one."""
    table = pd.DataFrame(
        {
            "file": text_column([for_table(file)] * len(rows)),
            "row": np.asarray(rows, dtype=np.int64),
            "image": text_column([_shorten(image) for image in images]),
            "reason": text_column(reasons),
        }
    )
    return join_problems(table)


def join_problems(*tables: pd.DataFrame) -> pd.DataFrame:
    """Put tables ROW_PROBLEMS together: one row per file and row number, its reasons joined by `; `."""
    tables = tuple(table for table in tables if len(table))
    if not tables:
        return empty("row_problems")
    table = pd.concat(tables, ignore_index=True)
    table = table.drop_duplicates(["file", "row", "reason"])
    if table.duplicated(["file", "row"]).any():
        grouped = table.groupby(["file", "row"], as_index=False)
        table = grouped.agg({"image": "first", "reason": "; ".join})
    return table.sort_values(["file", "row"], ignore_index=True)


def first_of(problems: pd.DataFrame) -> str:
    """`; the first: <reason> (<image>)`, to end an error with; nothing where there is no problem."""
    if problems.empty:
        return ""
    reason, image = problems.loc[0, ["reason", "image"]]
    return f"; the first: {reason}" + (f" ({image})" if isinstance(image, str) else "")


def _shorten(image: object) -> str | None:
    if not isinstance(image, str):
        return None
    printable = for_table(image[: SHOWN + 1])
    return printable if len(printable) <= SHOWN else printable[: SHOWN - 1] + "…"
