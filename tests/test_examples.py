"""Every example and pipeline runs, and prints what its first line promises."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import curate

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
LARGEST = 100_000  # bytes of a notebook: its outputs are made by whoever runs it

PROMISED = {
    "agreement": "krippendorff_alpha",
    "label_errors": "of the 90 planted mistakes are among them",
    "near_duplicates": "-copy.png",
    "own_finder": "0 of 405 are misnamed",
    "read_tables": "of 405 labels are flagged",
    "verdicts": "1 decision taken back",
}

PROMISED_BY_NOTEBOOKS = {"own_model": "planted mistakes are flagged", "the_loop": "version 0 against version 1"}


@pytest.fixture(scope="module")
def workspace(digits_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    ds = curate.open(tmp_path_factory.mktemp("examples") / "workspace")
    ds.ingest(digits_folder)
    return ds.root


def run(script: Path, *arguments: Path, cwd: Path) -> str:
    command = [sys.executable, str(script), *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_example_is_listed_and_tested() -> None:
    listed = (ROOT / "examples" / "README.md").read_text()
    assert {path.stem for path in EXAMPLES} == set(PROMISED)
    assert all(f"]({path.name})" in listed for path in [*EXAMPLES, *NOTEBOOKS])


@pytest.mark.parametrize("script", [*EXAMPLES, ROOT / "pipelines" / "quickstart.py"], ids=lambda path: path.stem)
def test_the_scripts_use_the_api_and_no_stage(script: Path) -> None:
    allowed = {"own_finder": {"curate.issues.kinds", "curate.issues.table", "curate.schema"}}.get(script.stem, set())
    modules = re.findall(r"^\s*(?:from|import) (curate\.[\w.]+)", script.read_text(), re.MULTILINE)
    assert set(modules) <= allowed


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_the_example_prints_what_it_promises(
    example: Path, workspace: Path, digits_folder: Path, tmp_path: Path
) -> None:
    arguments = {"near_duplicates": [digits_folder]}.get(example.stem, [workspace])
    assert PROMISED[example.stem] in run(example, *arguments, cwd=tmp_path)


def test_the_notebooks_are_kept_without_large_outputs() -> None:
    assert len(NOTEBOOKS) == 2
    for file in NOTEBOOKS:
        assert file.stat().st_size < LARGEST, file.name


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of Jupyter's own packages, and of those that they import
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_runs_from_top_to_bottom(notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    cells = nbformat.read(notebook, as_version=4)
    client = nbclient.NotebookClient(
        cells, timeout=500, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    )
    client.execute()
    outputs = [output for cell in cells.cells if cell.cell_type == "code" for output in cell.outputs]
    html = "".join(output["data"]["text/html"] for output in outputs if "text/html" in output.get("data", {}))
    assert "<img" in html if notebook.stem == "the_loop" else "<table" in html
    printed = "".join(output.get("text", "") for output in outputs)
    assert PROMISED_BY_NOTEBOOKS[notebook.stem] in printed + html


@pytest.mark.slow
def test_the_quickstart_goes_from_a_folder_to_the_report(digits_folder: Path, tmp_path: Path) -> None:
    said = run(ROOT / "pipelines" / "quickstart.py", digits_folder, tmp_path / "workspace", cwd=tmp_path)
    assert "Version 1" in said and "Report: " in said
    assert (tmp_path / "workspace" / "reports" / "report.html").stat().st_size > 10_000
