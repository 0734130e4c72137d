"""The verdict, the figures before and after, and what changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pandas as pd
import pytest
from scipy.stats import binomtest

from curate.report.facts import ReportFacts
from curate.report.html import render
from curate.report.outcome import outcome, verdict, versions, wilson
from curate.report.pictures import Pictures


@pytest.mark.parametrize(
    ("interval", "p_value", "answer"),
    [
        ((0.001, 0.02), 0.01, "Yes"),
        ((-0.02, -0.001), 0.01, "No"),
        ((-0.01, 0.03), 0.01, "Can’t tell yet"),
        ((0.005, 0.04), 0.125, "Can’t tell yet"),  # four images that only the model after gets right
    ],
)
def test_the_answer_wants_the_interval_and_the_test(interval: tuple[float, float], p_value: float, answer: str) -> None:
    assert verdict({"accuracy_interval": interval, "p_value": p_value})["answer"] == answer


@pytest.mark.parametrize(("right", "n"), [(0, 10), (7, 10), (10, 10), (1234, 2000)])
def test_wilson_s_interval_is_scipy_s(right: int, n: int) -> None:
    expected = binomtest(right, n).proportion_ci(method="wilson")
    assert wilson(right / n, n) == pytest.approx((expected.low, expected.high), abs=1e-4)


def test_failures_are_the_surest_mistakes_of_the_model_after(facts: ReportFacts) -> None:
    said = pd.DataFrame(
        {
            "sample_id": ["a", "b", "c"],
            "label": ["cat", "cat", "cat"],
            "before": ["cat", "dog", "dog"],
            "after": ["dog", "dog", "cat"],
            "confidence": [0.8, 0.9, 0.9],
        }
    )
    view = outcome(replace(facts, predictions=said), Pictures(lambda sample_id: None))
    assert view is not None
    assert [(row["picture"]["id"], row["was_right"]) for row in view["failures"]] == [("b", False), ("a", True)]


def test_a_comparison_without_a_control_is_told_without_one(facts: ReportFacts) -> None:
    told = dict(facts.comparison or {})
    told["arms"] = {arm: scores for arm, scores in told["arms"].items() if arm != "control"}
    told["differences"] = {"after - before": told["differences"]["after - before"]}
    view = outcome(replace(facts, comparison=told), Pictures(lambda sample_id: None))
    assert view is not None
    assert view["beside_control"] is None
    assert [row["name"] for row in view["accuracy"]["rows"]] == ["before", "after"]


def test_the_versions_of_a_run_stand_beside_its_figures(facts: ReportFacts) -> None:
    page = render(facts)
    assert "accuracy before (version 0)" in page and "Version 0 before, version 1 after." in page
    assert "From version 0 to version 1, 2 images changed" in page
    assert "has not been judged" not in page


@pytest.mark.parametrize("compared", [(0, 1), (0, 0), (1, 0)])
def test_a_later_version_than_the_judged_one_gets_no_answer(facts: ReportFacts, compared: tuple[int, int]) -> None:
    later = [*facts.versions, {**facts.versions[0], "version": 2, "parent": 1}]
    page = render(replace(facts, versions=later, compared=compared))
    assert "Not known of version 2." in page and f"compares version {compared[0]} with version {compared[1]}." in page
    assert "Version 2 is later and has not been judged" in page
    assert not any(f">{answer}.</span>" in page for answer in ("Yes", "No", "Can’t tell yet"))


def test_changes_are_counted_by_kind_and_by_pair_of_labels(bare: Callable[..., ReportFacts]) -> None:
    diff = pd.DataFrame(
        {
            "sample_id": ["a", "b", "c", "d", "e"],
            "change": ["relabelled", "relabelled", "relabelled", "removed", "removed"],
            "label_before": ["cat", "cat", None, "cat", "cat"],
            "label_after": ["dog", "dog", "dog", None, None],
            "reason": [None, None, None, "unlike the others (0.95)", "unlike the others (0.98)"],
        }
    )
    view = versions(bare(diff=diff))
    assert view is not None and view["n_changed"] == 5
    assert view["diff"]["changes"] == {"relabelled": 3, "removed": 2}
    assert view["diff"]["relabelled"][0] == {"before": "cat", "after": "dog", "n": 2}
    assert view["diff"]["reasons"] == {"unlike the others": 2}
    assert view["diff"]["other_reasons"] == 0
