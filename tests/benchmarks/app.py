"""How fast the App is: start to usable grid, first load and re-sync, and keystroke to ledger. Needs the extra `review`.

    python tests/benchmarks/app.py WORKSPACE [--grow 60000] [--verdicts 200]

`WORKSPACE` is copied. With `--grow` its tables are repeated to that many samples, whose pictures are its own again and
again: what is timed depends on the number of samples, not on their pixels. Prints one JSON object, in seconds.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))

from app_process import App

from curate.find import all_finders, issue_names
from curate.review.ledger import Ledger
from curate.workspace import Workspace

CHANGED = 500  # samples whose scores a new `find` changes


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
    figures["first start to grid"], url_after = start_to_grid(root)
    figures["first start to address"] = url_after
    figures["start again to grid"], figures["start again to address"] = start_to_grid(root)
    change(Workspace(root), CHANGED)
    figures[f"start to grid after a find that changed {CHANGED}"], _ = start_to_grid(root)
    figures["keystroke to ledger, median"], figures["keystroke to ledger, 95th percentile"] = keystrokes(root, verdicts)
    return figures


def start_to_grid(root: Path) -> tuple[float, float]:
    """Seconds from `curate review` to the first picture in the grid, and to the printed address."""
    begun = time.perf_counter()
    with App(root) as app:
        ready = time.perf_counter() - begun
        with browser() as chromium:
            open_grid(chromium, app.url)
            return round(time.perf_counter() - begun, 2), round(ready, 2)


def keystrokes(root: Path, n: int) -> tuple[float, float]:
    """Seconds from the key to the row in the ledger, sample after sample in the modal."""
    seconds = []
    with App(root) as app, browser() as chromium, Ledger(root / "ledger.sqlite") as ledger:
        page = open_grid(chromium, app.url)
        page.locator('[data-cy="looker"]').first.click()
        page.wait_for_selector('[data-cy="modal"]')
        page.wait_for_timeout(2000)
        for key in (["k", "d", "u", "a"] * n)[:n]:
            rows, sample, begun = len(ledger.history()), page.url, time.perf_counter()
            page.keyboard.press(f"Alt+{key}")
            while len(ledger.history()) == rows:
                time.sleep(0.002)
            seconds.append(time.perf_counter() - begun)
            page.wait_for_function("before => location.href !== before", arg=sample)
            page.wait_for_timeout(100)
    return round(statistics.median(seconds), 3), round(float(np.percentile(seconds, 95)), 3)


def change(workspace: Workspace, n: int) -> None:
    """Other scores for `n` samples, as a new `find` would give."""
    table = workspace.read("outlier")
    for issue in issue_names(table):
        table.loc[table.index[:n], f"{issue}_score"] = np.linspace(0.3, 0.4, n)
    workspace.write("outlier", table)


class browser:
    """Debian's chromium."""

    def __enter__(self) -> Any:
        from playwright.sync_api import sync_playwright

        self.playwright = sync_playwright().start()
        self.chromium = self.playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        return self.chromium

    def __exit__(self, *_: object) -> None:
        self.chromium.close()
        self.playwright.stop()


def open_grid(chromium: Any, url: str) -> Any:
    page = chromium.new_page(viewport={"width": 1400, "height": 900})
    page.set_default_timeout(120_000)
    page.add_init_script("localStorage.setItem('fiftyone-enterprise-tooltip-seen', 'true')")
    page.route("**/*", lambda route: route.continue_() if "127.0.0.1" in route.request.url else route.abort())
    page.goto(url)
    page.wait_for_selector('[data-cy="looker"]')
    return page


if __name__ == "__main__":
    main()
