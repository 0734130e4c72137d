"""Sizes beyond what people have: seconds, peak memory, outcome. Run: python tests/benchmarks/reliability.py [TRY …]

files       100,000 tiny files in one folder: ingest
classes     50,000 classes of two images: ingest, issues, report
annotators  500 people who label 2,000 images each four times: ingest
page        a review page of 20,000 flags that Chromium opens
report      a report of 5,000 classes that Chromium opens
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd


def main() -> None:
    names = sys.argv[1:] or list(TRIES)
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            TRIES[name](Path(folder))


def command(*arguments: object) -> None:
    """Run one command; print its seconds, its peak memory and what it says at the end."""
    started = time.perf_counter()
    ran = subprocess.run([sys.executable, "-m", "curate", *map(str, arguments)], capture_output=True, text=True)
    seconds, peak = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    last = (ran.stdout.strip() or ran.stderr.strip()).splitlines()[-1][:80]
    outcome = (
        f"{' '.join(map(str, arguments[:2]))[:30]:<30} {seconds:7.1f} s  {peak:6,} MB  exit {ran.returncode}  {last}"
    )
    print(outcome, flush=True)


def tiny_files(folder: Path, count: int) -> Path:
    """`count` PNG files of 8 × 8 noise."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        cv2.imwrite(str(folder / f"{number:06d}.png"), rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    return folder


def manifest(root: Path, count: int, classes: int, split: bool = False) -> Path:
    tiny_files(root / "images", count)
    table = pd.DataFrame({"image": [f"images/{n:06d}.png" for n in range(count)]})
    table["label"] = [f"class {n % classes:05d}" for n in range(count)]
    if split:
        table["split"] = np.where(np.arange(count) // classes % 5 == 4, "test", "train")
    table.to_csv(root / "m.csv", index=False)
    return root / "m.csv"


def files(root: Path) -> None:
    command("ingest", tiny_files(root / "images", 100_000), "-w", root / "ws")
    command("ingest", root / "images", "-w", root / "ws")


def classes(root: Path) -> None:
    command("ingest", manifest(root, 100_000, 50_000, split=True), "-w", root / "ws")
    command("issues", "-w", root / "ws")
    command("report", "-w", root / "ws")


def annotators(root: Path) -> None:
    source, rng = manifest(root, 2000, 10, split=True), np.random.default_rng(0)
    images = pd.read_csv(source)
    votes = images.loc[images.index.repeat(4), ["image", "label"]].reset_index(drop=True)
    votes["annotator"] = [f"person {n:03d}" for n in np.argsort(rng.random((2000, 500)), axis=1)[:, :4].ravel()]
    wrong = rng.random(len(votes)) < 0.15
    votes.loc[wrong, "label"] = [f"class {n:05d}" for n in rng.integers(0, 10, wrong.sum())]
    votes.to_csv(root / "votes.csv", index=False)
    command("ingest", source, "--annotations", root / "votes.csv", "-w", root / "ws")
    command("report", "-w", root / "ws")


def page(root: Path) -> None:
    folder = tiny_files(root / "images", 10_000)
    for number in range(20_000):  # each picture three times
        os.link(folder / f"{number % 10_000:06d}.png", folder / f"copy-{number:06d}.png")
    command("ingest", folder, "-w", root / "ws")
    command("review", "--html", "--limit", 20_000, "-w", root / "ws")
    opened(root / "ws/reports/review.html")


def report(root: Path) -> None:
    command("ingest", manifest(root, 20_000, 5000, split=True), "-w", root / "ws")
    command("report", "-w", root / "ws")
    opened(root / "ws/reports/report.html")


def opened(page: Path) -> None:
    """Seconds until Chromium has laid the page out, and its script's memory."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab, started = browser.new_page(), time.perf_counter()
        tab.set_default_timeout(300_000)
        tab.goto(page.as_uri(), timeout=300_000)
        height = tab.evaluate("document.body.scrollHeight")
        heap = tab.evaluate("performance.memory.usedJSHeapSize") // 2**20
        took, size = time.perf_counter() - started, page.stat().st_size / 2**20
        print(f"Chromium: {size:.1f} MB page, {took:.1f} s, script memory {heap} MB, {height:,} px", flush=True)
        browser.close()


TRIES: dict[str, Callable[[Path], None]] = {
    "files": files,
    "classes": classes,
    "annotators": annotators,
    "page": page,
    "report": report,
}

if __name__ == "__main__":
    main()
