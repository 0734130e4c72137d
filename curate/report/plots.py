"""Numbers → the geometry of a plot: percentages, ticks and shares, which the templates draw in HTML and SVG.

Drawn this way the plots follow the page's light and dark colours, reflow with its width, weigh a few
kilobytes, and can be read by a screen reader; a picture could do none of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

BARS = 40  # at most, in one chart
CELLS = 24  # classes at most in a heat map
Row = dict[str, Any]


def stacked_bars(counts: pd.DataFrame) -> Row:
    """Lay out stacked bars.

    Parameters
    ----------
    counts : one row per bar, one column per part; the index names the bars

    Returns
    -------
    parts (names), rows (name, total, parts: name, count, percent of the longest bar), hidden (bars left out).
    Of more than `BARS` bars the largest and the smallest halves stay: imbalance shows at the ends.
    """
    counts = counts.loc[counts.sum(axis=1).sort_values(ascending=False, kind="stable").index]
    hidden = max(0, len(counts) - BARS)
    if hidden:
        counts = pd.concat([counts.iloc[: BARS // 2], counts.iloc[-BARS // 2 :]])
    totals = counts.sum(axis=1)
    names, longest = [str(column) for column in counts.columns], max(int(totals.max()), 1) if len(totals) else 1
    rows = [
        {
            "name": str(bar),
            "total": int(sum(values)),
            "parts": [
                {"name": name, "count": int(n), "percent": 100 * int(n) / longest}
                for name, n in zip(names, values, strict=True)
            ],
        }
        for bar, values in zip(counts.index, counts.to_numpy(), strict=True)
    ]
    return {"parts": names, "rows": rows, "hidden": hidden}


def intervals(rows: Sequence[Mapping[str, Any]], *, unit: bool = True, wanted: int = 5) -> Row:
    """Lay out points with intervals on one axis.

    Parameters
    ----------
    rows : name, value, low and high (None or nan where there is no interval)
    unit : the values can't leave [0, 1], so the axis doesn't either
    wanted : about so many ticks; long names leave room for few

    Returns
    -------
    ticks (value, percent) and rows (the given keys, with at, start and width in percent of the axis)
    """
    shown = [row for row in rows if _known(row["value"])]
    ends = [float(row[key]) for row in shown for key in ("value", "low", "high") if _known(row.get(key))]
    ticks = axis(min(ends, default=0.0), max(ends, default=1.0), unit=unit, wanted=wanted)
    first, last = ticks[0], ticks[-1]

    def percent(value: float) -> float:
        return 100 * (value - first) / (last - first)

    placed = []
    for row in shown:
        has_interval = _known(row.get("low")) and _known(row.get("high"))
        low, high = (row["low"], row["high"]) if has_interval else (row["value"], row["value"])
        place = {"at": percent(row["value"]), "start": percent(low), "width": percent(high) - percent(low)}
        placed.append({**row, **place, "has_interval": has_interval})
    return {"ticks": [{"value": tick, "percent": percent(tick)} for tick in ticks], "rows": placed}


def axis(low: float, high: float, *, unit: bool = True, wanted: int = 5) -> list[float]:
    """About `wanted` round ticks that enclose [low, high]; at least two."""
    span = max(high - low, 1e-3 if unit else 1e-9)
    rough = span / (wanted - 1)
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(m * magnitude for m in (1, 2, 2.5, 5, 10) if m * magnitude >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    if first == last:
        first, last = first - 1, last + 1
    ticks = [round(i * step, 12) for i in range(first, last + 1)]
    inside = [tick for tick in ticks if 0 <= tick <= 1] if unit else ticks
    return inside if len(inside) > 1 else ticks


def heat_map(counts: pd.DataFrame) -> Row:
    """Lay out a table of counts whose rows and columns have the same names; each cell as a share of its row.

    Returns
    -------
    columns, rows (name, total, cells: count, share, is_same, column), hidden (classes left out), has_numbers.
    Of more than `CELLS` classes those with the most off-diagonal counts stay.
    """
    names, hidden = list(counts.index), max(0, len(counts) - CELLS)
    matrix = counts.to_numpy(dtype=np.int64)
    totals = matrix.sum(axis=1)
    if hidden:
        off = totals + matrix.sum(axis=0) - 2 * matrix.diagonal()
        kept = np.sort(np.argsort(-off, kind="stable")[:CELLS])
        names, matrix, totals = [names[i] for i in kept], matrix[np.ix_(kept, kept)], totals[kept]
    shares = matrix / np.maximum(totals, 1)[:, None]
    rows = [
        {"name": str(name), "total": int(totals[i]), "cells": _cells(matrix[i], shares[i], names, i)}
        for i, name in enumerate(names)
    ]
    return {"columns": [str(n) for n in names], "rows": rows, "hidden": hidden, "has_numbers": len(names) <= 12}


def most_confused(counts: pd.DataFrame, n: int = 8) -> list[Row]:
    """The largest off-diagonal cells of a square table: given, other, count, share of the row."""
    matrix = counts.to_numpy(dtype=np.int64).copy()
    totals = np.maximum(matrix.sum(axis=1), 1)
    np.fill_diagonal(matrix, 0)
    order = np.argsort(-matrix, axis=None, kind="stable")[:n]
    places = [divmod(int(i), matrix.shape[1]) for i in order]
    return [
        {"given": str(counts.index[i]), "other": str(counts.columns[j]), "count": int(matrix[i, j])}
        | {"share": matrix[i, j] / totals[i]}
        for i, j in places
        if matrix[i, j]
    ]


def dumbbells(rows: Sequence[Mapping[str, Any]]) -> Row:
    """Lay out before → after per class.

    Parameters
    ----------
    rows : name, before, after in [0, 1]

    Returns
    -------
    As `intervals`, each row with from, to (percent of the axis), change, and hidden: of more than `BARS` classes
    those that changed most stay.
    """
    ranked = sorted(rows, key=lambda row: -abs(row["after"] - row["before"]))
    kept = sorted(ranked[:BARS], key=lambda row: row["after"] - row["before"])
    ends = [float(row[key]) for row in kept for key in ("before", "after")]
    ticks = axis(min(ends, default=0.0), max(ends, default=1.0))
    scale = 100 / (ticks[-1] - ticks[0])
    placed = [
        {**row, "change": row["after"] - row["before"]}
        | {"from": (row["before"] - ticks[0]) * scale, "to": (row["after"] - ticks[0]) * scale}
        for row in kept
    ]
    shown = [{"value": tick, "percent": (tick - ticks[0]) * scale} for tick in ticks]
    return {"ticks": shown, "rows": placed, "hidden": len(ranked) - len(kept)}


def hues(n: int) -> list[int]:
    """`n` hues in degrees, evenly spaced; neighbours in the list lie far apart on the circle."""
    stride = next(k for k in range(max(1, round(0.382 * n)), n + 2) if math.gcd(k, n) == 1) if n else 1
    return [round(25 + 360 * (i * stride % n) / n) % 360 for i in range(n)]


def _cells(counts: np.ndarray, shares: np.ndarray, names: Sequence[Any], row: int) -> list[Row]:
    return [
        {"count": int(count), "share": float(share), "column": str(name), "is_same": column == row}
        for column, (count, share, name) in enumerate(zip(counts, shares, names, strict=True))
    ]


def _known(value: Any) -> bool:
    return value is not None and not math.isnan(value)
