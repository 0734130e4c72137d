"""Label errors: planted noise is found no worse than by cleanlab's usual recipe, and counted about right."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits
from sklearn.metrics import average_precision_score, roc_auc_score

from curate.errors import NotEnoughData
from curate.find.labels.errors import expected_f1_cut, find_label
from curate.find.labels.noise import SHARED, Annotations, _Model, fit_noise, pooled, single_source
from curate.find.labels.probe import _blocks_of_groups, _left_out_scores, _prediction, _shares, annotations_of, predict
from curate.schema import validate_issues


@pytest.fixture(scope="module")
def noisy():
    """1,797 digits as unit vectors, 15% of the labels wrong: embeddings, labels, which are wrong, the truth."""
    digits = load_digits()
    rng = np.random.default_rng(0)
    embeddings = digits.data / np.linalg.norm(digits.data, axis=1, keepdims=True)
    wrong = rng.random(len(digits.target)) < 0.15
    given = np.where(wrong, (digits.target + rng.integers(1, 10, len(wrong))) % 10, digits.target)
    return embeddings.astype(np.float16), pd.Series(given.astype(str)), wrong, digits.target.astype(str)


@pytest.fixture(scope="module")
def found(noisy):
    embeddings, given, _, _ = noisy
    samples = pd.DataFrame({"sample_id": [f"{i:04d}" for i in range(len(given))], "label": given})
    prediction = predict(embeddings, given, np.arange(len(given)))
    return prediction, find_label(samples, prediction)


def cleanlab_recipe(embeddings: np.ndarray, given: pd.Series) -> np.ndarray:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict

    model = LogisticRegression(max_iter=1000)
    probabilities = cross_val_predict(model, embeddings.astype(np.float32), given, cv=5, method="predict_proba")
    return probabilities[np.arange(len(given)), given.astype(int)]


def test_wrong_labels_rank_no_worse_than_by_cleanlabs_recipe(noisy, found):
    embeddings, given, wrong, _ = noisy
    _, table = found
    recipe = cleanlab_recipe(embeddings, given)
    assert roc_auc_score(wrong, -table["label_score"]) >= roc_auc_score(wrong, -recipe)
    assert average_precision_score(wrong, -table["label_score"]) >= average_precision_score(wrong, -recipe)
    assert roc_auc_score(wrong, -table["label_score"]) > 0.98


def families(n: int, n_classes: int, *, wrong: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Classes in families of five, and labels that name another class of the family: embeddings, given, is wrong."""
    random = np.random.default_rng(0)
    own, shared = random.normal(size=(n_classes, 256)), random.normal(size=(n_classes // 5, 256))
    truth = random.integers(0, n_classes, n)
    embeddings = (0.3 * own + 0.4 * np.repeat(shared, 5, axis=0))[truth] + random.normal(size=(n, 256))
    embeddings = (embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)).astype(np.float16)
    is_wrong = random.random(n) < wrong
    given = np.where(is_wrong, truth // 5 * 5 + (truth + random.integers(1, 5, n)) % 5, truth)
    return embeddings, given, is_wrong


def probability_wrong(embeddings: np.ndarray, given: np.ndarray) -> np.ndarray:
    prediction = predict(embeddings, pd.Series([f"{label:02d}" for label in given]), np.arange(len(given)))
    return 1 - prediction.posterior[np.arange(len(given)), given]


@pytest.mark.parametrize("n", [500, 1000])
def test_few_samples_of_many_classes_rank_better_than_by_cleanlabs_recipe(n):
    embeddings, given, wrong = families(n, 30, wrong=0.2)
    ours = average_precision_score(wrong, probability_wrong(embeddings, given))
    theirs = average_precision_score(wrong, 1 - cleanlab_recipe(embeddings, pd.Series(given)))
    assert ours > theirs + 0.05


def test_mistakes_within_families_of_many_classes_are_counted():
    """One label in five. A model without confusions took four in five of these for what the pictures show."""
    embeddings, given, wrong = families(3000, 60, wrong=0.2)
    probability = probability_wrong(embeddings, given)
    assert 0.75 < probability.sum() / wrong.sum() < 1.25
    is_flagged = probability >= expected_f1_cut(probability)
    assert (is_flagged & wrong).sum() > 0.8 * wrong.sum() and (is_flagged & wrong).sum() > 0.9 * is_flagged.sum()


def test_a_table_of_confusions_finds_none_where_there_are_none():
    embeddings, given, _ = families(3000, 60, wrong=0)
    assert probability_wrong(embeddings, given).mean() < 0.02


@pytest.mark.parametrize(("n", "n_classes"), [(1000, 10), (2000, 8)])
def test_classes_often_called_the_same_other_one_are_found_out(n, n_classes):
    """Three labels in ten name the next class. Without a start that expects it, the search took all for right."""
    rng = np.random.default_rng(0)
    centres, truth = rng.normal(size=(n_classes, 64)), rng.integers(0, n_classes, n)
    pictures = 0.5 * centres[truth] + rng.normal(size=(n, 64))
    embeddings = (pictures / np.linalg.norm(pictures, axis=1, keepdims=True)).astype(np.float16)
    wrong = rng.random(n) < 0.3
    given = pd.Series(np.char.add("c", np.where(wrong, (truth + 1) % n_classes, truth).astype(str)))
    prediction = predict(embeddings, given, np.arange(n))
    table = find_label(pd.DataFrame({"sample_id": given.index.astype(str), "label": given}), prediction)
    assert table["label_probability"].sum() == pytest.approx(wrong.sum(), rel=0.1)
    assert average_precision_score(wrong, -table["label_score"]) > 0.95
    assert (table["suggested_label"] == np.char.add("c", truth.astype(str)))[wrong].mean() > 0.9


def test_the_number_of_wrong_labels_is_estimated_and_suggestions_are_right(noisy, found):
    _, _, wrong, truth = noisy
    _, table = found
    assert table["label_probability"].sum() == pytest.approx(wrong.sum(), rel=0.15)
    flagged = table["is_label_issue"].to_numpy()
    assert (flagged & wrong).sum() / wrong.sum() > 0.85
    assert (flagged & wrong).sum() / flagged.sum() > 0.9
    both = flagged & wrong
    assert (table["suggested_label"].to_numpy()[both] == truth[both]).mean() > 0.95


def test_the_table_follows_the_schema(found):
    prediction, table = found
    validate_issues(["label"], table)
    np.testing.assert_allclose(prediction.pred_probs.sum(axis=1), 1, atol=1e-5)


def test_the_order_of_rows_does_not_matter(noisy, found):
    embeddings, given, _, _ = noisy
    order = np.random.default_rng(3).permutation(len(given))
    moved = predict(embeddings[order], given.iloc[order].reset_index(drop=True), order)
    np.testing.assert_allclose(moved.pred_probs, found[0].pred_probs[order], atol=2e-3)


def test_a_sample_is_never_predicted_from_its_own_duplicate():
    """Every picture twice under one random label: who peeks at the twin is always right, who doesn't is not."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(150, 32)).astype(np.float32)
    vectors = np.repeat(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), 2, axis=0)
    labels = pd.Series(np.repeat(rng.choice(["a", "b"], 150), 2))
    apart, together = (predict(vectors, labels, groups) for groups in (np.arange(300), np.arange(300) // 2))
    accuracy = [(p.classes[p.pred_probs.argmax(1)] == labels).mean() for p in (apart, together)]
    assert accuracy[1] < 0.65 < accuracy[0]


def test_samples_without_a_label_get_a_first_guess_and_no_score(noisy):
    embeddings, given, _, truth = noisy
    some = given.where(np.arange(len(given)) % 10 != 0, None)
    samples = pd.DataFrame({"sample_id": [f"{i:04d}" for i in range(len(given))], "label": some})
    table = find_label(samples, predict(embeddings, some, np.arange(len(given))))
    unlabelled = some.isna().to_numpy()
    assert table.loc[unlabelled, "label_score"].isna().all() and not table.loc[unlabelled, "is_label_issue"].any()
    assert (table["suggested_label"].to_numpy()[unlabelled] == truth[unlabelled]).mean() > 0.9


def test_a_class_of_one_sample_is_no_crash(noisy):
    embeddings, given, _, _ = noisy
    some = given.copy()
    some.iloc[5] = "alone"
    assert "alone" in predict(embeddings, some, np.arange(len(given))).classes


def test_what_was_said_of_some_rows_is_what_they_alone_would_have(noisy):
    embeddings, labels, _, _ = noisy
    groups = np.arange(len(labels)) // 2
    rows = np.random.default_rng(0).permutation(len(labels))[: len(labels) // 2]
    votes = [pd.DataFrame({"row": np.arange(len(labels)), "label": labels, "labeller": who}) for who in ("ann", "bob")]
    said = annotations_of(rows, pd.concat(votes, ignore_index=True))
    some = predict(embeddings[rows], labels.iloc[rows], groups[rows], annotations=said)
    theirs = [v.set_index("row").loc[rows].reset_index(drop=True).rename_axis("row").reset_index() for v in votes]
    alone = predict(embeddings[rows], labels.iloc[rows], groups[rows], annotations=pd.concat(theirs, ignore_index=True))
    np.testing.assert_allclose(some.posterior, alone.posterior, atol=1e-5)


def test_one_class_is_not_enough():
    with pytest.raises(NotEnoughData, match="only the class 'cat'"):
        predict(np.eye(4), pd.Series(["cat"] * 4), np.arange(4))


class Given:
    """A kernel whose features are given."""

    def __init__(self, features, root):
        self.features, self.root = features, root

    def __getitem__(self, rows):
        return self.features[rows] @ self.root

    def turned(self, axes):
        return Given(self.features, self.root @ axes)


def test_leaving_a_group_out_in_closed_form_equals_fitting_without_it(monkeypatch):
    """Against a ridge solved anew for each group: single samples, pairs, an unlabelled member, one large group."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, 8)).astype(np.float32)
    groups = np.concatenate([np.arange(20), np.repeat(np.arange(20, 30), 2), np.full(20, 30)])
    y = rng.integers(0, 3, 60)
    y[[5, 21]] = -1
    monkeypatch.setattr("curate.find.labels.probe.BLOCK", 7)
    ours = _left_out_scores(Given(torch.tensor(features), torch.eye(8)), _shares(single_source(y), len(y), 3), groups)
    targets = np.eye(3)[np.maximum(y, 0)] - np.eye(3)[y[y >= 0]].mean(axis=0)
    known, errors = y >= 0, []
    for ridge in (0.3, 1.0, 3.0, 10.0):
        theirs = np.empty((60, 3))
        for group in np.unique(groups):
            rest = known & (groups != group)
            penalty = ridge * np.square(features[known]).sum() / known.sum() * np.eye(8)
            weights = np.linalg.solve(features[rest].T @ features[rest] + penalty, features[rest].T @ targets[rest])
            theirs[groups == group] = features[groups == group] @ weights
        errors.append(np.abs(theirs + np.eye(3)[y[known]].mean(axis=0) - ours).max())
    assert min(errors) < 1e-4


def test_likeness_that_is_kept_changes_nothing(noisy, monkeypatch):
    embeddings, given, _, _ = noisy
    kept = predict(embeddings, given, np.arange(len(given))).scores
    monkeypatch.setattr("curate.find.labels.probe.KEPT", 0)
    np.testing.assert_allclose(predict(embeddings, given, np.arange(len(given))).scores, kept, atol=1e-4)


def test_blocks_hold_every_row_once_and_no_group_in_two(monkeypatch):
    monkeypatch.setattr("curate.find.labels.probe.BLOCK", 7)
    groups = np.concatenate([np.arange(20), np.repeat(np.arange(20, 30), 2), np.full(20, 30)])
    groups = np.random.default_rng(0).permutation(groups)
    blocks = list(_blocks_of_groups(groups))
    assert sorted(np.concatenate([rows for rows, _ in blocks])) == list(range(60))
    shared = [rows[places] for rows, together in blocks for places in together]
    assert sorted(len(rows) for rows in shared) == [2] * 10 + [20]
    assert all(len(set(groups[rows])) == 1 for rows in shared)
    assert 5 <= len(blocks) <= 8


def test_a_tie_of_two_people_stays_a_tie():
    said = Annotations(np.array([0, 0, 1, 1, 1, 3]), np.array([0, 2, 1, 1, 2, 0]), np.array([0, 1, 0, 1, 2, 0]))
    expected = [[0.5, 0, 0.5], [0, 2 / 3, 1 / 3], [0, 0, 0], [1, 0, 0]]
    np.testing.assert_allclose(_shares(said, 4, 3), expected, rtol=1e-6)


def test_labels_said_together_are_one_label_that_stands_for_all_of_them():
    said = Annotations(np.array([0, 0, 1, 1, 1, 3]), np.array([0, 2, 1, 1, 2, 0]), np.array([0, 1, 0, 1, 2, 0]))
    together = pooled(said, np.array([2, 1, 0, 0]))
    assert together.row.tolist() == [0, 1, 3] and together.label.tolist() == [2, 1, 0]
    assert together.labeller.tolist() == [3, 3, 0] and together.each == 2


def test_the_cut_has_the_largest_expected_f1_and_never_flags_all_of_what_cannot_be_told_apart():
    probability = np.array([0.9, 0.8, 0.35, 0.1, 0.05])
    found = {cut: 2 * probability[probability >= cut].sum() / ((probability >= cut).sum() + 2.2) for cut in probability}
    assert expected_f1_cut(probability) == max(found, key=found.get)
    assert expected_f1_cut(np.full(100, 0.1)) > 0.1


def test_wrong_labels_of_known_rates_are_counted_whoever_made_them():
    """Simulated people of known error rates, alone and together: P(wrong) is calibrated, and adds up to the count."""
    scores, truth, rng = seen(4000)
    careless, careful = (np.where(rng.random(4000) < rate, rng.integers(0, 5, 4000), truth) for rate in (0.4, 0.1))
    rows = np.arange(4000)
    alone = fit_noise(scores, single_source(careless))[1]
    both = Annotations(np.tile(rows, 2), np.concatenate([careless, careful]), np.repeat([0, 1], 4000))
    together = fit_noise(scores, both)[1]
    cases = ((alone, careless, 0.2, 0.06), (together, careful, 0.15, 0.02))
    for posterior, label, off, most in cases:  # one label a picture can't tell that these people share nothing
        wrong, probability = label != truth, 1 - posterior[rows, label]
        assert probability.sum() == pytest.approx(wrong.sum(), rel=off)
        assert expected_calibration_error(probability, wrong) < most
    assert (together.argmax(axis=1) == truth).mean() > (careful == truth).mean() + 0.02


@pytest.mark.parametrize(("n", "n_classes"), [(1200, 10), (400, 5)])
def test_weights_that_do_not_pay_count_no_errors(n, n_classes):
    """Six labels a weight and more, a tenth of them any other: the full model alone counts up to five times as many."""
    for seed in range(3):
        scores, truth, rng = seen(n, n_classes, seed)
        said = np.where(rng.random(n) < 0.1, (truth + rng.integers(1, n_classes, n)) % n_classes, truth)
        probability = 1 - fit_noise(scores, single_source(said))[1][np.arange(n), said]
        assert 0.6 < probability.sum() / (said != truth).sum() < 1.8
        assert expected_calibration_error(probability, said != truth) < 0.08


def test_before_labels_tell_one_is_right_as_often_among_any_number_of_classes():
    torch = pytest.importorskip("torch")
    right, first = [], torch.tensor([0])
    for n in (2, 3, 10, 100):
        view = np.full((1, n), 0.1 / (n - 1))
        view[0, 0] = 0.9
        with torch.no_grad():
            model = _Model(view, single_source(np.array([0])))
            told = model.evidence(SHARED * torch.from_numpy(view).log(), first, first, first)
        right.append(told[0, 0].exp().item())
    np.testing.assert_allclose(right, right[0], atol=1e-6)
    assert 0.8 < right[0] < 0.9


def test_more_of_the_same_does_not_make_a_model_surer_that_is_only_about_right():
    """People who share more of the probe's view than the model takes them to, once and five times over."""
    scores, truth, rng = seen(2000)
    likely = np.log(scores + 1e-3) / 2 + rng.gumbel(size=scores.shape) + 2.2 * np.eye(5)[truth]
    said = likely.argmax(axis=1)
    once, often = (fit_noise(np.tile(scores, (n, 1)), single_source(np.tile(said, n)))[1][:2000] for n in (1, 5))
    counted = [(1 - posterior[np.arange(2000), said]).sum() for posterior in (once, often)]
    assert counted[1] == pytest.approx(counted[0], rel=0.3)


@pytest.mark.parametrize("seed", [1, 7])
def test_labels_that_contradict_every_score_of_many_classes_are_no_crash(monkeypatch, seed):
    monkeypatch.setattr("curate.find.labels.noise.MOST_MIXED", 4)
    random = np.random.default_rng(seed)
    n, n_classes = int(random.integers(200, 2000)), int(random.integers(5, 20))
    y = random.integers(0, n_classes, n)
    scores = random.normal(1 / n_classes, 0.05, (n, n_classes)).astype(np.float32)
    scores[np.arange(n), y] -= 0.3  # as where each class is one group: left out, it is what the sample cannot be
    for found in fit_noise(scores, single_source(y)):
        assert np.isfinite(found).all()
        np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)


def test_fitting_in_blocks_changes_nothing(monkeypatch):
    scores, truth, rng = seen(600)
    rows, labels = rng.integers(0, 500, 900), rng.integers(0, 5, 900)  # some with several labels, some with none
    people = Annotations(rows, np.where(rng.random(900) < 0.7, truth[rows], labels), rng.integers(0, 3, 900))
    whole = fit_noise(scores, people)
    monkeypatch.setattr("curate.find.labels.noise.BLOCK", 5 * 64)
    for one, other in zip(whole, fit_noise(scores, people), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)


def seen(n: int, n_classes: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
    """(n, C) scores like a probe's, calibrated, the true classes, and the generator."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, n_classes)) * 2
    scores = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    truth = np.array([rng.choice(n_classes, p=p) for p in scores])
    return scores.astype(np.float32), truth, rng


def expected_calibration_error(probability: np.ndarray, wrong: np.ndarray) -> float:
    bins = (probability * 10).astype(int).clip(0, 9)
    gaps = [abs((probability - wrong)[bins == b].mean()) * (bins == b).mean() for b in np.unique(bins)]
    return float(sum(gaps))


def test_a_mistake_that_two_people_share_is_doubted_and_more_so_one_that_they_do_not():
    """1,000 pictures of four classes that the probe sees well; both are wrong alike on 40, one of them on 100."""
    rng = np.random.default_rng(0)
    truth, n = rng.integers(0, 4, 1000), 1000
    scores = (np.eye(4)[truth] + 0.15 * rng.normal(size=(n, 4))).astype(np.float32)
    one, two = truth.copy(), truth.copy()
    one[:40] = two[:40] = (truth[:40] + 1) % 4
    two[40:140] = (truth[40:140] + 2) % 4
    people = Annotations(np.tile(np.arange(n), 2), np.concatenate([one, two]), np.repeat([0, 1], n))
    judged = _prediction(np.array(list("abcd")), scores, one, people)
    wrong = 1 - judged.posterior[np.arange(n), one]
    apart = 1 - fit_noise(scores, people)[1][np.arange(n), one]
    assert wrong[:40].sum() > 2 * apart[:40].sum()
    assert np.median(wrong[:40]) > 100 * np.median(wrong[140:])
    assert 1 - judged.posterior[np.arange(40, 140), two[40:140]].mean() > 0.9
