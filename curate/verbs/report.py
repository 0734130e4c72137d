"""`curate report`: everything that is known, on one page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curate.artifacts import AGREEMENT, ANNOTATORS, CLASS_REPORT, EMBEDDED, REPORT, SPLIT_PROOF
from curate.decisions.decision import Recorded
from curate.errors import DamagedFile
from curate.files import write_atomically
from curate.verbs.apply import diff, version_facts
from curate.verbs.decide import digest_of_decisions, recorded_decisions
from curate.verbs.issues import found_issues
from curate.verbs.prepare import open_facts
from curate.verbs.retrain import finished_runs, predictions_of, run_facts, versions_of
from curate.version import __version__
from curate.workspace import Workspace

STAGES = ("sources", "scan", "samples", "near_duplicate_pairs", "label", "outlier", "quality", "leak", "classes")


def report(workspace: Workspace, *, out: Path | None = None, planted: pd.DataFrame | None = None) -> Path:
    """Write the page and return where it is. Sections without facts say which command makes them."""
    from curate.decisions.moves import reconcile
    from curate.ingest.proof import class_balance
    from curate.report.facts import ReportFacts
    from curate.report.html import render

    samples, issues, pairs = workspace.read("samples"), found_issues(workspace), workspace.read("near_duplicate_pairs")
    recorded = recorded_decisions(workspace)  # once, and before the rest: more may come in meanwhile
    told = work_so_far(workspace, recorded)
    runs, versions = finished_runs(workspace), workspace.numbered("versions")
    compared = _compared(workspace)
    page = render(
        ReportFacts(
            title=_title(workspace),
            made=f"{datetime.now():%d %B %Y, %H:%M}",
            version=__version__,
            samples=samples,
            row_problems=workspace.read("row_problems"),
            agreement=_if_made(workspace, AGREEMENT),
            annotators=_if_made(workspace, ANNOTATORS),
            split_proof=workspace.read(SPLIT_PROOF),
            balance=class_balance(samples["label"], tolerance=0.3),
            classes=_if_made(workspace, CLASS_REPORT),
            issues=issues,
            pairs=pairs,
            embedding_map=map_of(workspace, issues),
            decisions=reconcile(recorded, samples, pairs).decisions,
            reviewers=_reviewers(workspace),
            versions=[_told_version(workspace, number) for number in versions],
            compared=compared,
            diff=diff(workspace, *compared) if compared else None,
            comparison=run_facts(workspace, runs[-1])["metrics"] if runs else None,
            predictions=_predictions(workspace, runs[-1]) if runs else None,
            planted=planted,
            stages=_stages(workspace),
            thumb=_readable_thumbnails(samples),
        )
    )
    if out is not None:
        write_atomically(out, page.encode())
        return out
    workspace.write(REPORT, page, inputs=["samples", "annotations", *issues], parameters=told)
    return workspace.file_of(REPORT)


def work_so_far(workspace: Workspace, decisions: Recorded) -> dict[str, Any]:
    """The decisions, versions and runs there are: what the page tells besides the tables."""
    numbers = {"versions": workspace.numbered("versions"), "runs": finished_runs(workspace)}
    return {"decisions": digest_of_decisions(decisions), **numbers}


def _compared(workspace: Workspace) -> tuple[int, int] | None:
    """The versions that the page tells of: those of the last run, before there is one the last and its parent."""
    if runs := finished_runs(workspace):
        return versions_of(workspace, runs[-1])
    if versions := workspace.numbered("versions"):
        return version_facts(workspace, versions[-1])["parent"], versions[-1]
    return None


def _told_version(workspace: Workspace, number: int) -> Mapping[str, Any]:
    """`version.json`; of a damaged version that alone, since those made after it are as good as before."""
    try:
        return version_facts(workspace, number)
    except DamagedFile:
        return {"version": number, "parent": None, "made": "damaged", "counts": {}}


def _title(workspace: Workspace) -> str:
    made = workspace.sidecar("sources") or {"parameters": {"source": workspace.root}}
    return Path(made["parameters"]["source"]).name


def _if_made(workspace: Workspace, name: str) -> Any:
    return workspace.read(name) if workspace.has(name) else None


def map_of(workspace: Workspace, issues: Mapping[str, pd.DataFrame]) -> Any:
    """The embedding map, kept in the workspace because it takes seconds to lay out; None for fewer than 3 images."""
    kept = kept_map(workspace, issues)
    return kept if kept is not None else _lay_out(workspace, issues)


def kept_map(workspace: Workspace, issues: Mapping[str, pd.DataFrame]) -> Any:
    """The embedding map where it has been made and is neither stale nor damaged, else None."""
    if workspace.is_fresh(MAP, {}, ["scan", *EMBEDDED, *issues]):
        with suppress(DamagedFile):
            return _read_map(workspace.read(MAP))
    return None


def _read_map(kept: Mapping[str, np.ndarray]) -> Any:
    from curate.report.maps import EmbeddingMap

    points = pd.DataFrame({name: kept[name] for name in POINTS})
    return EmbeddingMap(points, int(kept["of"]), kept["atlas"].tobytes() or None)


def _lay_out(workspace: Workspace, issues: Mapping[str, pd.DataFrame]) -> Any:
    from curate.issues.table import issue_names
    from curate.report.maps import embedding_map

    facts = open_facts(workspace)
    worst = [
        table.loc[table[f"is_{issue}_issue"], ["sample_id", f"{issue}_score"]].set_axis(["sample_id", "score"], axis=1)
        for table in issues.values()
        for issue in issue_names(table)
    ]
    keep = pd.concat(worst).sort_values(["score", "sample_id"])["sample_id"].drop_duplicates().to_list()
    ids = facts.samples["sample_id"].to_list()
    if len(ids) < 3:
        return None

    def make() -> dict[str, np.ndarray]:
        made = embedding_map(facts.embeddings, ids, thumbs=facts.thumbs, keep=keep)
        points = {name: made.points[name].to_numpy(dtype=kind) for name, kind in POINTS.items()}
        return {**points, "of": np.array(made.of), "atlas": np.frombuffer(made.atlas or b"", dtype=np.uint8)}

    return _read_map(workspace.derive(MAP, make, inputs=["scan", *EMBEDDED, *issues]))


def _reviewers(workspace: Workspace) -> list[dict[str, Any]]:
    from curate.decisions.ledger import Ledger
    from curate.decisions.reviewers import reviewer_agreement

    with Ledger(workspace.ledger) as ledger:
        return reviewer_agreement(ledger.history())


MAP = "reports/map.npz"
POINTS = {"sample_id": "str", "x": "float64", "y": "float64"}


def _predictions(workspace: Workspace, run: int) -> pd.DataFrame:
    """The test split's predictions side by side: sample_id, label, before, after, confidence (of after)."""
    table = predictions_of(workspace, run)
    classes = [column for column in table.columns if column.startswith("p_")]
    table["confidence"] = table[classes].max(axis=1)
    before, after = (table[table["arm"].eq(arm)].set_index("sample_id") for arm in ("before", "after"))
    return pd.DataFrame(
        {
            "label": after["label"],
            "before": before["predicted"],
            "after": after["predicted"],
            "confidence": after["confidence"],
        }
    ).reset_index()


def _stages(workspace: Workspace) -> list[dict[str, Any]]:
    """Seconds, images per second and peak memory of each stage, from its provenance."""
    rows = []
    for name in STAGES:
        if made := workspace.sidecar(name):
            counts = made["counts"]
            rows.append(
                {
                    "stage": name,
                    "made": made["made"],
                    "images": counts["rows"],
                    "seconds": made["seconds"],
                    "images_per_second": counts.get("images_per_second"),
                    "peak_memory_mb": made["peak_memory_mb"],
                }
            )
    return rows


def _readable_thumbnails(samples: pd.DataFrame) -> Callable[[str], bytes | None]:
    """Thumbnails of the readable samples; None for the others, and for a file that is gone since."""
    from curate.errors import DecodeError
    from curate.review.page import thumbnails

    thumb, readable = thumbnails(samples), set(samples.loc[samples["status"].eq("ok"), "sample_id"])

    def shown(sample_id: str) -> bytes | None:
        try:
            return thumb(sample_id) if sample_id in readable else None
        except (OSError, DecodeError):
            return None

    return shown
