"""What is trained on what: two versions of a data set → the arms before, after and control, and one test split."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from curate.config import TrainOptions
from curate.errors import NotEnoughData, SplitError

FILE = ["sample_id", "path", "sha256"]  # which image, where it lies, and what is in it
COLUMNS = [*FILE, "label", "group"]


@dataclass(frozen=True)
class Arm:
    """One training set. Both tables: `COLUMNS`, sorted by sample_id, each row labelled.

    Attributes
    ----------
    train : what the model learns from
    val : what training is watched by, or stops by; may be empty, then the whole schedule is run
    soft_targets : (n, C) float32 probabilities of the classes that the rows of `train` teach; None: their labels
    """

    name: str
    train: pd.DataFrame
    val: pd.DataFrame
    soft_targets: np.ndarray | None = None


@dataclass(frozen=True)
class ArmPlan:
    """All that `retrain` compares.

    Attributes
    ----------
    classes : (C,) sorted; every class of any training image or test image
    test : the labelled test images of the version before, which all arms are judged on
    outside : `FILE` of what no fold holds (test, dropped, unlabelled), for out-of-sample predictions
    changes : how many training images were dropped, relabelled and added
    notes : what a reader of the figures should know, one sentence each
    """

    classes: list[str]
    before: Arm
    after: Arm
    test: pd.DataFrame
    out_of_pool: pd.DataFrame
    changes: dict[str, int]
    notes: list[str] = field(default_factory=list)

    def control(self, seed: int) -> Arm:
        """The version before without as many images, drawn at random, as the version after has dropped.

        It tells what comes from removing the right images, and what from merely having fewer of them.
        Where nothing was dropped it equals `before`. Drawn anew for each seed.
        """
        rng = np.random.default_rng([seed, 0xC0])
        kept = set(self.after.train["sample_id"]) | set(self.after.val["sample_id"])
        return Arm(
            "control",
            _without_some(self.before.train, _missing(self.before.train, kept), rng),
            _without_some(self.before.val, _missing(self.before.val, kept), rng),
        )

    def exchanged(self, seed: int) -> tuple[Arm, Arm]:
        """Two training sets to which the changes between the versions are dealt at random, whole groups together.

        What both versions have alike is in both; of what changed, a coin says for each group which of the two gets it
        as it was before, and the other gets it as it is after. So both are as large as the versions, on average.
        """
        before, after = self.before.train, self.after.train
        changed = _changed_groups(before, after)
        dealt = changed[np.random.default_rng([seed, 0xE8]).random(len(changed)) < 0.5]
        old, new = (np.isin(group_keys(table), dealt) for table in (before, after))
        return (
            Arm("first", _joined(before[~old], after[new]), self.before.val),
            Arm("second", _joined(after[~new], before[old]), self.before.val),
        )

    def images(self) -> pd.DataFrame:
        """`FILE` and is_learned (by any arm) of every image that any arm needs, sorted by sample_id."""
        learned = pd.concat([self.before.train, self.before.val, self.after.train, self.after.val])
        everything = pd.concat([learned, self.test, self.out_of_pool])[FILE]
        everything = everything.drop_duplicates("sample_id").sort_values("sample_id", ignore_index=True)
        return everything.assign(is_learned=everything["sample_id"].isin(learned["sample_id"]))


def plan_arms(before: pd.DataFrame, after: pd.DataFrame, *, options: TrainOptions) -> ArmPlan:
    """Make the arms of a comparison from two manifests.

    Parameters
    ----------
    before, after : MANIFEST tables of the same images. The test split is that of `before`, with its
        labels as given there. With `options.patience`, where `before` has no val split, `options.validation`
        of its training images is held out, whole groups together, and held out of the other arms too.

    Raises
    ------
    NotEnoughData : no labelled test image, or a version with fewer than two classes to learn
    SplitError : an image is a test image before and a training image after
    """
    test = _labelled(before, "test")
    if test.empty:
        raise NotEnoughData(
            "the version before has no labelled test image, so there is nothing to judge by",
            "a split 'test' with labels",
            "give the images a split and ingest again, or leave all splits out so that curate makes them",
        )
    notes: list[str] = []
    held_out = _validation_ids(before, options)
    arms = [_arm(name, version, held_out) for name, version in (("before", before), ("after", after))]
    pools = [pd.concat([arm.train, arm.val]) for arm in arms]
    _refuse_leaks(test, pools[1])
    classes = sorted({*test["label"], *pools[0]["label"], *pools[1]["label"]})
    notes += _notes(before, after, arms, test, options)
    return ArmPlan(classes, arms[0], arms[1], test, _out_of_pool(before, after, pools[1]), _changes(*pools), notes)


def grouped_folds(table: pd.DataFrame, n_folds: int, *, seed: int) -> np.ndarray:
    """Deal samples into folds: whole groups, class by class, so that folds are alike in size and classes.

    Parameters
    ----------
    table : rows with sample_id, label and group; a null group stands alone
    n_folds : 2 or more

    Returns
    -------
    (N,) int in [0, n_folds); the same for a sample in whatever order the rows come
    """
    keys = pd.DataFrame({"key": group_keys(table), "label": table["label"].to_numpy()}).sort_values(["key", "label"])
    groups = keys.groupby("key")["label"].agg(["first", "size"])
    groups["lot"] = np.random.default_rng([seed, n_folds]).permutation(len(groups))
    groups = groups.sort_values(["first", "size", "lot"], ascending=[True, False, True])
    groups["fold"] = np.arange(len(groups)) % n_folds
    return groups["fold"].reindex(group_keys(table)).to_numpy()


def group_keys(table: pd.DataFrame) -> np.ndarray:
    """(N,) names of what may not be torn apart: the group, or the sample itself where it has none."""
    alone = table["group"].isna()
    return np.where(alone, "sample " + table["sample_id"].astype(str), "group " + table["group"].astype(str))


def _labelled(version: pd.DataFrame, split: str) -> pd.DataFrame:
    rows = version[(version["split"] == split) & version["label"].notna()]
    return rows[COLUMNS].sort_values("sample_id", ignore_index=True)


def _validation_ids(before: pd.DataFrame, options: TrainOptions) -> set[str]:
    """Training samples to hold out to stop by: none where nothing stops, or the version brings a val split."""
    train = _labelled(before, "train")
    if options.patience is None or not _labelled(before, "val").empty or train.empty or not options.validation:
        return set()
    chosen = grouped_folds(train, max(2, round(1 / options.validation)), seed=options.seed) == 0
    left = set(train["label"][~chosen])
    needed = chosen & ~train["label"].isin(left).to_numpy()  # the last samples of a class stay in training
    chosen &= ~np.isin(group_keys(train), group_keys(train)[needed])
    return set(train["sample_id"][chosen])


def _arm(name: str, version: pd.DataFrame, held_out: set[str]) -> Arm:
    train, val = _labelled(version, "train"), _labelled(version, "val")
    aside = train["sample_id"].isin(held_out)
    arm = Arm(
        name,
        train[~aside].reset_index(drop=True),
        pd.concat([val, train[aside]]).sort_values("sample_id", ignore_index=True),
    )
    n_classes = arm.train["label"].nunique()
    if n_classes < 2:
        raise NotEnoughData(
            f"the version {name} has {len(arm.train)} labelled training images of {n_classes} classes",
            "two classes or more to tell apart",
            "label more images, or take back decisions with `curate undo`",
        )
    return arm


def _refuse_leaks(test: pd.DataFrame, pool: pd.DataFrame) -> None:
    leaked = test["sample_id"][test["sample_id"].isin(pool["sample_id"])]
    if len(leaked):
        raise SplitError(
            f"{len(leaked)} test images of the version before are for training after, such as {leaked.iloc[0]}",
            "the same untouched test split in both versions",
            "compare versions made with the same splits",
        )


def _changed_groups(before: pd.DataFrame, after: pd.DataFrame) -> np.ndarray:
    """The groups of which an image is in one of the two alone, or has another label in the other; sorted."""
    both = before.merge(after, on="sample_id", how="outer", suffixes=("_before", "_after"), indicator=True)
    changed = both["_merge"].ne("both") | both["label_before"].ne(both["label_after"])
    ids = both.loc[changed, "sample_id"]
    keys = [group_keys(table[table["sample_id"].isin(ids)]) for table in (before, after)]
    return np.unique(np.concatenate(keys))


def _joined(*tables: pd.DataFrame) -> pd.DataFrame:
    return pd.concat(tables).sort_values("sample_id", ignore_index=True)


def _missing(table: pd.DataFrame, kept: set[str]) -> int:
    return int((~table["sample_id"].isin(kept)).sum())


def _without_some(table: pd.DataFrame, count: int, rng: np.random.Generator) -> pd.DataFrame:
    stays = np.ones(len(table), dtype=bool)
    stays[rng.choice(len(table), count, replace=False)] = False
    return table[stays].reset_index(drop=True)


def _changes(before: pd.DataFrame, after: pd.DataFrame) -> dict[str, int]:
    both = before.merge(after, on="sample_id", suffixes=("_before", "_after"))
    return {
        "dropped": len(before) - len(both),
        "relabelled": int((both["label_before"] != both["label_after"]).sum()),
        "added": len(after) - len(both),
    }


def _out_of_pool(before: pd.DataFrame, after: pd.DataFrame, pool: pd.DataFrame) -> pd.DataFrame:
    everything = pd.concat([after, before])[FILE].drop_duplicates("sample_id")
    return everything[~everything["sample_id"].isin(pool["sample_id"])].sort_values("sample_id", ignore_index=True)


def _notes(
    before: pd.DataFrame, after: pd.DataFrame, arms: list[Arm], test: pd.DataFrame, options: TrainOptions
) -> list[str]:
    notes = []
    for arm, version in zip(arms, (before, after), strict=True):
        unused = int((version["label"].isna() | version["split"].isna()).sum())
        if unused:
            notes.append(f"{arm.name}: {unused} images without a label or a split are left out.")
        if arm.val.empty and options.patience is not None:
            notes.append(f"{arm.name}: no validation images, so the whole schedule is run.")
        for name in sorted(set(test["label"]) - set(arm.train["label"])):
            notes.append(f"{arm.name}: class '{name}' is in the test split and not among the training images.")
    both = test.merge(_labelled(after, "test"), on="sample_id", how="outer", suffixes=("_before", "_after"))
    changed = int((both["label_before"] != both["label_after"]).sum())
    if changed:
        notes.append(f"The version after changes {changed} test images; all arms are judged on the test split before.")
    return notes
