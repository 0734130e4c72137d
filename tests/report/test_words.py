"""Numbers and tables as text."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from curate.report import words


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("count", 12345, "12,345"),
        ("percent", 0.1234, "12.3%"),
        ("chance", 0.934, "93%"),
        ("chance", 1.0, "over 99%"),
        ("chance", 0.0, "under 1%"),
        ("figure", 0.12345, "0.123"),
        ("tick", 0.925, "92.5%"),
        ("plain", 0.85, "0.85"),
        ("points", 0.0123, "+1.2"),
        ("points", -0.0123, "−1.2"),
        ("p_value", 0.0312, "p = 0.031"),
        ("p_value", 1e-9, "p < 0.001"),
        ("seconds", 9.53, "9.5 s"),
        ("seconds", 95.3, "1 min 35 s"),
        ("seconds", 3725, "1 h 2 min"),
        ("when", "2025-11-22T06:20:00+00:00", "2025-11-22 06:20"),
        ("words", "near_duplicate", "near duplicate"),
    ],
)
def test_a_value_reads_so(name: str, value: object, text: str) -> None:
    assert getattr(words, name)(value) == text


@pytest.mark.parametrize("name", ["count", "percent", "chance", "figure", "points", "p_value", "seconds", "when"])
@pytest.mark.parametrize("missing", [None, float("nan"), np.float32("nan"), pd.NA, pd.NaT])
def test_what_is_missing_is_a_dash(name: str, missing: object) -> None:
    assert getattr(words, name)(missing) == "–"


def test_plurals() -> None:
    assert words.plural(1, "image") == "1 image"
    assert words.plural(1200, "image") == "1,200 images"
    assert words.plural(0, "class", "classes") == "0 classes"


def test_any_table_becomes_text() -> None:
    table = pd.DataFrame(
        {"label": ["cat", None], "n_images": [1200, 3], "share": [0.12345, np.nan], "is_small": [False, True]}
    )
    view = words.plain_table(table, rows=2)
    assert [column["name"] for column in view["columns"]] == ["label", "n images", "share", "is small"]
    assert [column["number"] for column in view["columns"]] == [False, True, True, False]
    assert view["rows"] == [["cat", "1,200", "0.123", "no"], ["–", "3", "–", "yes"]]
    assert view["hidden"] == 0
    assert words.plain_table(table, rows=1)["hidden"] == 1
