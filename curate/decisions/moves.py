"""Decisions follow their pictures: by content where a file moved, and not at all where its content changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import pandas as pd

from curate.decisions.decision import InForce, Recorded, read_evidence


@dataclass(frozen=True)
class Reconciled:
    """Decisions as they stand on today's files.

    Attributes
    ----------
    decisions : those in force (schema DECISIONS); `sample_id` is where the picture is now
    moved : how many of them were carried to another `sample_id`
    stale : the others, with the column `why`. They stay in the ledger, and are in force again when the file
        is again what it was
    """

    decisions: InForce
    moved: int
    stale: pd.DataFrame


def reconcile(decisions: Recorded, samples: pd.DataFrame, pairs: pd.DataFrame | None = None) -> Reconciled:
    """Match decisions with today's files.

    A decision stands where its file still has the content it had (or where no content was recorded). Where
    the file is gone or holds something else, the decision goes to a file of the same content without a decision
    of its own on that issue: one of the same file name first, else the first in alphabetical order. The drop of a
    leak is not carried into val or test: it meant the training copy.

    A copy is dropped because another stays. Where somebody deleted that one, the drop is stale: of an exact duplicate
    without a file of the same content, or where all that are left would be dropped; of a near duplicate without a
    twin; of a leak without a twin in another split.

    `keep` and `unsure` on a label are stale once the label has changed, where their evidence says which label
    was judged. A relabel is not: it says what the label should be.

    Parameters
    ----------
    decisions : schema DECISIONS, as `Ledger.current` gives them
    samples : `sample_id`, `sha256`, `label` and `split` of every file there is now
    pairs : schema PAIRS, which tells twins; without it, drops of leaks and near duplicates are not doubted
    """
    concerned = samples["sample_id"].isin(decisions["sample_id"]) | samples["sha256"].isin(decisions["sha256"].dropna())
    now = samples[concerned].set_index("sample_id")
    places = _places(decisions, now["sha256"])
    why = _gone_or_changed(decisions, places, now["sha256"])
    for objection, applies in (
        ("it would drop the last copy", _drops_the_last_copy(decisions, places, now["sha256"])),
        ("its twin is gone", _twin_is_gone(decisions, places, samples, pairs)),
        ("it meant the copy in train", _drops_from_a_held_out_split(decisions, places, now["split"])),
        ("the label has changed since", _label_changed(decisions, places, now["label"])),
    ):
        why = why.mask(why.eq("") & applies, objection)
    stands = why.eq("")
    in_force = decisions[stands].assign(sample_id=places[stands].astype(decisions["sample_id"].dtype))
    return Reconciled(
        decisions=InForce(in_force.reset_index(drop=True)),
        moved=int((stands & places.ne(decisions["sample_id"])).sum()),
        stale=decisions[~stands].assign(why=why[~stands]).reset_index(drop=True),
    )


def _places(decisions: pd.DataFrame, contents: pd.Series) -> pd.Series:
    """Where the picture of each decision is now; None where it can't be found."""
    known = decisions["sample_id"].isin(contents.index)
    same = decisions["sha256"].isna() | decisions["sha256"].eq(decisions["sample_id"].map(contents))
    places = decisions["sample_id"].astype("object").where(known & same, None)
    orphans = decisions[places.isna() & decisions["sha256"].notna()]
    files = contents[contents.isin(orphans["sha256"])]
    copies = {sha256: sorted(group.index) for sha256, group in files.groupby(files)}
    judged = set(zip(places.dropna(), decisions.loc[places.notna(), "issue"], strict=True))
    for (sha256, issue), group in orphans.groupby(["sha256", "issue"]):
        free = [copy for copy in copies.get(sha256, []) if (copy, issue) not in judged]
        found = group["sample_id"].map(_matched(sorted(set(group["sample_id"])), free))
        places.loc[group.index] = found.astype("object").where(found.notna(), None)
    return places


def _matched(old: Sequence[str], new: Sequence[str]) -> dict[str, str]:
    """Old names to new ones, one to one: same file name first, then in order. Both sorted."""
    pairs: dict[str, str] = {}
    by_name: dict[str, list[str]] = {}
    for path in new:
        by_name.setdefault(PurePosixPath(path).name, []).append(path)
    for path in old:
        if namesakes := by_name.get(PurePosixPath(path).name):
            pairs[path] = namesakes.pop(0)
    taken = set(pairs.values())
    rest = (path for path in new if path not in taken)
    return pairs | dict(zip((path for path in old if path not in pairs), rest, strict=False))


def _gone_or_changed(decisions: pd.DataFrame, places: pd.Series, contents: pd.Series) -> pd.Series:
    now = decisions["sample_id"].map(contents)
    why = pd.Series("the file is gone", decisions.index, dtype="object")
    why = why.mask(decisions["sample_id"].isin(contents.index), "the file can't be read now")
    why = why.mask(now.notna(), "the content of the file has changed")
    return why.mask(places.notna(), "")


def _drops_the_last_copy(decisions: pd.DataFrame, places: pd.Series, contents: pd.Series) -> pd.Series:
    """Drops of exact duplicates of which no copy would be left. Those who drop all there are on purpose may."""
    exact = decisions["issue"].eq("exact_duplicate")
    drops = exact & decisions["action"].eq("drop") & places.notna()
    n_dropped = places[drops].groupby(decisions.loc[drops, "sha256"]).nunique()
    n_files = contents.value_counts().reindex(n_dropped.index)
    none_left = decisions["sha256"].isin(n_dropped.index[n_dropped >= n_files])
    alone = decisions["sha256"].isin(n_files.index[n_files.eq(1)])
    kept = decisions.loc[exact & decisions["action"].eq("keep") & places.isna(), "sha256"]  # and then deleted
    return drops & none_left & (places.ne(decisions["sample_id"]) | alone | decisions["sha256"].isin(kept))


def _twin_is_gone(
    decisions: pd.DataFrame, places: pd.Series, samples: pd.DataFrame, pairs: pd.DataFrame | None
) -> pd.Series:
    """Drops of near duplicates that have no twin now, and of leaks that have none in another split."""
    if pairs is None:
        return pd.Series(False, decisions.index)
    a, b = (pairs[f"sample_id_{side}"] for side in "ab")
    split = samples.set_index("sample_id")["split"]
    known = a.isin(split.index) & b.isin(split.index)
    between = known & a.map(split).ne(b.map(split))
    gone = pd.Series(False, decisions.index)
    for issue, rows in (("near_duplicate", known), ("leak", between)):
        gone |= decisions["issue"].eq(issue) & ~places.isin(pd.concat([a[rows], b[rows]]))
    return gone & decisions["action"].eq("drop") & places.notna()


def _drops_from_a_held_out_split(decisions: pd.DataFrame, places: pd.Series, splits: pd.Series) -> pd.Series:
    carried = places.notna() & places.ne(decisions["sample_id"])
    drops = decisions["issue"].eq("leak") & decisions["action"].eq("drop")
    return carried & drops & places.map(splits).isin(["val", "test"])


def _label_changed(decisions: pd.DataFrame, places: pd.Series, labels: pd.Series) -> pd.Series:
    judged = read_evidence(decisions, "given_label")
    asked = decisions["issue"].eq("label") & decisions["action"].isin(["keep", "unsure"]) & judged.notna()
    return asked & places.notna() & places.map(labels).ne(judged)
