"""`curate status`: which stages are done, stale or never run, and what to type next."""

from __future__ import annotations

import os
from typing import Any

import pandas as pd

from curate.workspace import Workspace


def status(workspace: Workspace) -> list[dict[str, Any]]:
    """One row per stage: `stage, state, made, detail`. State is done, stale or never run."""
    from curate.find import all_finders

    rows = [_ingest_row(workspace), _row(workspace, "embed", "scan")]
    if workspace.has("scan"):
        rows[-1] = _check_files(workspace, rows[-1])
    rows += [_row(workspace, f"find: {name}", name) for name in ("samples", *all_finders())]
    rows += [_decisions_row(workspace), _numbered_row(workspace, "apply", "versions")]
    rows += [_numbered_row(workspace, "retrain", "runs"), _row(workspace, "report", "reports/report.html")]
    return rows


def _row(workspace: Workspace, stage: str, name: str) -> dict[str, Any]:
    made = workspace.sidecar(name)
    if made is None:
        return {"stage": stage, "state": "never run", "made": "", "detail": ""}
    changed = workspace.stale_inputs(name)
    detail = f"changed since: {', '.join(changed)}" if changed else f"{made['counts']['rows']:,} rows"
    return {"stage": stage, "state": "stale" if changed else "done", "made": made["made"], "detail": detail}


def _ingest_row(workspace: Workspace) -> dict[str, Any]:
    row = _row(workspace, "ingest", "sources")
    made = workspace.sidecar("sources")
    if made:
        row["detail"] += f" from {made['parameters']['given']}"
    return row


def _check_files(workspace: Workspace, row: dict[str, Any]) -> dict[str, Any]:
    """Compare size and time of every file with the last scan, without opening any."""
    scan = workspace.read("scan").merge(workspace.read("sources")[["sample_id", "path"]], on="sample_id")
    changed = sum(map(_differs, scan["path"], scan["bytes"], scan["mtime_ns"]))
    if changed:
        return {**row, "state": "stale", "detail": f"{changed:,} file(s) changed or gone: curate ingest again"}
    return row


def _differs(path: str, size: float, modified: float) -> bool:
    try:
        seen = os.stat(path)
    except OSError:
        return not pd.isna(size)
    return pd.isna(size) or (seen.st_size, seen.st_mtime_ns) != (int(size), int(modified))


def _decisions_row(workspace: Workspace) -> dict[str, Any]:
    from curate.review.ledger import Ledger

    with Ledger(workspace.ledger) as ledger:
        decisions = ledger.current()
    if decisions.empty:
        return {"stage": "review", "state": "never run", "made": "", "detail": "no decisions yet"}
    return {
        "stage": "review",
        "state": "done",
        "made": decisions["time"].max(),
        "detail": f"{len(decisions):,} decisions",
    }


def _numbered_row(workspace: Workspace, stage: str, kind: str) -> dict[str, Any]:
    numbers = workspace.numbered(kind)
    if not numbers:
        return {"stage": stage, "state": "never run", "made": "", "detail": ""}
    return _row(workspace, stage, f"{kind}/{numbers[-1]}/{kind[:-1]}.json") | {"detail": f"{kind[:-1]} {numbers[-1]}"}
