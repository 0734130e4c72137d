"""The whole comparison on handwritten digits: planted errors are found to matter, and everything repeats."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from command import picture

from curate.config import TrainOptions
from curate.errors import CurateError, NotEnoughData
from curate.experiment import jobs as arms
from curate.experiment.compare import retrain
from curate.images.resize import resized
from curate.networks.embedder import Embedder
from curate.train.checkpoint import load_model
from curate.train.pixels import read_pixels

SMALL = TrainOptions(
    preset="quick", image_size=32, augmentation="light", views=1, epochs=3, batch_size=64, folds=2, bootstraps=200,
    model="test_efficientnet", workers=2, device="cpu",
)  # fmt: skip
FULL = replace(SMALL, preset="full", views=None, epochs=2, batch_size=100, folds=0, workers=0)


def with_wrong_labels(version: pd.DataFrame, share: float) -> tuple[pd.DataFrame, pd.Index]:
    """A share of the training labels changed to another digit, and the rows where."""
    rng = np.random.default_rng(0)
    wrong = version.index[(version["split"] == "train") & (rng.random(len(version)) < share)]
    noisy = version.copy()
    noisy.loc[wrong, "label"] = ((noisy.loc[wrong, "label"].astype(int) + rng.integers(1, 10, len(wrong))) % 10).astype(
        str
    )
    return noisy, wrong


def without(version: pd.DataFrame, count: int) -> pd.DataFrame:
    """The version less its first training images."""
    return version.drop(index=version.index[version["split"] == "train"][:count])


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_true_labels_beat_wrong_ones_and_random_removal_does_not(digits: pd.DataFrame, tmp_path: Path) -> None:
    before, wrong = with_wrong_labels(digits, 0.30)
    after = before.copy()
    after.loc[wrong, "label"] = digits.loc[wrong, "label"]
    after = after.drop(index=wrong[::2])  # half of the wrong are corrected, half removed
    options = TrainOptions(image_size=64, preset="quick", device="cpu", folds=5)
    found = retrain(before, after, tmp_path / "run", options=options)
    accuracy = {name: scores.accuracy for name, scores in found.scores.items()}
    assert found.verdict == "better"
    assert accuracy["after"] > accuracy["before"] + 0.03
    assert accuracy["control"] < accuracy["before"] + 0.03
    assert found.differences["after - control"].accuracy_interval[0] > 0
    assert found.arms["control"]["n_train"] + found.arms["control"]["n_val"] == len(after) - 200
    probable = found.pred_probs.set_index("sample_id").reindex(digits["sample_id"])
    assert (probable.to_numpy().argmax(1) == digits["label"].astype(int)).mean() > 0.85
    kept, dropped = wrong[1::2], wrong[::2]
    assert probable.loc[digits.loc[dropped, "sample_id"]].notna().all(axis=None) and len(kept)


@pytest.mark.usefixtures("tiny_backbone")
class TestFiles:
    def test_a_run_leaves_what_the_design_says(self, digits: pd.DataFrame, tmp_path: Path) -> None:
        found = retrain(digits, without(digits, 50), tmp_path, options=SMALL)
        made = {"run.json", "history.csv", "predictions.parquet", "pred_probs.parquet"}
        for name in ("arms/before-0", "arms/after-0", "arms/control-0", "folds/0", "folds/1"):
            made |= {f"{name}/{file}" for file in ("arm.json", "history.csv", "probabilities.parquet")}
            made |= {f"{name}/model.safetensors"} if name.startswith("arms") else set()
        assert files(tmp_path) == made
        facts = json.loads((tmp_path / "run.json").read_text())
        assert facts["metrics"] == json.loads(json.dumps(found.to_dict()))
        assert facts["recipe"]["model"] == "test_efficientnet" and facts["seeds"] == [0]
        assert facts["packages"]["torch"] and facts["hardware"]["device"] == "cpu"
        assert len({*facts["data"].values()}) == 2

    def test_predictions_are_of_the_test_split_for_each_arm(self, digits: pd.DataFrame, tmp_path: Path) -> None:
        found = retrain(digits, without(digits, 50), tmp_path, options=SMALL)
        table = pd.read_parquet(tmp_path / "predictions.parquet")
        assert table.groupby("arm").size().to_dict() == {"after": 200, "before": 200, "control": 200}
        chances = table[[f"p_{name}" for name in found.classes]].to_numpy()
        np.testing.assert_allclose(chances.sum(1), 1, atol=1e-5)
        assert (np.array(found.classes)[chances.argmax(1)] == table["predicted"]).all()
        for name in ("before", "after", "control"):
            rows = table[table["arm"] == name]
            assert rows["sample_id"].tolist() == digits.loc[digits["split"] == "test", "sample_id"].tolist()
            assert (rows["label"] == rows["predicted"]).mean() == found.scores[name].accuracy

    def test_out_of_fold_predictions_cover_every_image_once(self, digits: pd.DataFrame, tmp_path: Path) -> None:
        retrain(digits, without(digits, 50), tmp_path, options=SMALL)
        table = pd.read_parquet(tmp_path / "pred_probs.parquet")
        assert table["sample_id"].tolist() == digits["sample_id"].tolist()
        assert table.columns.tolist() == ["sample_id", *"0123456789"]
        np.testing.assert_allclose(table.drop(columns="sample_id").sum(axis=1), 1, atol=1e-5)

    def test_no_folds_no_table(self, digits: pd.DataFrame, tmp_path: Path) -> None:
        assert retrain(digits, digits, tmp_path, options=replace(SMALL, folds=0)).pred_probs.empty
        assert "pred_probs.parquet" not in files(tmp_path)

    @pytest.mark.parametrize("options", [SMALL, FULL])
    def test_a_checkpoint_predicts_what_the_run_recorded(
        self, digits: pd.DataFrame, tmp_path: Path, options: TrainOptions
    ) -> None:
        found = retrain(digits, digits, tmp_path, options=options)
        model, facts = load_model(tmp_path / "arms" / "after-0")
        paths = digits.loc[digits["split"] == "test", "path"]
        pixels = np.stack([resized(read_pixels(path, 32), 32) for path in paths])
        with torch.inference_mode():
            chances = model(torch.from_numpy(pixels)).softmax(1).numpy()
        recorded = found.predictions.query("arm == 'after'")[[f"p_{name}" for name in facts["classes"]]]
        np.testing.assert_allclose(chances, recorded, atol=2e-3)

    def test_tensorboard_events_are_written_where_asked(self, digits: pd.DataFrame, tmp_path: Path) -> None:
        pytest.importorskip("tensorboard")
        retrain(digits, digits, tmp_path, options=replace(SMALL, folds=0, tensorboard=True))
        assert {path.name for path in (tmp_path / "tensorboard").iterdir()} == {"before-0", "after-0"}


@pytest.mark.usefixtures("tiny_backbone")
class TestRepeating:
    def test_the_same_seed_gives_the_same_figures_in_any_order_of_rows(
        self, digits: pd.DataFrame, tmp_path: Path
    ) -> None:
        after = without(digits, 50)
        first = retrain(digits, after, tmp_path / "a", options=SMALL)
        mixed = digits.sample(frac=1, random_state=0), after.sample(frac=1, random_state=1)
        second = retrain(*mixed, tmp_path / "b", options=replace(SMALL, workers=1))
        pd.testing.assert_frame_equal(first.predictions, second.predictions)
        pd.testing.assert_frame_equal(first.pred_probs, second.pred_probs)
        other = retrain(digits, after, tmp_path / "c", options=replace(SMALL, seed=1))
        assert not other.predictions.equals(first.predictions)

    def test_full_is_the_same_with_and_without_worker_processes(self, digits: pd.DataFrame, tmp_path: Path) -> None:
        few = digits[digits.index % 5 < 2]
        alone = retrain(few, few, tmp_path / "a", options=replace(FULL, epochs=1))
        helped = retrain(few, few, tmp_path / "b", options=replace(FULL, epochs=1, workers=2))
        pd.testing.assert_frame_equal(alone.predictions, helped.predictions)

    def test_seeds_are_averaged_and_each_is_reported(self, digits: pd.DataFrame, tmp_path: Path) -> None:
        found = retrain(digits, without(digits, 50), tmp_path, options=replace(SMALL, seeds=2, folds=0))
        assert len(found.arms["after"]["accuracies"]) == 2
        assert {"arms/control-1/arm.json", "arms/control-0/arm.json"} <= files(tmp_path)
        assert set(found.history["seed"]) == {0, 1}


@pytest.mark.usefixtures("tiny_backbone")
class TestResuming:
    def test_a_finished_run_is_read_and_not_trained_again(
        self, digits: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        after = without(digits, 50)
        first = retrain(digits, after, tmp_path, options=SMALL)
        monkeypatch.setattr(arms, "fit", None)
        monkeypatch.setattr("curate.train.quick.QuickLearner.prepare", None)
        again = retrain(digits, after, tmp_path, options=SMALL)
        assert again.to_dict() == first.to_dict()
        pd.testing.assert_frame_equal(again.pred_probs, first.pred_probs)
        pd.testing.assert_frame_equal(again.history, first.history)

    @pytest.mark.parametrize(
        ("options", "calls"),
        [
            *((SMALL, calls) for calls in (1, 2, 4)),
            *(pytest.param(FULL, calls, marks=pytest.mark.slow) for calls in (1, 2, 4)),
        ],
    )
    def test_an_interrupted_run_ends_as_an_undisturbed_one(
        self, digits: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: TrainOptions, calls: int
    ) -> None:
        after = without(digits, 50)
        whole = retrain(digits, after, tmp_path / "whole", options=options)
        with monkeypatch.context() as patch:
            interrupt(patch, after_epochs=calls)
            with pytest.raises(KeyboardInterrupt):
                retrain(digits, after, tmp_path / "cut", options=options)
        resumed = retrain(digits, after, tmp_path / "cut", options=options)
        pd.testing.assert_frame_equal(resumed.predictions, whole.predictions)
        pd.testing.assert_frame_equal(resumed.pred_probs, whole.pred_probs)
        assert files(tmp_path / "cut") == files(tmp_path / "whole")

    def test_features_are_taken_once_for_all_arms_and_kept_through_an_interruption(
        self, digits: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[int] = []
        embed = Embedder.embed
        monkeypatch.setattr(Embedder, "embed", lambda self, x: (seen.append(len(x)), embed(self, x))[1])
        with monkeypatch.context() as patch:
            interrupt(patch, after_epochs=1)
            with pytest.raises(KeyboardInterrupt):
                retrain(digits, without(digits, 50), tmp_path, options=SMALL)
        retrain(digits, without(digits, 50), tmp_path, options=SMALL)
        assert sum(seen) == 2 * 400 + 200  # a plain and a varied look at training images, one at test images

    def test_other_options_train_anew(self, digits: pd.DataFrame, tmp_path: Path) -> None:
        retrain(digits, digits, tmp_path / "a", options=replace(SMALL, epochs=1, folds=0))
        changed = retrain(digits, digits, tmp_path / "a", options=replace(SMALL, folds=0))
        fresh = retrain(digits, digits, tmp_path / "b", options=replace(SMALL, folds=0))
        pd.testing.assert_frame_equal(changed.predictions, fresh.predictions)

    @pytest.mark.parametrize("options", [SMALL, pytest.param(replace(FULL, epochs=1), marks=pytest.mark.slow)])
    def test_other_pictures_under_the_same_names_train_anew(
        self, digits: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: TrainOptions
    ) -> None:
        few = copied(digits[digits.index % 5 < 2], tmp_path / "images")
        with monkeypatch.context() as patch:
            interrupt(patch, after_epochs=2 * options.epochs - 1)  # one arm is finished, another perhaps begun
            with pytest.raises(KeyboardInterrupt):
                retrain(few, few, tmp_path / "cut", options=options)
        for number, path in enumerate(few["path"]):
            picture(Path(path), number)
        other = few.assign(sha256=[sha256_of(path) for path in few["path"]])
        resumed = retrain(other, other, tmp_path / "cut", options=options)
        fresh = retrain(other, other, tmp_path / "fresh", options=options)
        pd.testing.assert_frame_equal(resumed.predictions, fresh.predictions)
        pd.testing.assert_frame_equal(resumed.pred_probs, fresh.pred_probs)


def copied(version: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """The version with files of its own, which a test may change."""
    folder.mkdir()
    return version.assign(path=[shutil.copy(path, folder) for path in version["path"]])


def sha256_of(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def interrupt(patch: pytest.MonkeyPatch, *, after_epochs: int) -> None:
    """Raise as Ctrl-C would, once so many epochs have been learnt."""
    from curate.train import loop

    run_epoch, done = loop._Training.run_epoch, [0]

    def counted(self: Any, *arguments: Any) -> None:
        if done[0] == after_epochs:
            raise KeyboardInterrupt
        done[0] += 1
        run_epoch(self, *arguments)

    patch.setattr(loop._Training, "run_epoch", counted)


@pytest.mark.usefixtures("tiny_backbone")
class TestOddData:
    def test_nothing_dropped_makes_the_control_equal_before(self, digits: pd.DataFrame, tmp_path: Path) -> None:
        before, _ = with_wrong_labels(digits, 0.3)
        found = retrain(before, digits, tmp_path, options=replace(SMALL, folds=0))
        assert found.scores["control"].to_dict() == found.scores["before"].to_dict()
        assert "Nothing was dropped, so the control (random removal) equals before." in found.notes

    def test_rare_and_untaught_classes_are_reported_not_fatal(self, digits: pd.DataFrame, tmp_path: Path) -> None:
        odd = digits.copy()
        odd.loc[1, "label"] = "once"  # one training image
        odd.loc[0, "label"] = "never"  # in the test split only
        found = retrain(odd, odd, tmp_path, options=SMALL)
        figures = found.scores["after"].per_class.set_index("class")
        assert figures.loc["never", ["recall", "support"]].tolist() == [0, 1]
        assert any("class 'never' is in the test split" in note for note in found.notes)

    def test_a_handful_of_images_suffices(self, digits: pd.DataFrame, tmp_path: Path) -> None:
        few = pd.concat([digits[digits["split"] == "train"][:3], digits[digits["split"] == "test"][:2]])
        found = retrain(few, few, tmp_path, options=replace(SMALL, patience=2))
        assert any("no validation images" in note for note in found.notes) and len(found.predictions) == 6

    def test_groups_of_the_test_split_widen_nothing_but_are_honoured(
        self, digits: pd.DataFrame, tmp_path: Path
    ) -> None:
        grouped = digits.assign(group=[f"writer {row // 30}" for row in range(600)])
        found = retrain(grouped, without(grouped, 50), tmp_path, options=SMALL)
        assert len(found.pred_probs) == 600

    def test_an_absent_file_is_said_before_anything_is_trained(self, digits: pd.DataFrame, tmp_path: Path) -> None:
        gone = digits.copy()
        gone.loc[5, "path"] = "/nowhere/5.png"
        with pytest.raises(CurateError, match="1 of 600 images are no longer there, such as /nowhere/5.png"):
            retrain(gone, gone, tmp_path / "run", options=SMALL)
        assert not (tmp_path / "run").exists()

    @pytest.mark.parametrize("options", [SMALL, replace(FULL, workers=1)])
    def test_a_file_that_broke_since_the_scan_is_named(
        self, digits: pd.DataFrame, tmp_path: Path, options: TrainOptions
    ) -> None:
        (tmp_path / "broken.png").write_bytes(b"not an image")
        broken = digits.copy()
        broken.loc[5, "path"] = str(tmp_path / "broken.png")
        with pytest.raises(CurateError, match="broken.png"):
            retrain(broken, broken, tmp_path / "run", options=options)

    def test_no_test_split_is_said(self, digits: pd.DataFrame, tmp_path: Path) -> None:
        with pytest.raises(NotEnoughData, match="no labelled test image"):
            retrain(digits.assign(split="train"), digits, tmp_path, options=SMALL)
