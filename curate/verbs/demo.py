"""`curate demo`: the whole loop on planted defects, with what was planted against what was found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from curate.artifacts import AS_INGESTED
from curate.decisions.ledger import Ledger
from curate.progress import Progress, silent
from curate.verbs.apply import apply, manifests_of
from curate.verbs.ingest import ingest
from curate.verbs.issues import found_issues
from curate.verbs.report import report
from curate.verbs.retrain import retrain
from curate.workspace import Workspace

if TYPE_CHECKING:
    from curate.demo import Planted

REVIEWER = "simulated reviewer"
BUDGET = 400  # questions that the reviewer answers, worst first


def demo(
    folder: Path, *, seed: int = 0, progress: Progress = silent, echo: Callable[[str], None] = lambda line: None
) -> Path:
    """Plant, ingest, decide, apply, retrain, report. Returns the page. Run again, it goes on where it was."""
    from curate.demo import NOTICE, plant, score, score_text, wrong_labels

    echo(NOTICE)
    planted = plant(folder / "data", seed=seed)
    workspace = Workspace.create(folder / "workspace")
    found = ingest(workspace, planted.manifest, annotations=[planted.annotations_file], progress=progress)
    echo(f"\n{found.to_text()}\n")
    table = score(
        planted, scan=workspace.read("scan"), consensus=workspace.read("consensus"), issues=found_issues(workspace)
    )
    echo(score_text(table))
    echo(f"\n{REVIEWER}: {_review(workspace, planted):,} decisions recorded, worst first")
    made = apply(workspace, dry_run=False, progress=progress)
    echo(made.to_text())
    versions = manifests_of(workspace, AS_INGESTED, made.version or AS_INGESTED)
    before, after = (wrong_labels(planted, manifest) for manifest in versions)
    echo(f"  wrong labels  {before:>6,} before, {after:,} after\n")
    echo(retrain(workspace, progress=progress).to_text())
    page = report(workspace, planted=table)
    echo(f"\nReport: {page}")
    return page


def _review(workspace: Workspace, planted: Planted) -> int:
    """Answer the first questions of the queue as a person would who sees each picture for what it is."""
    from curate.decisions.decision import InForce
    from curate.demo import review
    from curate.review.queue import build_queue
    from curate.schema import empty

    with Ledger(workspace.ledger) as ledger:
        if len(decided := ledger.current()):  # an earlier run got this far
            return len(decided)
        samples, issues = workspace.read("samples"), found_issues(workspace)
        nobody = InForce(empty("decisions"))
        queue = build_queue(samples, issues, workspace.read("near_duplicate_pairs"), nobody, limit=BUDGET)
        answers = review(queue, planted.defects, planted.truth)
        contents = answers["sample_id"].map(samples.set_index("sample_id")["sha256"])
        return len(ledger.add(answers.assign(reviewer=REVIEWER, sha256=contents)))
