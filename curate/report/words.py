"""Numbers and tables as text."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

NOTHING = "–"
ROWS = 40  # of a table on the page


def count(value: Any) -> str:
    """1234 → 1,234."""
    return NOTHING if _is_missing(value) else f"{int(value):,}"


def percent(value: Any) -> str:
    """0.1234 → 12.3%."""
    return NOTHING if _is_missing(value) else f"{100 * value:.1f}%"


def chance(value: Any) -> str:
    """0.934 → 93%; never 0% or 100%, which no estimate is."""
    if _is_missing(value):
        return NOTHING
    return "over 99%" if value > 0.995 else "under 1%" if value < 0.005 else f"{100 * value:.0f}%"


def figure(value: Any) -> str:
    """0.12345 → 0.123."""
    return NOTHING if _is_missing(value) else f"{value:.3f}"


def tick(value: Any) -> str:
    """A share as a label of an axis, without needless digits: 0.925 → 92.5%, 0.9 → 90%."""
    return f"{100 * value:.6g}%"


def plain(value: Any) -> str:
    """A number without needless digits: 0.850 → 0.85."""
    return f"{value:.6g}"


def points(value: Any) -> str:
    """A difference of shares in percentage points: 0.0123 → +1.2."""
    return NOTHING if _is_missing(value) else f"{100 * value:+.1f}".replace("-", "−")


def p_value(value: Any) -> str:
    """0.0312 → p = 0.031."""
    if _is_missing(value):
        return NOTHING
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def seconds(value: Any) -> str:
    """95.3 → 1 min 35 s."""
    if _is_missing(value):
        return NOTHING
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def when(time: Any) -> str:
    """2025-11-22T06:20:00+00:00 → 2025-11-22 06:20."""
    return NOTHING if _is_missing(time) else str(time)[:16].replace("T", " ")


def words(name: Any) -> str:
    """near_duplicate → near duplicate."""
    return str(name).replace("_", " ")


def plural(number: int, one: str, many: str = "") -> str:
    """(1, image) → 1 image; (2, image) → 2 images."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def plain_table(table: pd.DataFrame, *, rows: int = ROWS) -> dict[str, Any]:
    """Any table as text: columns (name, number), rows of cells, and how many rows were left out."""
    columns = [
        {"name": words(name), "number": pd.api.types.is_numeric_dtype(table[name]) and table[name].dtype != bool}
        for name in table.columns
    ]
    shown = [[cell(value) for value in row] for row in table.head(rows).itertuples(index=False)]
    return {"columns": columns, "rows": shown, "hidden": max(0, len(table) - rows)}


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as dicts, whatever is missing as None."""
    return table.astype(object).where(table.notna(), None).to_dict("records")


def cell(value: Any) -> str:
    """One value of any table as text."""
    if _is_missing(value):
        return NOTHING
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (int, np.integer)):
        return f"{value:,}"
    return f"{value:.3g}" if isinstance(value, (float, np.floating)) else str(value)


def _is_missing(value: Any) -> bool:
    return (
        value is None
        or value is pd.NA
        or value is pd.NaT
        or (isinstance(value, (float, np.floating)) and math.isnan(value))
    )
