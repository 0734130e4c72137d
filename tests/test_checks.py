"""Whatever is handed in either works or is refused in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

import curate
from curate import checks
from curate.config import EmbedOptions
from curate.errors import CurateError, InputError

FEW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
NUMBERS = some.floats(allow_nan=True, allow_infinity=True, width=64)
LABELS = some.one_of(
    some.none(),
    some.booleans(),
    some.integers(-3, 3),
    some.sampled_from(["a", "b", "", "1"]),
    some.floats(),
    some.text(),
)


@some.composite
def tables(draw: Any) -> tuple[list[list[float]], list[Any]]:
    """Embeddings of a few samples, and labels of any kind, most times as many."""
    n, d = draw(some.integers(0, 8)), draw(some.integers(0, 4))
    rows = draw(some.lists(some.lists(NUMBERS, min_size=d, max_size=d), min_size=n, max_size=n))
    return rows, draw(some.lists(LABELS, min_size=n, max_size=n + draw(some.integers(0, 1))))


@FEW
@given(tables())
def test_nothing_that_is_handed_in_ends_in_a_foreign_error(table: tuple[list[list[float]], list[Any]]) -> None:
    rows, labels = table
    for call in (
        lambda: curate.find_label_errors(rows, labels),
        lambda: curate.find_label_errors(labels=labels, pred_probs=rows),
        lambda: curate.find_outliers(rows, labels),
        lambda: curate.find_outliers(rows, ids=labels),
        lambda: curate.split(labels, groups=labels),
    ):
        try:
            assert len(call()) == len(rows) or len(call()) == len(labels)
        except CurateError as error:
            assert str(error)


@FEW
@given(some.lists(some.sampled_from(["a", "b", None]), min_size=2, max_size=9), some.integers(0, 5))
def test_few_samples_of_finite_numbers_work_where_two_have_labels(labels: list[Any], seed: int) -> None:
    rows = np.random.default_rng(seed).normal(size=(len(labels), 3))
    if len(set(labels) - {None}) == 2:
        found = curate.find_label_errors(rows, labels)
        assert found["label_score"].notna().tolist() == [label is not None for label in labels]
        assert found["label_score"].dropna().between(0, 1).all()


@FEW
@given(some.lists(some.lists(LABELS, min_size=2, max_size=2), min_size=1, max_size=5))
def test_votes_of_any_kind_are_counted_or_refused(votes: list[list[Any]]) -> None:
    for function in (curate.agreement, curate.consensus):
        try:
            function(votes)
        except CurateError as error:
            assert str(error)


def test_rows_become_unit_vectors_whatever_their_scale() -> None:
    rows = checks.as_embeddings([[3, 4], [3e-300, 4e-300], [3e300, 4e300], [0, 0]])
    np.testing.assert_allclose(rows, [[0.6, 0.8]] * 3 + [[0, 0]], atol=1e-7)
    assert rows.dtype == np.float32


def test_many_rows_are_checked_block_by_block_and_not_changed() -> None:
    given = np.random.default_rng(0).normal(size=(10_000, 3)).astype(np.float32)
    before = given.copy()
    np.testing.assert_allclose(np.linalg.norm(checks.as_embeddings(given), axis=1), 1, atol=1e-6)
    assert (given == before).all()


def test_a_masked_value_is_a_missing_one() -> None:
    assert checks.as_labels(np.ma.masked_array([1, 2, 3], mask=[0, 1, 0])).names.isna().tolist() == [False, True, False]
    with pytest.raises(InputError, match="row 1"):
        checks.as_embeddings(np.ma.masked_array([[1.0], [2.0]], mask=[[0], [1]]))


def test_labels_are_named_and_given_back() -> None:
    labels = checks.as_labels([10, 2, None, 10, np.nan, np.int8(2)])
    assert labels.names.tolist()[:2] == ["10", "2"] and labels.names.isna().sum() == 2
    assert labels.classes == ["2", "10"]
    assert labels.given(["2", "10"]).tolist() == [2, 10]


@pytest.mark.parametrize(
    "values", [[1, "1"], [True, "True"], [pd.Timestamp(0)], [object()], ["a\0", "a"], [1.5], [np.inf], [(1, 2), 3]]
)
def test_labels_that_name_no_class_are_refused(values: list[Any]) -> None:
    with pytest.raises(InputError, match="labels"):
        checks.as_labels(values)


def test_a_group_of_none_is_alone() -> None:
    assert len(set(checks.as_groups(["a", None, "a", np.nan, "b"], 5))) == 4


def test_ids_are_row_numbers_where_none_are_given() -> None:
    ids = checks.as_ids(None, 12)
    assert sorted(ids.names) == ids.names.tolist()
    table = pd.DataFrame({"sample_id": ids.names, "nearest_id": [*ids.names[1:], None], "score": 0.5})
    assert ids.given(table)["nearest_id"].tolist() == [*range(1, 12), pd.NA]


@pytest.mark.parametrize("probs", [np.float16, np.float32, np.float64])
def test_probabilities_of_half_precision_are_brought_to_a_sum_of_one(probs: Any) -> None:
    given = np.random.default_rng(0).dirichlet(np.ones(300), 20).astype(probs)
    np.testing.assert_allclose(checks.as_probabilities(given).sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("values", [None, "text", {"a": 1}, {1, 2}, 3, np.float64(3), b"bytes"])
def test_what_is_no_array_is_refused(values: Any) -> None:
    for check in (checks.as_embeddings, checks.as_labels, checks.as_probabilities):
        with pytest.raises(InputError):
            check(values)


def test_a_sparse_matrix_is_told_apart() -> None:
    from scipy.sparse import csr_array

    with pytest.raises(InputError, match=r"embeddings.toarray\(\)"):
        checks.as_embeddings(csr_array(np.eye(3)))


def test_a_generator_is_as_good_as_a_list(tmp_path: Path) -> None:
    assert checks.as_labels(str(n) for n in range(3)).names.tolist() == ["0", "1", "2"]
    assert len(checks.as_sources(tmp_path / f"{n}.png" for n in range(3))) == 3


def test_options_are_changed_by_name() -> None:
    assert checks.options_of(EmbedOptions, None, {"model": "x"}).model == "x"
    assert checks.options_of(EmbedOptions, EmbedOptions(batch_size=3), {"model": "x"}).batch_size == 3
    with pytest.raises(InputError, match="there is no option 'modle'"):
        checks.options_of(EmbedOptions, None, {"modle": "x"})
