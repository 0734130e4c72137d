"""The FiftyOne App as a reviewer meets it: real server, real mongod, real ledger, a real browser."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
import pytest
from app_process import App, ask, is_running, needs_app

from curate.decisions.ledger import Ledger
from curate.issues.kinds import issues_of_view
from curate.review.session import ReviewSession
from curate.verbs.app import read_tables
from curate.workspace import Workspace

pytestmark = needs_app


@pytest.fixture(scope="module")
def ingested(digits_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("app") / "ws"
    ask("ingest", digits_folder, "-w", root, "--json")
    return root


@pytest.fixture
def workspace(ingested: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(ingested, tmp_path / "ws"))


class Page:
    """A page of the App once its grid shows pictures; whatever is not ours is refused and noted."""

    def __init__(self, browser: Any, app: App, view: str, order: list[str]) -> None:
        self.app, self.order = app, order
        self.page = browser.new_page(viewport={"width": 1400, "height": 900})
        self.page.set_default_timeout(240_000)
        self.page.add_init_script("localStorage.setItem('fiftyone-enterprise-tooltip-seen', 'true')")
        self.outside: list[str] = []
        self.page.route("**/*", self._only_ours)
        self.page.goto(app.url.replace("view=queue", f"view={view}"))
        self.page.wait_for_selector('[data-cy="looker"]')
        self.page.wait_for_selector("text=/Select a tile or open one/")  # the panel, and with it the operators

    def _only_ours(self, route: Any) -> None:
        if route.request.url.startswith(("http://127.0.0.1", "data:", "blob:")):
            route.continue_()
        else:
            self.outside.append(route.request.url)
            route.abort()

    def select(self, sample_id: str) -> None:
        """Tick a tile; it stands where the view has its sample."""
        tile = self.page.locator('[data-cy="looker"]').nth(self.order.index(sample_id))
        tile.hover()
        tile.locator('[data-cy^="looker-checkbox"]').first.click()
        self.page.wait_for_selector('[data-cy="action-manage-selected"]')

    def open(self, sample_id: str) -> None:
        self.page.locator('[data-cy="looker"]').nth(self.order.index(sample_id)).click()
        self.page.wait_for_selector('[data-cy="nav-right-button"]')

    def decided(self, n: int) -> None:
        """Wait until the ledger has `n` rows, and the grid is itself again."""
        self.recorded(n)
        self.page.wait_for_selector('[data-cy="action-manage-selected"]', state="detached")
        self.page.wait_for_selector('[data-cy="looker"]')

    def recorded(self, n: int) -> None:
        until = time.monotonic() + 240
        while len(history_of(self.app.workspace)) < n:
            assert time.monotonic() < until, f"no row {n} in the ledger"
            self.page.wait_for_timeout(50)


def history_of(workspace: Path) -> pd.DataFrame:
    with Ledger(workspace / "ledger.sqlite") as ledger:
        return ledger.history()


def desk_of(workspace: Path) -> ReviewSession:
    return ReviewSession(read_tables(Workspace(workspace)), Ledger(workspace / "ledger.sqlite"), "anna")


def shown(app: App) -> set[tuple[str, str, str | None]]:
    """sample_id, decision and reviewed label of every decided sample, as the App has it."""
    rows = app.fields(["sample_id", "decision", "reviewed_label"])
    return {(row["sample_id"], row["decision"], row.get("reviewed_label")) for row in rows if row.get("decision")}


@pytest.mark.browser
def test_verdicts_by_key_button_and_form_are_in_the_ledger_and_outlive_the_database(browser: Any, workspace: Path):
    session = desk_of(workspace)
    train = set(session.samples.index[session.samples["split"].eq("train")])  # apply leaves test alone
    with App(workspace) as app:
        labels = Page(browser, app, "label-issues", app.order("label"))
        first, second, third, *_ = [s for s in labels.order if s in train]
        labels.select(first)
        labels.page.keyboard.press("Alt+a")
        labels.decided(1)
        labels.select(second)
        labels.page.get_by_role("button", name="Keep", exact=True).click()
        labels.decided(2)
        labels.select(third)
        labels.page.keyboard.press("Alt+r")
        labels.page.fill('[data-cy="operators-prompt-modal"] input', "7")
        labels.page.keyboard.press("ArrowDown")
        labels.page.keyboard.press("Enter")
        labels.page.click("text=Execute")
        labels.decided(3)
        assert all("fonts.googleapis.com" in url for url in labels.outside)  # two style sheets that nobody misses
        labels.page.close()

        copies = Page(browser, app, "duplicates", app.order("duplicate"))
        gone, back, *_ = [s for s in copies.order[:20] if s in train]
        for n, sample_id in enumerate((gone, back), start=4):
            copies.select(sample_id)
            copies.page.keyboard.press("Alt+d")
            copies.decided(n)
        copies.page.keyboard.press("Alt+z")
        copies.decided(6)
        opened, after_it = copies.order[-2:]
        copies.open(opened)
        copies.page.keyboard.press("Alt+k")
        copies.page.keyboard.press("Alt+u")  # at once: it is for the next sample, which comes by itself
        copies.recorded(8)
        suggested = str(session.question(first, ("label",))["suggested_label"])
        of_copy = {s: str(session.question(s, issues_of_view("duplicate"))["issue"]) for s in (gone, opened, after_it)}
        expected = {
            (first, "label", "relabel", suggested),
            (second, "label", "keep", None),
            (third, "label", "relabel", "7"),
            (opened, of_copy[opened], "keep", None),
            (after_it, of_copy[after_it], "unsure", None),
            (gone, of_copy[gone], "drop", None),
        }
        decisions = {(sample_id, action, label) for sample_id, _, action, label in expected}
        copies.page.wait_for_timeout(2000)  # the App's fields follow the ledger
        assert shown(app) == decisions
        copies.page.close()

    with Ledger(workspace / "ledger.sqlite") as ledger:
        standing = ledger.current()
    rows = standing[["sample_id", "issue", "action", "label"]].astype(object)
    assert set(rows.where(rows.notna(), None).itertuples(index=False, name=None)) == expected
    assert set(standing["reviewer"]) == {"anna"}
    assert history_of(workspace)["action"].tolist().count("undo") == 1

    ask("apply", "-w", workspace, "--json")
    version = pd.read_parquet(workspace / "versions" / "1" / "manifest.parquet").set_index("sample_id")["label"]
    assert gone not in version.index and back in version.index
    assert (version[first], version[second], version[third]) == (suggested, session.samples.at[second, "label"], "7")

    shutil.rmtree(workspace / "mongo")
    with App(workspace) as app:
        assert shown(app) == decisions


def test_the_server_gives_this_page_on_this_machine_this_datasets_pictures_and_nothing_else(workspace: Path):
    picture = str(desk_of(workspace).samples["path"].iloc[0])
    with App(workspace) as app:
        opener = app.browserlike()

        def status(path: str, **headers: str) -> int:
            request = urllib.request.Request(app.base + path, headers=headers)
            try:
                return int(opener.open(request).status)
            except urllib.error.HTTPError as error:
                return error.code

        media = f"/media?filepath={quote(picture)}"
        assert status(media) == 200
        assert status(media, Origin=app.base) == 200
        assert status(media, Host="evil.example") == 403
        assert status(media, Host="127.0.0.1.evil.example") == 403
        assert status(media, Origin="http://evil.example") == 403
        assert status(media, Origin="http://localhost:1") == 403
        assert status(media, Origin="null") == 403
        assert status("/media?filepath=/etc/passwd") == 403
        assert status(f"{media}&filepath=/etc/passwd") == 403
        assert status(f"/media?filepath={quote(picture)}/../../../../../../etc/passwd") == 403
        with pytest.raises(urllib.error.HTTPError, match="403"):  # another user of the machine has no key
            urllib.request.urlopen(app.base + media)
        operate = urllib.request.Request(
            app.base + "/operators/execute",
            data=json.dumps({"operator_uri": "@curate/review/undo", "dataset_name": app.dataset}).encode(),
            headers={"Content-Type": "text/plain", "Origin": "http://evil.example"},
        )
        with pytest.raises(urllib.error.HTTPError, match="403"):
            opener.open(operate)
        listening = subprocess.run(["ss", "-ltnH"], capture_output=True, text=True).stdout.splitlines()
        ours = [line.split()[3] for line in listening if line.split()[3].endswith(f":{app.port}")]
        assert ours == [f"127.0.0.1:{app.port}"]


def test_a_second_review_of_a_workspace_tells_the_address_of_the_first_and_nothing_is_left_running(workspace: Path):
    with App(workspace) as app:
        second = subprocess.run(app.command, capture_output=True, text=True)
        assert second.returncode == 1
        assert app.url in second.stderr
        mongod = app.mongod()
        assert is_running(mongod)
    assert not is_running(mongod)


def test_labels_edited_in_the_app_and_tags_are_read_back_as_verdicts(workspace: Path):
    with App(workspace) as app:
        edited, tagged, *_ = app.order("label")
        app.write({"sample_id": edited}, {"$set": {"label.label": "7"}})  # what the Annotate tab does
        app.write({"sample_id": tagged}, {"$set": {"tags": ["drop", "my own"]}})
        opener = app.browserlike()
        body = json.dumps({"dataset": app.dataset, "sample_ids": [], "changes": {}}).encode()
        headers = {"Content-Type": "application/json", "Origin": app.base}
        opener.open(urllib.request.Request(app.base + "/tag", data=body, headers=headers)).read()
        app.wait_for(lambda: len(history_of(workspace)) == 2)
        app.wait_for(lambda: app.fields(["tags"], {"sample_id": tagged})[0]["tags"] == ["my own"])
    standing = history_of(workspace).set_index("sample_id")
    assert (standing.at[edited, "action"], standing.at[edited, "label"]) == ("relabel", "7")
    assert standing.at[tagged, "action"] == "drop"


COMPARE = """
import json, sys
import fiftyone as fo
from curate.review.app.dataset import collection_of

VARIES = {"_id", "_dataset_id", "_rand", "created_at", "last_modified_at"}  # of these only the type

def told(value):
    if not isinstance(value, dict):
        return repr(value)
    there = {k: v for k, v in value.items() if v is not None}
    return {k: type(v).__name__ if k in VARIES else told(v) for k, v in there.items()}

dataset, theirs = fo.load_dataset(sys.argv[1]), fo.Dataset("theirs")
sample = dataset.match(fo.ViewField("filepath") == sys.argv[2]).first()
theirs.add_sample(sample.copy())
print(json.dumps([told(collection_of(d).find_one({"filepath": sys.argv[2]})) for d in (dataset, theirs)]))
"""


def test_our_documents_are_those_that_fiftyone_writes_itself(workspace: Path):
    with App(workspace) as app:
        path = app.fields(["filepath"], {"sample_id": app.order("label")[0]})[0]["filepath"]
        quiet = {"FIFTYONE_DATABASE_VALIDATION": "false", "FIFTYONE_DO_NOT_TRACK": "true"}
        done = subprocess.run(
            [sys.executable, "-c", COMPARE, app.dataset, path],
            env={**os.environ, **quiet, "FIFTYONE_DATABASE_URI": app.db_uri},
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stderr
    ours, theirs = json.loads(done.stdout.splitlines()[-1])
    assert ours == theirs
    assert ours["label"]["_cls"] == "'Classification'" and "outlier_score" in ours
