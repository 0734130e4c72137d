"""Figures against scikit-learn, intervals against brute force, McNemar against published values."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, f1_score, precision_recall_fscore_support

from curate.train.evaluate import compare, mcnemar, score

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
    found = mcnemar(right[:, 0], right[:, 1])
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
    assert same.accuracy == 0 and same.accuracy_interval == (0, 0) and same.mcnemar.p_value == 1


def test_a_comparison_repeats_with_its_seed_and_turns_round_with_its_sides(labels: np.ndarray) -> None:
    first = predictions(400, accuracy=0.6, seed=1, labels=labels)
    there = compare(labels, first, labels, CLASSES)
    assert there == compare(labels, first, labels, CLASSES)
    back = compare(labels, labels, first, CLASSES)
    assert back.accuracy == -there.accuracy and back.mcnemar.only_first == there.mcnemar.only_second


def test_the_95_percent_interval_covers_the_true_difference_about_95_times_in_100() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(200):  # right with probability .70 and .75, independently: a true difference of .05
        right = rng.random((300, 2)) < [0.70, 0.75]
        first, second = np.where(right, "ant", "bee").T
        low, high = compare(["ant"] * 300, first, second, CLASSES, bootstraps=400, seed=trial).accuracy_interval
        covered += low <= 0.05 <= high
    assert 0.91 <= covered / 200 <= 0.98
