"""`curate ingest`: labels in, every table out."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from curate.config import AnnotationOptions, EmbedOptions, FindOptions, SplitOptions
from curate.progress import Progress, silent
from curate.verbs.embed import embed
from curate.verbs.find import FindSummary, find
from curate.workspace import Workspace


@dataclass(frozen=True)
class IngestSummary:
    """What ingest read and found."""

    layout: str
    n_samples: int
    n_problems: int
    agreement: dict[str, Any] | None
    arbitration: Path | None
    status: dict[str, int]  # samples by scan status
    found: FindSummary


def ingest(
    workspace: Workspace,
    source: Path,
    *,
    annotations: Path | None = None,
    image_root: Path | None = None,
    annotating: AnnotationOptions | None = None,
    embedding: EmbedOptions | None = None,
    splitting: SplitOptions | None = None,
    finding: FindOptions | None = None,
    progress: Progress = silent,
) -> IngestSummary:
    """Read labels, look at every file once, run every finder. Safe to kill and to run again.

    Raises
    ------
    SourceError, AnnotationError : the source or the annotations can't be read at all
    WorkspaceBusy : another process is writing to this workspace
    """
    annotating = annotating or AnnotationOptions()
    with workspace.writing():
        layout = read_labels(workspace, source, annotations=annotations, image_root=image_root, options=annotating)
        scan = embed(workspace, options=embedding, progress=progress)
        found = find(workspace, options=finding, splitting=splitting, progress=progress)
        agreement, arbitration = report_conflicts(workspace, annotating)
    return IngestSummary(
        layout=layout,
        n_samples=len(scan),
        n_problems=len(workspace.read("row_problems")),
        agreement=agreement,
        arbitration=arbitration,
        status=scan["status"].value_counts().to_dict(),
        found=found,
    )


def read_labels(
    workspace: Workspace,
    source: Path,
    *,
    annotations: Path | None,
    image_root: Path | None,
    options: AnnotationOptions,
) -> str:
    """Write `sources`, `row_problems` and, where people annotated, `annotations` and their agreement."""
    from curate.ingest.annotators import agreement
    from curate.ingest.sources import read_annotations, read_source

    started = time.perf_counter()
    given = read_source(source, image_root=image_root)
    said = {"source": str(given.root), "layout": given.layout, "annotations": str(annotations) if annotations else None}
    problems = given.problems
    if annotations:
        table, more = read_annotations(annotations, given.sources)
        problems = pd.concat([problems, more], ignore_index=True)
        workspace.write("annotations", table, parameters=said, started=started)
        workspace.derive(
            AGREEMENT,
            lambda: agreement(table, bootstraps=options.bootstraps, seed=options.seed).to_dict(),
            inputs=["annotations"],
            parameters={"bootstraps": options.bootstraps, "seed": options.seed},
        )
    else:
        for name in ("annotations", AGREEMENT, ARBITRATION, "consensus"):
            workspace.forget(name)
    workspace.write("row_problems", problems, parameters=said)
    workspace.write("sources", given.sources, parameters={**said, "given": str(source), "image_root": image_root})
    return given.layout


def report_conflicts(workspace: Workspace, options: AnnotationOptions) -> tuple[dict[str, Any] | None, Path | None]:
    """The agreement report, and the arbitration queue where conflicts are above the limit."""
    from curate.ingest.annotators import arbitration_queue

    if not workspace.has("annotations"):
        return None, None
    agreement = workspace.read(AGREEMENT)
    if agreement["overall"]["conflict_rate"] <= options.conflict_limit:
        workspace.forget(ARBITRATION)
        return agreement, None
    workspace.derive(
        ARBITRATION,
        lambda: arbitration_queue(
            workspace.read("annotations"), workspace.read("consensus"), workspace.read("sources")
        ),
        inputs=["annotations", "consensus"],
        parameters=asdict(options),
    )
    return agreement, workspace.file_of(ARBITRATION)


AGREEMENT = "tables/agreement.json"
ARBITRATION = "tables/arbitration.csv"
