"""The App attacked: by other users of the machine, by who has the key, by what lies in the database."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from app_process import App, command_of, needs_app
from command import done

pytestmark = needs_app

AS_NOBODY = """
import os, socket, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    probe = socket.socket(socket.AF_UNIX)
    probe.connect(sys.argv[1])
    print("reached")
except OSError as error:
    print(type(error).__name__)
"""


@pytest.fixture(scope="module")
def first(digits_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("attacked")
    done("ingest", digits_folder, "-w", root / "ws")
    return root


@pytest.fixture(scope="module")
def app(first: Path) -> Iterator[App]:
    with App(first / "ws") as app:
        yield app


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """A file that appears where a program was run."""
    return tmp_path / "ran"


def popen(mark: Path) -> dict[str, Any]:
    """What FiftyOne would make of a view stage: a process."""
    return {"_cls": "subprocess.Popen", "kwargs": [["args", ["touch", str(mark)]]]}


def post(app: App, path: str, body: Any) -> int:
    headers = {"Content-Type": "application/json", "Origin": app.base}
    request = urllib.request.Request(app.base + path, data=json.dumps(body).encode(), headers=headers)
    try:
        with app.browserlike().open(request) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_the_database_listens_on_no_port_and_its_socket_is_this_users_alone(app: App) -> None:
    sockets = subprocess.run(["ss", "-ltnpH"], capture_output=True, text=True).stdout
    assert f"pid={app.mongod()}," not in sockets
    folder = app.db_socket.parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700 and folder.stat().st_uid == os.getuid()
    assert stat.S_IMODE((app.workspace / "mongo").stat().st_mode) == 0o700
    assert "--noscripting" in command_of(app.mongod())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_does_not_reach_the_database(app: App) -> None:
    tried = subprocess.run([sys.executable, "-c", AS_NOBODY, app.db_socket], capture_output=True, text=True)
    assert tried.stdout.strip() == "PermissionError", tried.stderr


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/tag", {"sample_ids": [], "changes": {}, "view": ["POPEN"]}),
        ("/aggregate", {"filters": {}, "view": ["POPEN"], "aggregations": []}),
        ("/sort", {"view": ["POPEN"], "filters": {}}),
        ("/values", {"view": ["POPEN"], "path": "label.label"}),
        ("/tagging", {"view": ["POPEN"], "filters": {}}),
        ("/embeddings/plot", {"view": ["POPEN"], "brainKey": "x", "labelsField": "label"}),
        ("/graphql", {"query": "query A($v: BSONArray!) {a(view: $v) {name}}", "variables": {"v": ["POPEN"]}}),
        ("/graphql", {"query": '{dataset(name: "x", view: [{_cls: "subprocess.Popen", kwargs: []}]) {name}}'}),
        ("/graphql", {"query": "{a}", "variables": {"deep": [{"er": [{"x": "POPEN"}]}]}}),
        ("/graphql", {"query": "{a}", "variables": {"text": '[{"_cls": "subprocess.Popen", "kwargs": []}]'}}),
        ("/operators/execute", {"operator_uri": "@curate/review/keep", "view": ["POPEN"]}),
        ("/operators/execute", {"operator_uri": "@curate/review/keep", "params": {"custom_view_target": ["POPEN"]}}),
        ("/event", {"event": "state_update", "data": {"state": {"view": ["POPEN"]}}}),
    ],
)
def test_no_view_of_a_request_runs_a_program_even_with_the_key(app: App, mark: Path, path: str, body: Any) -> None:
    body = json.loads(json.dumps(body).replace('"POPEN"', json.dumps(popen(mark))))
    assert post(app, path, {"dataset": app.dataset, "dataset_name": app.dataset, **body}) == 403
    assert not mark.exists()


def test_a_view_that_lies_in_the_database_runs_nothing(app: App, mark: Path) -> None:
    from pymongo import MongoClient

    with MongoClient(app.db_uri) as client:
        database = client["fiftyone"]
        dataset = database["datasets"].find_one({"name": app.dataset})
        view = {**database["views"].find_one({"_dataset_id": dataset["_id"]}), "name": "evil", "slug": "evil"}
        view |= {"view_stages": [json.dumps(popen(mark))]}
        del view["_id"]
        added = database["views"].insert_one(view).inserted_id
        database["datasets"].update_one({"_id": dataset["_id"]}, {"$push": {"saved_views": added}})
    query = "query A($n: String!, $s: String) {dataset(name: $n, savedViewSlug: $s) {name viewName stages(slug: $s)}}"
    post(app, "/graphql", {"query": query, "variables": {"n": app.dataset, "s": "evil"}})
    app.browserlike().open(f"{app.base}/datasets/{app.dataset}?view=evil").read()
    time.sleep(0.5)
    assert not mark.exists()


def test_below_the_guard_fiftyone_makes_view_stages_alone(tmp_path: Path) -> None:
    script = f"""
from curate.review.app.confine import confine_fiftyone
confine_fiftyone(); confine_fiftyone()
import eta.core.utils as etau, fiftyone.core.aggregations as foa, fiftyone.core.stages as fos
print(type(fos.ViewStage._from_dict(fos.Limit(3)._serialize())).__name__)
print(type(foa.Aggregation._from_dict(foa.Count("x")._serialize())).__name__)
stages = ["subprocess.Popen", *("fiftyone.core.stages." + name for name in ("fou", "Mongo", "ViewStage"))]
for make, name in [*((fos.ViewStage._from_dict, name) for name in stages), (foa.Aggregation._from_dict, "os.system")]:
    try:
        make({{"_cls": name, "kwargs": [["args", ["touch", "{tmp_path}/ran"]]]}})
        print("made", name)
    except ValueError:
        print("refused")
try:
    etau.get_class("subprocess.Popen")
except ImportError:
    print("refused")
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert ran.stdout.split() == ["Limit", "Count", *["refused"] * 6], ran.stderr
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "operator",
    ["@voxel51/operators/list_files", "@voxel51/operators/download_file", "@voxel51/operators/delete_selected_samples",
     "@voxel51/panels/model_evaluation_panel", "list_files", 7],
)  # fmt: skip
@pytest.mark.parametrize("route", ["execute", "execute/generator", "resolve-type", "resolve-execution-options"])
def test_operators_that_a_review_does_not_need_are_refused(app: App, operator: Any, route: str) -> None:
    body = {"operator_uri": operator, "dataset_name": app.dataset, "params": {"path": "/root"}}
    assert post(app, f"/operators/{route}", body) == 403


@pytest.mark.parametrize(
    "path", ["/frames", "/screenshot/x", "/ontologies", "/runtime-assets/models/a/b", "/dataset/a/sample/b/commit-mask"]
)
def test_routes_that_a_review_does_not_need_are_refused(app: App, path: str) -> None:
    assert post(app, path, {}) == 403
    with pytest.raises(urllib.error.HTTPError, match="403"):
        app.browserlike().open(app.base + path)


@pytest.mark.parametrize("where", [{"$where": "sleep(1)"}, {"$expr": {"$function": {"body": "x", "args": []}}}])
def test_queries_that_hold_a_script_are_refused(app: App, where: Any) -> None:
    stage = {"_cls": "fiftyone.core.stages.Match", "kwargs": [["filter", where]]}
    assert post(app, "/graphql", {"query": "{a}", "variables": {"view": [stage]}}) == 403


def test_the_key_is_in_no_process_list_while_the_browser_starts(first: Path, tmp_path: Path) -> None:
    """A browser that stays open and notes what it was given; it must lead to the App all the same."""
    seen, script = tmp_path / "seen", tmp_path / "browser"
    script.write_text(f'#!/bin/sh\necho "$@" > {seen}.new; mv {seen}.new {seen}\nsleep 20\n')
    script.chmod(0o755)
    command = [part for part in App(first / "ws").command if part != "--print-url"]
    environment = {**os.environ, "BROWSER": f"{script} %s"}
    other = first / "other"
    done("ingest", _source_of(first), "-w", other)
    command[command.index("-w") + 1] = str(other)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as review:
        try:
            line = next(line for line in review.stdout if "Review: " in line)  # type: ignore[union-attr]
            key = re.search(r"key=([\w-]+)", line)[1]  # type: ignore[index]
            until = time.monotonic() + 30
            while not seen.exists() and time.monotonic() < until:
                time.sleep(0.05)
            lists = [command_of(int(pid)) for pid in os.listdir("/proc") if pid.isdigit() and _is_there(pid)]
            assert not [text for text in lists if key in text]
            door = other / "reports" / "open-review.html"
            assert seen.read_text().strip() == door.absolute().as_uri()
            assert stat.S_IMODE(door.stat().st_mode) == 0o600 and key in door.read_text()
        finally:
            review.send_signal(signal.SIGINT)
            _, errors = review.communicate(timeout=60)
    assert not door.exists() and not errors


def _source_of(first: Path) -> str:
    return str(json.loads((first / "ws/tables/sources.parquet.json").read_text())["parameters"]["source"])


def _is_there(pid: str) -> bool:
    return Path(f"/proc/{pid}/cmdline").exists()


@pytest.mark.slow
@pytest.mark.browser
def test_ctrl_c_ends_an_open_page_without_a_word_on_stderr(first: Path, browser: Any) -> None:
    for wait in (0.0, 0.5, 3.0):
        other = first / f"quiet{wait}"
        done("ingest", _source_of(first), "-w", other)
        with App(other) as app:
            page = browser.new_page()
            page.goto(app.url, wait_until="commit")
            time.sleep(wait)
            app.process.send_signal(signal.SIGINT)
            _, errors = app.process.communicate(timeout=60)
            assert app.process.returncode == 0 and errors == ""
            page.close()
