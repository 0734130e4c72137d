"""Planted faults of whole classes, each found and nothing else."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from curate.find.classes.report import class_overlap, class_report, find_classes
from curate.find.labels.probe import Prediction

ISSUES = ["class_imbalance", "class_overlap", "underperforming_group", "spurious_correlation"]
N = 300  # samples per class


@pytest.fixture
def samples() -> pd.DataFrame:
    """Three classes of equal size whose measurements are noise."""
    rng = np.random.default_rng(0)
    label = np.repeat(["ant", "bee", "cow"], N)
    n = len(label)
    return pd.DataFrame(
        {
            "sample_id": [f"{label[i]}/{i:04d}.jpg" for i in range(n)],
            "label": label,
            "split": rng.choice(["train", "test"], n),
            "width": 64,
            "height": 48,
            "bytes": rng.integers(2000, 4000, n),
            "brightness_mean": rng.normal(0.45, 0.08, n),
            "colourfulness": rng.normal(30, 5, n),
            "contrast": rng.normal(50, 5, n),
            "entropy": rng.normal(8, 0.3, n),
            "sharpness": rng.normal(1, 0.1, n),
        }
    )


def sure(labels: pd.Series, p: float = 0.9) -> np.ndarray:
    """Probabilities that give `p` to the given label and share the rest."""
    classes = sorted(labels.dropna().unique())
    codes = pd.Categorical(labels, categories=classes).codes
    probs = np.full((len(labels), len(classes)), (1 - p) / (len(classes) - 1), np.float32)
    probs[np.arange(len(labels)), codes] = p
    return probs


def predicted(samples: pd.DataFrame, probs: np.ndarray | None = None) -> Prediction:
    probs = sure(samples["label"]) if probs is None else probs
    return Prediction(np.array(sorted(samples["label"].dropna().unique())), probs, scores=probs, posterior=probs)


def flagged(found: pd.DataFrame) -> dict[str, int]:
    counts = {issue: int(found[f"is_{issue}_issue"].sum()) for issue in ISSUES}
    return {issue: count for issue, count in counts.items() if count}


def test_sound_classes_have_no_flag(samples: pd.DataFrame):
    assert flagged(find_classes(samples, predicted(samples))) == {}


def test_a_class_that_is_all_bright_is_the_one_spurious_correlation(samples: pd.DataFrame):
    samples.loc[samples["label"].eq("bee"), "brightness_mean"] += 0.4
    found = find_classes(samples, predicted(samples))
    assert flagged(found) == {"spurious_correlation": N}
    assert set(samples["label"][found["is_spurious_correlation_issue"]]) == {"bee"}
    assert set(found["spurious_measurement"][found["is_spurious_correlation_issue"]]) == {"brightness"}


def test_a_small_class_is_flagged_by_the_30_percent_rule(samples: pd.DataFrame):
    fewer = samples.iloc[: 2 * N + 209].reset_index(drop=True)  # 210 of 300 would do
    assert flagged(find_classes(fewer, predicted(fewer))) == {"class_imbalance": 209}
    enough = samples.iloc[: 2 * N + 210].reset_index(drop=True)
    assert flagged(find_classes(enough, predicted(enough))) == {}


def test_two_classes_that_the_model_cannot_tell_apart_overlap(samples: pd.DataFrame):
    probs = sure(samples["label"])
    probs[: 2 * N] = [0.49, 0.49, 0.02]  # ant or bee, it says
    probs[: 2 * N][np.arange(2 * N), np.repeat([0, 1], N)] += 1e-3  # still right, so no group is weak
    found = find_classes(samples, predicted(samples, probs))
    assert flagged(found) == {"class_overlap": 2 * N}
    assert set(found["overlapping_class"][:N]) == {"bee"} and set(found["overlapping_class"][N : 2 * N]) == {"ant"}
    first = class_overlap(samples, predicted(samples, probs)).iloc[0]
    assert (first["label"], first["other_label"]) == ("ant", "bee")
    assert first["overlap"] == pytest.approx(1, abs=0.01)


def test_the_overlap_of_a_pair_is_what_the_docstring_says(samples: pd.DataFrame):
    table = class_overlap(samples, predicted(samples))
    assert len(table) == 3
    np.testing.assert_allclose(table["overlap"], 2 * 0.05 / (0.05 + 0.9), rtol=1e-5)
    np.testing.assert_allclose(table[["as_other", "as_label"]], 0.05, rtol=1e-5)


def test_a_class_on_which_the_model_fails_is_an_underperforming_group(samples: pd.DataFrame):
    probs = sure(samples["label"])
    probs[:180] = np.repeat([[0.1, 0.45, 0.45]], 180, axis=0)  # 60% of the ants are taken for others
    found = find_classes(samples, predicted(samples, probs))
    assert flagged(found) == {"underperforming_group": N}
    assert set(found["underperforming_group"][:N]) == {"class ant"}


def test_dark_images_on_which_the_model_fails_are_an_underperforming_group(samples: pd.DataFrame):
    dark = samples["brightness_mean"].rank(method="first").le(180).to_numpy()  # a fifth, across classes
    probs = sure(samples["label"])
    probs[dark] = np.roll(probs[dark], 1, axis=1)
    found = find_classes(samples, predicted(samples, probs))
    assert flagged(found) == {"underperforming_group": 180}
    assert found["is_underperforming_group_issue"].to_numpy().tolist() == dark.tolist()
    assert found["underperforming_group"][dark].str.startswith("brightness").all()


def test_unlabelled_samples_have_no_scores_and_change_none(samples: pd.DataFrame):
    more = pd.concat([samples, samples.head(20).assign(sample_id=lambda t: "x" + t["sample_id"], label=None)])
    more = more.reset_index(drop=True)
    probs = np.concatenate([sure(samples["label"]), np.full((20, 3), 1 / 3, np.float32)])
    found, before = find_classes(more, predicted(samples, probs)), find_classes(samples, predicted(samples))
    pd.testing.assert_frame_equal(found.head(len(samples)), before, check_dtype=False)
    unlabelled = found.tail(20)
    assert unlabelled[[f"{issue}_score" for issue in ISSUES]].isna().all(axis=None)
    assert flagged(unlabelled) == {}


def test_the_order_of_the_rows_changes_nothing(samples: pd.DataFrame):
    probs = np.random.default_rng(0).dirichlet([1, 1, 1], len(samples)).astype(np.float32)
    shuffle = np.random.default_rng(1).permutation(len(samples))
    shuffled = samples.iloc[shuffle].reset_index(drop=True)
    found = find_classes(samples, predicted(samples, probs))
    again = find_classes(shuffled, predicted(samples, probs[shuffle]))
    pd.testing.assert_frame_equal(
        found.sort_values("sample_id", ignore_index=True), again.sort_values("sample_id", ignore_index=True)
    )
    pd.testing.assert_frame_equal(
        class_report(samples, predicted(samples, probs)), class_report(shuffled, predicted(samples, probs[shuffle]))
    )


@pytest.mark.parametrize("n", [2, 5])
def test_a_handful_of_samples_has_scores_and_no_flags(samples: pd.DataFrame, n: int):
    few = samples.iloc[np.linspace(0, len(samples) - 1, n).astype(int)].reset_index(drop=True)
    found = find_classes(few, predicted(few), imbalance=0.9)
    assert flagged(found) == {}
    assert found[[f"{issue}_score" for issue in ISSUES]].notna().all(axis=None)


def test_the_report_has_a_row_per_class_and_says_what_each_is_mixed_with(samples: pd.DataFrame):
    report = class_report(samples, predicted(samples)).set_index("label")
    assert sorted(report.index) == ["ant", "bee", "cow"]
    assert report["n"].eq(N).all() and report["accuracy"].eq(1).all()
    assert (report["most_like"] != report.index).all()
    assert report[["ratio", "overlap", "strength"]].apply(lambda share: share.between(0, 1).all()).all()
