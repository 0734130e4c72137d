"""Labels and names are text wherever they go: no terminal obeys them, no spreadsheet runs them, no page links them."""

from __future__ import annotations

import csv
import io
import logging
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from command import curate, done, picture
from hypothesis import given
from hypothesis import strategies as st

from curate.files import FORMATS, csv_text, read_csv
from curate.text import for_csv, for_markdown, for_terminal, from_csv

SEQUENCES = ["\x1b]0;title\x07cat", "\x1b[2J", "do\u202eg"]
HOSTILE = [*SEQUENCES, "=cmd|'/C calc'!A0", "@SUM(1)", "-1+1", "'=x", "[red]fox[/red]"]
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
STARTS = st.sampled_from(["", "=", "+", "-", "@", "\t", "\r", "\n", "'", "''", "'=", '"', ",", ";"])
OBEYED = [chr(c) for c in (*range(32), 127, *range(128, 160), 0x202E, 0x2066, 0x200B) if chr(c) not in "\n\t"]


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose classes, annotators and files have hostile names."""
    root = tmp_path_factory.mktemp("hostile")
    rows = ["image,label"]
    for number in range(48):
        name = f"{'=' if number % 2 else ''}\x1b[1m{number}.png"
        picture(root / "images" / name, number % 40)  # some are there twice
        label = for_csv(HOSTILE[number % len(HOSTILE)])  # as a reader takes off what we put before a formula
        rows.append(f'"images/{name}","{label}"')
    (root / "m.csv").write_text("\n".join(rows))
    votes = ["image,annotator,label"]
    for number, row in enumerate(rows[1:]):
        image, label = row.split(",", 1)
        votes += [
            f"{image},=anna,{label}",
            f"{image},\x1b[1mbob,{label if number % 3 else '@SUM(1)'}",
        ]
    (root / "votes.csv").write_text("\n".join(votes))
    done("ingest", root / "m.csv", "--annotations", root / "votes.csv", "-w", root / "ws")
    return root


@pytest.mark.parametrize(
    "arguments",
    [["issues"], ["issues", "--issue", "exact_duplicate", "--all"], ["issues", "--issue", "label", "--all"], ["status"],
     ["diff"], ["find"], ["check", "--max", "leak=100%"], ["apply", "--dry-run"]],
)  # fmt: skip
def test_no_command_prints_what_a_terminal_would_obey(ingested: Path, arguments: list[str]) -> None:
    if arguments == ["diff"]:
        done("decide", "--issue", "exact_duplicate", "--above", "0.1", "--action", "drop", "-w", ingested / "ws")
        done("apply", "--class-cap", "1", "-w", ingested / "ws")
    printed = done(*arguments, "-w", ingested / "ws")
    assert [character for character in OBEYED if character in printed] == []


def test_markup_is_printed_as_it_is(ingested: Path) -> None:
    assert "[red]fox[/red]" in done("issues", "--issue", "label", "--all", "--limit", 100, "-w", ingested / "ws")


def test_errors_and_warnings_are_text_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    failed = curate("ingest", tmp_path / "\x1b[2Jnothing", "-w", tmp_path / "ws")
    assert "\\x1b[2Jnothing" in failed.stderr and "\x1b[2J" not in failed.stderr
    script = "from curate.cli.output import log_to_terminal; import logging; log_to_terminal(); "
    script += "logging.getLogger('curate.x').warning('file %s', '\\x1b[2J')"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert ran.stderr == "file \\x1b[2J\n"
    assert logging.getLogger("curate") is not None


@given(TEXT)
def test_what_is_printed_moves_no_cursor_and_plain_text_stays(text: str) -> None:
    printed = for_terminal(text)
    assert all(character not in printed for character in OBEYED)
    if text.isprintable():
        assert printed == text


@given(TEXT)
def test_markdown_shows_no_picture_and_no_link(text: str) -> None:
    shown = for_markdown(text)
    assert "\n" not in shown
    plain = shown.replace("\\\\", "")
    for opener in ("![", "](", "<", "`", "http:"):
        assert opener not in plain.replace("\\" + opener[0], "")


@given(STARTS, TEXT)
def test_a_guarded_cell_is_no_formula_and_comes_back(start: str, rest: str) -> None:
    cell = start + rest
    assert from_csv(for_csv(cell)) == cell
    assert not for_csv(cell).startswith(("=", "+", "-", "@", "\t", "\r", "\n"))


@given(st.lists(st.tuples(STARTS, TEXT).map("".join), min_size=1, max_size=8))
def test_a_table_comes_back_as_it_was_written(cells: list[str]) -> None:
    table = pd.DataFrame({"=label": cells, "n": range(len(cells))})
    text = csv_text(table)
    assert [from_csv(row[0]) for row in csv.reader(io.StringIO(text, newline=""))] == ["=label", *cells]


def test_our_reader_takes_the_guard_off(tmp_path: Path) -> None:
    table = pd.DataFrame({"label": ["=a", "'=b", "c", "-1", "+x"], "n": [1, 2, 3, 4, 5]})
    FORMATS[".csv"].write(table, tmp_path / "t.csv")
    pd.testing.assert_frame_equal(read_csv(tmp_path / "t.csv"), table)


def formulas(file: Path) -> list[str]:
    rows = csv.reader(io.StringIO(file.read_text(encoding="utf-8-sig"), newline=""))
    return [cell for row in rows for cell in row if cell.startswith(("=", "+", "@", "\t", "\r")) or cell[:2] == "-1"]


def test_no_csv_that_curate_writes_holds_a_formula(ingested: Path, tmp_path: Path) -> None:
    ws = ingested / "ws"
    done("issues", "--out", tmp_path / "all.csv", "-w", ws)
    done("issues", "--issue", "label", "--all", "--out", tmp_path / "label.csv", "-w", ws)
    done("apply", "--csv", tmp_path / "version.csv", "--export", tmp_path / "tree", "--class-cap", "1", "-w", ws)
    done("review", "--csv", "--out", tmp_path / "review.csv", "-w", ws)
    files = [*tmp_path.glob("*.csv"), *tmp_path.glob("tree/*.csv"), *(ws / "tables").glob("*.csv")]
    assert len(files) >= 5 and any("arbitration" in file.name for file in files)
    assert {str(file): found for file in files if (found := formulas(file))} == {}


def test_an_export_is_ingested_with_the_labels_it_was_made_of(ingested: Path, tmp_path: Path) -> None:
    ws = ingested / "ws"
    done("apply", "--export", tmp_path / "tree", "--how", "copy", "--class-cap", "1", "-w", ws)
    done("ingest", tmp_path / "tree" / "manifest.csv", "-w", tmp_path / "again")
    version = max((ws / "versions").iterdir(), key=lambda path: int(path.name) if path.name.isdigit() else -1)
    was = pd.read_parquet(version / "manifest.parquet")
    again = pd.read_parquet(tmp_path / "again/tables/samples.parquet")
    assert sorted(again["label"].dropna()) == sorted(was["label"].dropna())
    assert set(again["label"].dropna()) >= {"=cmd|'/C calc'!A0", "@SUM(1)", "'=x", "-1+1"}


def test_verdicts_on_hostile_names_come_back_from_the_queues_csv(ingested: Path, tmp_path: Path) -> None:
    done("review", "--csv", "--out", tmp_path / "q.csv", "-w", ingested / "ws")
    queue = pd.read_csv(tmp_path / "q.csv", dtype=str, keep_default_na=False)
    queue["action"] = "keep"
    queue.to_csv(tmp_path / "filled.csv", index=False)
    assert "not recorded" not in done("decide", tmp_path / "filled.csv", "-w", ingested / "ws")
