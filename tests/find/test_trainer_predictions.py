"""The trainer's out-of-fold predictions in place of the probe's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from curate.config import FindOptions, TrainOptions
from curate.errors import StageMissing
from curate.find.label import find_label
from curate.find.predict import Prediction, from_trainer
from curate.verbs.apply import apply
from curate.verbs.decide import decide_by_threshold
from curate.verbs.find import TRAINER, find
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
    found = find_label(samples, from_trainer(told.iloc[order], probed, samples))
    np.testing.assert_array_equal(found["is_label_issue"], wrong)
    assert found.loc[wrong, "label_score"].max() < found.loc[~wrong, "label_score"].min()


def test_samples_that_the_trainer_does_not_know_keep_the_probe_s_scores() -> None:
    samples, told, probed, _ = facts()
    blended = from_trainer(told.iloc[:200], probed, samples)
    np.testing.assert_allclose(blended.scores[200:], probed.scores[200:])
    np.testing.assert_allclose(blended.scores[:200], told[CLASSES].to_numpy()[:200], atol=1e-6)
    np.testing.assert_allclose(blended.pred_probs.sum(axis=1), 1, atol=1e-5)


def test_a_class_that_the_trainer_never_saw_has_no_probability_there() -> None:
    samples, told, probed, _ = facts()
    told = told.drop(columns="c").assign(a=told["a"] / (1 - told["c"]), b=told["b"] / (1 - told["c"]))
    assert (from_trainer(told, probed, samples).scores[:, 2] == 0).all()


def test_predictions_that_nobody_made_are_missed_by_name(digits_folder: Path, tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "workspace")
    ingest(workspace, digits_folder)
    with pytest.raises(StageMissing, match="curate retrain"):
        find(workspace, options=FindOptions(predictions="trainer"))


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
