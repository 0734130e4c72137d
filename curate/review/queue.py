"""One ranked queue over all finders: the most valuable decision first, a group being one decision."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from curate.decisions.decision import InForce
from curate.issues.flags import open_flags
from curate.issues.groups import best_first
from curate.issues.kinds import KEEP_ONE, kind_of
from curate.issues.reasons import describe
from curate.review.calibrate import UNJUDGED, calibrate_all, outcomes
from curate.schema import conform, empty


def build_queue(
    samples: pd.DataFrame,
    issues: Mapping[str, pd.DataFrame],
    pairs: pd.DataFrame,
    decisions: InForce,
    *,
    limit: int | None = None,
) -> pd.DataFrame:
    """Rank every flag that still needs a person.

    Entries are ordered by probability × impact (`curate.issues.kinds`), the probability corrected by the verdicts
    so far (`curate.review.calibrate`). The members of a group share a rank, and so one decision: of a duplicated
    picture one copy is proposed to be kept and the others to be dropped (`curate.issues.groups.best_first`).
    A picture that is in several groups is asked about under the gravest (leak, exact, near); once that is
    settled the next comes up, if there is still something to settle. Decided flags and dropped samples leave
    the queue; `unsure` comes back at its end.

    Parameters
    ----------
    samples : schema SAMPLES
    issues : finder → its table
    pairs : schema PAIRS; tells how alike two twins are
    decisions : schema DECISIONS, in force
    limit : the budget: how many decisions (ranks) to return at most

    Returns
    -------
    Schema QUEUE. `probability` is the finder's own; `priority` uses the corrected one. Whatever the order of
    the rows of the input, the result is the same.
    """
    samples = samples[samples["status"].eq("ok")]
    flags = open_flags(samples, issues)
    calibration = calibrate_all(outcomes(flags, decisions))
    flags = _with_proposals(_with_verdicts(flags, decisions), samples)
    flags = flags[_is_open(flags)]
    if flags.empty:
        return empty("queue")
    flags["corrected"] = 0.0
    for issue, rows in flags.groupby("issue"):
        flags.loc[rows.index, "corrected"] = calibration.get(str(issue), UNJUDGED)(rows["probability"].to_numpy())
    queue = _ranked(flags)
    queue = queue if limit is None else queue[queue["rank"] <= limit]
    return conform("queue", queue.assign(reason=describe(queue, samples, pairs)))


def _with_verdicts(flags: pd.DataFrame, decisions: InForce) -> pd.DataFrame:
    """Leave out samples that were dropped; add the `verdict` on each flag (null, keep, relabel, unsure).

    Leaks, exact and near duplicates ask one question: is this copy to stay? A verdict on one answers all three.
    """
    decisions = decisions.sort_values("decision_id")
    said = decisions.assign(question=_question(decisions)).drop_duplicates(["sample_id", "question"], keep="last")
    flags = flags[~flags["sample_id"].isin(decisions.loc[decisions["action"].eq("drop"), "sample_id"])]
    flags = flags.assign(question=_question(flags))
    said = said[["sample_id", "question", "action"]].rename(columns={"action": "verdict"})
    return flags.merge(said, on=["sample_id", "question"], how="left")


def _question(table: pd.DataFrame) -> pd.Series:
    return table["issue"].where(~table["issue"].isin(KEEP_ONE), "which copy stays")


def _with_proposals(flags: pd.DataFrame, samples: pd.DataFrame) -> pd.DataFrame:
    """Add `proposed_action`, and `best` and `why` where one of a group is to be kept."""
    suggests = flags["suggested_label"].notna() & flags["suggested_label"].ne(flags["label"])
    proposes = flags["issue"].map({issue: kind_of(issue).proposes for issue in flags["issue"].unique()})
    flags["proposed_action"] = proposes.where(proposes.ne("relabel") | suggests, "drop")
    grouped = flags["issue"].isin(KEEP_ONE) & flags["group"].notna()
    order = best_first(
        flags[grouped],
        samples,
        doubted=flags[flags["issue"].eq("label")].set_index("sample_id")["probability"].to_dict(),
        kept=set(flags.loc[grouped & flags["verdict"].isin(["keep", "relabel"]), "sample_id"]),
    )
    best = order[order["is_best"]].set_index("group")
    flags["best"] = flags["group"].map(best["sample_id"])
    flags["why"] = flags["group"].map(best["why"])
    split_of = samples.set_index("sample_id")["split"]
    # of a leak every copy in the split of the best one stays: those are duplicates, not leaks
    beside = flags["issue"].eq("leak") & flags["split"].eq(flags["best"].map(split_of))
    flags.loc[grouped & (flags["sample_id"].eq(flags["best"]) | beside), "proposed_action"] = "keep"
    return flags


def _is_open(flags: pd.DataFrame) -> pd.Series:
    """Which rows are asked about: undecided, and of one entry only, the gravest."""
    undecided = flags["verdict"].isna() | flags["verdict"].eq("unsure")
    keep_one = flags["issue"].isin(KEEP_ONE)
    asked = undecided & flags["is_flagged"] & ~keep_one
    claimed: set[str] = set()
    for issue in KEEP_ONE:
        rows = undecided & flags["issue"].eq(issue) & ~flags["sample_id"].isin(claimed)
        entry = flags["group"].fillna(flags["sample_id"])
        to_settle = (rows & flags["proposed_action"].ne("keep")).groupby(entry).transform("any")
        asked |= rows & to_settle
        claimed |= set(flags.loc[rows & to_settle, "sample_id"])
    return asked


def _ranked(flags: pd.DataFrame) -> pd.DataFrame:
    """Sort, and add `rank` and `priority`; an entry's priority is that of its most probable member."""
    entry = flags["group"].fillna(flags["issue"] + ":" + flags["sample_id"])
    priority = (flags["corrected"] * flags["impact"]).groupby(entry).transform("max")
    flags = flags.assign(
        entry=entry,
        priority=priority,
        put_off=flags["verdict"].eq("unsure").groupby(entry).transform("all"),
        order=-priority,
        copy=flags["proposed_action"].ne("keep"),  # the one to keep stands before its copies
    )
    flags = flags.sort_values(["put_off", "order", "entry", "copy", "sample_id"], ignore_index=True)
    return flags.assign(rank=flags["entry"].ne(flags["entry"].shift()).cumsum(), group_id=flags["group"])
