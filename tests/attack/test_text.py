"""Names are text: no terminal obeys them, no spreadsheet runs them, and what curate wrote it reads back."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from command import curate, done, picture, refused
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curate import Dataset
from curate.cli import main
from curate.cli.output import PlainFormatter, as_table
from curate.decisions.csv import read_decisions
from curate.decisions.ledger import Ledger
from curate.files import FORMATS
from curate.formats.tree import export_csv
from curate.ingest.annotations import read_annotations
from curate.ingest.sources import read_source
from curate.progress import bar
from curate.schema import conform
from curate.text import csv_text, for_csv, from_csv

CLEAR = "\x1b[2J\x1b]0;title\x07"  # clears a screen and names its window
HOSTILE = [f"cat{CLEAR}", "[red]x[/red]", "[/]", "=1+1", "+dog", "-fox", "@SUM(A1)", "'t Hart", "\tcat", "cat\u202e"]
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
NASTY = st.builds(
    str.__add__,
    st.sampled_from(["", "=", "+", "-", "@", "\t", "\r", "'", "''", "'=", " ", '"', ";;;;", "\n"]),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=6),
).filter(str.strip)
few = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose classes and people are hostile names; two people disagree about every image."""
    root = tmp_path_factory.mktemp("hostile")
    for number, label in enumerate(HOSTILE):
        for image in range(3):
            picture(root / "images" / label / f"{image}{CLEAR}.png", 100 * number + image)
        shutil.copy(root / "images" / label / f"0{CLEAR}.png", root / "images" / label / "=copy.png")
    (root / "images" / f"broken{CLEAR}.png").write_bytes(b"no image")
    ids = [f"{label}/{image}{CLEAR}.png" for label in HOSTILE for image in range(3)]
    others = HOSTILE[1:] + HOSTILE[:1]
    votes = pd.DataFrame(
        {
            "image": ids,
            "=ann": [label for label in HOSTILE for _ in range(3)],
            f"bob{CLEAR}": [label for label in others for _ in range(3)],
        }
    )
    votes.to_parquet(root / "votes.parquet")
    done("ingest", root / "images", "--annotations", root / "votes.parquet", "-w", root / "ws")
    return root


@pytest.fixture
def workspace(hostile: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(hostile / "ws", tmp_path / "ws"))


def cells_of(file: Path) -> list[str]:
    with open(file, newline="", encoding="utf-8-sig") as handle:
        return [cell for row in csv.reader(handle) for cell in row]


def samples_of(workspace: Path) -> pd.DataFrame:
    return pd.read_parquet(workspace / "tables/samples.parquet")


# ---- the terminal ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        ["issues"],
        ["issues", "--issue", "exact_duplicate", "--all", "--limit", "100"],
        ["issues", "--issue", "label", "--all", "--limit", "100"],
        ["issues", "--issue", CLEAR],
        ["check", "--max", f"{CLEAR}=0"],
        [CLEAR],
        ["issues", f"--{CLEAR}"],
        [f"--{CLEAR}"],
        ["issues", "--limit", CLEAR],
        ["decide", f"no{CLEAR}.csv"],
        ["apply"],
        ["status"],
        ["embed"],
        ["find"],
        ["diff", "0", "0"],
    ],
)
def test_no_command_lets_a_name_act_on_the_terminal(workspace: Path, command: list[str]) -> None:
    result = curate(*command, *(() if command[0].startswith(("-", "\x1b")) else ("-w", workspace)))
    assert not {c for c in result.output if c < " " and c != "\n"} and "\u202e" not in result.output
    if any(CLEAR in word for word in command):
        assert "\\x1b[2J" in result.output


def test_ingest_diff_and_decide_show_escapes_as_text(hostile: Path, workspace: Path, tmp_path: Path) -> None:
    said = done("ingest", hostile / "images", "--annotations", hostile / "votes.parquet", "-w", workspace)
    ids = samples_of(workspace)["sample_id"]
    verdicts = pd.DataFrame({"sample_id": [ids[0], f"no{CLEAR}", ids[1]], "issue": "label", "action": "drop"})
    verdicts.to_csv(tmp_path / "d.csv", index=False)
    said += done("decide", tmp_path / "d.csv", "-w", workspace)
    said += done("apply", "-w", workspace) + done("diff", "-w", workspace)
    assert "\\x1b[2J" in said and "\x1b" not in said and "\x07" not in said


def test_json_holds_names_as_they_are(workspace: Path) -> None:
    rows = json.loads(done("issues", "--issue", "exact_duplicate", "--all", "--json", "-w", workspace))
    assert {row["sample_id"] for row in rows} >= {"=1+1/=copy.png", f"[/]/1{CLEAR}.png"}


def test_a_name_in_brackets_is_printed_as_it_is(workspace: Path) -> None:
    said = done("issues", "--issue", "exact_duplicate", "--all", "--limit", "100", "-w", workspace)
    assert "[red]x[/red]/" in said and "[/]/" in said


def test_a_name_does_not_pass_for_a_row_of_a_table() -> None:
    assert as_table([{"image": "a\nb\tc"}]).splitlines()[-1] == "a\\nb\\tc"


def test_a_progress_bar_shows_brackets_and_escapes_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    with bar(f"[/]{CLEAR}", 1, "[red]x[/red]") as advance:
        advance(1)
    shown = capsys.readouterr().err
    assert "[/]\\x1b[2J" in shown and "\x1b[2J" not in shown


def test_a_log_record_is_plain_text() -> None:
    record = logging.LogRecord("curate", logging.WARNING, "", 0, "%s is odd", (CLEAR,), None)
    assert PlainFormatter().format(record) == "\\x1b[2J\\x1b]0;title\\x07 is odd"
    CliRunner().invoke(main, ["status", "-w", "nowhere"])
    assert logging.lastResort is not None and isinstance(logging.lastResort.formatter, PlainFormatter)


@pytest.mark.parametrize(
    "surroundings",
    [{"PYTHONIOENCODING": "latin-1"}, {"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}]
    + [{"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}],
    ids=["latin-1", "ascii", "C", "C, not coerced"],
)
@pytest.mark.parametrize("command", [["issues", "--issue", "exact_duplicate", "--all"], ["--help"], ["issues", "-h"]])
def test_a_terminal_that_lacks_a_letter_gets_its_escape(
    surroundings: dict[str, str], command: list[str], cats: Path
) -> None:
    result = run(*command, *(["-w", str(cats)] if len(command) > 2 else []), **surroundings)
    assert result.returncode == 0 and b"Traceback" not in result.stderr, result.stderr.decode()
    if len(command) > 2:
        assert b"\\u732b" in result.stdout or "猫".encode() in result.stdout


def run(*command: str, **surroundings: str) -> subprocess.CompletedProcess[bytes]:
    wanted = {k: v for k, v in os.environ.items() if k not in ("LANG", "LC_ALL", "LC_CTYPE", "PYTHONUTF8")}
    return subprocess.run([sys.executable, "-m", "curate", *command], env=wanted | surroundings, capture_output=True)


@pytest.fixture(scope="module")
def cats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of one class, 猫."""
    folder = tmp_path_factory.mktemp("cats")
    for number in range(3):
        picture(folder / "images" / "猫" / f"{number}.png", number)
    done("ingest", folder / "images", "-w", folder / "ws")
    return folder / "ws"


# ---- spreadsheets ----------------------------------------------------------------------------


def test_no_csv_that_curate_writes_holds_a_formula(workspace: Path, tmp_path: Path) -> None:
    ids = samples_of(workspace)["sample_id"]
    pd.DataFrame({"sample_id": ids, "issue": "label", "action": "keep"}).to_csv(tmp_path / "keep.csv", index=False)
    done("decide", tmp_path / "keep.csv", "-w", workspace)
    done("apply", "--export", tmp_path / "tree", "--csv", tmp_path / "version.csv", "-w", workspace)
    for name in ("label", "exact_duplicate"):
        done("issues", "--issue", name, "--all", "--out", tmp_path / f"{name}.csv", "-w", workspace)
    done("issues", "--out", tmp_path / "samples.csv", "-w", workspace)
    done("review", "--csv", "--out", tmp_path / "review.csv", "-w", workspace)
    files = [*tmp_path.glob("*.csv"), tmp_path / "tree/manifest.csv", *workspace.rglob("*.csv")]
    assert {file.name for file in files} >= {"arbitration.csv", "manifest.csv", "version.csv", "review.csv"}
    for file in set(files) - {tmp_path / "keep.csv"}:
        assert not [cell for cell in cells_of(file) if cell.startswith(FORMULA) and not is_number(cell)], file


def is_number(cell: str) -> bool:
    with contextlib.suppress(ValueError):
        return bool(float(cell)) or True
    return False


def test_an_export_of_hostile_names_is_ingested_to_the_same_labels(workspace: Path, tmp_path: Path) -> None:
    done("apply", "--export", tmp_path / "tree", "--how", "copy", "-w", workspace)
    before = samples_of(workspace).query("status == 'ok'").set_index("sample_id")["label"]
    written = pd.read_parquet(workspace / "versions/1/manifest.parquet").set_index("sample_id")["label"]
    again = read_source(tmp_path / "tree/manifest.csv").sources
    assert sorted(again["label"]) == sorted(written)
    assert len(again) == len(before) and all(Path(path).is_file() for path in again["path"])


def test_an_arbitration_queue_of_hostile_names_is_read_back(hostile: Path) -> None:
    queue = hostile / "ws/tables/arbitration.csv"
    annotations, problems = read_annotations(queue, pd.read_parquet(hostile / "ws/tables/sources.parquet"))
    made = pd.read_parquet(hostile / "ws/tables/annotations.parquet")
    assert problems.empty
    pd.testing.assert_frame_equal(annotations, made)


# ---- what is written is read back ------------------------------------------------------------


@given(st.text(max_size=8))
def test_a_guarded_cell_comes_back_trimmed_or_not(text: str) -> None:
    assert from_csv(for_csv(text)) == text
    assert not text or from_csv(for_csv(text), strip=True) == text
    assert not for_csv(text).startswith(FORMULA)


@few
@given(st.lists(NASTY, min_size=1, max_size=5), NASTY, NASTY)
def test_a_table_comes_back(cells: list[str], name: str, other: str) -> None:
    table = pd.DataFrame({f"1{name}": pd.Series(cells, dtype="str"), f"2{other}": pd.Series(cells, dtype="str")})
    file = io.BytesIO(csv_text(table).encode())
    pd.testing.assert_frame_equal(FORMATS[".csv"].read(file), table)  # type: ignore[arg-type]


@few
@given(labels=st.lists(NASTY, min_size=1, max_size=4))
def test_a_manifest_comes_back(tmp_path: Path, labels: list[str]) -> None:
    names = [f"{number}.png" for number in range(len(labels))]
    table = pd.DataFrame({"path": [str(tmp_path / name) for name in names], "label": labels, "sample_id": names})
    (tmp_path / "m.csv").unlink(missing_ok=True)
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    judged = hashlib.sha256(b"x").hexdigest()
    export_csv(conform("manifest", table.assign(split=None, group=labels, sha256=judged)), tmp_path / "m.csv")
    again = read_source(tmp_path / "m.csv").sources
    assert again["label"].tolist() == labels and again["group"].tolist() == labels


@few
@given(person=NASTY, labels=st.lists(NASTY, min_size=1, max_size=3))
@pytest.mark.parametrize("wide", [False, True])
def test_annotations_come_back(tmp_path: Path, sources, wide: bool, person: str, labels: list[str]) -> None:
    ids = [f"={number}.png" for number in range(len(labels))]
    columns = {"image": ids, person: labels} if wide else {"image": ids, "annotator": person, "label": labels}
    (tmp_path / "a.csv").write_bytes(csv_text(pd.DataFrame(columns)).encode())
    annotations, problems = read_annotations(tmp_path / "a.csv", sources(*ids))
    assert problems.empty
    assert annotations["label"].tolist() == labels and set(annotations["annotator"]) == {person}


@few
@given(label=NASTY, reviewer=NASTY, reason=NASTY)
def test_verdicts_come_back(tmp_path: Path, label: str, reviewer: str, reason: str) -> None:
    samples = pd.DataFrame({"sample_id": [f"{label}.png"], "sha256": ["0"], "label": [label]})
    row = {"sample_id": f"{label}.png", "issue": "label", "action": "relabel", "label": label}
    table = pd.DataFrame([row | {"reviewer": reviewer, "reason": reason}])
    (tmp_path / "d.csv").write_bytes(csv_text(table).encode())
    decisions, problems = read_decisions(tmp_path / "d.csv", samples)
    assert problems.empty, problems["reason"].tolist()
    found = decisions[["sample_id", "label", "reviewer", "reason"]].iloc[0].tolist()
    assert found == [f"{label}.png", label, reviewer, reason]


def test_verdicts_in_memory_are_recorded_to_the_letter(workspace: Path) -> None:
    dataset = Dataset(workspace)
    verdicts = pd.DataFrame({"sample_id": ["=1+1/=copy.png"], "issue": "label", "action": "relabel", "label": "'=x "})
    assert len(dataset.decide(verdicts, reviewer="=ann", new_classes=True).recorded) == 1
    with Ledger(workspace / "ledger.sqlite") as ledger:
        assert ledger.current()["label"].tolist() == ["'=x "]


def test_embeddings_of_ones_own_are_found_by_guarded_ids(workspace: Path, tmp_path: Path) -> None:
    ids = samples_of(workspace).query("status == 'ok'")["sample_id"]
    numbers = {f"={number}": range(number, number + len(ids)) for number in range(3)}
    table = pd.DataFrame({"sample_id": ids.tolist(), **numbers})
    (tmp_path / "mine.csv").write_bytes(csv_text(table).encode())
    done("find", "--embeddings", tmp_path / "mine.csv", "-w", workspace)


def test_a_refusal_shows_the_name_it_refuses_as_text(tmp_path: Path) -> None:
    assert "\\x1b[2J" in refused("ingest", tmp_path / CLEAR, "-w", tmp_path / "ws")
