"""The App's server from start to end: database, page, and the watch over both."""

from __future__ import annotations

import asyncio
import atexit
import html
import importlib
import importlib.util
import logging
import os
import signal
import socket
import threading
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from curate.errors import ReviewError
from curate.files import write_private
from curate.review.app.confine import confine_fiftyone
from curate.review.app.mongo import Mongo, find_mongod, free_port
from curate.review.app.running import Running
from curate.review.app.server import LOOPBACK, Guard, serve, url_of
from curate.workspace import Workspace

MONGO = "mongo"  # folder of the database in the workspace: a cache, may be deleted
LOCK = ".review.lock"
DOOR = "reports/open-review.html"  # leads the browser to the App; nobody else can read it
REDIRECT = """<!doctype html><meta charset="utf-8"><title>curate review</title>
<meta http-equiv="refresh" content="0; url={url}"><a href="{url}">Review</a>"""
WATCH = 0.5  # seconds between looks at the database's process
log = logging.getLogger(__name__)


def check_address(address: str, exposed: bool) -> None:
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
def open_database(workspace: Workspace) -> Iterator[Mongo | None]:
    """The user's own server where FIFTYONE_DATABASE_URI names one, else one for this workspace."""
    os.environ |= {
        "FIFTYONE_DATABASE_VALIDATION": "false",  # prints to stdout
        "FIFTYONE_PLUGINS_CACHE_ENABLED": "true",  # else it reads all plugins anew, 0.1 s, at every click
        "FIFTYONE_SHOW_PROGRESS_BARS": "false",
        "FIFTYONE_LOGGING_LEVEL": "ERROR",
        "FIFTYONE_EXECUTION_STORE_NOTIFICATION_SERVICE_DISABLED": "true",  # polls the database for what we never use
        "FIFTYONE_PLUGINS_DIR": str(Path(__file__).parent / "plugin"),
    }
    mongo = None
    if not os.environ.get("FIFTYONE_DATABASE_URI"):
        mongo = Mongo(find_mongod(), workspace.path(MONGO).absolute())
        atexit.register(mongo.stop)  # before FiftyOne registers its own, so that it runs after them
        mongo.start(meanwhile=lambda: importlib.import_module("fiftyone.server.app"))  # both take seconds
        importlib.import_module("fiftyone").config.database_uri = mongo.uri  # it connects at the first use
    confine_fiftyone()
    try:
        yield mongo
    finally:
        if mongo:
            mongo.stop()


def page_path(dataset: str, issue: str | None) -> str:
    """The path that opens the dataset in a view and in our layout."""
    from curate.review.app.layout import LAYOUT, slug, view_of

    return f"/datasets/{dataset}?view={slug(view_of(issue))}&workspace={LAYOUT}"


async def serve_app(
    app_session: Any,
    mongo: Mongo | None,
    page: str,
    running: Running,
    address: str,
    port: int | None,
    door: Path | None,
    echo: Callable[[str], None],
) -> None:
    """Serve until a signal comes; start the database again where it ends before us.

    The browser is given the file `door`, where there is one to be: the address holds the key, and every user of the
    machine can read what a browser was started with.
    """
    from fiftyone.server.app import app

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    port = port or free_port(address)
    guard = Guard(app, media=app_session.media, address=address, after_write=app_session.read_back)
    url = url_of(address, port, f"{page}&key={guard.key}")

    def ready() -> None:
        running.tell(url)
        echo(f"Review: {url}")
        if address not in LOOPBACK:
            echo(
                f"From other machines: the same, with {socket.gethostname()} or an address of this machine as the host."
            )
            echo("Whoever has this address can see every picture of the dataset and decide in your name.")
        if door:
            write_private(door, REDIRECT.format(url=html.escape(url)).encode())
            threading.Thread(target=webbrowser.open, args=(door.absolute().as_uri(),), daemon=True).start()

    watching = asyncio.ensure_future(_watch(mongo, stop)) if mongo else None
    try:
        await serve(guard, address, port, until=stop, ready=ready)
    finally:
        stop.set()
        if door:
            door.unlink(missing_ok=True)
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
