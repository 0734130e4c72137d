"""`curate decide` and `curate undo`: verdicts into the ledger, durable when the verb returns."""

from __future__ import annotations

import getpass
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from curate.decisions.decision import Recorded
from curate.decisions.ledger import Ledger
from curate.decisions.moves import reconcile
from curate.errors import LedgerError
from curate.text import one_line
from curate.verbs.issues import found_issues
from curate.workspace import Workspace


@dataclass(frozen=True)
class DecideSummary:
    """How many verdicts were recorded, and which rows could not be."""

    recorded: list[int]  # decision ids
    problems: pd.DataFrame  # ROW_PROBLEMS

    def to_text(self) -> str:
        lines = [f"{len(self.recorded):,} decision(s) recorded"]
        lines += [
            f"  row {p.row} not recorded ({one_line(p.image)}): {one_line(p.reason)}"
            for p in self.problems.head(20).itertuples()
        ]
        if len(self.problems) > 20:
            lines.append(f"  … and {len(self.problems) - 20:,} more rows")
        return "\n".join(lines)


def recorded_decisions(workspace: Workspace) -> Recorded:
    """What the ledger holds; `reconcile` tells what of it applies to today's files."""
    with Ledger(workspace.ledger) as ledger:
        return ledger.current()


def digest_of_decisions(decisions: Recorded) -> str:
    """By which later stages tell whether other decisions are in force than those that they rest on."""
    numbers = decisions["decision_id"].tolist()
    return hashlib.blake2b(json.dumps(numbers).encode(), digest_size=8).hexdigest()


def decide_from_file(
    workspace: Workspace, file: Path, *, reviewer: str = "", reason: str = "", new_classes: bool = False
) -> DecideSummary:
    """Record the verdicts of a CSV (`curate review` writes one); rows that make no sense are told, not guessed."""
    from curate.decisions.csv import read_decisions
    from curate.issues.table import issue_names

    known = [issue for table in found_issues(workspace).values() for issue in issue_names(table)]
    decisions, problems = read_decisions(
        file,
        workspace.read("samples"),
        reviewer=reviewer_name(reviewer),
        issues=known,
        allow_new_classes=new_classes,
    )
    if decisions.empty and problems.empty:
        raise LedgerError(
            f"{file} holds no verdict: its column 'action' is empty",
            "keep, relabel, drop, unsure or accept in one row or more",
            "fill in the column 'action' and run the command again",
        )
    with Ledger(workspace.ledger) as ledger:
        return DecideSummary(ledger.add(_with_reason(decisions, reason)), problems)


def decide_by_threshold(
    workspace: Workspace, issue: str, above: float, action: str, *, reviewer: str = "", reason: str = ""
) -> DecideSummary:
    """Record one verdict for every undecided flag whose probability is at least `above`; marked as bulk."""
    from curate.review.bulk import bulk_decisions
    from curate.schema import empty

    samples, pairs, issues = workspace.read("samples"), workspace.read("near_duplicate_pairs"), found_issues(workspace)
    name = reviewer_name(reviewer)

    def decide(current: Recorded) -> pd.DataFrame:
        in_force = reconcile(current, samples, pairs).decisions
        rows = bulk_decisions(samples, issues, pairs, in_force, issue=issue, above=above, action=action, reviewer=name)
        return _with_reason(rows, reason)

    with Ledger(workspace.ledger) as ledger:  # what is undecided is looked up and decided in one transaction
        return DecideSummary(ledger.add_given(decide), empty("row_problems"))


def undo(
    workspace: Workspace, *, ids: list[int] | None = None, last: int | None = None, reviewer: str = ""
) -> list[int]:
    """Take decisions back, by number or the last entries. Returns the numbers taken back."""
    with Ledger(workspace.ledger) as ledger:
        return ledger.undo(ids or None, last=last, reviewer=reviewer_name(reviewer))


def _with_reason(decisions: pd.DataFrame, reason: str) -> pd.DataFrame:
    """`reason` stands for rows that give none."""
    return decisions.assign(reason=decisions["reason"].fillna(reason)) if reason and len(decisions) else decisions


def reviewer_name(reviewer: str) -> str:
    """The reviewer's name, or who is logged in."""
    try:
        return reviewer or getpass.getuser()
    except (KeyError, OSError) as error:  # a container may run as a user without a name
        raise LedgerError(
            "nobody knows who decides: this system has no name for you", "the reviewer's name", "--reviewer NAME"
        ) from error
