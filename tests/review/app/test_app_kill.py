"""SIGKILL in mid-review: of curate, of mongod, of the browser. No verdict is lost, nothing is left running."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest
from app_process import App, ask, is_running, needs_app

from curate.decisions.ledger import Ledger

pytestmark = [pytest.mark.slow, needs_app]
TIMES = 10
START = 15.0  # seconds that a start may take after a kill


@pytest.fixture(scope="module")
def workspace(digits_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("app") / "ws"
    ask("ingest", digits_folder, "-w", root, "--json")
    with App(root):  # the first load
        pass
    return root


def keep(app: App, opener: urllib.request.OpenerDirector, ids: list[str]) -> bool:
    """One verdict as the page sends it. Returns whether the App said it was recorded."""
    request = {"operator_uri": "@curate/review/keep", "dataset_name": app.dataset, "selected": ids, "params": {}}
    sent = urllib.request.Request(
        app.base + "/operators/execute",
        data=json.dumps(request).encode(),
        headers={"Content-Type": "application/json", "Origin": app.base},
    )
    try:
        answer = json.load(opener.open(sent, timeout=30))
    except OSError:
        return False
    return not answer.get("error")


def recorded(workspace: Path) -> int:
    with Ledger(workspace / "ledger.sqlite") as ledger:
        return len(ledger.history())


def started(workspace: Path) -> tuple[App, float]:
    begun = time.monotonic()
    app = App(workspace).__enter__()
    return app, time.monotonic() - begun


def test_curate_killed_ten_times_loses_no_verdict_and_leaves_no_mongod(workspace: Path):
    for _ in range(TIMES):
        before = recorded(workspace)
        app, seconds = started(workspace)
        assert seconds < START
        mongod, opener, ids = app.mongod(), app.browserlike(), app.ids()
        said = sum(keep(app, opener, [sample]) for sample in ids[:3])
        app.process.kill()
        app.process.communicate()
        assert said == 3 and recorded(workspace) == before + 3
        app.wait_for(lambda mongod=mongod: not is_running(mongod), seconds=10)
    with App(workspace) as app:  # and what the App shows has caught up
        assert sum(row.get("decision") == "keep" for row in app.fields(["decision"])) == 3


def test_mongod_killed_ten_times_is_started_again_and_no_verdict_is_lost(workspace: Path):
    with App(workspace) as app:
        opener, ids = app.browserlike(), app.ids()
        for _ in range(TIMES):
            before, mongod = recorded(workspace), app.mongod()
            said = keep(app, opener, ids[3:4])
            os.kill(mongod, signal.SIGKILL)
            begun = time.monotonic()
            said += keep(app, opener, ids[4:5])  # it may fail, but must not say that it did not
            app.wait_for(lambda mongod=mongod: app.mongod() != mongod and is_running(app.mongod()), seconds=START)
            app.wait_for(lambda: keep(app, opener, ids[5:6]), seconds=START)
            assert time.monotonic() - begun < START
            assert recorded(workspace) >= before + said + 1


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium on this machine")
def test_the_browser_killed_ten_times_takes_nothing_with_it(workspace: Path, tmp_path: Path):
    with App(workspace) as app:
        opener, ids = app.browserlike(), app.ids()
        for n in range(TIMES):
            before = recorded(workspace)
            command = ["chromium", "--headless", "--no-sandbox", f"--user-data-dir={tmp_path / str(n)}", app.url]
            with subprocess.Popen(
                command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
            ) as browser:
                time.sleep(2)  # in the middle of loading
                assert keep(app, opener, ids[6:7])
                os.killpg(browser.pid, signal.SIGKILL)
            assert recorded(workspace) == before + 1
            assert keep(app, opener, ids[7:8])
