"""`curate demo`: the whole loop on planted defects, with what was planted against what was found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from curate.progress import Progress, silent
from curate.verbs.apply import apply
from curate.verbs.decide import decide_by_threshold
from curate.verbs.ingest import ingest
from curate.verbs.issues import found_issues
from curate.verbs.report import report
from curate.verbs.retrain import retrain
from curate.workspace import Workspace

# What a careful person would settle in bulk; each is recorded in the ledger as such, and can be undone.
DECISIONS = (
    ("label", 0.5, "relabel"),
    ("leak", 0.5, "drop"),
    ("exact_duplicate", 0.5, "drop"),
    ("near_duplicate", 0.5, "drop"),
    ("dark", 0.5, "drop"),
    ("bright", 0.5, "drop"),
    ("blurry", 0.5, "drop"),
    ("outlier", 0.5, "drop"),
)


def demo(
    folder: Path, *, seed: int = 0, progress: Progress = silent, echo: Callable[[str], None] = lambda line: None
) -> Path:
    """Plant, ingest, decide, apply, retrain, report. Returns the page. Run again, it goes on where it was."""
    from curate.demo import NOTICE, plant, score, score_text

    echo(NOTICE)
    planted = plant(folder / "data", seed=seed)
    workspace = Workspace.create(folder / "workspace")
    source, annotations = planted.root / "samples.csv", planted.root / "annotations.csv"
    found = ingest(workspace, source, annotations=[annotations], progress=progress)
    echo(f"\n{found.to_text()}\n")
    table = score(
        planted, scan=workspace.read("scan"), consensus=workspace.read("consensus"), issues=found_issues(workspace)
    )
    echo(score_text(table))
    for issue, above, action in DECISIONS:
        made = decide_by_threshold(workspace, issue, above, action, reviewer="demo")
        echo(f"{issue}: {made.to_text()}")
    echo(apply(workspace, dry_run=False, progress=progress).to_text())
    echo(retrain(workspace, progress=progress).to_text())
    page = report(workspace, planted=table)
    echo(f"\nReport: {page}")
    return page
