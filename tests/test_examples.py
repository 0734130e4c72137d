"""Every example and pipeline runs, and prints what its first line promises."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from curate.verbs.ingest import ingest
from curate.workspace import Workspace

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))

PROMISED = {
    "agreement": "krippendorff_alpha",
    "label_errors": "of the 90 planted mistakes are among them",
    "near_duplicates": "-copy.png",
    "own_finder": "0 of 405 are misnamed",
    "read_tables": "of 405 labels are flagged",
    "verdicts": "0 decisions in force",
}


@pytest.fixture(scope="module")
def workspace(digits_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = Workspace.create(tmp_path_factory.mktemp("examples") / "workspace")
    ingest(made, digits_folder)
    return made.root


def run(script: Path, *arguments: Path, cwd: Path) -> str:
    command = [sys.executable, str(script), *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_example_is_listed_and_tested() -> None:
    listed = (ROOT / "examples" / "README.md").read_text()
    assert {path.stem for path in EXAMPLES} == set(PROMISED)
    assert all(f"]({path.name})" in listed for path in EXAMPLES)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_the_example_prints_what_it_promises(
    example: Path, workspace: Path, digits_folder: Path, tmp_path: Path
) -> None:
    arguments = {"near_duplicates": [digits_folder]}.get(example.stem, [workspace])
    assert PROMISED[example.stem] in run(example, *arguments, cwd=tmp_path)


@pytest.mark.slow
def test_the_quickstart_goes_from_a_folder_to_the_report(digits_folder: Path, tmp_path: Path) -> None:
    said = run(ROOT / "pipelines" / "quickstart.py", digits_folder, tmp_path / "workspace", cwd=tmp_path)
    assert "Version 1" in said and "Report: " in said
    assert (tmp_path / "workspace" / "reports" / "report.html").stat().st_size > 10_000
