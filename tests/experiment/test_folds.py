"""Samples judged by networks that have not learned from them."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from curate.config import TrainOptions
from curate.errors import CurateError, NotEnoughData
from curate.experiment import jobs as arms
from curate.experiment.folds import fine_tuned, fold_jobs

SMALL = TrainOptions(
    image_size=32, augmentation="light", epochs=1, batch_size=32, model="test_efficientnet", workers=0, device="cpu"
)


def samples(digits: pd.DataFrame, n: int = 60) -> pd.DataFrame:
    """Some digits, every tenth without a label, the first four one group."""
    some = digits.head(n).reset_index(drop=True)
    some["label"] = some["label"].where(np.arange(n) % 10 > 0)
    some["group"] = np.where(np.arange(n) < 4, "together", None)
    return some


def test_each_labelled_sample_is_judged_once_and_by_a_model_that_did_not_learn_from_its_group(
    digits: pd.DataFrame,
) -> None:
    some = samples(digits)
    pool, outside = some[some["label"].notna()], some[some["label"].isna()]
    jobs = fold_jobs(pool, outside, Path("folds"), count=4, seed=0)
    judged = [set(job.evaluated["sample_id"]) - set(outside["sample_id"]) for job in jobs]
    assert len(jobs) == 4 and sum(map(len, judged)) == len(pool) == len(set().union(*judged))
    for job, held_out in zip(jobs, judged, strict=True):
        assert set(job.arm.train["sample_id"]) == set(pool["sample_id"]) - held_out
        assert set(outside["sample_id"]) <= set(job.evaluated["sample_id"])
        assert job.evaluated["sample_id"].isin(pool.loc[pool["group"].notna(), "sample_id"]).sum() in (0, 3)


def test_one_group_has_no_folds(digits: pd.DataFrame) -> None:
    pool = digits.head(9).assign(group="together")
    assert fold_jobs(pool, pool.head(0), Path("folds"), count=3, seed=0) == []


@pytest.mark.usefixtures("tiny_backbone")
class TestFineTuned:
    def test_every_sample_gets_probabilities_labelled_or_not(
        self, digits: pd.DataFrame, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        some = samples(digits)
        with caplog.at_level(logging.WARNING):
            told = fine_tuned(some.sample(frac=1, random_state=0), tmp_path, options=SMALL)
        assert told["sample_id"].tolist() == sorted(some["sample_id"])
        assert list(told.columns[1:]) == sorted(set(some["label"].dropna()))
        np.testing.assert_allclose(told.iloc[:, 1:].sum(axis=1), 1, atol=1e-5)
        assert "CPU" in caplog.text

    def test_an_interrupted_call_is_gone_on_with(
        self, digits: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        some, fit, learnt = samples(digits), arms.fit, []

        def dies_in_the_second(*given: Any, **options: Any) -> Any:
            learnt.append(options["checkpoint"].parent.name)
            if len(learnt) == 2:
                raise KeyboardInterrupt
            return fit(*given, **options)

        monkeypatch.setattr(arms, "fit", dies_in_the_second)
        with pytest.raises(KeyboardInterrupt):
            fine_tuned(some, tmp_path / "a", options=SMALL)
        told = fine_tuned(some, tmp_path / "a", options=SMALL)
        assert learnt == ["0", "1", "1", "2"]
        pd.testing.assert_frame_equal(told, fine_tuned(some, tmp_path / "b", options=SMALL))
        pd.testing.assert_frame_equal(told, fine_tuned(some, tmp_path / "a", options=SMALL))
        assert len(learnt) == 7

    def test_networks_learn_what_a_teacher_says_by_the_training_set_alone(
        self, digits: pd.DataFrame, tmp_path: Path
    ) -> None:
        some, lessons = samples(digits), []

        def turned(train: pd.DataFrame) -> pd.DataFrame:
            lessons.append(set(train["sample_id"]))
            return pd.get_dummies((train["label"].astype(int) + 1).mod(10).astype(str), dtype=float)

        def as_labelled(train: pd.DataFrame) -> pd.DataFrame:
            return pd.get_dummies(train["label"], dtype=float)

        longer = replace(SMALL, epochs=3)
        told, other, plain = (
            fine_tuned(some, tmp_path / name, options=longer, teacher=teacher).iloc[:, 1:].to_numpy()
            for name, teacher in (("a", turned), ("b", as_labelled), ("c", None))
        )
        np.testing.assert_allclose(other, plain, atol=1e-4)
        assert (told.argmax(1) != plain.argmax(1)).mean() > 0.5
        jobs = fold_jobs(some[some["label"].notna()], some.head(0), tmp_path, count=3, seed=SMALL.seed)
        assert lessons == [set(job.arm.train["sample_id"]) for job in jobs]

    def test_another_lesson_is_learnt_anew_but_for_noise(
        self, digits: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        some = samples(digits)

        def sure(train: pd.DataFrame) -> pd.DataFrame:
            return pd.get_dummies(train["label"], dtype=float)

        def unsure(train: pd.DataFrame) -> pd.DataFrame:
            return sure(train) * 0.5 + 0.05

        def nearly_the_same(train: pd.DataFrame) -> pd.DataFrame:  # as sums in another order are
            return sure(train) * (1 - 1e-6) + 1e-7

        fit, learnt = arms.fit, []
        monkeypatch.setattr(arms, "fit", lambda *given, **options: learnt.append(1) or fit(*given, **options))
        one, again, other = (
            fine_tuned(some, tmp_path, options=SMALL, teacher=by) for by in (sure, nearly_the_same, unsure)
        )
        pd.testing.assert_frame_equal(one, again)
        assert not np.allclose(one.iloc[:, 1:], other.iloc[:, 1:]) and len(learnt) == 6

    def test_where_the_teacher_has_too_little_to_go_by_the_labels_teach(
        self, digits: pd.DataFrame, tmp_path: Path
    ) -> None:
        def helpless(train: pd.DataFrame) -> pd.DataFrame:
            raise NotEnoughData("one class", "two")

        some = samples(digits)
        told = fine_tuned(some, tmp_path / "a", options=SMALL, teacher=helpless)
        pd.testing.assert_frame_equal(told, fine_tuned(some, tmp_path / "b", options=SMALL))

    def test_too_few_labels_are_said(self, digits: pd.DataFrame, tmp_path: Path) -> None:
        with pytest.raises(NotEnoughData, match="0 labelled samples"):
            fine_tuned(digits.assign(label=None), tmp_path, options=SMALL)
        with pytest.raises(NotEnoughData, match="of 1 class"):
            fine_tuned(digits.head(9).assign(label="7"), tmp_path, options=SMALL)

    def test_a_missing_image_is_said_before_anything_is_trained(self, digits: pd.DataFrame, tmp_path: Path) -> None:
        with pytest.raises(CurateError, match="no longer there"):
            fine_tuned(digits.assign(path="/nowhere.png"), tmp_path, options=SMALL)

    def test_another_seed_makes_other_folds(self, digits: pd.DataFrame, tmp_path: Path) -> None:
        some = samples(digits)
        one, other = (fine_tuned(some, tmp_path, options=replace(SMALL, seed=seed)) for seed in (0, 1))
        assert not np.allclose(one.iloc[:, 1:], other.iloc[:, 1:])
