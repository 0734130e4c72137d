"""Robust distances against refitting by hand, and against contamination."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf

from curate.find.typicality import fit_typical, squared_distances


def blob(n: int, d: int = 16, *, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, d)) * np.linspace(0.2, 1, d)).astype(np.float32)


def unlabelled(rows: np.ndarray) -> np.ndarray:
    return np.full(len(rows), -1)


def test_the_covariance_is_that_of_ledoit_and_wolf():
    rows = blob(80, 24)
    fit, _ = fit_typical(rows, unlabelled(rows))
    expected, _ = ledoit_wolf(rows[fit.core].astype(np.float64))
    np.testing.assert_allclose(fit.covariance, expected, rtol=1e-4, atol=1e-6)


def test_a_row_is_measured_by_a_fit_without_itself():
    rows = blob(60, 8)
    fit, distances = fit_typical(rows, unlabelled(rows))
    for row in np.flatnonzero(fit.core)[:10]:
        deviation = (rows[row] - fit.centres[0]).astype(np.float64)
        without = fit.covariance.astype(np.float64) - fit.leverage * np.outer(deviation, deviation)
        assert distances[row] == pytest.approx(deviation @ np.linalg.solve(without, deviation), rel=1e-3)


def test_rows_outside_the_core_are_measured_as_new_ones():
    rows = blob(200)
    fit, distances = fit_typical(rows, unlabelled(rows))
    outside = ~fit.core
    assert outside.sum() == 20
    np.testing.assert_allclose(distances[outside], squared_distances(rows[outside], fit), rtol=1e-5)


def test_a_tenth_of_intruders_in_one_place_does_not_bend_the_fit():
    usual, intruders = blob(450), blob(50, seed=1) * 0.05 + 3
    fit, distances = fit_typical(np.concatenate([usual, intruders]), unlabelled(np.zeros(500)))
    assert not fit.core[450:].any()
    assert distances[450:].min() > 10 * distances[:450].max()


def test_a_small_class_far_from_the_rest_is_usual_where_it_has_a_label():
    far = blob(30, seed=1) + 5
    rows = np.concatenate([blob(500), far])
    codes = np.r_[np.zeros(500, int), np.ones(30, int)]
    labelled = fit_typical(rows, codes)[1]
    nameless = fit_typical(rows, np.where(codes == 1, -1, 0))[1]
    assert np.median(labelled[500:]) < 2 * np.median(labelled[:500])
    assert np.median(nameless[500:]) > 10 * np.median(nameless[:500])


def test_a_class_of_a_few_has_no_centre_of_its_own():
    rows = np.concatenate([blob(300), blob(5, seed=1) + 5])
    distances = fit_typical(rows, np.r_[np.zeros(300, int), np.ones(5, int)])[1]
    assert distances[300:].min() > 10 * np.median(distances)


def test_more_dimensions_than_rows_still_tell_the_odd_one():
    rng = np.random.default_rng(0)
    rows = np.concatenate([blob(40, 200), 2 + rng.normal(size=(1, 200)).astype(np.float32)])
    distances = fit_typical(rows, unlabelled(rows))[1]
    assert distances.argmax() == 40
    assert distances[40] > 3 * np.median(distances)


def test_identical_rows_are_all_at_distance_zero():
    rows = np.ones((30, 8), np.float32)
    np.testing.assert_array_equal(fit_typical(rows, unlabelled(rows))[1], np.zeros(30))
