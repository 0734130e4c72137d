"""Published examples, scikit-learn, and brute force as oracles of every coefficient."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from sklearn.metrics import cohen_kappa_score

from curate.ingest.agreement import coefficients, cohen, draws, find_patterns, interval

# Fleiss' kappa as worked through in many textbooks: 10 subjects, 14 raters, 5 categories
FLEISS = np.array(
    [
        [0, 0, 0, 0, 14],
        [0, 2, 6, 4, 2],
        [0, 0, 3, 5, 6],
        [0, 3, 9, 2, 0],
        [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0],
        [3, 2, 6, 3, 0],
        [2, 5, 3, 2, 2],
        [6, 5, 2, 1, 0],
        [0, 2, 2, 3, 7],
    ]
)
# Krippendorff (2011), example C: 4 observers, 12 units, missing values; nominal alpha = 0.743
KRIPPENDORFF = ["123321412...", "1233224125.3", ".3332342251.", "12332441251."]


def votes_of(counts):
    """(samples, labels) of a table of counts, (N, C)."""
    rows, columns = np.nonzero(counts)
    times = counts[rows, columns]
    return np.repeat(rows, times), np.repeat(columns, times)


def values(samples, labels, n_classes):
    patterns = find_patterns(np.asarray(samples), np.asarray(labels), n_classes)
    overall, per_class = coefficients(patterns, patterns.times[None].astype(float))
    return {k: v[0] for k, v in overall.items()}, {k: v[0] for k, v in per_class.items()}


def krippendorff_votes():
    votes = [(unit, int(mark) - 1) for row in KRIPPENDORFF for unit, mark in enumerate(row) if mark != "."]
    return tuple(map(np.array, zip(*votes, strict=True)))


def brute_force_alpha(samples, labels, n_classes):
    """Alpha by its definition: the table of coincidences, pair by pair."""
    together = np.zeros((n_classes, n_classes))
    for sample in set(samples):
        votes = [label for s, label in zip(samples, labels, strict=True) if s == sample]
        for one, other in permutations(range(len(votes)), 2):
            together[votes[one], votes[other]] += 1 / (len(votes) - 1)
    n, total = together.sum(axis=1), together.sum()
    observed = total - np.trace(together)
    expected = sum(n[c] * n[k] for c in range(n_classes) for k in range(n_classes) if c != k) / (total - 1)
    return 1 - observed / expected if expected else np.nan


def test_fleiss_kappa_of_the_textbook_example_is_0_210():
    overall, per_class = values(*votes_of(FLEISS), 5)
    assert overall["fleiss_kappa"] == pytest.approx(0.210, abs=5e-4)
    assert overall["agreement"] == pytest.approx(0.378, abs=5e-4)
    assert overall["conflict_rate"] == 0.9
    n, p = 14, FLEISS.sum(axis=0) / FLEISS.sum()  # Fleiss (1971), equation 23, for one category
    by_class = 1 - (FLEISS * (n - FLEISS)).sum(axis=0) / (len(FLEISS) * n * (n - 1) * p * (1 - p))
    assert per_class["kappa"] == pytest.approx(by_class)


def test_alpha_of_krippendorffs_example_is_0_743():
    overall, _ = values(*krippendorff_votes(), 5)
    assert overall["krippendorff_alpha"] == pytest.approx(0.743, abs=5e-4)


def test_fleiss_kappa_with_missing_values_is_gwets():
    # Gwet's irrCAC (R), fleiss.kappa.raw on the same data: 0.76117, observed 0.8181818, by chance 0.2387153
    overall, _ = values(*krippendorff_votes(), 5)
    assert overall["fleiss_kappa"] == pytest.approx(0.76117, abs=1e-5)
    assert overall["agreement"] == pytest.approx(0.8181818, abs=1e-7)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3)), min_size=1, max_size=30))
def test_alpha_equals_its_definition(votes):
    samples, labels = (np.array(side) for side in zip(*votes, strict=True))
    _, samples = np.unique(samples, return_inverse=True)
    got = values(samples, labels, 4)[0]["krippendorff_alpha"]
    assert got == pytest.approx(brute_force_alpha(samples.tolist(), labels.tolist(), 4), nan_ok=True)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
def test_cohens_kappa_equals_scikit_learns(pairs):
    first, second = (np.array(side) for side in zip(*pairs, strict=True))
    table = sparse.coo_array(np.histogram2d(first, second, bins=[range(5), range(5)])[0])
    got = cohen(table, table.data[None])
    assert got["agreement"][0] == pytest.approx((first == second).mean())
    if len({*first, *second}) > 1:
        assert got["cohen_kappa"][0] == pytest.approx(cohen_kappa_score(first, second))
    else:
        assert np.isnan(got["cohen_kappa"][0])


def test_agreement_per_class_by_hand():
    # four samples, two votes each: aa, ab, bb, ac
    overall, per_class = values([0, 0, 1, 1, 2, 2, 3, 3], [0, 0, 0, 1, 1, 1, 0, 2], 3)
    assert overall["agreement"] == 0.5 and overall["conflict_rate"] == 0.5
    assert per_class["agreement"] == pytest.approx([2 / 4, 2 / 3, 0])
    assert per_class["conflict_rate"] == pytest.approx([2 / 3, 1 / 2, 1])


def test_samples_with_one_vote_count_in_no_rate():
    with_single = values([0, 0, 1, 1, 2], [0, 0, 0, 1, 1], 2)[0]
    without = values([0, 0, 1, 1], [0, 0, 0, 1], 2)[0]
    for name in ("agreement", "conflict_rate", "krippendorff_alpha"):
        assert with_single[name] == without[name]


def test_nothing_shared_and_one_class_are_nan_without_a_warning():
    overall, per_class = values([0, 1], [0, 1], 2)
    assert np.isnan([*overall.values()]).tolist() == [True] * 4
    assert np.isnan(per_class["agreement"]).all()
    overall, _ = values([0, 0, 1, 1], [0, 0, 0, 0], 1)
    assert overall["agreement"] == 1 and np.isnan(overall["fleiss_kappa"])


def test_patterns_hold_the_samples_they_stand_for():
    patterns = find_patterns(np.array([0, 0, 1, 1, 2, 3, 3]), np.array([0, 1, 1, 0, 2, 0, 0]), 3)
    found = {tuple(row): times for row, times in zip(patterns.counts.toarray(), patterns.times, strict=True)}
    assert found == {(1, 1, 0): 2, (0, 0, 1): 1, (2, 0, 0): 1}


def test_draws_over_patterns_spread_like_draws_over_samples():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, (400, 3))
    labels[:, 1] = np.where(rng.random(400) < 0.7, labels[:, 0], labels[:, 1])
    samples = np.repeat(np.arange(400), 3)
    patterns = find_patterns(samples, labels.ravel(), 3)
    ours = np.concatenate([coefficients(patterns, b)[0]["fleiss_kappa"] for b in draws(patterns.times, 2000, rng)])
    naive = [values(samples, labels[rng.integers(0, 400, 400)].ravel(), 3)[0]["fleiss_kappa"] for _ in range(200)]
    assert ours.mean() == pytest.approx(np.mean(naive), abs=0.005)
    assert ours.std() == pytest.approx(np.std(naive), rel=0.2)


def test_draws_come_in_blocks_and_each_counts_all_samples(monkeypatch):
    monkeypatch.setattr("curate.ingest.agreement.BLOCK", 10)
    blocks = list(draws(np.array([5, 1, 2]), 8, np.random.default_rng(0)))
    assert [len(block) for block in blocks] == [3, 3, 2]
    assert all((block.sum(axis=1) == 8).all() for block in blocks)


def test_an_interval_leaves_out_what_is_not_defined():
    low, high = interval(np.array([[0.0, np.nan, np.nan], [1.0, np.nan, 3.0]]))
    assert low == pytest.approx([0.025, np.nan, 3], nan_ok=True)
    assert high == pytest.approx([0.975, np.nan, 3], nan_ok=True)
    assert np.isnan(interval(np.empty((0, 2)))).all()
