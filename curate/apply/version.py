"""Actions → a version of the data set: what stays, what is left out and why, and how two versions differ."""

from __future__ import annotations

import pandas as pd

from curate.errors import PolicyError
from curate.schema import conform, empty

DIFF = ["sample_id", "change", "label_before", "label_after", "split_before", "split_after", "reason"]


def build(samples: pd.DataFrame, actions: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make a version.

    Parameters
    ----------
    samples : schema SAMPLES
    actions : schema ACTIONS_TABLE, as `curate.apply.policy.plan` gives them

    Returns
    -------
    manifest : schema MANIFEST: the readable samples that were not dropped, relabelled where so decided
    rejected : schema REJECTED: the dropped, and the unreadable with the scan's reason (`decided_by` is then
        "unreadable"). Each sample is in exactly one of the two. Both sorted by `sample_id`

    Raises
    ------
    PolicyError : an action names a sample that there is not
    """
    unknown = actions.loc[~actions["sample_id"].isin(samples["sample_id"]), "sample_id"]
    if len(unknown):
        raise PolicyError(f"{len(unknown)} action(s) for samples that there are not, such as {unknown.iloc[0]!r}")
    said = actions.rename(columns={"label": "new_label"})
    rows = samples.sort_values("sample_id").merge(said, on="sample_id", how="left")
    readable = rows["status"].eq("ok")
    dropped = rows["action"].eq("drop")
    rows["label"] = rows["label"].where(~(readable & rows["action"].eq("relabel")), rows["new_label"])
    manifest = rows[readable & ~dropped]
    unread = rows[~readable & ~dropped]
    unread = unread.assign(
        issue=unread["status"], decided_by="unreadable", reason=unread["error"].fillna(unread["status"])
    )
    rejected = pd.concat([rows[dropped], unread]).sort_values("sample_id")
    return conform("manifest", manifest), conform("rejected", rejected)


def diff(before: pd.DataFrame, after: pd.DataFrame, *, rejected: pd.DataFrame | None = None) -> pd.DataFrame:
    """Tell two versions apart, one row per change.

    Parameters
    ----------
    before, after : schema MANIFEST
    rejected : what the later version left out; gives the `reason` of what was removed

    Returns
    -------
    `sample_id, change, label_before, label_after, split_before, split_after, reason`; `change` is added,
    removed, relabelled or moved (to another split). A sample may be both relabelled and moved. Sorted by
    change, then sample.
    """
    columns = ["sample_id", "label", "split"]
    both = before[columns].merge(
        after[columns], on="sample_id", how="outer", suffixes=("_before", "_after"), indicator="where"
    )
    stayed = both["where"].eq("both")
    changes = {
        "added": both["where"].eq("right_only"),
        "removed": both["where"].eq("left_only"),
        "relabelled": stayed & _differ(both["label_before"], both["label_after"]),
        "moved": stayed & _differ(both["split_before"], both["split_after"]),
    }
    table = pd.concat([both[which].assign(change=change) for change, which in changes.items()], ignore_index=True)
    reasons = empty("rejected") if rejected is None else rejected
    why = table["sample_id"].map(reasons.set_index("sample_id")["reason"]).where(table["change"].eq("removed"))
    table["reason"] = why.astype("str")  # text also where nothing was removed; missing cells stay missing
    return table.sort_values(["change", "sample_id"], ignore_index=True)[DIFF]


def _differ(before: pd.Series, after: pd.Series) -> pd.Series:
    """Whether two cells differ; two missing ones don't."""
    return before.ne(after) & ~(before.isna() & after.isna())
