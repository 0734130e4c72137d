"""`curate decide` and `curate undo`: verdicts into the ledger, durable when the verb returns."""

from __future__ import annotations

import getpass
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from curate.errors import LedgerError
from curate.review.ledger import Ledger
from curate.review.moves import Followed, follow_moves
from curate.verbs.issues import found_issues
from curate.workspace import Workspace


@dataclass(frozen=True)
class DecideSummary:
    """How many verdicts were recorded, and which rows could not be."""

    recorded: list[int]  # decision ids
    problems: pd.DataFrame  # ROW_PROBLEMS

    def to_text(self) -> str:
        lines = [f"{len(self.recorded):,} decision(s) recorded"]
        lines += [f"  row {p.row} not recorded ({p.image}): {p.reason}" for p in self.problems.head(20).itertuples()]
        if len(self.problems) > 20:
            lines.append(f"  … and {len(self.problems) - 20:,} more rows")
        return "\n".join(lines)


def ledger_state(workspace: Workspace) -> str:
    """A digest of the decisions in force, by which later stages tell whether there are others now."""
    with Ledger(workspace.ledger) as ledger:
        numbers = ledger.current()["decision_id"].tolist()
    return hashlib.blake2b(json.dumps(numbers).encode(), digest_size=8).hexdigest()


def followed_decisions(workspace: Workspace) -> Followed:
    """The decisions in force on today's files, and those that no longer apply."""
    with Ledger(workspace.ledger) as ledger:
        decisions = ledger.current()
    return follow_moves(decisions, workspace.read("samples"), workspace.read("near_duplicate_pairs"))


def decide_from_file(
    workspace: Workspace, file: Path, *, reviewer: str = "", reason: str = "", new_classes: bool = False
) -> DecideSummary:
    """Record the verdicts of a CSV (`curate review` writes one); rows that make no sense are told, not guessed."""
    from curate.find import issue_names
    from curate.review.table import read_decisions

    known = [issue for table in found_issues(workspace).values() for issue in issue_names(table)]
    decisions, problems = read_decisions(
        file,
        workspace.read("samples"),
        reviewer=_name(reviewer),
        issues=known,
        allow_new_classes=new_classes,
    )
    if decisions.empty and problems.empty:
        raise LedgerError(
            f"{file} holds no verdict: its column 'action' is empty",
            "keep, relabel, drop, unsure or accept in one row or more",
            "fill in the column 'action' and run the command again",
        )
    return DecideSummary(_record(workspace, decisions, reason), problems)


def decide_by_threshold(
    workspace: Workspace, issue: str, above: float, action: str, *, reviewer: str = "", reason: str = ""
) -> DecideSummary:
    """Record one verdict for every undecided flag whose probability is at least `above`; marked as bulk."""
    from curate.review.bulk import bulk_decisions
    from curate.schema import empty

    decisions = bulk_decisions(
        workspace.read("samples"),
        found_issues(workspace),
        workspace.read("near_duplicate_pairs"),
        followed_decisions(workspace).decisions,
        issue=issue,
        above=above,
        action=action,
        reviewer=_name(reviewer),
    )
    return DecideSummary(_record(workspace, decisions, reason), empty("row_problems"))


def undo(
    workspace: Workspace, *, ids: list[int] | None = None, last: int | None = None, reviewer: str = ""
) -> list[int]:
    """Take decisions back, by number or the last entries. Returns the numbers taken back."""
    with Ledger(workspace.ledger) as ledger:
        return ledger.undo(ids or None, last=last, reviewer=_name(reviewer))


def _record(workspace: Workspace, decisions: pd.DataFrame, reason: str) -> list[int]:
    """Write to the ledger; `reason` stands for rows that give none."""
    if reason and len(decisions):
        decisions = decisions.assign(reason=decisions["reason"].fillna(reason) if "reason" in decisions else reason)
    with Ledger(workspace.ledger) as ledger:
        return ledger.add(decisions)


def _name(reviewer: str) -> str:
    """The reviewer's name, or who is logged in."""
    try:
        return reviewer or getpass.getuser()
    except (KeyError, OSError) as error:  # a container may run as a user without a name
        raise LedgerError(
            "nobody knows who decides: this system has no name for you", "the reviewer's name", "--reviewer NAME"
        ) from error
