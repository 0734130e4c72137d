"""How far the review has come, and when to stop."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from small_tables import flag_table, make_decisions, make_pairs, make_samples

from curate.review.forecast import Forecast, forecast
from curate.review.queue import build_queue
from curate.schema import empty

NO_PAIRS = make_pairs()


def look(samples: pd.DataFrame, issues: dict[str, pd.DataFrame], decisions: pd.DataFrame, **options: int) -> Forecast:
    return forecast(samples, issues, decisions, build_queue(samples, issues, NO_PAIRS, decisions), **options)


@pytest.fixture(scope="module")
def reviewed() -> tuple[pd.DataFrame, dict[str, pd.DataFrame], np.ndarray]:
    """400 samples with calibrated label probabilities, and whether each label is wrong."""
    rng = np.random.default_rng(1)
    p = np.sort(rng.random(400))[::-1]
    names = [f"s{n:03d}" for n in range(400)]
    issues = {"label": flag_table("label", {name: {"p": v} for name, v in zip(names, p, strict=True)})}
    return make_samples(names), issues, rng.random(400) < p


def test_nothing_to_review() -> None:
    seen = look(make_samples(["a"]), {}, empty("decisions"))
    assert seen.may_stop and seen.advice == "Nothing is left to review."
    assert (seen.n_open, seen.expected, seen.low, seen.high, seen.expected_next) == (0, 0, 0, 0, 0)
    assert seen.by_issue.empty


def test_before_any_verdict_the_finder_is_believed_but_not_sure(reviewed) -> None:
    samples, issues, wrong = reviewed
    seen = look(samples, issues, empty("decisions"))
    p = issues["label"]["label_probability"]
    assert seen.expected == pytest.approx(p[p >= 0.5].sum(), rel=1e-3)
    assert seen.expected_next == pytest.approx(p[:50].sum(), rel=1e-3)
    assert seen.by_issue["expected_unflagged"].tolist() == pytest.approx([p[p < 0.5].sum()], rel=1e-2)
    assert seen.low < wrong[p >= 0.5].sum() < seen.high
    assert not seen.may_stop and "too few" in seen.advice


@pytest.mark.parametrize("n", [30, 100, 150])
def test_the_rest_is_foretold_by_the_first_verdicts(reviewed, n: int) -> None:
    samples, issues, wrong = reviewed
    names = samples["sample_id"]
    verdicts = [(names[i], "label", *(("relabel", "dog") if wrong[i] else ("keep",))) for i in range(n)]
    seen = look(samples, issues, make_decisions(samples, *verdicts))
    flagged = int(issues["label"]["is_label_issue"].sum())
    row = seen.by_issue.iloc[0]
    assert (row["judged"], row["right"], row["open"]) == (n, wrong[:n].sum(), flagged - n)
    assert row["precision_low"] < wrong[:n].mean() < row["precision_high"]
    assert seen.low <= wrong[n:flagged].sum() <= seen.high
    assert seen.verdicts == {"keep": n - wrong[:n].sum(), "relabel": wrong[:n].sum()}
    assert "Go on" in seen.advice


def test_it_is_reasonable_to_stop_once_flags_are_hardly_ever_right() -> None:
    names = [f"s{n:03d}" for n in range(200)]
    samples = make_samples(names)
    issues = {"outlier": flag_table("outlier", {name: {"p": 0.8} for name in names})}
    refuted = make_decisions(samples, *((name, "outlier", "keep") for name in names[:60]))
    seen = look(samples, issues, refuted)
    assert seen.may_stop and seen.advice.startswith("It is reasonable to stop: of the next 50")
    assert seen.expected < 14


def test_the_next_entries_may_be_fewer_than_asked_for(reviewed) -> None:
    samples, issues, _ = reviewed
    assert look(samples, issues, empty("decisions"), next_n=10_000).n_next == issues["label"]["is_label_issue"].sum()
    few = look(samples, issues, empty("decisions"), next_n=1)
    assert few.n_next == 1 and few.expected_next <= 1


def test_a_group_counts_once_and_a_bulk_verdict_not_at_all() -> None:
    samples = make_samples(["a", "b", "c"])
    issues = {
        "near_duplicate": flag_table("near_duplicate", {"a": {"group_id": 1}, "b": {"group_id": 1}}),
        "label": flag_table("label", {"c": {}}),
    }
    bulk = make_decisions(samples, ("c", "label", "drop"), bulk="label: drop")
    seen = look(samples, issues, bulk)
    assert seen.verdicts == {"drop": 1}
    row = seen.by_issue.set_index("issue").loc["near_duplicate"]
    assert (row["open"], row["judged"]) == (1, 0)
    assert np.isnan(row["expected_unflagged"]) and np.isnan(row["precision"])
    assert "label" not in set(seen.by_issue["issue"])
