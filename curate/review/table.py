"""The queue as a CSV for a spreadsheet, verdicts back from a CSV, and verdicts in bulk."""

from __future__ import annotations

import csv
import difflib
import io
import math
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from curate.errors import LedgerError
from curate.review.decision import FIELDS, evidence
from curate.review.flags import issues_in, probability
from curate.review.groups import KEEP_ONE
from curate.review.queue import build_queue
from curate.schema import ACTIONS, conform

# The person fills in action, label and reason; `why` and `given_label` are the queue's reason and label.
CSV_COLUMNS = (
    *("rank", "why", "given_label", "suggested_label", "proposed_action", "action", "label", "reason"),
    *("sample_id", "issue", "probability", "score", "split", "group_id", "nearest_id"),
)
NEEDED = ("sample_id", "issue", "action")
ACCEPT = "accept"  # in a file: do as proposed
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "'")  # a cell that begins so is guarded
LONGEST = 10_000  # characters in a cell


def queue_csv(queue: pd.DataFrame) -> str:
    """Write the queue as a CSV with empty columns `action`, `label` and `reason` to fill in.

    An action is keep, relabel (with a label), drop, unsure, or accept: do as proposed. Cells that a spreadsheet
    would run as a formula begin with an apostrophe, which `read_decisions` takes off again. Save it with the
    encoding utf-8-sig, which spreadsheets understand.
    """
    table = queue.rename(columns={"reason": "why", "label": "given_label"}).assign(action="", label="", reason="")
    table = table[list(CSV_COLUMNS)].round({"probability": 4, "score": 4})
    text = table.select_dtypes(exclude="number").columns
    table[text] = table[text].apply(lambda column: column.map(_guarded, na_action="ignore"))
    return str(table.to_csv(index=False))


def read_decisions(
    file: Path | str,
    samples: pd.DataFrame,
    *,
    reviewer: str | None = None,
    issues: Collection[str] | None = None,
    allow_new_classes: bool = False,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read verdicts from a CSV: the one of `queue_csv`, the one that the HTML page gives, or any other.

    Needed are the columns `sample_id, issue, action`; `label, reason, reviewer, proposed_action,
    suggested_label, given_label, probability, score` are used where present. Rows without an action are
    undecided, and skipped. Separators may be comma, semicolon or tab.

    Parameters
    ----------
    file : the CSV, in UTF-8
    samples : schema SAMPLES; its labels are the known classes
    reviewer : who decided, for rows without a reviewer of their own
    issues : the issues there are; others are a problem. None: any
    allow_new_classes : accept a relabel to a class that no sample has yet

    Returns
    -------
    decisions : ready for `Ledger.add`
    problems : schema ROW_PROBLEMS, a row for each verdict that can't be used. Of rows that contradict each
        other none is used; of rows that repeat each other the first is

    Raises
    ------
    LedgerError : the file can't be read at all, or lacks a needed column
    """
    file = Path(file)
    reader = _Reader(samples, reviewer=reviewer, issues=issues, allow_new_classes=allow_new_classes)
    rows = [(n, row) for n, row in enumerate(_rows(file), start=1) if row.get("action", "").strip()]
    read = [(n, row, *reader.read(row)) for n, row in rows]
    problems = [(n, row, complaint) for n, row, _, complaint in read if complaint]
    used, repeated = _unrepeated([(n, row, decision) for n, row, decision, complaint in read if not complaint])
    table = pd.DataFrame(used, columns=list(FIELDS), dtype="object")
    return table, _problems(file, sorted(problems + repeated, key=lambda problem: problem[0]))


def bulk_decisions(
    samples: pd.DataFrame,
    issues: Mapping[str, pd.DataFrame],
    pairs: pd.DataFrame,
    decisions: pd.DataFrame,
    *,
    issue: str,
    above: float,
    action: str,
    reviewer: str,
) -> pd.DataFrame:
    """Decide alike on every sample whose P(the flag is right) is above a threshold.

    The threshold takes the place of the finder's own cut. What has been decided before, `unsure` included, is
    left alone. To drop leaks or duplicates in bulk spares one copy of each group; to relabel takes the
    suggested label, and passes over samples without one.

    Parameters
    ----------
    samples, issues, pairs, decisions : as for `curate.review.queue.build_queue`
    above : in [0, 1); where the finder has no probabilities they are 1 - score

    Returns
    -------
    Rows for one `Ledger.add`, with the rule in their evidence as `bulk`: nobody looked at each.

    Raises
    ------
    LedgerError : no finder has this issue, the action can't be done in bulk, or `above` is out of range
    """
    finders = {name: table for name, table in issues.items() if issue in issues_in(table)}
    _check_rule(issue, above, action, known=sorted({i for table in issues.values() for i in issues_in(table)}))
    cut = {
        name: table[["sample_id", *(c for c in table.columns if c in _BULK_EVIDENCE or issue in c)]].assign(
            **{f"is_{issue}_issue": probability(table, issue) > above}
        )
        for name, table in finders.items()
    }
    asked = set(KEEP_ONE) if issue in KEEP_ONE else {issue}
    decided = decisions.loc[decisions["issue"].isin(asked), "sample_id"]
    queue = build_queue(samples, cut, pairs, decisions)
    rows = queue[queue["issue"].eq(issue) & ~queue["sample_id"].isin(decided)]
    return rows
