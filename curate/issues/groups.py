"""Groups of flags that are one decision, and which copy of a duplicated picture to keep."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd

from curate.issues.kinds import KEEP_ONE

PROTECTED = {"test": 0, "val": 1}  # the copy of a held-out split stays before one in train


def name_groups(flags: pd.DataFrame) -> pd.Series:
    """Name the group of each flag, null where it stands alone; aligned with `flags`.

    Flags of one issue with one `group_id` are a group. Duplicates and leaks without `group_id` are grouped by
    the links to their `nearest_id`. A group is called `<issue>:<its first sample>`.

    Parameters
    ----------
    flags : `sample_id, issue, nearest_id, group_id`
    """
    keys = flags["group_id"].astype("object").where(flags["group_id"].notna(), None)
    for issue in KEEP_ONE:
        loose = flags[flags["issue"].eq(issue) & keys.isna()]
        keys = keys.mask(flags.index.isin(loose.index), linked(loose).reindex(flags.index))
    by = [flags["issue"], keys]
    first = flags["sample_id"].groupby(by).transform("min")
    size = flags["sample_id"].groupby(by).transform("size")
    return (flags["issue"] + ":" + first).where(size.fillna(0) > 1, None)


def linked(links: pd.DataFrame) -> pd.Series:
    """The connected component that each link `sample_id` – `nearest_id` is in, named by its first sample."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if links.empty:
        return pd.Series(index=links.index, dtype="object")
    nearest = links["nearest_id"].fillna(links["sample_id"])
    names, codes = np.unique(np.concatenate([links["sample_id"], nearest]).astype(str), return_inverse=True)
    source, target = codes[: len(links)], codes[len(links) :]
    edges = coo_array((np.ones(len(links)), (source, target)), shape=(len(names), len(names)))
    _, component = connected_components(edges, directed=False)
    first = pd.Series(names).groupby(component).transform("min").to_numpy()
    return pd.Series(first[source], links.index, dtype="object")


def best_first(
    members: pd.DataFrame, samples: pd.DataFrame, *, doubted: Mapping[str, float], kept: Collection[str] = ()
) -> pd.DataFrame:
    """Order the members of each group by which one to keep; the first of a group is the one.

    In this order count: a verdict to keep it; a copy in test, then in val (held-out pictures stay); a label
    that most of the group shares; a label that is less in doubt; more pixels; more bytes (less compressed);
    the name.

    Parameters
    ----------
    members : `sample_id, group`
    samples : `sample_id, label, split, width, height, bytes`
    doubted : sample_id → P(its label is wrong), for the samples whose label is flagged
    kept : the samples that a person decided to keep

    Returns
    -------
    `group, sample_id, label, is_best, why`, sorted; `why` tells what made the difference for the best of each group.
    """
    columns = ["sample_id", "label", "split", "width", "height", "bytes"]
    facts = members[["group", "sample_id"]].merge(samples[columns], on="sample_id", how="left")
    facts["open"] = ~facts["sample_id"].isin(kept)
    facts["in_train"] = facts["split"].map(PROTECTED).fillna(len(PROTECTED))
    facts["disagrees"] = ~_majority(facts)
    facts["doubt"] = facts["sample_id"].map(doubted).fillna(0.0)
    facts["fewer_pixels"] = -(facts["width"] * facts["height"]).astype("float64").fillna(0.0)
    facts["fewer_bytes"] = -facts["bytes"].astype("float64").fillna(0.0)
    criteria = ["open", "in_train", "disagrees", "doubt", "fewer_pixels", "fewer_bytes"]
    facts = facts.sort_values(["group", *criteria, "sample_id"], ignore_index=True)
    facts["is_best"] = ~facts.duplicated("group")
    facts["why"] = _what_differs(facts, criteria)
    return facts[["group", "sample_id", "label", "is_best", "why"]]


def _majority(facts: pd.DataFrame) -> pd.Series:
    """Whether more members of the group have this label than any other label."""
    votes = facts.groupby(["group", "label"])["sample_id"].transform("size").fillna(0)
    n_labels_as_common = (
        facts.assign(votes=votes).drop_duplicates(["group", "label"]).groupby(["group", "votes"])["label"].size()
    )
    key = pd.MultiIndex.from_arrays([facts["group"], votes])
    most = votes.groupby(facts["group"]).transform("max")
    return votes.eq(most) & votes.gt(0) & (n_labels_as_common.reindex(key).to_numpy() == 1)


def _what_differs(facts: pd.DataFrame, criteria: list[str]) -> pd.Series:
    """For each row, the first criterion in which it differs from the next row of its group."""
    following = facts.groupby("group")[criteria].shift(-1)
    differs = following.notna() & following.ne(facts[criteria])
    reasons = {
        "open": "a person kept it",
        "in_train": "it is in " + facts["split"].fillna("train").astype("object"),
        "disagrees": "its label is the group's",
        "doubt": "its label is less in doubt",
        "fewer_pixels": "it has more pixels",
        "fewer_bytes": "it is less compressed",
    }
    why = np.full(len(facts), "all else is equal: the first by name", dtype=object)
    for criterion in reversed(criteria):
        why = np.where(differs[criterion].to_numpy(), np.asarray(reasons[criterion], dtype=object), why)
    return pd.Series(why, facts.index, dtype="object")
