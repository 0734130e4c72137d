"""The form of a finder's table: `is_<issue>_issue` and `<issue>_score`."""

from __future__ import annotations

import re

import pandas as pd


def issue_names(table: pd.DataFrame) -> list[str]:
    """The issues of a finder's table, in the order of its columns."""
    return [match[1] for column in table.columns if (match := re.fullmatch(r"is_(\w+)_issue", column))]


def cover_all(table: pd.DataFrame, sample_ids: pd.Series) -> pd.DataFrame:
    """Give `table` a row for every sample: those that could not be scored get no flag and no score."""
    covered = sample_ids.to_frame("sample_id").merge(table, on="sample_id", how="left", validate="one_to_one")
    for issue in issue_names(table):
        covered[f"is_{issue}_issue"] = covered[f"is_{issue}_issue"].eq(True)
    return covered
