"""`curate review` in the FiftyOne App: database, dataset, server, and the end of all three."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from curate.artifacts import ANSWERS
from curate.decisions.ledger import Ledger
from curate.decisions.moves import reconcile
from curate.review.app.running import alone
from curate.review.app.serve import DOOR, LOCK, check_address, open_database, page_path, serve_app
from curate.review.session import ReviewSession, Tables
from curate.schema import empty
from curate.verbs.issues import found_issues
from curate.workspace import Workspace


def review_app(
    workspace: Workspace,
    *,
    reviewer: str,
    issue: str | None = None,
    double: bool = False,
    address: str = "127.0.0.1",
    port: int | None = None,
    exposed: bool = False,
    browser: bool = True,
    echo: Callable[[str], None] = print,
) -> None:
    """Open the App and serve it until Ctrl-C or SIGTERM. Verdicts are in the ledger the moment they are made.

    Parameters
    ----------
    reviewer : who decides
    issue : the issue whose view is opened first; default: the whole queue
    double : ask again about what others decided
    address, port : where to listen; an address beyond loopback needs `exposed`
    browser : open the page in the default browser
    echo : called with each line for the user

    Raises
    ------
    ReviewError : FiftyOne or a mongod is missing, or the workspace is open already
    """
    check_address(address, exposed)
    with alone(workspace.path(LOCK)) as running, open_database(workspace) as mongo, Ledger(workspace.ledger) as ledger:
        session = ReviewSession(read_tables(workspace), ledger, reviewer, double=double)
        app_session = _sit_down(workspace, session)
        page = page_path(app_session.dataset.name, issue)
        door = workspace.path(DOOR) if browser else None
        asyncio.run(serve_app(app_session, mongo, page, running, address, port, door, echo))
        app_session.read_back()
        _write_answers(workspace, ledger)
        echo(f"{app_session.decided:,} verdict(s) in this sitting, all in {workspace.ledger}. Next: curate apply")


def read_tables(workspace: Workspace) -> Tables:
    """What there is to review."""
    annotated = workspace.has("annotations") and workspace.has("consensus")
    return Tables(
        samples=workspace.read("samples"),
        issues=found_issues(workspace),
        pairs=workspace.read("near_duplicate_pairs"),
        annotations=workspace.read("annotations") if annotated else empty("annotations"),
        consensus=workspace.read("consensus") if annotated else empty("consensus"),
    )


def _sit_down(workspace: Workspace, session: ReviewSession) -> Any:
    """The dataset brought up to date, and the sitting that the plugin works on."""
    from curate.review.app.dataset import open_dataset, sync
    from curate.review.app.fields import sample_rows
    from curate.review.app.layout import arrange
    from curate.review.app.session import AppSession, begin

    dataset = open_dataset(_dataset_name(workspace))
    seen = _digests(workspace)

    def reload() -> Tables | None:
        nonlocal seen
        before, seen = seen, _digests(workspace)
        return None if seen == before else read_tables(workspace)

    app_session = AppSession(session, dataset, reload=reload)
    if app_session.read_back():  # edits that a killed sitting did not come to read
        session.refresh()
    sync(dataset, sample_rows(session))
    arrange(dataset, session.classes, _points(workspace))
    begin(app_session)
    return app_session


def _dataset_name(workspace: Workspace) -> str:
    """Readable, and another for every workspace, because a user's own database may hold several."""
    source = (workspace.sidecar("sources") or {}).get("parameters", {}).get("source", workspace.root)
    place = hashlib.sha256(str(workspace.root.absolute()).encode()).hexdigest()[:6]
    return f"{re.sub(r'[^A-Za-z0-9]+', '-', Path(source).stem).strip('-') or 'dataset'}-{place}"


def _digests(workspace: Workspace) -> list[str]:
    from curate.find import all_finders

    return [workspace.digest(name) for name in ("samples", "near_duplicate_pairs", "consensus", *all_finders())]


def _points(workspace: Workspace) -> pd.DataFrame | None:
    """The report's 2-D map where it has been made: `sample_id, x, y`."""
    from curate.verbs.report import kept_map

    made = kept_map(workspace, found_issues(workspace))
    return None if made is None else made.points


def _write_answers(workspace: Workspace, ledger: Ledger) -> None:
    """The last words on annotators' conflicts, in the form that `curate ingest --annotations` reads."""
    from curate.decisions.decision import read_evidence
    from curate.ingest.annotations import ARBITER

    decisions = reconcile(ledger.current(), workspace.read("samples")).decisions
    settled = decisions[read_evidence(decisions, "votes").notna() & decisions["action"].isin(["keep", "relabel"])]
    if settled.empty:
        return
    given = read_evidence(settled, "given_label")
    label = settled["label"].where(settled["action"].eq("relabel"), given)
    table = pd.DataFrame({"image": settled["sample_id"], "annotator": ARBITER, "label": label})
    workspace.write(ANSWERS, table.dropna().drop_duplicates("image", keep="last"))
