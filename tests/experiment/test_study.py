"""The arms of a comparison: who learns what, and that the test split is the same for all."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from curate.config import TrainOptions
from curate.errors import NotEnoughData, SplitError
from curate.experiment.study import COLUMNS, Arm, ArmPlan, grouped_folds, plan_arms

OPTIONS = TrainOptions(patience=4)


def manifest(n_train: int = 40, n_val: int = 10, n_test: int = 10) -> pd.DataFrame:
    """Two classes in turn, splits in blocks, no groups."""
    n = n_train + n_val + n_test
    ids = [f"{i:03d}.png" for i in range(n)]
    return pd.DataFrame(
        {
            "sample_id": ids,
            "path": ["/images/" + name for name in ids],
            "label": ["ant", "bee"] * (n // 2),
            "split": ["train"] * n_train + ["val"] * n_val + ["test"] * n_test,
            "group": pd.Series([None] * n, dtype="str"),
            "sha256": [f"{i:064x}" for i in range(n)],
        }
    )


def changed(version: pd.DataFrame, *, drop: list[int] = [], relabel: list[int] = []) -> pd.DataFrame:  # noqa: B006
    version = version.copy()
    version.loc[relabel, "label"] = version.loc[relabel, "label"].map({"ant": "bee", "bee": "ant"})
    return version.drop(index=drop)


def test_changes_are_counted_and_the_control_loses_as_many_images_of_each_split() -> None:
    before = manifest()
    study = plan_arms(before, changed(before, drop=[0, 1, 2, 41], relabel=[5, 6]), options=OPTIONS)
    assert study.changes == {"dropped": 4, "relabelled": 2, "added": 0}
    control = study.control(seed=0)
    assert (len(control.train), len(control.val)) == (37, 9)
    labels = before.set_index("sample_id")["label"]
    assert (control.train["label"] == control.train["sample_id"].map(labels)).all()


def test_controls_of_two_seeds_lose_different_images_and_of_one_seed_the_same() -> None:
    before = manifest()
    study = plan_arms(before, changed(before, drop=list(range(10))), options=OPTIONS)
    first, again, other = (set(study.control(seed).train["sample_id"]) for seed in (0, 0, 1))
    assert first == again and first != other


def test_nothing_dropped_makes_the_control_equal_to_before() -> None:
    before = manifest()
    study = plan_arms(before, changed(before, relabel=[3]), options=OPTIONS)
    pd.testing.assert_frame_equal(study.control(0).train, study.before.train)


def test_the_order_of_rows_changes_nothing() -> None:
    before = manifest(n_val=0)
    after = changed(before, drop=[3, 4], relabel=[7])
    straight = plan_arms(before, after, options=OPTIONS)
    mixed = plan_arms(before.sample(frac=1, random_state=1), after.sample(frac=1, random_state=2), options=OPTIONS)
    for arm in ("before", "after"):
        for part in ("train", "val"):
            pd.testing.assert_frame_equal(getattr(getattr(straight, arm), part), getattr(getattr(mixed, arm), part))
    pd.testing.assert_frame_equal(straight.control(0).train, mixed.control(0).train)


def test_without_a_val_split_the_same_tenth_is_held_out_of_every_arm() -> None:
    before = manifest(n_train=100, n_val=0)
    study = plan_arms(before, changed(before, drop=[1], relabel=[2]), options=OPTIONS)
    assert len(study.before.val) == 10 and set(study.before.val["label"]) == {"ant", "bee"}
    assert set(study.after.val["sample_id"]) == set(study.before.val["sample_id"]) - {"001.png"}
    assert set(study.control(0).val["sample_id"]) <= set(study.before.val["sample_id"])


def test_without_patience_nothing_is_held_out_and_a_val_split_stays_what_it_is() -> None:
    alone, watched = (manifest(n_train=100, n_val=n_val) for n_val in (0, 10))
    for version, n_val in ((alone, 0), (watched, 10)):
        study = plan_arms(version, changed(version, drop=[1]), options=TrainOptions())
        assert (len(study.before.train), len(study.after.train), len(study.before.val)) == (100, 99, n_val)
        assert not any("validation" in note for note in study.notes)


def test_a_held_out_group_is_held_out_whole() -> None:
    before = manifest(n_train=100, n_val=0)
    before["group"] = [f"patient {i // 7}" for i in range(len(before))]
    study = plan_arms(before, before, options=OPTIONS)
    assert len(study.before.val) > 0
    assert not set(study.before.val["group"]) & set(study.before.train["group"])


def test_the_only_image_of_a_class_stays_in_training() -> None:
    before = manifest(n_train=20, n_val=0)
    for row in range(20):
        rare = before.copy()
        rare.loc[row, "label"] = "yak"
        study = plan_arms(rare, rare, options=OPTIONS)
        assert "yak" in set(study.before.train["label"])


def test_unlabelled_images_teach_nothing_and_are_noted() -> None:
    before = manifest()
    before.loc[[0, 1, 59], "label"] = None
    study = plan_arms(before, before, options=OPTIONS)
    assert len(study.before.train) == 38 and len(study.test) == 9
    assert "before: 3 images without a label or a split are left out." in study.notes
    assert {"000.png", "059.png"} <= set(study.out_of_pool["sample_id"])


def test_a_class_that_only_the_test_split_has_is_noted_and_kept() -> None:
    before = manifest()
    before.loc[55, "label"] = "yak"
    study = plan_arms(before, before, options=OPTIONS)
    assert study.classes == ["ant", "bee", "yak"]
    assert "after: class 'yak' is in the test split and not among the training images." in study.notes


def test_test_labels_are_those_of_the_version_before() -> None:
    before = manifest()
    study = plan_arms(before, changed(before, relabel=[50, 51], drop=[59]), options=OPTIONS)
    assert study.test["label"].tolist() == ["ant", "bee"] * 5
    assert any("changes 3 test images" in note for note in study.notes)


def test_added_images_are_for_training_only() -> None:
    after = manifest(n_train=100, n_val=0)
    before = after.drop(index=range(0, 20))
    study = plan_arms(before, after, options=OPTIONS)
    assert study.changes["added"] == 20
    assert set(after["sample_id"][:20]) <= set(study.after.train["sample_id"])


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda t: t[t["split"] != "test"], "no labelled test image"),
        (lambda t: t[t["split"] != "train"], "0 labelled training images"),
        (lambda t: t.assign(label="ant"), "of 1 classes"),
        (lambda t: t.head(0), "no labelled test image"),
    ],
)
def test_too_little_to_compare_is_said(edit: object, message: str) -> None:
    with pytest.raises(NotEnoughData, match=message):
        plan_arms(edit(manifest()), manifest(), options=OPTIONS)  # type: ignore[operator]


def test_an_emptied_version_is_refused() -> None:
    before = manifest()
    with pytest.raises(NotEnoughData, match="the version after has 0 labelled training images"):
        plan_arms(before, before[before["split"] == "test"], options=OPTIONS)


def test_a_test_image_may_not_become_a_training_image() -> None:
    before, after = manifest(), manifest()
    after.loc[50, "split"] = "train"
    with pytest.raises(SplitError, match="1 test images of the version before are for training after, such as 050"):
        plan_arms(before, after, options=OPTIONS)


def test_folds_are_even_in_size_and_class_and_keep_groups_whole() -> None:
    rng = np.random.default_rng(0)
    table = manifest(n_train=960, n_val=20, n_test=20)
    table["group"] = [f"g{i}" if i < 200 else None for i in rng.integers(0, 400, 1000)]
    folds = grouped_folds(table, 5, seed=0)
    sizes = pd.crosstab(folds, table["label"])
    assert sizes.shape == (5, 2) and sizes.to_numpy().min() > 85 and sizes.to_numpy().max() < 115
    assert table.assign(fold=folds).dropna(subset=["group"]).groupby("group")["fold"].nunique().max() == 1
    order = rng.permutation(1000)
    np.testing.assert_array_equal(grouped_folds(table.iloc[order], 5, seed=0), folds[order])
    assert (grouped_folds(table, 5, seed=1) != folds).any()


def test_changes_that_are_dealt_at_random_go_to_one_of_the_two_and_nothing_is_lost() -> None:
    rows = [(f"{n:02d}", f"/{n}", None, "ab"[n % 2], None if n < 8 else f"g{n // 4}") for n in range(24)]
    before = pd.DataFrame(rows, columns=COLUMNS).astype({"group": "str"})
    after = before.drop(index=[0, 1, 2, 8]).reset_index(drop=True)
    after.loc[after["sample_id"].isin(["10", "20"]), "label"] = "c"
    nothing = before.head(0)
    study = ArmPlan(["a", "b", "c"], Arm("before", before, nothing), Arm("after", after, nothing), nothing, nothing, {})
    seen = set()
    for seed in range(20):
        first, second = (arm.train for arm in study.exchanged(seed))
        together = pd.concat([first, second]).sort_values(["sample_id", "label"], ignore_index=True)
        expected = pd.concat([before, after]).sort_values(["sample_id", "label"], ignore_index=True)
        pd.testing.assert_frame_equal(together, expected)
        whole = first["sample_id"].isin(["08", "09", "10", "11"])  # one group
        labels = dict(zip(first.loc[whole, "sample_id"], first.loc[whole, "label"], strict=True))
        assert ("08" in labels) == (labels["10"] == "a")
        seen.add(tuple(first["sample_id"]))
        same = study.exchanged(seed)[0].train
        pd.testing.assert_frame_equal(first, same)
    assert len(seen) > 5
