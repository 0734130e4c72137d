"""A trained network's out-of-fold predictions in place of the probe's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from sklearn.metrics import average_precision_score

from curate.artifacts import FINETUNED, TRAINER
from curate.cli import main
from curate.config import FindOptions, TrainOptions
from curate.errors import StageMissing
from curate.find.labels.errors import find_label
from curate.find.labels.noise import ROUNDED
from curate.find.labels.probe import Prediction, with_network
from curate.verbs.apply import apply
from curate.verbs.decide import decide_by_threshold
from curate.verbs.find import find
from curate.verbs.ingest import ingest
from curate.verbs.retrain import retrain
from curate.workspace import Workspace

CLASSES = np.array(["a", "b", "c"])


def facts(n: int = 300) -> tuple[pd.DataFrame, pd.DataFrame, Prediction, np.ndarray]:
    """Samples of which every tenth is called wrong, a trainer that knows better, and a probe that knows nothing."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, n)
    wrong = np.arange(n) % 10 == 0
    ids = [f"{i:03d}" for i in range(n)]
    samples = pd.DataFrame({"sample_id": ids, "label": CLASSES[(truth + wrong) % 3]})
    sure = rng.uniform(0.6, 0.99, (n, 1))
    told = pd.DataFrame((1 - sure) / 2 + (1.5 * sure - 0.5) * np.eye(3)[truth], columns=CLASSES).assign(sample_id=ids)
    flat = np.full((n, 3), 1 / 3, np.float32)
    return samples, told, Prediction(CLASSES, flat, flat, flat), wrong


def test_label_errors_are_judged_by_what_the_trainer_says() -> None:
    samples, told, probed, wrong = facts()
    order = np.random.default_rng(1).permutation(len(told))
    found = find_label(samples, with_network(told.iloc[order], probed, samples))
    np.testing.assert_array_equal(found["is_label_issue"], wrong)
    assert found.loc[wrong, "label_score"].max() < found.loc[~wrong, "label_score"].min()


def as_probabilities(scores: np.ndarray) -> np.ndarray:
    """What `as_scores` was given."""
    return np.log1p(np.exp(scores * np.exp(ROUNDED)))


def test_probe_and_network_are_pooled_by_their_geometric_mean() -> None:
    samples, told, probed, _ = facts()
    probs = np.random.default_rng(0).dirichlet([1, 1, 1], len(samples)).astype(np.float32)
    pooled = with_network(told, replace(probed, pred_probs=probs), samples)
    expected = np.sqrt(probs * told[CLASSES].to_numpy())
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(as_probabilities(pooled.scores), expected, atol=1e-5)
    np.testing.assert_allclose(pooled.pred_probs.sum(axis=1), 1, atol=1e-5)


def test_what_errs_apart_ranks_better_together() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 2000)
    wrong = np.arange(2000) % 10 == 0
    samples = pd.DataFrame({"sample_id": np.arange(2000).astype(str), "label": CLASSES[(truth + wrong) % 3]})

    def view() -> np.ndarray:
        evidence = 2 * np.eye(3)[truth] + rng.normal(0, 1, (2000, 3))
        return (np.exp(evidence) / np.exp(evidence).sum(axis=1, keepdims=True)).astype(np.float32)

    one, other = view(), view()
    told = pd.DataFrame(other, columns=CLASSES).assign(sample_id=samples["sample_id"])
    alone = [Prediction(CLASSES, probs, probs, probs) for probs in (one, other)]
    pooled = with_network(told, alone[0], samples)
    precision = [average_precision_score(wrong, find_label(samples, by)["label_probability"]) for by in alone]
    found = find_label(samples, pooled)["label_probability"]
    assert average_precision_score(wrong, found) > max(precision) + 0.05
    assert abs(found.sum() / wrong.sum() - 1) < 0.2


def test_two_that_rule_out_what_the_other_sees_leave_numbers() -> None:
    samples, _, probed, _ = facts(30)
    sure = np.tile(np.float32([1, 0, 0]), (30, 1))
    told = pd.DataFrame(sure[:, ::-1], columns=CLASSES).assign(sample_id=samples["sample_id"])
    pooled = with_network(told, replace(probed, pred_probs=sure), samples)
    assert np.isfinite(pooled.scores).all() and np.isfinite(pooled.posterior).all()


def test_samples_that_the_network_does_not_know_keep_the_probe_s_word() -> None:
    samples, told, probed, _ = facts()
    probs = np.random.default_rng(0).dirichlet([1, 1, 1], len(samples)).astype(np.float32)
    pooled = with_network(told.iloc[:200], replace(probed, pred_probs=probs), samples)
    np.testing.assert_allclose(as_probabilities(pooled.scores[200:]), probs[200:], atol=1e-5)


def test_a_class_that_the_network_never_saw_keeps_the_probe_s_word() -> None:
    samples, told, probed, _ = facts()
    told = told.drop(columns="c").assign(a=told["a"] / (1 - told["c"]), b=told["b"] / (1 - told["c"]))
    told["a"] = 1 - told["b"]
    pooled = as_probabilities(with_network(told, probed, samples).scores)
    by_hand = np.sqrt(np.stack([told["a"] * 2 / 9, told["b"] * 2 / 9, np.full(len(told), 1 / 9)], axis=1))
    np.testing.assert_allclose(pooled, by_hand / by_hand.sum(axis=1, keepdims=True), atol=1e-5)


def test_predictions_that_nobody_made_are_missed_by_name(digits_folder: Path, tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "workspace")
    ingest(workspace, digits_folder)
    with pytest.raises(StageMissing, match="curate retrain"):
        find(workspace, options=FindOptions(predictions="trainer"))


@pytest.mark.slow
def test_networks_are_fine_tuned_to_judge_the_labels_of_an_ingest(digits_folder: Path, tmp_path: Path) -> None:
    command = ["ingest", str(digits_folder), "-w", str(tmp_path / "workspace"), "--image-size", "32", "--finetune"]
    done = CliRunner().invoke(main, [*command, "--finetune-epochs", "1"])
    assert done.exit_code == 0, done.output
    workspace = Workspace(tmp_path / "workspace")
    told, by_network = workspace.read(FINETUNED), workspace.read("label")
    assert sorted(told["sample_id"]) == sorted(by_network["sample_id"])
    wrong = by_network["sample_id"].map(lambda name: int(Path(name).stem[:4]) % 20 == 7)
    assert by_network.loc[wrong, "is_label_issue"].mean() > 0.8
    made = workspace.file_of(FINETUNED).stat().st_mtime_ns
    find(workspace)
    assert not np.allclose(workspace.read("label")["label_score"], by_network["label_score"])
    find(workspace, options=FindOptions(predictions="finetune", finetune_epochs=1))  # and back, without training
    pd.testing.assert_frame_equal(workspace.read("label"), by_network)
    assert workspace.file_of(FINETUNED).stat().st_mtime_ns == made


@pytest.mark.slow
def test_a_fine_tuned_network_judges_the_labels_of_the_next_find(digits_folder: Path, tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "workspace")
    ingest(workspace, digits_folder)
    decide_by_threshold(workspace, "label", 0.9, "relabel", reviewer="test")
    apply(workspace, dry_run=False)
    small = TrainOptions(preset="full", epochs=1, folds=2, image_size=32, batch_size=32, workers=0)
    retrain(workspace, options=small)
    by_probe = workspace.read("label")
    find(workspace, options=FindOptions(predictions="trainer"))
    by_trainer, told = workspace.read("label"), workspace.read(TRAINER)
    assert set(told["sample_id"]) <= set(by_trainer["sample_id"]) and len(told) > 300
    assert not np.allclose(by_trainer["label_score"], by_probe["label_score"])
    find(workspace)  # and back
    pd.testing.assert_frame_equal(workspace.read("label"), by_probe)
