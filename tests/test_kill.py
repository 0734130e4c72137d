"""SIGKILL at random moments: running the same command again gives what an undisturbed run gives."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from curate.review.ledger import Ledger
from curate.workspace import Workspace

pytestmark = pytest.mark.slow
TABLES = ("tables", "issues", "neighbors", "pred_probs")


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "curate", *map(str, arguments)]


def run(*arguments: object) -> float:
    started = time.perf_counter()
    done = subprocess.run(command(*arguments), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return time.perf_counter() - started


def run_and_kill(after: float, *arguments: object) -> None:
    with subprocess.Popen(command(*arguments), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        time.sleep(after)
        process.send_signal(signal.SIGKILL)


def contents(workspace: Path) -> dict[str, object]:
    """Every derived table and array of a workspace by name, without the times of day."""
    found: dict[str, object] = {}
    for file in sorted(path for folder in TABLES for path in (workspace / folder).rglob("*")):
        if file.suffix == ".parquet":
            found[str(file.relative_to(workspace))] = pd.read_parquet(file).to_json()
        elif file.suffix == ".npz":
            with np.load(file) as arrays:
                found[str(file.relative_to(workspace))] = {name: arrays[name].tobytes() for name in arrays.files}
    return found


def test_ingest_killed_at_thirty_moments_ends_with_the_same_tables(digits_folder, tmp_path):
    seconds = run("ingest", digits_folder, "-w", tmp_path / "undisturbed")
    expected = contents(tmp_path / "undisturbed")
    rng = random.Random(0)
    workspace = tmp_path / "killed"
    for moment in range(30):
        run_and_kill(rng.uniform(0, seconds), "ingest", digits_folder, "-w", workspace)
        if moment % 10 == 9:  # ten kills in a row must not wear it down either
            run("ingest", digits_folder, "-w", workspace)
            assert contents(workspace) == expected
            workspace = tmp_path / f"killed-{moment}"
    assert not [p for p in (tmp_path / "killed").rglob("*.tmp")]


def test_find_killed_at_ten_moments_ends_with_the_same_tables(digits_folder, tmp_path):
    run("ingest", digits_folder, "-w", tmp_path / "ws")
    expected = contents(tmp_path / "ws")
    for name in ("neighbors", "issues", "pred_probs"):
        for file in (tmp_path / "ws" / name).glob("*"):
            file.unlink()
    rng = random.Random(1)
    for _ in range(10):
        run_and_kill(rng.uniform(0, 6), "find", "-w", tmp_path / "ws")
    run("find", "-w", tmp_path / "ws")
    assert contents(tmp_path / "ws") == expected


def test_no_decision_is_lost_and_apply_makes_one_whole_version(digits_folder, tmp_path):
    workspace = tmp_path / "ws"
    run("ingest", digits_folder, "-w", workspace)
    rows = pd.read_parquet(workspace / "tables" / "samples.parquet").head(40)
    rng = random.Random(2)
    recorded = 0
    for number, sample_id in enumerate(rows["sample_id"]):
        file = tmp_path / f"{number}.csv"
        pd.DataFrame({"sample_id": [sample_id], "issue": ["label"], "action": ["keep"]}).to_csv(file, index=False)
        decide = command("decide", file, "--reviewer", "ann", "-w", workspace)
        if number % 2:
            with subprocess.Popen(decide, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
                time.sleep(rng.uniform(0, 2.5))
                process.kill()
                recorded += "1 decision(s) recorded" in process.stdout.read()
        else:
            assert subprocess.run(decide, capture_output=True).returncode == 0
            recorded += 1
    with Ledger(workspace / "ledger.sqlite") as ledger:
        assert len(ledger.history()) >= recorded  # a kill after the write and before the word is no loss
    for _ in range(10):
        run_and_kill(rng.uniform(0, 3), "apply", "-w", workspace)
    run("apply", "-w", workspace)
    versions = Workspace(workspace).numbered("versions")
    assert versions == [1]  # the same decisions make no second version
    manifest = pd.read_parquet(workspace / "versions" / "1" / "manifest.parquet")
    assert len(manifest) == len(pd.read_parquet(workspace / "tables" / "samples.parquet").query("status == 'ok'"))
