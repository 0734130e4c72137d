"""`curate status`: which stages are done, stale or never run, and what to type next."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from curate.artifacts import APPLIED, OWN, REPORT
from curate.errors import CurateError, DamagedFile
from curate.files import code_version, digest_of
from curate.verbs.decide import digest_of_decisions, recorded_decisions
from curate.verbs.own import own_kinds
from curate.verbs.report import work_so_far
from curate.verbs.retrain import finished_runs, run_facts, versions_of
from curate.workspace import Workspace

Row = dict[str, Any]  # stage, state, made, detail
DONE, STALE, NEVER = "done", "stale", "never run"


def status(workspace: Workspace) -> list[Row]:
    """One row per stage: `stage, state, made, detail`. State is done, stale or never run.

    Looks at names, sizes and times of the source's files, and opens none but a manifest and annotations.
    """
    from curate.find import all_finders

    ingested, embedded = _told("ingest", _ingest_row, workspace), _told("embed", _embed_row, workspace)
    found = [_told(f"find: {name}", _find_row, workspace, name) for name in ("samples", *all_finders())]
    changed = " and ".join(row["stage"] for row in (ingested, embedded) if row["state"] == STALE)
    if changed:
        found = [_stale(row, f"rests on {changed}") for row in found]
    applied, retrained = _told("apply", _apply_row, workspace), _told("retrain", _retrain_row, workspace)
    if applied["state"] == STALE:
        retrained = _stale(retrained, "rests on apply")
    own = [_own_row(workspace, kind) for kind in own_kinds(workspace)]
    return [
        ingested,
        embedded,
        *own,
        *found,
        _decisions_row(workspace),
        applied,
        retrained,
        _told("report", _report_row, workspace),
    ]


def _told(stage: str, row: Callable[..., Row], *given: Any) -> Row:
    """The row, or one that tells which of its files is damaged: the other stages are not concerned."""
    try:
        return row(*given)
    except DamagedFile as error:
        return {"stage": stage, "state": STALE, "made": "", "detail": f"{error.found}; {error.do}"}


def _find_row(workspace: Workspace, name: str) -> Row:
    return _row(workspace, f"find: {name}", name)


def _row(workspace: Workspace, stage: str, name: str) -> Row:
    """The row of a stage that ends with the file `name`, by what lies in the workspace."""
    made = workspace.sidecar(name)
    if made is None:
        return {"stage": stage, "state": NEVER, "made": "", "detail": ""}
    row = {"stage": stage, "state": DONE, "made": made["made"], "detail": f"{made['counts']['rows']:,} rows"}
    if changed := workspace.stale_inputs(name):
        return _stale(row, f"changed since: {', '.join(changed)}")
    if made["code"] != code_version():
        return _stale(row, f"made by curate {made['code']}")
    return row


def _stale(row: Row, why: str) -> Row:
    return {**row, "state": STALE, "detail": why} if row["state"] == DONE else row


def _ingest_row(workspace: Workspace) -> Row:
    """Whether the source is as it was read: a folder's list of files, a manifest's and the annotations' content."""
    row, made = _row(workspace, "ingest", "sources"), workspace.sidecar("sources")
    if made is None:
        return row
    given = made["parameters"]
    changed = [file for file, digest in given.get("digests", {}).items() if not _is_still(Path(file), digest)]
    if changed:
        return _stale(row, f"changed or gone: {', '.join(changed)}")
    if given["layout"] != "manifest" and (difference := _folder_difference(workspace, Path(given["source"]))):
        return _stale(row, f"{difference}: curate ingest again")
    return {**row, "detail": f"{row['detail']} from {given['given']}"}


def _is_still(file: Path, digest: str) -> bool:
    try:
        return digest_of(file) == digest
    except OSError:
        return False


def _folder_difference(workspace: Workspace, root: Path) -> str:
    """What a folder holds now that it did not, and the other way round; empty where nothing."""
    from curate.ingest.sources import read_source

    try:
        now = read_source(root).sources
    except (CurateError, OSError) as error:
        return str(error).splitlines()[0]
    known, seen = set(workspace.read("sources")["sample_id"]), set(now["sample_id"])
    counts = {"new": len(seen - known), "gone": len(known - seen)}
    return ", ".join(f"{n:,} image(s) {what}" for what, n in counts.items() if n)


def _embed_row(workspace: Workspace) -> Row:
    """Compare size and time of every file with the last scan, without opening any."""
    row = _row(workspace, "embed", "scan")
    if row["state"] != DONE:
        return row
    scan = workspace.read("scan").merge(workspace.read("sources")[["sample_id", "path"]], on="sample_id")
    changed = sum(map(_differs, scan["path"], scan["bytes"], scan["mtime_ns"]))
    return _stale(row, f"{changed:,} file(s) changed or gone: curate ingest again") if changed else row


def _differs(path: str, size: float, modified: float) -> bool:
    try:
        seen = os.stat(path)
    except OSError:
        return not pd.isna(size)
    # the table holds float64, which can't tell nanoseconds apart
    return (float(seen.st_size), float(seen.st_mtime_ns)) != (size, modified)


def _own_row(workspace: Workspace, kind: str) -> Row:
    """What the user gave in place of curate's own, and where from."""
    made = workspace.sidecar(OWN[kind])
    assert made
    detail = f"{made['counts']['rows']:,} rows from {made['parameters']['given']}, until curate find --forget"
    return {"stage": f"own {kind}", "state": DONE, "made": made["made"], "detail": detail}


def _decisions_row(workspace: Workspace) -> Row:
    decisions = recorded_decisions(workspace)
    if decisions.empty:
        return {"stage": "review", "state": NEVER, "made": "", "detail": "no decisions yet"}
    made, detail = decisions["time"].max(), f"{len(decisions):,} decisions"
    return {"stage": "review", "state": DONE, "made": made, "detail": detail}


def _apply_row(workspace: Workspace) -> Row:
    row, made = _row(workspace, "apply", APPLIED), workspace.sidecar(APPLIED)
    if made is None:
        return row
    if made["parameters"]["decisions"] != digest_of_decisions(recorded_decisions(workspace)):
        return _stale(row, "decisions have changed since")
    return {**row, "detail": f"version {workspace.read(APPLIED)['version']}"} if row["state"] == DONE else row


def _retrain_row(workspace: Workspace) -> Row:
    """Done where the last run that ended judged the last version."""
    runs, versions = finished_runs(workspace), workspace.numbered("versions")
    begun = workspace.numbered("runs")
    unfinished = f"run {begun[-1]} has not ended: curate retrain goes on" if begun and begun[-1] not in runs else ""
    if not runs:
        return {"stage": "retrain", "state": NEVER, "made": "", "detail": unfinished}
    run_facts(workspace, runs[-1])  # a damaged one has nothing to tell
    ended = workspace.path("runs", str(runs[-1]), "run.json").stat().st_mtime
    made = pd.Timestamp(ended, unit="s", tz="UTC").isoformat(timespec="seconds")
    row = {"stage": "retrain", "state": DONE, "made": made, "detail": unfinished or f"run {runs[-1]}"}
    _, judged = versions_of(workspace, runs[-1])
    return row if [judged] == versions[-1:] else _stale(row, f"run {runs[-1]} judged version {judged}, not the last")


def _report_row(workspace: Workspace) -> Row:
    row, made = _row(workspace, "report", REPORT), workspace.sidecar(REPORT)
    if made is None:
        return row
    now = work_so_far(workspace, recorded_decisions(workspace))
    changed = [name for name, value in now.items() if made["parameters"].get(name) != value]
    return _stale(row, f"changed since: {', '.join(changed)}") if changed else {**row, "detail": REPORT}
