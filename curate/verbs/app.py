"""`curate review` in the FiftyOne App: database, dataset, server, and the end of all three."""

from __future__ import annotations

import asyncio
import atexit
import hashlib
import importlib
import importlib.util
import logging
import os
import re
import signal
import socket
import threading
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from curate.decisions.ledger import Ledger
from curate.decisions.moves import follow_moves
from curate.errors import ReviewError
from curate.review.app.mongo import Mongo, find_mongod, free_port
from curate.review.app.running import Running, alone
from curate.review.app.server import LOOPBACK, Guard, serve, url_of
from curate.review.session import Desk, Tables
from curate.schema import empty
from curate.verbs.issues import found_issues
from curate.workspace import Workspace

MONGO = "mongo"  # folder of the database in the workspace: a cache, may be deleted
LOCK = ".review.lock"
ANSWERS = "tables/arbitration_answers.csv"
WATCH = 0.5  # seconds between looks at the database's process

log = logging.getLogger(__name__)


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
    _check(address, exposed)
    with alone(workspace.path(LOCK)) as running, _database(workspace) as mongo, Ledger(workspace.ledger) as ledger:
        desk = Desk(read_tables(workspace), ledger, reviewer, double=double)
        sitting = _sit_down(workspace, desk)
        page = _page(sitting.dataset.name, issue)
        asyncio.run(_serve(sitting, mongo, page, running, address, port, browser, echo))
        sitting.read_back()
        _write_answers(workspace, ledger)
        echo(f"{sitting.decided:,} verdict(s) in this sitting, all in {workspace.ledger}. Next: curate apply")


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


def _check(address: str, exposed: bool) -> None:
    if importlib.util.find_spec("fiftyone") is None:
        raise ReviewError(
            "FiftyOne is not installed", do="pip install 'curate[review]'; curate review --html works without it"
        )
    if address not in LOOPBACK and not exposed:
        raise ReviewError(
            f"{address} can be reached from other machines, without encryption: whoever has the key can see every "
            "picture of the dataset and decide in your name",
            "127.0.0.1, with an SSH tunnel for others",
            "give --i-know as well if that is what you want",
        )


@contextmanager
def _database(workspace: Workspace) -> Iterator[Mongo | None]:
    """The user's own server where FIFTYONE_DATABASE_URI names one, else one for this workspace."""
    os.environ |= {
        "FIFTYONE_DATABASE_VALIDATION": "false",  # prints to stdout
        "FIFTYONE_DO_NOT_TRACK": "true",
        "FIFTYONE_PLUGINS_CACHE_ENABLED": "true",  # else it reads all plugins anew, 0.1 s, at every click
        "FIFTYONE_SHOW_PROGRESS_BARS": "false",
        "FIFTYONE_LOGGING_LEVEL": "ERROR",
        "FIFTYONE_EXECUTION_STORE_NOTIFICATION_SERVICE_DISABLED": "true",  # polls the database for what we never use
        "FIFTYONE_PLUGINS_DIR": str(Path(__file__).parents[1] / "review" / "app" / "plugin"),
    }
    mongo = None
    if not os.environ.get("FIFTYONE_DATABASE_URI"):
        mongo = Mongo(find_mongod(), workspace.path(MONGO).absolute())
        atexit.register(mongo.stop)  # before FiftyOne registers its own, so that it runs after them
        mongo.start(meanwhile=lambda: importlib.import_module("fiftyone.server.app"))  # both take seconds
        importlib.import_module("fiftyone").config.database_uri = mongo.uri  # it connects at the first use
    try:
        yield mongo
    finally:
        if mongo:
            mongo.stop()


def _sit_down(workspace: Workspace, desk: Desk) -> Any:
    """The dataset brought up to date, and the sitting that the plugin works on."""
    from curate.review.app.dataset import open_dataset, sync
    from curate.review.app.fields import sample_rows
    from curate.review.app.layout import arrange
    from curate.review.app.session import Sitting, begin

    dataset = open_dataset(_dataset_name(workspace))
    seen = _digests(workspace)

    def reload() -> Tables | None:
        nonlocal seen
        before, seen = seen, _digests(workspace)
        return None if seen == before else read_tables(workspace)

    sitting = Sitting(desk, dataset, reload=reload)
    if sitting.read_back():  # edits that a killed sitting did not come to read
        desk.refresh()
    sync(dataset, sample_rows(desk))
    arrange(dataset, desk.classes, _points(workspace))
    begin(sitting)
    return sitting


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


def _page(dataset: str, issue: str | None) -> str:
    """The path that opens the dataset in a view and in our layout."""
    from curate.review.app.layout import LAYOUT, slug, view_of

    return f"/datasets/{dataset}?view={slug(view_of(issue))}&workspace={LAYOUT}"


async def _serve(
    sitting: Any,
    mongo: Mongo | None,
    page: str,
    running: Running,
    address: str,
    port: int | None,
    browser: bool,
    echo: Callable[[str], None],
) -> None:
    """Serve until a signal comes; start the database again where it ends before us."""
    from fiftyone.server.app import app

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    port = port or free_port(address)
    guard = Guard(app, media=sitting.media, address=address, after_write=sitting.read_back)
    url = url_of(address, port, f"{page}&key={guard.key}")

    def ready() -> None:
        running.tell(url)
        echo(f"Review: {url}")
        if address not in LOOPBACK:
            echo(
                f"From other machines: the same, with {socket.gethostname()} or an address of this machine as the host."
            )
            echo("Whoever has this address can see every picture of the dataset and decide in your name.")
        if browser:
            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()

    watching = asyncio.ensure_future(_watch(mongo, stop)) if mongo else None
    try:
        await serve(guard, address, port, until=stop, ready=ready)
    finally:
        stop.set()
        if watching:
            await watching


async def _watch(mongo: Mongo, stop: asyncio.Event) -> None:
    """Start the database again where it ended. In the main thread: it is to end with it."""
    while not stop.is_set():
        if not mongo.is_alive():
            log.warning("the database ended; it is started again")
            mongo.start()
        try:
            await asyncio.wait_for(stop.wait(), WATCH)
        except asyncio.TimeoutError:
            continue


def _write_answers(workspace: Workspace, ledger: Ledger) -> None:
    """The last words on annotators' conflicts, in the form that `curate ingest --annotations` reads."""
    from curate.decisions.decision import read_evidence
    from curate.ingest.annotations import ARBITER

    decisions = follow_moves(ledger.current(), workspace.read("samples")).decisions
    settled = decisions[read_evidence(decisions, "votes").notna() & decisions["action"].isin(["keep", "relabel"])]
    if settled.empty:
        return
    given = read_evidence(settled, "given_label")
    label = settled["label"].where(settled["action"].eq("relabel"), given)
    table = pd.DataFrame({"image": settled["sample_id"], "annotator": ARBITER, "label": label})
    workspace.write(ANSWERS, table.dropna().drop_duplicates("image", keep="last"))
