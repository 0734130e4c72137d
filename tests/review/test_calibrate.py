"""Probabilities corrected by verdicts: against scipy's optimiser, and against worlds whose truth is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from small_tables import flag_table, make_decisions, make_samples

from curate.decisions.decision import evidence
from curate.issues.flags import open_flags
from curate.review.calibrate import PRIOR_MEAN, PRIOR_SD, UNJUDGED, calibrate, calibrate_all, interval, outcomes


def world(shift: float, slope: float, n: int = 600, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Claimed probabilities, descending, and whether each flag is right, where the finder errs by a line."""
    rng = np.random.default_rng(seed)
    claimed = np.sort(rng.beta(2, 1, n))[::-1].clip(0.001, 0.999)
    odds = np.exp(shift) * (claimed / (1 - claimed)) ** slope
    return claimed, rng.random(n) < odds / (1 + odds)


def test_a_finder_without_verdicts_is_believed() -> None:
    claimed = np.array([0.001, 0.2, 0.5, 0.9, 0.999])
    assert UNJUDGED(claimed) == pytest.approx(claimed)
    assert calibrate(claimed[:0], np.zeros(0, bool)).line == pytest.approx(PRIOR_MEAN)


def test_probabilities_of_exactly_0_and_1_are_not_believed_absolutely() -> None:
    corrected = UNJUDGED(np.array([0.0, 1.0]))
    assert 0 < corrected[0] < 0.01 and 0.99 < corrected[1] < 1


@pytest.mark.parametrize(("shift", "slope"), [(0, 1), (-2, 1), (1, 0.5), (-3, 1.5)])
def test_the_line_is_the_maximum_that_scipy_finds(shift: float, slope: float) -> None:
    claimed, right = world(shift, slope, n=150)
    x = np.stack([np.ones_like(claimed), np.log(claimed / (1 - claimed))], axis=1)

    def loss(line: np.ndarray) -> float:
        z = x @ line
        return float(np.logaddexp(0, z).sum() - right @ z + (((line - PRIOR_MEAN) / PRIOR_SD) ** 2).sum() / 2)

    found = calibrate(claimed, right)
    assert found.line == pytest.approx(minimize(loss, PRIOR_MEAN).x, abs=1e-3)
    steps = 1e-4 * np.eye(2)
    hessian = [
        [
            (loss(found.line + a + b) - loss(found.line + a) - loss(found.line + b) + loss(found.line)) / 1e-8
            for a in steps
        ]
        for b in steps
    ]
    assert found.covariance == pytest.approx(np.linalg.inv(hessian), rel=0.05, abs=1e-3)


@pytest.mark.parametrize("right", [True, False])
def test_verdicts_that_all_agree_do_not_diverge(right: bool) -> None:
    corrected = calibrate(np.full(500, 0.99), np.full(500, right))(np.array([0.99, 0.5]))
    assert np.isfinite(corrected).all()
    assert corrected[0] > 0.98 if right else corrected[0] < 0.02


@pytest.mark.parametrize(("shift", "slope"), [(0, 1), (-1, 1), (1, 1), (-1, 0.5), (0, 0.5)])
def test_after_100_verdicts_from_the_top_the_interval_of_the_rest_holds(shift: float, slope: float) -> None:
    held = []
    for seed in range(60):
        claimed, right = world(shift, slope, seed=seed)
        expected, variance = calibrate(claimed[:100], right[:100]).total(claimed[100:])
        low, high = interval(expected, variance, len(right) - 100)
        assert 0 <= low <= expected <= high <= len(right) - 100
        held.append(low <= right[100:].sum() <= high)
    assert np.mean(held) >= 0.85


def test_outcomes_count_flags_and_groups_that_a_person_looked_at() -> None:
    samples = make_samples(["a", "b", "c", "d", "e", "f", "g", "h"])
    near = {"a": {"group_id": 1}, "b": {"group_id": 1}, "c": {"group_id": 2}, "d": {"group_id": 2, "p": 0.7}}
    near |= {"e": {"group_id": 3}, "f": {"group_id": 3}}
    issues = {
        "near_duplicate": flag_table("near_duplicate", near),
        "label": flag_table("label", {"g": {"p": 0.6}, "h": {"p": 0.8}}),
    }
    decisions = make_decisions(
        samples,
        ("a", "near_duplicate", "keep"),
        ("b", "near_duplicate", "drop"),  # the group a, b is right
        ("c", "near_duplicate", "keep"),
        ("d", "near_duplicate", "keep"),  # c, d is wrong
        ("e", "near_duplicate", "keep"),  # of e, f nothing is known yet
        ("g", "label", "keep"),
        ("h", "label", "unsure"),
    )
    judged = outcomes(open_flags(samples, issues), decisions)
    assert judged.to_dict("records") == [
        {"issue": "label", "claimed": 0.6, "right": False},
        {"issue": "near_duplicate", "claimed": 0.9, "right": True},
        {"issue": "near_duplicate", "claimed": 0.9, "right": False},
    ]


def test_outcomes_leave_out_bulk_and_take_the_probability_of_the_time() -> None:
    samples = make_samples(["a", "b", "gone"])
    flags = open_flags(samples, {"label": flag_table("label", {"a": {"p": 0.6}, "b": {"p": 0.7}})})
    decisions = make_decisions(samples, ("a", "label", "drop"), ("b", "label", "drop"), ("gone", "label", "drop"))
    decisions["evidence"] = [evidence(probability=0.9), evidence(bulk="rule", probability=0.9), None]
    assert outcomes(flags, decisions).to_dict("records") == [{"issue": "label", "claimed": 0.9, "right": True}]


def test_each_issue_has_a_line_of_its_own() -> None:
    judged = pd.DataFrame({"issue": ["a"] * 9 + ["b"] * 9, "claimed": 0.5, "right": [True] * 9 + [False] * 9})
    lines = calibrate_all(judged)
    half = np.array([0.5])
    assert lines["a"](half) > 0.8 and lines["b"](half) < 0.2
