"""What may not happen to a data set, whoever asks. Each guard turns what it holds back into a row `keep`."""

from __future__ import annotations

import numpy as np
import pandas as pd

from curate.config import PolicyOptions
from curate.errors import PolicyError


def protect_test(actions: pd.DataFrame, samples: pd.DataFrame, options: PolicyOptions) -> pd.DataFrame:
    """Hold back every change to the test split, a person's too, without `include_test`."""
    in_test = actions["sample_id"].isin(samples.loc[samples["split"].eq("test"), "sample_id"])
    return _held_back(actions, in_test & (not options.include_test), "the test split is protected")


def cap_drops(
    actions: pd.DataFrame, samples: pd.DataFrame, copies: pd.DataFrame, options: PolicyOptions
) -> pd.DataFrame:
    """Drop at most the share `class_cap` of a class, rounded up, of its samples outside a protected test split.

    A drop whose exact copy stays does not count, since nothing is lost with it; nor does an unlabelled sample.
    Thresholds and bulk decisions beyond the cap are held back, the least certain first.

    Parameters
    ----------
    copies : `group, sample_id` of the samples that have an exact copy

    Raises
    ------
    PolicyError : the verdicts of people alone go beyond it
    """
    changeable = samples if options.include_test else samples[samples["split"].ne("test")]
    sizes = changeable["label"].value_counts()
    losses = _losses(actions, samples, copies)
    most = losses["class"].map(np.ceil((options.class_cap * sizes).round(9))).astype("float64")  # 0.07 * 100 is above 7
    beyond = losses[losses.groupby("class").cumcount() >= most]
    if beyond["by_person"].any():
        raise PolicyError(
            f"people's verdicts drop more than {options.class_cap:.0%} of {_named(beyond, losses, sizes)}",
            "a share of each class that stays below the cap against over-cleaning",
            "raise the cap if that is right, or take verdicts back with `curate undo`",
        )
    reason = f"its class would lose more than {options.class_cap:.0%}"
    return _held_back(actions, actions["sample_id"].isin(beyond["sample_id"]), reason)


def empty_no_class(actions: pd.DataFrame, samples: pd.DataFrame) -> pd.DataFrame:
    """Leave every class of the training split at least one sample there, by dropping or relabelling one less.

    Raises
    ------
    PolicyError : the verdicts of people alone empty a class
    """
    training = samples[~samples["split"].isin(["val", "test"])]
    while emptied := _emptied(actions, training):
        leaving = _in_order(_leaving(actions, training))
        last = leaving[leaving["class"].isin(emptied)].drop_duplicates("class", keep="last")
        if last["by_person"].any():
            names = ", ".join(sorted(last.loc[last["by_person"], "class"]))
            raise PolicyError(
                f"people's verdicts leave no sample in the training split for: {names}",
                "at least one sample of each class",
                "take verdicts back with `curate undo`, or leave the class out of the source",
            )
        actions = _held_back(actions, actions["sample_id"].isin(last["sample_id"]), "its class would be empty")
    return actions


def _losses(actions: pd.DataFrame, samples: pd.DataFrame, copies: pd.DataFrame) -> pd.DataFrame:
    """The drops that lose a picture, with its `class`, the first to be granted first."""
    dropped = samples["sample_id"].isin(actions.loc[actions["action"].eq("drop"), "sample_id"])
    group = samples["sample_id"].map(copies.set_index("sample_id")["group"])
    content = samples["sha256"].astype("object").fillna(samples["sample_id"]).mask(group.notna(), group)
    lost = samples[dropped & samples["label"].notna() & ~content.isin(content[~dropped])]
    return _in_order(actions.merge(lost.rename(columns={"label": "class"})[["sample_id", "class"]], on="sample_id"))


def _leaving(actions: pd.DataFrame, training: pd.DataFrame) -> pd.DataFrame:
    """The actions that take a sample out of its `class`."""
    classes = training.rename(columns={"label": "class"})[["sample_id", "class"]]
    return actions[actions["action"].ne("keep")].merge(classes.dropna(), on="sample_id")


def _emptied(actions: pd.DataFrame, training: pd.DataFrame) -> list[str]:
    relabelled = actions[actions["action"].eq("relabel") & actions["sample_id"].isin(training["sample_id"])]
    before = training["label"].value_counts()
    away = _leaving(actions, training)["class"].value_counts().reindex(before.index, fill_value=0)
    into = relabelled["label"].value_counts().reindex(before.index, fill_value=0)
    after = before - away + into
    return sorted(after.index[after <= 0])


def _in_order(actions: pd.DataFrame) -> pd.DataFrame:
    """People's verdicts first, then the most certain."""
    order = actions.assign(other=~actions["by_person"].astype("bool"), doubt=-actions["certainty"])
    return order.sort_values(["class", "other", "doubt", "sample_id"], ignore_index=True)


def _held_back(actions: pd.DataFrame, which: pd.Series, why: str) -> pd.DataFrame:
    """Turn rows into `keep`; their reason tells why, and what would have been done."""
    which = which & actions["action"].ne("keep")
    wish = actions["action"].where(actions["action"].ne("relabel"), "relabel as " + actions["label"].astype("object"))
    reason = f"held back, {why}: would " + wish + " (" + actions["reason"] + ")"
    return actions.assign(
        action=actions["action"].mask(which, "keep"),
        label=actions["label"].astype("object").where(~which, None),
        reason=actions["reason"].mask(which, reason),
    )


def _named(beyond: pd.DataFrame, losses: pd.DataFrame, sizes: pd.Series) -> str:
    people = losses[losses["by_person"]]["class"].value_counts()
    names = sorted(set(beyond.loc[beyond["by_person"], "class"]))
    shown = [f"class '{name}' ({people[name]} of {sizes[name]})" for name in names[:3]]
    return ", ".join(shown) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
