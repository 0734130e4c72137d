"""SIGINT, SIGTERM and SIGHUP at random moments: the exit code says so, and the same command again ends the work."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from command import class_folders, done
from test_kill import contents

MOMENTS = int(os.environ.get("CURATE_MOMENTS", 2))  # of each signal and command; docs/reliability.md tried 10
SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: -signal.SIGTERM, signal.SIGHUP: -signal.SIGHUP}
COMMANDS = {
    "ingest": ["ingest", "IMAGES"],
    "apply": ["apply", "--class-cap", "1", "--export", "TREE", "--how", "copy"],
    "retrain": ["retrain", "--preset", "quick", "--folds", "2", "--set", "exchanges=0"],
}
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace before each command (`before-NAME`) and after all."""
    root = tmp_path_factory.mktemp("signals")
    images = class_folders(root / "images", {"cat": 24, "dog": 24})
    for number in range(4):
        shutil.copy2(images / f"cat/{number:03d}.png", images / f"dog/copy-{number}.png")
    workspace = root / "ws"
    for name, arguments in COMMANDS.items():
        if workspace.exists():
            shutil.copytree(workspace, root / f"before-{name}")
        done(*filled(arguments, root, root / "tree"), "-w", workspace)
        shutil.copytree(workspace, root / f"after-{name}")
        if name == "ingest":
            done("decide", "--issue", "exact_duplicate", "--above", "0.1", "--action", "drop", "-w", workspace)
    return root


def filled(arguments: list[str], root: Path, tree: Path) -> list[str]:
    return [{"IMAGES": str(root / "images"), "TREE": str(tree)}.get(argument, argument) for argument in arguments]


def interrupted(command: list[str], after: float, number: signal.Signals) -> tuple[int, str, bool]:
    """Exit code and errors of a command that got a signal after so many seconds; whether it ended before."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        time.sleep(after)
        over = process.poll() is not None
        process.send_signal(number)
        _, errors = process.communicate(timeout=120)
    return process.returncode, errors, over


def tree_of(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_signalled_command_says_so_and_is_gone_on_with(
    stages: Path, tmp_path: Path, name: str, number: signal.Signals
) -> None:
    moments, in_time = random.Random(f"{name} {number}"), 0
    for moment in range(MOMENTS):
        workspace, tree = tmp_path / f"ws{moment}", tmp_path / f"tree{moment}"
        if (stages / f"before-{name}").exists():
            shutil.copytree(stages / f"before-{name}", workspace)
        arguments = [*filled(COMMANDS[name], stages, tree), "-w", str(workspace)]
        command = [sys.executable, "-m", "curate", *arguments]
        code, errors, over = interrupted(command, moments.uniform(0.3, 6.0), number)
        in_time += not over
        if not over and code != 0:  # 0: it had done its work when the signal came
            assert code in (SIGNALS[number], -number), errors
            assert "Traceback" not in errors or code == -number, errors
        done(*arguments)
        assert not [path for path in workspace.rglob(".*.tmp")]
        assert contents(workspace) == contents(stages / f"after-{name}")
        if name == "apply":
            assert tree_of(tree) == tree_of(stages / "tree")
        if name == "retrain":
            runs = [
                pd.read_parquet(root / "runs/1/predictions.parquet") for root in (workspace, stages / "after-retrain")
            ]
            pd.testing.assert_frame_equal(*runs)
