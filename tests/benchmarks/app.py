"""How fast the App is: start to usable grid, first load and re-sync, and keystroke to ledger. Needs the extra `review`.

    python tests/benchmarks/app.py WORKSPACE [--grow 60000] [--verdicts 200]

`WORKSPACE` is copied. With `--grow` its tables are repeated to that many samples, whose pictures are its own again and
again: what is timed depends on the number of samples, not on their pixels. Prints one JSON object, in seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))

from app_process import App

from curate.decisions.ledger import Ledger
from curate.find import all_finders
from curate.review.app.serve import open_database
from curate.review.session import ReviewSession
from curate.verbs.app import read_tables
from curate.workspace import Workspace

CHANGED = 500  # samples whose scores a new `find` changes
SETTLED, PAUSE = 3000, 800  # milliseconds: after the sample is open, and to look at the next one
FLAGS = ["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]  # as without internet
NOTED = 20  # verdicts between notes of how far it is
PATIENCE = 60.0  # seconds until a verdict counts as lost


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--grow", type=int)
    parser.add_argument("--verdicts", type=int, default=200)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(shutil.copytree(arguments.workspace, Path(folder) / "ws", ignore=shutil.ignore_patterns("mongo")))
        if arguments.grow:
            grow(Workspace(root), arguments.grow)
        print(json.dumps(measure(root, arguments.verdicts), indent=1))


def grow(workspace: Workspace, n: int) -> None:
    """Repeat the tables' rows under new names until there are `n` samples."""
    samples = workspace.read("samples")
    times = -(-n // len(samples))

    def repeated(table: pd.DataFrame) -> pd.DataFrame:
        names = [c for c in ("sample_id", "sample_id_a", "sample_id_b", "nearest_id", "group_id") if c in table]
        parts = [table.assign(**{c: f"{k:03d}/" + table[c].astype("str") for c in names}) for k in range(times)]
        for part in parts:
            for c in names:
                part[c] = part[c].where(table[c].notna(), None)
        return pd.concat(parts, ignore_index=True)

    grown = repeated(samples)
    grown["sha256"] = [f"{k:064x}" for k in range(len(grown))]
    workspace.write("samples", grown)
    for name in ("near_duplicate_pairs", "annotations", "consensus"):
        if workspace.has(name):
            workspace.write(name, repeated(workspace.read(name)))
    for name in all_finders():
        if workspace.has(name) and name != "classes":
            workspace.write(name, repeated(workspace.read(name)))


def measure(root: Path, verdicts: int) -> dict[str, Any]:
    figures: dict[str, Any] = {"samples": len(Workspace(root).read("samples"))}
    for name in ("first start", "start again"):
        figures[f"{name} to grid"], figures[f"{name} to address"] = start_to_grid(root)
        note(figures)
    figures |= keystrokes(root, verdicts)
    note(figures)
    return figures | syncs(Workspace(root)) | {"load average": round(os.getloadavg()[0], 1)}


def note(figures: dict[str, Any]) -> None:
    """What is known so far, should the rest not be waited for."""
    print(json.dumps(figures), file=sys.stderr, flush=True)


def start_to_grid(root: Path) -> tuple[float, float]:
    """Seconds from `curate review` to the first picture in the grid, and to the printed address."""
    begun = time.perf_counter()
    with App(root) as app:
        ready = time.perf_counter() - begun
        with browser() as chromium:
            open_grid(chromium, app.url)
            return round(time.perf_counter() - begun, 2), round(ready, 2)


def keystrokes(root: Path, n: int) -> dict[str, Any]:
    """Seconds from the key to the row in the ledger, and to the next sample, which each verdict opens."""
    to_ledger, to_next = [], []
    with App(root) as app, browser() as chromium, closing(sqlite3.connect(root / "ledger.sqlite")) as ledger:
        page = open_grid(chromium, app.url.replace("view=queue&", ""))  # all samples: of 600 fewer than 200 are queued
        page.locator('[data-cy="looker"]').first.click()
        page.wait_for_selector('[data-cy="nav-right-button"]')
        page.wait_for_timeout(SETTLED)
        for key, _ in zip(cycle("kdu"), range(n), strict=False):
            rows, address, begun = rows_of(ledger), page.url, time.perf_counter()
            page.keyboard.press(f"Alt+{key}")
            to_ledger.append(waited(page, begun, lambda rows=rows: rows_of(ledger) > rows))
            to_next.append(waited(page, begun, lambda address=address: page.url != address))
            if len(to_next) % NOTED == 0:
                note({"verdicts": len(to_next), "median": statistics.median(to_ledger)})
            page.wait_for_timeout(PAUSE)
        decided = ledger.execute("SELECT COUNT(DISTINCT sample_id) FROM decisions").fetchone()[0]
    return {
        "verdicts": n,
        "samples decided": decided,
        **shares("keystroke to ledger", to_ledger),
        **shares("keystroke to the next sample", to_next),
    }


def waited(page: Any, begun: float, has_come: Callable[[], bool]) -> float:
    """Seconds since `begun` when it has come."""
    while not has_come():
        page.wait_for_timeout(2)
        assert time.perf_counter() - begun < PATIENCE, "it did not come"
    return time.perf_counter() - begun


def shares(name: str, seconds: list[float]) -> dict[str, float]:
    median, slow = np.percentile(seconds, [50, 95])
    return {f"{name}, median": round(float(median), 3), f"{name}, 95th percentile": round(float(slow), 3)}


def rows_of(ledger: sqlite3.Connection) -> int:
    if ledger.execute("SELECT name FROM sqlite_master WHERE name = 'decisions'").fetchone() is None:
        return 0  # the table comes with the first verdict
    return int(ledger.execute("SELECT COUNT(*) FROM decisions").fetchone()[0])


def syncs(workspace: Workspace) -> dict[str, Any]:
    """Seconds of the dataset alone: first load, nothing changed, and the outlier scores of some samples changed."""
    from curate.review.app.dataset import open_dataset, sync
    from curate.review.app.fields import sample_rows

    figures: dict[str, Any] = {}
    with open_database(workspace), Ledger(workspace.ledger) as ledger:
        session = ReviewSession(read_tables(workspace), ledger, "anna")
        begun = time.perf_counter()
        rows = sample_rows(session)
        figures["rows made"] = round(time.perf_counter() - begun, 2)
        changed = rows.copy()
        changed.loc[changed.index[:CHANGED], "outlier_score"] = np.linspace(0.3, 0.4, CHANGED)
        dataset = open_dataset("sync-benchmark")
        for name, table in (("first load", rows), ("re-sync", rows), (f"re-sync, {CHANGED} changed", changed)):
            begun = time.perf_counter()
            sync(dataset, table)
            figures[name] = round(time.perf_counter() - begun, 2)
    return figures


class browser:
    """Debian's chromium."""

    def __enter__(self) -> Any:
        from playwright.sync_api import sync_playwright

        self.playwright = sync_playwright().start()
        self.chromium = self.playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        return self.chromium

    def __exit__(self, *_: object) -> None:
        self.chromium.close()
        self.playwright.stop()


def open_grid(chromium: Any, url: str) -> Any:
    page = chromium.new_page(viewport={"width": 1400, "height": 900})
    page.set_default_timeout(120_000)
    page.add_init_script("localStorage.setItem('fiftyone-enterprise-tooltip-seen', 'true')")
    page.goto(url)
    page.wait_for_selector('[data-cy="looker"]')
    return page


if __name__ == "__main__":
    main()
