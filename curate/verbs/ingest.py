"""`curate ingest`: labels in, every table out."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from curate.artifacts import AGREEMENT, ANNOTATORS, ARBITRATION, BY_PROBE
from curate.config import AnnotationOptions, EmbedOptions, FindOptions, SplitOptions
from curate.errors import SourceError
from curate.files import digest_of
from curate.progress import Progress, silent
from curate.verbs.embed import embed
from curate.verbs.find import FindSummary, find
from curate.verbs.own import Own
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

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def to_text(self) -> str:
        unreadable = {status: n for status, n in self.status.items() if status != "ok"}
        lines = [f"{self.n_samples:,} samples from {self.layout}"]
        lines += [f"  {n:,} {str(status).replace('_', ' ')}" for status, n in unreadable.items()]
        if self.n_problems:
            lines.append(f"  {self.n_problems:,} rows that can't be used: tables/row_problems.parquet says why")
        if self.agreement:
            lines += ["", self.agreement["text"]]
        if self.arbitration:
            lines.append(f"Conflicts are above the limit: a third person settles {self.arbitration}")
        return "\n".join([*lines, "", self.found.to_text()])


def ingest(
    workspace: Workspace,
    source: Path,
    *,
    annotations: Sequence[Path] = (),
    image_root: Path | None = None,
    annotating: AnnotationOptions | None = None,
    embedding: EmbedOptions | None = None,
    splitting: SplitOptions | None = None,
    finding: FindOptions | None = None,
    own: Own | None = None,
    progress: Progress = silent,
) -> IngestSummary:
    """Read labels, look at every file once, run every finder. Safe to kill and to run again.

    `own` are embeddings or probabilities of the user's own, as for `find`.

    Raises
    ------
    SourceError, AnnotationError : the source or the annotations can't be read at all
    WorkspaceBusy : another process is writing to this workspace
    """
    from curate.ingest.splits import checked_shares

    annotating = annotating or AnnotationOptions()
    checked_shares(splitting or SplitOptions())  # before an hour of looking at images
    with workspace.writing():
        layout = read_labels(workspace, source, annotations=annotations, image_root=image_root, options=annotating)
        scan = embed(workspace, options=embedding, progress=progress)
        if not scan["status"].eq("ok").any():
            raise SourceError(
                f"none of {len(scan):,} images can be read: {_reasons(scan)}",
                "images that can be opened",
                "see tables/scan.parquet",
            )
        found = find(workspace, options=finding, splitting=splitting, own=own, progress=progress)
        agreement, arbitration = report_conflicts(workspace, annotating)
    return IngestSummary(
        layout=layout,
        n_samples=len(scan),
        n_problems=len(workspace.read("row_problems")),
        agreement=agreement,
        arbitration=arbitration,
        status={str(status): int(n) for status, n in scan["status"].value_counts().items()},
        found=found,
    )


def _reasons(scan: pd.DataFrame) -> str:
    return ", ".join(f"{n:,} {str(status).replace('_', ' ')}" for status, n in scan["status"].value_counts().items())


def read_labels(
    workspace: Workspace,
    source: Path,
    *,
    annotations: Sequence[Path],
    image_root: Path | None,
    options: AnnotationOptions,
) -> str:
    """Write `sources`, `row_problems` and, where people annotated, `annotations` and their agreement."""
    from curate.ingest.annotators import agreement
    from curate.ingest.sources import join_annotations, join_problems, read_annotations, read_source

    started = time.perf_counter()
    given = read_source(source, image_root=image_root, own=workspace.root)
    files = [file for file in (source, *annotations) if file.is_file()]
    said = {
        "source": str(given.root),
        "layout": given.layout,
        "annotations": [str(file) for file in annotations],
        "digests": {os.path.abspath(file): digest_of(file) for file in files},  # `status` looks whether they changed
    }
    problems = given.problems
    if annotations:
        tables, more = zip(*(read_annotations(file, given.sources) for file in annotations), strict=True)
        table, problems = join_annotations(*tables), join_problems(problems, *more)
        workspace.write("annotations", table, parameters=said, started=started)
        workspace.derive(
            AGREEMENT,
            lambda: _told(agreement(table, bootstraps=options.bootstraps, seed=options.seed)),
            inputs=["annotations"],
            parameters={"bootstraps": options.bootstraps, "seed": options.seed},
        )
    else:
        for name in ("annotations", AGREEMENT, "consensus", BY_PROBE, ANNOTATORS):
            workspace.forget(name)
    workspace.write("row_problems", problems, parameters=said)
    workspace.write("sources", given.sources, parameters={**said, "given": str(source), "image_root": image_root})
    return given.layout


def _told(found: Any) -> dict[str, Any]:
    """The agreement as JSON, with its lines for people."""
    return {**found.to_dict(), "text": found.to_text()}


def report_conflicts(workspace: Workspace, options: AnnotationOptions) -> tuple[dict[str, Any] | None, Path | None]:
    """The agreement report, and the arbitration queue where conflicts are above the limit and open."""
    from curate.ingest.annotators import arbitration_queue

    if not workspace.has("annotations"):
        return None, None
    agreement = workspace.read(AGREEMENT)
    if (agreement["conflict_rate"] or 0) <= options.conflict_limit:
        return agreement, None
    queue = arbitration_queue(workspace.read("annotations"), workspace.read("consensus"), workspace.read("sources"))
    if not queue["arbiter"].isna().any():
        return agreement, None
    # a file that somebody has begun to fill in is theirs: the new queue goes beside it
    name = next(name for name in _queue_names() if _is_untouched(workspace, name))
    workspace.write(name, queue, inputs=["annotations", "consensus"], parameters=asdict(options))
    return agreement, workspace.file_of(name)


def _queue_names() -> Iterator[str]:
    """arbitration.csv, arbitration-new.csv, arbitration-new-2.csv, and so on."""
    yield ARBITRATION
    beside = ARBITRATION.removesuffix(".csv") + "-new"
    yield f"{beside}.csv"
    yield from (f"{beside}-{number}.csv" for number in itertools.count(2))


def _is_untouched(workspace: Workspace, name: str) -> bool:
    """True where the file is as we wrote it, or not there. One whose record is damaged may be somebody's work."""
    file, made = workspace.file_of(name), workspace.intact_sidecar(name)
    return not file.exists() or (made is not None and digest_of(file) == made["digest"])
