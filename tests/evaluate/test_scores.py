"""Figures against scikit-learn, intervals against brute force, McNemar against published values."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, f1_score, precision_recall_fscore_support

from curate.evaluate.scores import GROUPED, MCNEMAR, compare, exchange_test, paired_test, score, sign_flip, verdict

CLASSES = ["ant", "bee", "cat", "dog"]
NAMES = np.array(CLASSES)


def predictions(n: int, *, accuracy: float, seed: int, labels: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.where(rng.random(n) < accuracy, labels, NAMES[rng.integers(0, 4, n)])


@pytest.fixture
def labels() -> np.ndarray:
    return NAMES[np.random.default_rng(0).choice(4, 400, p=[0.5, 0.3, 0.15, 0.05])]


def test_scores_equal_those_of_scikit_learn(labels: np.ndarray) -> None:
    predicted = predictions(400, accuracy=0.7, seed=1, labels=labels)
    scores = score(labels, predicted, CLASSES)
    precision, recall, f1, support = precision_recall_fscore_support(labels, predicted, labels=CLASSES)
    np.testing.assert_allclose(scores.per_class[["precision", "recall", "f1"]].T, [precision, recall, f1])
    assert scores.per_class["support"].tolist() == support.tolist()
    assert scores.accuracy == (labels == predicted).mean()
    assert scores.macro_f1 == pytest.approx(f1_score(labels, predicted, average="macro"))
    np.testing.assert_array_equal(scores.confusion, confusion_matrix(labels, predicted, labels=CLASSES))


def test_a_class_without_test_images_does_not_lower_macro_f1() -> None:
    scores = score(["ant", "ant", "bee"], ["ant", "dog", "bee"], CLASSES)
    assert scores.macro_f1 == pytest.approx((2 / 3 + 1) / 2)
    assert scores.per_class.set_index("class").loc["dog", ["precision", "recall", "support"]].tolist() == [0, 0, 0]
    assert scores.per_class.set_index("class").loc["cat", "f1"] == 0


def test_a_class_that_is_never_predicted_scores_nought() -> None:
    scores = score(["ant", "bee"], ["ant", "ant"], CLASSES)
    assert scores.per_class["recall"].tolist() == [1, 0, 0, 0]
    assert scores.macro_f1 == pytest.approx((2 / 3 + 0) / 2)


def test_a_name_outside_the_classes_is_refused() -> None:
    with pytest.raises(ValueError, match="'eel' is not one of the classes"):
        score(["ant", "eel"], ["ant", "ant"], CLASSES)


# Agresti, Categorical Data Analysis, table 10.1 (approval of the prime minister): 150 and 86 changed
# their mind; exact two-sided p = 3.7e-5. Small counts: the tails of a fair coin, by hand.
@pytest.mark.parametrize(
    ("only_first", "only_second", "p_value"),
    [(150, 86, 3.716e-05), (0, 5, 2 / 32), (1, 9, 22 / 1024), (4, 4, 1.0), (0, 0, 1.0)],
)
def test_mcnemar_gives_the_exact_binomial_tail(only_first: int, only_second: int, p_value: float) -> None:
    both = [(True, True)] * 7 + [(False, False)] * 3
    right = np.array(both + [(True, False)] * only_first + [(False, True)] * only_second)
    found = paired_test(right[:, 0], right[:, 1])
    assert found.name == MCNEMAR
    assert (found.only_first, found.only_second) == (only_first, only_second)
    assert found.p_value == pytest.approx(p_value, rel=1e-3)


def test_the_multinomial_bootstrap_draws_like_the_resampling_of_rows(labels: np.ndarray) -> None:
    first = predictions(400, accuracy=0.6, seed=1, labels=labels)
    second = predictions(400, accuracy=0.75, seed=2, labels=labels)
    found = compare(labels, first, second, CLASSES, bootstraps=4000)
    rng = np.random.default_rng(3)
    draws = []
    for _ in range(300):
        rows = rng.integers(0, 400, 400)
        f1 = [f1_score(labels[rows], guess[rows], average="macro") for guess in (first, second)]
        hits = [(labels[rows] == guess[rows]).mean() for guess in (first, second)]
        draws.append((hits[1] - hits[0], f1[1] - f1[0]))
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    np.testing.assert_allclose(found.accuracy_interval, [low[0], high[0]], atol=0.012)
    np.testing.assert_allclose(found.macro_f1_interval, [low[1], high[1]], atol=0.02)


def test_groups_of_one_give_the_interval_of_single_samples(labels: np.ndarray) -> None:
    first = predictions(400, accuracy=0.6, seed=1, labels=labels)
    second = predictions(400, accuracy=0.75, seed=2, labels=labels)
    alone = compare(labels, first, second, CLASSES, bootstraps=4000)
    grouped = compare(labels, first, second, CLASSES, bootstraps=4000, groups=np.arange(400))
    np.testing.assert_allclose(alone.accuracy_interval, grouped.accuracy_interval, atol=0.006)


def test_samples_of_one_group_widen_the_interval() -> None:
    labels = np.repeat(NAMES[[0, 1]], 100)
    first = np.repeat(NAMES[[0]], 200)
    second = np.where(np.repeat(np.arange(20), 10) % 4 == 3, "cat", labels)  # whole groups go wrong
    alone = compare(labels, first, second, CLASSES)
    grouped = compare(labels, first, second, CLASSES, groups=np.repeat(np.arange(20), 10))
    assert np.ptp(grouped.accuracy_interval) > 2 * np.ptp(alone.accuracy_interval)


def test_equal_predictions_differ_by_nothing(labels: np.ndarray) -> None:
    same = compare(labels, labels, labels, CLASSES, bootstraps=100)
    assert same.accuracy == 0 and same.accuracy_interval == (0, 0) and same.test.p_value == 1


def test_a_comparison_repeats_with_its_seed_and_turns_round_with_its_sides(labels: np.ndarray) -> None:
    first = predictions(400, accuracy=0.6, seed=1, labels=labels)
    there = compare(labels, first, labels, CLASSES)
    assert there == compare(labels, first, labels, CLASSES)
    back = compare(labels, labels, first, CLASSES)
    assert back.accuracy == -there.accuracy and back.test.only_first == there.test.only_second


def test_the_95_percent_interval_covers_the_true_difference_about_95_times_in_100() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(200):  # right with probability .70 and .75, independently: a true difference of .05
        right = rng.random((300, 2)) < [0.70, 0.75]
        first, second = np.where(right, "ant", "bee").T
        low, high = compare(["ant"] * 300, first, second, CLASSES, bootstraps=400, seed=trial).accuracy_interval
        covered += low <= 0.05 <= high
    assert 0.91 <= covered / 200 <= 0.98


# ---- the verdict -----------------------------------------------------------------------------


def only_second(n: int, right: int, groups: list[int] | None = None) -> str:
    """The verdict on `n` samples of which the second model alone gets the first `right`."""
    labels, first = np.full(n, "ant"), np.where(np.arange(n) < right, "bee", "ant")
    return compare(labels, first, labels, CLASSES, groups=groups).verdict


@pytest.mark.parametrize("right", [0, 4, 5])
def test_a_handful_of_differing_images_is_no_verdict(right: int) -> None:
    """Of 4 and 5 the bootstrap's interval leaves 0, though a fair coin falls so in 1 of 8 and 1 of 16."""
    assert only_second(200, right) == "no difference shown"


def test_six_images_on_one_side_are_a_verdict_on_either_side() -> None:
    """Six of six: p = 2 / 64."""
    assert only_second(200, 6) == "better"
    labels, first = np.full(200, "ant"), np.where(np.arange(200) < 6, "bee", "ant")
    assert compare(labels, labels, first, CLASSES).verdict == "worse"


@pytest.mark.parametrize("groups", [[0] * 200, [n % 2 for n in range(200)], [n // 40 for n in range(200)]])
def test_differences_within_one_to_five_groups_are_no_verdict(groups: list[int]) -> None:
    """However many images differ: with five groups on one side p is 2 / 32."""
    assert only_second(200, 200, groups) == "no difference shown"
    assert only_second(200, 2, groups) == "no difference shown"


def test_six_groups_on_one_side_are_a_verdict() -> None:
    found = paired_test(np.zeros(60, bool), np.ones(60, bool), groups=np.arange(60) // 10)
    assert found.name == GROUPED and found.p_value == pytest.approx(2 / 64)
    assert only_second(60, 60, [n // 10 for n in range(60)]) == "better"


def test_the_rule_wants_both_the_interval_and_the_test() -> None:
    assert verdict((0.001, 0.02), 0.049) == "better" and verdict((-0.02, -0.001), 0.049) == "worse"
    assert {verdict((0.001, 0.02), 0.05), verdict((-0.001, 0.02), 0.01)} == {"no difference shown"}


def test_sign_flips_equal_the_count_of_all_of_them() -> None:
    rng = np.random.default_rng(0)
    for _ in range(30):
        differences = rng.integers(-6, 7, rng.integers(0, 9))
        sums = np.array([np.dot(signs, differences) for signs in product((-1, 1), repeat=len(differences))])
        expected = (np.abs(sums) >= abs(differences.sum())).mean()
        assert sign_flip(differences) == pytest.approx(expected)


def test_sign_flips_of_many_groups_are_exact_and_quick() -> None:
    """5,000 groups of up to 20 images, against the normal distribution that so many tend to."""
    from scipy.stats import norm

    differences = np.random.default_rng(0).integers(-20, 21, 5000)
    z = abs(differences.sum()) / np.sqrt((differences**2).sum())
    assert sign_flip(differences) == pytest.approx(2 * norm.sf(z), abs=1e-3)


@pytest.mark.parametrize(
    ("n_groups", "errors"), [(None, 0.01), (None, 0.05), (None, 0.3), (5, 0.1), (12, 0.1), (40, 0.1)]
)
def test_of_equal_models_at_most_one_in_twenty_pairs_is_told_apart(n_groups: int | None, errors: float) -> None:
    """Two models that err alike on 200 images, in groups together: 300 pairs, so that 0.05 is seen as 0.05 ± 0.025."""
    rng = np.random.default_rng(0)
    groups = None if n_groups is None else np.sort(rng.integers(0, n_groups, 200))
    told_apart = 0
    for trial in range(300):
        hard = np.full((200, 2), errors) if groups is None else rng.beta(0.5, 4, (n_groups, 2))[groups]
        first, second = np.where(rng.random((200, 2)) < hard, "bee", "ant").T
        found = compare(["ant"] * 200, first, second, CLASSES, bootstraps=200, seed=trial, groups=groups)
        told_apart += found.verdict != "no difference shown"
    assert told_apart / 300 <= 0.075


def test_a_difference_like_those_of_changes_dealt_at_random_is_none() -> None:
    null = [0.02, -0.01, 0.015, -0.02, 0.01, -0.015, 0.02, -0.01]
    assert exchange_test(0.02, null) > 0.05 > exchange_test(0.05, null)
    assert exchange_test(0.0, null) == 1.0
    assert exchange_test(0.1, [0.0] * 8) == 0.0 and exchange_test(0.0, [0.0] * 8) == 1.0
    assert verdict((0.01, 0.03), 0.01) == "better" and verdict((0.01, 0.03), 0.01, 0.2) == "no difference shown"


def test_under_the_null_one_difference_in_twenty_is_called_one() -> None:
    rng = np.random.default_rng(0)
    called = [
        exchange_test(d, null) < 0.05 for d, null in zip(rng.normal(size=4000), rng.normal(size=(4000, 8)), strict=True)
    ]
    assert 0.04 < np.mean(called) < 0.06
