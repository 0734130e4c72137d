"""Verdicts in bulk: one rule, many decisions, each marked as such."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from curate.decisions.decision import FIELDS, InForce, evidence
from curate.errors import LedgerError
from curate.issues.flags import probability
from curate.issues.kinds import KEEP_ONE
from curate.issues.table import issue_names
from curate.review.queue import build_queue
from curate.schema import ACTIONS


def bulk_decisions(
    samples: pd.DataFrame,
    issues: Mapping[str, pd.DataFrame],
    pairs: pd.DataFrame,
    decisions: InForce,
    *,
    issue: str,
    above: float,
    action: str,
    reviewer: str,
) -> pd.DataFrame:
    """Decide alike on every sample whose P(the flag is right) is above a threshold.

    The threshold takes the place of the finder's own cut. What has been decided before, `unsure` included, is
    left alone. To drop leaks or duplicates spares one copy of each group, as the queue proposes; to relabel
    takes the suggested label, and passes over samples without one.

    Parameters
    ----------
    samples, issues, pairs, decisions : as for `curate.review.queue.build_queue`
    above : in [0, 1); where the finder has no probabilities they are 1 - score

    Returns
    -------
    Rows for one `Ledger.add`, with the rule in their evidence as `bulk`: nobody looked at each.

    Raises
    ------
    LedgerError : no finder has this issue, the action is unknown, or `above` is out of range
    """
    _check_rule(issues, issue, above, action)
    cut = {
        finder: table.assign(**{f"is_{issue}_issue": probability(table, issue).gt(above).to_numpy()})
        for finder, table in issues.items()
        if issue in issue_names(table)
    }
    asked = KEEP_ONE if issue in KEEP_ONE else [issue]
    decided = decisions.loc[decisions["issue"].isin(asked), "sample_id"]
    rows = build_queue(samples, cut, pairs, decisions)
    rows = rows[rows["issue"].eq(issue) & ~rows["sample_id"].isin(decided)]
    if action == "drop" and issue in KEEP_ONE:
        rows = rows[rows["proposed_action"].eq("drop")]
    if action == "relabel":
        rows = rows[rows["suggested_label"].notna() & rows["suggested_label"].ne(rows["label"])]
    rule = f"{issue}: {action} where P > {above:g}"
    return rows.assign(
        action=action,
        evidence=[
            evidence(bulk=rule, probability=row.probability, score=row.score, given_label=row.label)
            for row in rows.itertuples()
        ],
        label=rows["suggested_label"] if action == "relabel" else None,
        reviewer=reviewer,
        reason=None,
    )[list(FIELDS)]


def _check_rule(issues: Mapping[str, pd.DataFrame], issue: str, above: float, action: str) -> None:
    known = sorted({name for table in issues.values() for name in issue_names(table)})
    if issue not in known:
        raise LedgerError(f"no finder has the issue {issue!r}", f"one of {', '.join(known)}")
    if action not in ACTIONS:
        raise LedgerError(f"unknown action {action!r}", f"one of {', '.join(ACTIONS)}")
    if not 0.0 <= above < 1.0:
        raise LedgerError(f"a threshold of {above:g}", "a probability from 0 to below 1")
