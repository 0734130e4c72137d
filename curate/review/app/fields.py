"""What the App shows of each sample: one flat row of fields, made from our tables and the ledger."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from curate.decisions.decision import plain
from curate.issues.flags import probability
from curate.issues.kinds import KEEP_ONE, OTHER_VIEW, VIEWS, issues_of_view, kind_of
from curate.issues.table import issue_names
from curate.review.session import ReviewSession, gathered
from curate.schema import MEASUREMENTS

PLACES = {view: issues_of_view(view) for view in VIEWS}  # the saved views: places in the queue, by what is asked
OTHER = OTHER_VIEW  # issues that nobody has described

QUESTION = ("question", "proposed", "suggested_label", "why", "place")
LABELS = ("given_label", "split", "group", "annotations", "is_conflict", "consensus_score")
DECISION = ("decision", "reviewed_label", "decided_issue", "reviewer", "decided_at", "reason")
GROUPS = ("duplicate_group", "nearest")
MEASURED = tuple(c.name for c in MEASUREMENTS if c.name not in ("mtime_ns", "sha256", "phash", "status", "error"))


def place_of(issue: str) -> str:
    """The saved view that an issue belongs to."""
    view = kind_of(issue).view
    return view if view in PLACES else OTHER


def sample_rows(session: ReviewSession) -> pd.DataFrame:
    """One row per readable sample, in the order of their names; missing values are null.

    Columns: `sample_id, path`, then QUESTION, LABELS, DECISION, GROUPS, MEASURED, `<issue>_score` and
    `<issue>_probability` of each issue, and `<view>_place` of each view: where it stands in the queue.
    """
    samples = session.samples.sort_index()
    rows = pd.DataFrame({"sample_id": samples.index, "path": samples["path"].to_numpy()}, index=samples.index)
    rows["given_label"] = samples["label"]
    rows[["split", "group", *MEASURED]] = samples[["split", "group", *MEASURED]]
    rows = rows.join(_annotators(session)).join(_scores(session)).join(_questions(session)).join(_decisions(session))
    rows["duplicate_group"] = session.groups().reindex(rows.index)
    rows["conflict_place"] = pd.Series({s: n for n, s in enumerate(session.conflicts(), 1)}, dtype="float64")
    return rows.reset_index(drop=True)


def decision_fields(verdict: dict[str, Any] | None) -> dict[str, Any]:
    """The DECISION fields of a sample with this latest verdict in force, or with none."""
    if verdict is None:
        return dict.fromkeys(DECISION)
    return {
        "decision": verdict["action"],
        "reviewed_label": plain(verdict["label"]),
        "decided_issue": verdict["issue"],
        "reviewer": verdict["reviewer"],
        "decided_at": verdict["time"],
        "reason": plain(verdict["reason"]),
    }


def proposal(row: dict[str, Any]) -> str:
    """What accepting does, in two words."""
    action = str(row["proposed_action"])
    return f"{action} → {row['suggested_label']}" if action == "relabel" else action


def _annotators(session: ReviewSession) -> pd.DataFrame:
    votes = session.tables.annotations.sort_values(["sample_id", "annotator"])
    said = gathered(votes["sample_id"], votes["annotator"] + ": " + votes["label"])
    joined = pd.Series({sample_id: " · ".join(all_) for sample_id, all_ in said.items()}, dtype="str")
    consensus = session.tables.consensus.set_index("sample_id")[["is_conflict", "consensus_score"]]
    return pd.DataFrame({"annotations": joined}).join(consensus, how="outer")


def _scores(session: ReviewSession) -> pd.DataFrame:
    """Score and probability of each issue that is judged sample by sample."""
    columns: dict[str, pd.Series] = {}
    for table in session.tables.issues.values():
        indexed = table.set_index("sample_id")
        for issue in (name for name in issue_names(table) if kind_of(name).is_asked):
            score = indexed[f"{issue}_score"].astype("float64")
            if score.notna().any() and score.lt(1.0).any():
                columns[f"{issue}_score"] = score
                columns[f"{issue}_probability"] = probability(indexed, issue).where(score.notna())
    return pd.DataFrame(columns).astype("float64").round(4)


def _questions(session: ReviewSession) -> pd.DataFrame:
    """The most valuable question about each sample, and its place in each view."""
    queue = session.queue.assign(place=np.arange(1, len(session.queue) + 1, dtype="float64"))
    views = queue["issue"].map(place_of)
    places = queue.pivot_table(index="sample_id", columns=views + "_place", values="place", aggfunc="min")
    queue["proposed"] = [proposal(row) for row in queue.to_dict("records")]
    first = queue.drop_duplicates("sample_id").set_index("sample_id")
    first["proposed"] = queue.groupby("sample_id")["proposed"].agg(lambda said: " · ".join(dict.fromkeys(said)))
    first = first.rename(columns={"issue": "question", "nearest_id": "nearest"})
    wanted = [f"{view}_place" for view in (*PLACES, OTHER)]
    suggested = queue[queue["issue"].eq("label")].drop_duplicates("sample_id").set_index("sample_id")["suggested_label"]
    first["suggested_label"] = suggested.reindex(first.index)  # also where something graver is asked first
    first["why"] = queue.groupby("sample_id")["reason"].agg(" · ".join)
    return first[[*QUESTION, "nearest"]].join(places.reindex(columns=wanted))


def _decisions(session: ReviewSession) -> pd.DataFrame:
    last = session.decisions.drop_duplicates("sample_id", keep="last")
    fields = [decision_fields(row) for row in last.to_dict("records")]  # type: ignore[arg-type]
    return pd.DataFrame(fields, index=pd.Index(last["sample_id"]), columns=list(DECISION), dtype="object")


__all__ = ["DECISION", "GROUPS", "KEEP_ONE", "LABELS", "MEASURED", "PLACES", "QUESTION", "sample_rows"]
