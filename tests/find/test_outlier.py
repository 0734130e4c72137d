"""Planted intruders: alone, in clusters, few and many; and what must not change the result."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from curate.find.neighbors import Neighbors
from curate.find.outlier import find_outlier

SCORES = ["outlier_score", "typicality_score", "neighbor_score", "isolation_forest_score"]


def on_sphere(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def around(direction: int, n: int, *, spread: float = 0.12, d: int = 64, seed: int = 0) -> np.ndarray:
    """`n` unit vectors about the axis `direction`."""
    rows = np.random.default_rng([seed, direction]).normal(scale=spread, size=(n, d))
    rows[:, direction] += 1
    return on_sphere(rows)


def neighbours_of(embeddings: np.ndarray) -> Neighbors:
    similar = (embeddings @ embeddings.T).astype(np.float64)
    np.fill_diagonal(similar, -2)
    k = min(3, len(embeddings) - 1)
    nearest = np.argsort(-similar, axis=1, kind="stable")[:, :k]
    D = np.take_along_axis(similar, nearest, 1).astype(np.float32)
    return Neighbors(D, nearest.astype(np.int32), "brute force", 1.0)


def find(embeddings: np.ndarray, labels: list[str | None] | None = None) -> pd.DataFrame:
    samples = pd.DataFrame({"sample_id": [f"{i:04d}.png" for i in range(len(embeddings))]})
    samples["label"] = pd.Series(labels if labels else [None] * len(samples), dtype="object")
    return find_outlier(samples, embeddings, neighbours_of(embeddings))


def flagged(found: pd.DataFrame) -> list[int]:
    return np.flatnonzero(found["is_outlier_issue"]).tolist()


def test_ten_scattered_intruders_are_found_and_nothing_else():
    intruders = [around(axis, 1) for axis in range(10, 20)]
    found = find(np.concatenate([around(0, 500), around(1, 500), *intruders]))
    assert flagged(found) == list(range(1000, 1010))
    assert found["group_id"].isna().all()


def test_intruders_that_resemble_each_other_do_not_hide_and_are_one_group_per_kind():
    first, second = around(10, 60, spread=0.05), around(11, 30, spread=0.05)
    found = find(np.concatenate([around(0, 600), around(1, 600), first, second]))
    assert flagged(found) == list(range(1200, 1290))
    groups = found["group_id"]
    assert groups[1200:1260].nunique() == 1 and groups[1260:].nunique() == 1
    assert groups[1200] != groups[1289]
    assert groups[:1200].isna().all()


def test_a_group_is_named_after_its_worst_member():
    found = find(np.concatenate([around(0, 500), around(10, 12, spread=0.05)]))
    members = found[found["group_id"].notna()]
    assert len(members) == 12
    assert set(members["group_id"]) == {members.loc[members["outlier_score"].idxmin(), "sample_id"]}


@pytest.mark.parametrize("n", [60, 500, 2000])
def test_a_clean_set_has_hardly_any_flags(n: int):
    found = find(np.concatenate([around(axis, n // 2, seed=1) for axis in (0, 1)]))
    assert len(flagged(found)) <= 0.01 * n


def test_a_small_class_is_no_outlier_once_it_has_a_name():
    embeddings = np.concatenate([around(0, 600), around(5, 25)])
    named = find(embeddings, ["usual"] * 600 + ["rare"] * 25)
    nameless = find(embeddings, ["usual"] * 600 + [None] * 25)
    assert flagged(named) == []
    assert flagged(nameless) == list(range(600, 625))


def test_wrong_labels_do_not_excuse_an_intruder():
    embeddings = np.concatenate([around(0, 400), around(1, 400), around(10, 6)])
    assert flagged(find(embeddings, ["a"] * 400 + ["b"] * 400 + ["a", "b"] * 3)) == list(range(800, 806))


def test_the_order_of_the_rows_changes_nothing():
    embeddings = np.concatenate([around(0, 300), around(1, 300), around(10, 9)])
    ids = pd.Series([f"{i:04d}.png" for i in range(len(embeddings))])
    shuffle = np.random.default_rng(0).permutation(len(ids))
    tables = []
    for rows in (np.arange(len(ids)), shuffle):
        samples = pd.DataFrame({"sample_id": ids.to_numpy()[rows], "label": None})
        tables.append(find_outlier(samples, embeddings[rows], neighbours_of(embeddings[rows])))
    pd.testing.assert_frame_equal(tables[0], tables[1].sort_values("sample_id", ignore_index=True))


def test_half_precision_flags_the_same():
    embeddings = np.concatenate([around(0, 300), around(10, 9)])
    assert flagged(find(embeddings)) == flagged(find(embeddings.astype(np.float16)))


def test_beyond_the_reference_the_flags_are_the_same(monkeypatch: pytest.MonkeyPatch):
    embeddings = np.concatenate([around(0, 900), around(1, 900), around(10, 40)])
    whole = find(embeddings)
    monkeypatch.setattr("curate.find.outlier.REFERENCE", 600)
    monkeypatch.setattr("curate.find.outlier.SOUGHT_AMONG", 200)
    monkeypatch.setattr("curate.find.rows.BLOCK", 256)
    part = find(embeddings)
    assert flagged(part) == flagged(whole) == list(range(1800, 1840))
    assert np.corrcoef(whole["outlier_score"][:1800], part["outlier_score"][:1800])[0, 1] > 0.8


@pytest.mark.parametrize("n", [1, 2, 5, 19])
def test_too_few_samples_to_tell_what_is_usual_are_not_flagged(n: int):
    found = find(around(0, n))
    assert flagged(found) == []
    assert (found[SCORES] == 1).all(axis=None)
    assert found["nearest_id"].isna().all() == (n == 1)


def test_identical_embeddings_are_no_outliers_but_the_one_that_differs_is():
    embeddings = np.repeat(around(0, 1), 40, axis=0)
    assert flagged(find(embeddings)) == []
    embeddings[7] = around(3, 1)
    assert flagged(find(embeddings)) == [7]


def test_no_samples_make_an_empty_table():
    samples = pd.DataFrame({"sample_id": pd.Series(dtype="str"), "label": pd.Series(dtype="str")})
    empty = Neighbors(np.zeros((0, 0), np.float32), np.zeros((0, 0), np.int32), "none", 1.0)
    assert len(find_outlier(samples, np.zeros((0, 8), np.float32), empty)) == 0


def test_every_row_has_scores_in_the_unit_range_and_its_nearest():
    embeddings = np.concatenate([around(0, 200), around(10, 3)])
    found = find(embeddings)
    assert found[SCORES].apply(lambda score: score.between(0, 1).all()).all()
    assert found["nearest_id"].tolist() == [f"{i:04d}.png" for i in neighbours_of(embeddings).I[:, 0]]


def test_the_threshold_moves_the_flags_and_not_the_scores():
    embeddings = np.concatenate([around(0, 300), around(10, 9)])
    samples = pd.DataFrame({"sample_id": [f"{i:04d}" for i in range(309)], "label": None})
    strict, loose = (
        find_outlier(samples, embeddings, neighbours_of(embeddings), threshold=threshold) for threshold in (0.1, 0.9)
    )
    pd.testing.assert_frame_equal(strict[SCORES], loose[SCORES])
    assert loose["is_outlier_issue"].sum() > strict["is_outlier_issue"].sum()
