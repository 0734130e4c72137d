"""How well a measurement tells a class: known answers, chance, and an oracle."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from curate.find.classes.shortcuts import _held_out_auc, bins_of, properties, shortcuts


def measured(label: np.ndarray, **columns: np.ndarray) -> pd.DataFrame:
    n = len(label)
    constant = {"width": 32, "height": 32, "bytes": 900, "brightness_mean": 0.5, "colourfulness": 20.0}
    constant |= {"contrast": 40.0, "entropy": 8.0, "sharpness": 1.0}
    ids = [f"{i:05d}" for i in range(n)]
    return pd.DataFrame({"sample_id": ids, "label": label} | constant | columns)


def test_a_measurement_that_tells_every_class_is_of_full_strength_and_constants_of_none():
    label = np.array(["a", "b"] * 500)
    found = shortcuts(measured(label, brightness_mean=np.where(label == "a", 0.2, 0.8)))
    best = found.head(2)
    assert best["measurement"].tolist() == ["brightness", "brightness"]
    assert best["auc"].tolist() == [1.0, 1.0]
    assert best["strength"].min() > 0.85
    assert found["auc"][2:].max() <= 0.5 and found["strength"][2:].eq(0).all()


def test_a_class_told_by_a_band_of_values_is_found_too():
    rng = np.random.default_rng(0)
    value = rng.uniform(0, 1, 2000)
    found = shortcuts(measured(np.where(np.abs(value - 0.5) < 0.1, "middle", "rest"), sharpness=value))
    assert found.iloc[0]["measurement"] == "sharpness"
    assert found.iloc[0]["auc"] > 0.97


def test_noise_has_no_strength_whatever_the_sizes_of_the_classes():
    rng = np.random.default_rng(0)
    label = rng.choice(["common", "rare", "rarest"], 1500, p=[0.95, 0.04, 0.01])
    noise = {name: rng.normal(size=1500) for name in ("contrast", "entropy", "sharpness", "colourfulness")}
    found = shortcuts(measured(label, **noise))
    assert found["strength"].max() < 0.05


def test_size_and_shape_are_measurements_too():
    label = np.array(["wide", "square", "large"] * 100)
    width = np.select([label == "wide", label == "large"], [64, 96], 32)
    found = shortcuts(measured(label, width=width, height=np.where(label == "large", 96, 32)))
    strongest = found[found["auc"] == 1][["measurement", "label"]].to_records(index=False).tolist()
    assert ("aspect_ratio", "wide") in strongest and ("size", "large") in strongest


def test_the_area_counted_from_cells_is_the_area_under_the_roc_curve():
    rng = np.random.default_rng(0)
    total = rng.integers(5, 40, (5, 7))
    members = rng.binomial(total, rng.uniform(0.1, 0.9, 7))
    others, all_others = members.sum(0) - members, total.sum(0) - total
    share = (others + (others.sum(1) / all_others.sum(1))[:, None]) / (all_others + 1)
    truth, score = [], []
    for fold, column in np.ndindex(total.shape):
        positive = members[fold, column]
        truth += [1] * positive + [0] * (total[fold, column] - positive)
        score += [share[fold, column]] * total[fold, column]
    assert _held_out_auc(members, total)[0] == pytest.approx(roc_auc_score(truth, score))


def test_bins_keep_equal_values_together_and_take_missing_ones():
    assert len(set(bins_of(np.array([1.0, 1, 1, 1, 2]), 5)[:4])) == 1
    assert bins_of(np.array([np.nan, np.nan]), 5).tolist() == [0, 0]
    bins = bins_of(np.array([3.0, np.nan, 1.0, 2.0]), 3)
    assert bins[1] == bins.max()


def test_one_class_has_nothing_to_tell():
    assert shortcuts(measured(np.array(["a"] * 10))).empty


def test_properties_are_one_of_each_kind():
    table = properties(measured(np.array(["a", "b"])))
    assert sorted(table.columns) == [
        "aspect_ratio", "brightness", "bytes", "colourfulness", "contrast", "entropy", "sharpness", "size",
    ]  # fmt: skip
