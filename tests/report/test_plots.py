"""The geometry of the plots: shares, ticks, and what is left out of charts that would be too long."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.report.plots import BARS, CELLS, axis, dumbbells, heat_map, hues, intervals, most_confused, stacked_bars


def test_stacked_bars_are_shares_of_the_longest() -> None:
    bars = stacked_bars(pd.DataFrame({"train": [3, 8], "test": [1, 2]}, index=["cat", "dog"]))
    assert [row["name"] for row in bars["rows"]] == ["dog", "cat"]
    assert [part["percent"] for row in bars["rows"] for part in row["parts"]] == [80, 20, 30, 10]
    assert bars["hidden"] == 0


def test_of_many_bars_the_largest_and_the_smallest_stay() -> None:
    bars = stacked_bars(pd.DataFrame({"train": np.arange(1, 101)}, index=[f"c{n}" for n in range(1, 101)]))
    totals = [row["total"] for row in bars["rows"]]
    assert totals == [*range(100, 80, -1), *range(20, 0, -1)] and len(totals) == BARS
    assert bars["hidden"] == 60


@given(st.floats(0, 1), st.floats(0, 1))
def test_ticks_are_round_and_enclose_the_values(a: float, b: float) -> None:
    low, high = sorted((a, b))
    ticks = axis(low, high)
    assert 2 <= len(ticks) <= 8
    assert ticks[0] <= low + 1e-9 and ticks[-1] >= high - 1e-9
    assert ticks == sorted(set(ticks))


def test_an_axis_of_shares_stays_between_0_and_1() -> None:
    assert axis(0.97, 1.0)[-1] == 1.0
    assert axis(0.0, 0.01)[0] == 0.0
    assert axis(1.0, 1.0)[-1] == 1.0 and axis(0.0, 0.0)[0] == 0.0


def test_points_without_an_interval_or_a_value() -> None:
    rows = [
        {"name": "with", "value": 0.5, "low": 0.4, "high": 0.6},
        {"name": "without", "value": 0.5, "low": None, "high": None},
        {"name": "undefined", "value": None, "low": None, "high": None},
        {"name": "nan", "value": float("nan"), "low": 0.1, "high": 0.2},
    ]
    chart = intervals(rows)
    assert [(row["name"], row["has_interval"]) for row in chart["rows"]] == [("with", True), ("without", False)]
    assert chart["rows"][0]["start"] == 0 and chart["rows"][0]["width"] == 100
    assert chart["rows"][0]["at"] == pytest.approx(50)


def test_no_points_at_all_still_give_an_axis() -> None:
    assert len(intervals([])["ticks"]) >= 2
    assert len(dumbbells([])["ticks"]) >= 2


def test_a_heat_map_shows_shares_of_rows() -> None:
    counts = pd.DataFrame([[8, 2], [0, 0]], index=["cat", "dog"], columns=["cat", "dog"])
    view = heat_map(counts)
    assert [[cell["share"] for cell in row["cells"]] for row in view["rows"]] == [[0.8, 0.2], [0, 0]]
    assert [cell["is_same"] for cell in view["rows"][1]["cells"]] == [False, True]


def test_a_heat_map_of_many_classes_keeps_the_most_confused() -> None:
    counts = np.diag(np.full(60, 100))
    counts[50, 7] = 30
    names = [f"c{n:02d}" for n in range(60)]
    view = heat_map(pd.DataFrame(counts, names, names))
    assert len(view["rows"]) == CELLS and view["hidden"] == 60 - CELLS
    assert {"c50", "c07"} <= set(view["columns"])
    cell = next(row for row in view["rows"] if row["name"] == "c50")["cells"][view["columns"].index("c07")]
    assert cell["share"] == pytest.approx(30 / 130)  # of the whole row, hidden columns too


def test_the_most_confused_cells_leave_out_the_diagonal_and_zeros() -> None:
    counts = pd.DataFrame([[90, 4], [7, 80]], index=["cat", "dog"], columns=["cat", "dog"])
    assert [(row["given"], row["other"], row["count"]) for row in most_confused(counts)] == [
        ("dog", "cat", 7),
        ("cat", "dog", 4),
    ]
    assert most_confused(pd.DataFrame([[5]], ["cat"], ["cat"])) == []


def test_dumbbells_run_from_the_worst_change_to_the_best() -> None:
    chart = dumbbells([{"name": n, "before": 0.5, "after": a} for n, a in (("up", 0.7), ("down", 0.4), ("same", 0.5))])
    assert [row["name"] for row in chart["rows"]] == ["down", "same", "up"]
    up = chart["rows"][-1]
    assert up["to"] - up["from"] == pytest.approx(
        0.2 * 100 / (chart["ticks"][-1]["value"] - chart["ticks"][0]["value"])
    )


@pytest.mark.parametrize("n", [0, 1, 2, 3, 5, 10, 12])
def test_hues_are_distinct_and_neighbours_far_apart(n: int) -> None:
    found = hues(n)
    assert len(set(found)) == n
    gaps = [min(abs(a - b), 360 - abs(a - b)) for a, b in zip(found, found[1:], strict=False)]
    assert all(gap >= 60 for gap in gaps)
