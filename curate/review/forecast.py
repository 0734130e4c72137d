"""How far the review has come: precision so far, what to expect next, what remains, and when to stop."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from curate.decisions.decision import InForce
from curate.issues.flags import has_probability, open_flags, probability
from curate.issues.kinds import KEEP_ONE, kind_of
from curate.issues.table import issue_names
from curate.review.calibrate import UNJUDGED, Calibration, calibrate_all, interval, outcomes

NEXT = 50  # decisions ahead that the advice looks at
WORTH = 0.1  # share of right flags below which looking on is hardly worth a person's time
ENOUGH = 20  # verdicts below which nobody can say so

BY_ISSUE = (
    *("issue", "judged", "right", "precision", "precision_low", "precision_high"),
    *("open", "expected", "expected_low", "expected_high", "expected_unflagged"),
)


@dataclass(frozen=True)
class Forecast:
    """What the verdicts so far say about the rest. All intervals are 90%.

    Attributes
    ----------
    verdicts : action → how many decisions in force, those in bulk included
    by_issue : a row per issue: `issue`; `judged` and `right`, flags or groups that a person looked at and
        agreed with; `precision, precision_low, precision_high`; `open`, entries in the queue; `expected,
        expected_low, expected_high`, how many of them are right; `expected_unflagged`, right ones that the
        finder scored below its cut (null where it gives no probabilities)
    n_next, expected_next : the next entries, and how many of them are expected to be right
    n_open, expected, low, high : the same for the whole queue, with an interval
    may_stop, advice : whether it is reasonable to stop, and why, in a sentence
    """

    verdicts: dict[str, int]
    by_issue: pd.DataFrame
    n_next: int
    expected_next: float
    n_open: int
    expected: float
    low: float
    high: float
    may_stop: bool
    advice: str


def forecast(
    samples: pd.DataFrame,
    issues: Mapping[str, pd.DataFrame],
    decisions: InForce,
    queue: pd.DataFrame,
    *,
    next_n: int = NEXT,
) -> Forecast:
    """Expect the rest of the review from its first part.

    Each finder's probabilities are corrected by the verdicts on its flags (`curate.review.calibrate`); sums of
    corrected probabilities are expected numbers. Reviewing goes from the most to the least certain flag, so the
    early verdicts say little about the tail, and the interval is wide until they do.

    Parameters
    ----------
    samples, issues, decisions : as for `curate.review.queue.build_queue`
    queue : what that returned for them, without a limit
    next_n : how many entries ahead to look
    """
    readable = samples[samples["status"].eq("ok")]
    judged = outcomes(open_flags(readable, issues), decisions)
    lines = calibrate_all(judged)
    entries = queue.groupby(["rank", "issue"], as_index=False).agg(probability=("probability", "max"))
    below = _expected_unflagged(readable, issues, decisions, lines)
    rows = [_row(issue, judged, entries, lines, below) for issue in sorted({*judged["issue"], *entries["issue"]})]
    by_issue = pd.DataFrame(rows, columns=[*BY_ISSUE, "variance"])
    expected, variance = float(by_issue["expected"].sum()), float(by_issue["variance"].sum())
    coming = entries[entries["rank"] <= next_n]
    expected_next = float(sum(_line(lines, i)(p.to_numpy()).sum() for i, p in coming.groupby("issue")["probability"]))
    low, high = interval(expected, variance, len(entries))
    may_stop, advice = _advise(len(judged), len(entries), len(coming), expected_next)
    return Forecast(
        verdicts={str(action): int(n) for action, n in decisions["action"].value_counts().sort_index().items()},
        by_issue=by_issue[list(BY_ISSUE)],
        n_next=len(coming),
        expected_next=expected_next,
        n_open=len(entries),
        expected=expected,
        low=low,
        high=high,
        may_stop=may_stop,
        advice=advice,
    )


def _line(lines: Mapping[str, Calibration], issue: object) -> Calibration:
    return lines.get(str(issue), UNJUDGED)


def _row(
    issue: str,
    judged: pd.DataFrame,
    entries: pd.DataFrame,
    lines: Mapping[str, Calibration],
    below: Mapping[str, float],
) -> dict[str, object]:
    verdicts = judged.loc[judged["issue"].eq(issue), "right"]
    claimed = entries.loc[entries["issue"].eq(issue), "probability"].to_numpy()
    expected, variance = _line(lines, issue).total(claimed)
    low, high = interval(expected, variance, len(claimed))
    precision_low, precision_high = _share_interval(int(verdicts.sum()), len(verdicts))
    return {
        "issue": issue,
        "judged": len(verdicts),
        "right": int(verdicts.sum()),
        "precision": float(verdicts.mean()) if len(verdicts) else math.nan,
        "precision_low": precision_low,
        "precision_high": precision_high,
        "open": len(claimed),
        "expected": expected,
        "expected_low": low,
        "expected_high": high,
        "expected_unflagged": below.get(issue, math.nan),
        "variance": variance,
    }


def _expected_unflagged(
    samples: pd.DataFrame,
    issues: Mapping[str, pd.DataFrame],
    decisions: InForce,
    lines: Mapping[str, Calibration],
) -> dict[str, float]:
    """Right ones below the cut, of the issues judged sample by sample whose finder gives probabilities."""
    expected = {}
    readable = pd.Index(samples["sample_id"])
    for table in issues.values():
        for issue in issue_names(table):
            if not kind_of(issue).is_asked or issue in KEEP_ONE or not has_probability(table, issue):
                continue
            decided = decisions.loc[decisions["issue"].eq(issue), "sample_id"]
            is_readable = readable.get_indexer(table["sample_id"]) >= 0  # `isin` makes a scalar of every value
            rows = table[is_readable & ~table["sample_id"].isin(decided)]
            rows = rows[~rows[f"is_{issue}_issue"].astype("bool")]
            expected[issue] = _line(lines, issue).total(probability(rows, issue).to_numpy())[0]
    return expected


def _share_interval(right: int, judged: int) -> tuple[float, float]:
    """Jeffreys' interval of a share; null without a verdict."""
    from scipy.special import betaincinv

    if not judged:
        return math.nan, math.nan
    low, high = betaincinv(right + 0.5, judged - right + 0.5, np.array([0.05, 0.95]))
    return float(low), float(high)


def _advise(n_judged: int, n_open: int, n_next: int, expected_next: float) -> tuple[bool, str]:
    """Whether to stop, and the sentence that says so."""
    if not n_open:
        return True, "Nothing is left to review."
    ahead = f"of the next {n_next}, about {expected_next:.0f} are expected to be right"
    if n_judged < ENOUGH:
        return False, f"Go on: {ahead}, but {n_judged} verdicts are too few to be sure of that."
    if expected_next < WORTH * n_next:
        return True, f"It is reasonable to stop: {ahead}."
    return False, f"Go on: {ahead}."
