"""`curate review`: the ranked queue, as a page or as CSV, for people without the App."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from curate.decisions.ledger import Ledger
from curate.errors import LedgerError, ReviewError
from curate.files import write_atomically
from curate.review.forecast import Forecast
from curate.verbs.decide import recorded_decisions
from curate.verbs.issues import found_issues, require_issue
from curate.verbs.prepare import neighbors_of
from curate.workspace import Workspace


@dataclass(frozen=True)
class ReviewSummary:
    """Where the page or file is, how much is in it, and how far the review has come."""

    out: Path
    n_shown: int
    forecast: Forecast

    def to_text(self) -> str:
        lines = [f"{self.n_shown:,} of {self.forecast.n_open:,} open questions written to {self.out}"]
        if self.forecast.n_open:
            low, high = self.forecast.low, self.forecast.high
            lines.append(f"Real issues expected among all: {self.forecast.expected:,.0f} ({low:,.0f} to {high:,.0f})")
        return "\n".join([*lines, self.forecast.advice])


def review(
    workspace: Workspace,
    *,
    form: str = "html",
    issue: str | None = None,
    limit: int = 300,
    out: Path | None = None,
) -> ReviewSummary:
    """Write the open questions, most valuable first, as `html` or `csv`.

    Raises
    ------
    ReviewError : there is a CSV of verdicts that the ledger does not have
    """
    from curate.decisions.csv import queue_csv
    from curate.decisions.moves import reconcile
    from curate.review.forecast import forecast
    from curate.review.page import queue_html, thumbnails
    from curate.review.queue import build_queue

    out = out or workspace.path("reports", f"review.{form}")
    if form == "csv" and out.exists():
        _refuse_to_lose_verdicts(workspace, out)
    samples, issues = workspace.read("samples"), found_issues(workspace)
    if issue:
        require_issue(issues, issue)
    pairs = workspace.read("near_duplicate_pairs")
    decisions = reconcile(recorded_decisions(workspace), samples, pairs).decisions
    queue = build_queue(samples, issues, pairs, decisions)
    ahead = forecast(samples, issues, decisions, queue)
    asked = queue[queue["issue"].eq(issue)] if issue else queue
    asked = asked.assign(rank=asked["rank"].rank(method="dense").astype("int64"))
    shown = asked[asked["rank"] <= limit]
    if form == "html":
        near = _neighbours(workspace, set(shown["sample_id"]))
        page = queue_html(asked, samples, thumb=thumbnails(samples), neighbours=near, forecast=ahead, limit=limit)
        write_atomically(out, page.encode())
    else:
        write_atomically(out, queue_csv(shown).encode("utf-8-sig"))  # so that spreadsheets read it as UTF-8
    return ReviewSummary(out, shown["rank"].nunique(), ahead)


def _refuse_to_lose_verdicts(workspace: Workspace, file: Path) -> None:
    from curate.decisions.csv import unrecorded

    with Ledger(workspace.ledger) as ledger:
        history = ledger.history()
    elsewhere = "move it away, or write elsewhere: --out"
    try:
        waiting = unrecorded(file, history)
    except LedgerError as error:
        raise ReviewError(f"{error.found}: what was filled in would be lost", do=elsewhere) from error
    if waiting:
        raise ReviewError(
            f"{file} holds {waiting:,} verdict(s) that are not in the ledger",
            do=f"curate decide {file} -w {workspace.root}, or {elsewhere}",
        )


def _neighbours(workspace: Workspace, sample_ids: set[str]) -> dict[str, list[str]]:
    """The nearest samples of each, nearest first."""
    ids = workspace.read("scan").query("status == 'ok'")["sample_id"].to_numpy()
    nearest = workspace.read(neighbors_of(workspace))["I"][:, :6]
    wanted = np.flatnonzero(pd.Series(ids).isin(sample_ids))
    return {ids[row]: ids[nearest[row]].tolist() for row in wanted}
