"""Names that no table can hold, and terminals that can't show a name: a row with a reason, or a message."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from unittest.mock import patch

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import done, picture, refused

from curate.errors import SourceError
from curate.formats import rows
from curate.formats.rows import read_cells


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for number in range(12):
        picture(tmp_path / "images" / f"{number}.png", number)
    return tmp_path / "images"


def lines(cells: dict[int, str]) -> str:
    """A manifest of twelve images, some with other labels."""
    labels = {number: "cat" if number % 2 else "dog" for number in range(12)} | cells
    return "image,label\n" + "".join(f"images/{number}.png,{label}\n" for number, label in labels.items())


def reasons(workspace: Path) -> list[str]:
    return pd.read_parquet(workspace / "tables/row_problems.parquet")["reason"].tolist()


def test_a_nul_in_a_label_is_a_row_with_a_reason_and_decide_goes_on(images: Path, tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(lines({3: "ca\0t"}))
    done("ingest", tmp_path / "m.csv", "-w", tmp_path / "ws")
    assert reasons(tmp_path / "ws") == ["has a label with a NUL character"]
    (tmp_path / "d.csv").write_text("sample_id,issue,action\nimages/1.png,label,keep\n")
    assert "1 decision(s) recorded" in done("decide", tmp_path / "d.csv", "-w", tmp_path / "ws")


@pytest.mark.parametrize("column", ["annotator", "label"])
def test_a_nul_in_a_vote_is_a_row_with_a_reason(images: Path, tmp_path: Path, column: str) -> None:
    (tmp_path / "m.csv").write_text(lines({}))
    vote = {"image": "images/1.png", "annotator": "ann", "label": "cat"}
    votes = [vote, {**vote, "image": "images/2.png", column: "a\0b"}]
    (tmp_path / "v.jsonl").write_text("\n".join(json.dumps(vote) for vote in votes))
    done("ingest", tmp_path / "m.csv", "--annotations", tmp_path / "v.jsonl", "-w", tmp_path / "ws")
    assert reasons(tmp_path / "ws") == [f"has a {column} with a NUL character"]


def test_half_characters_are_rows_with_a_reason(images: Path, tmp_path: Path) -> None:
    rows = [{"image": f"images/{n}.png", "label": "cat" if n % 2 else "dog"} for n in range(12)]
    rows[3]["label"] = "\ud800"  # JSON can spell half of a pair
    (tmp_path / "m.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    done("ingest", tmp_path / "m.jsonl", "-w", tmp_path / "ws")
    assert len(reasons(tmp_path / "ws")) == 1


def test_a_folder_whose_name_is_not_utf_8_is_refused_and_one_inside_is_passed_over(
    images: Path, tmp_path: Path
) -> None:
    bad = os.fsencode(tmp_path) + b"/bad\xff"
    os.makedirs(bad + b"/cat")
    os.link(images / "1.png", bad + b"/cat/1.png")
    assert "is not UTF-8" in refused("ingest", os.fsdecode(bad), "-w", tmp_path / "ws")
    assert "is not UTF-8" in refused("ingest", images, "-w", os.fsdecode(bad + b"/ws"))
    (tmp_path / "m.csv").write_text(lines({}))
    root = ["--image-root", os.fsdecode(bad)]
    assert "is not UTF-8" in refused("ingest", tmp_path / "m.csv", *root, "-w", tmp_path / "ws")
    tree = tmp_path / "tree"
    for number, folder in enumerate([b"ca\xfft", b"dog", b"fox"] * 4):
        os.makedirs(os.fsencode(tree) + b"/" + folder, exist_ok=True)
        os.link(images / f"{number}.png", os.fsencode(tree) + b"/" + folder + b"/%d.png" % number)
    done("ingest", tree, "-w", tmp_path / "ws2")
    assert len(pd.read_parquet(tmp_path / "ws2/tables/samples.parquet")) == 8


def test_paths_of_options_that_are_not_utf_8_end_in_a_message(images: Path, tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(lines({}))
    done("ingest", tmp_path / "m.csv", "-w", tmp_path / "ws")
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/o\xff.csv")
    for arguments in (["issues", "--out", odd], ["report", "--out", odd + ".html"], ["apply", "--csv", odd]):
        result = subprocess.run(
            [sys.executable, "-m", "curate", *arguments, "-w", str(tmp_path / "ws")], capture_output=True
        )
        assert b"Traceback" not in result.stderr


def test_a_parquet_column_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    offsets = pa.array([0, 1, 2, 3], pa.int32()).buffers()[1]
    label = pa.Array.from_buffers(pa.string(), 3, [None, offsets, pa.py_buffer(b"\xffab")])
    pq.write_table(pa.table({"image": ["1.png", "2.png", "3.png"], "label": label}), tmp_path / "m.parquet")
    assert "UTF8" in refused("ingest", tmp_path / "m.parquet", "-w", tmp_path / "ws")


@pytest.mark.parametrize(
    "environment", [{"PYTHONIOENCODING": "latin-1"}, {"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}]
)
def test_a_terminal_of_any_encoding_gets_every_command(
    images: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    (tmp_path / "m.csv").write_text(lines({2: "кот", 4: "猫", 6: "кот", 8: "猫"}), encoding="utf-8")
    base = [sys.executable, "-m", "curate"]
    commands = (["ingest", "m.csv"], ["status"], ["issues"], ["issues", "--issue", "label", "--all"], ["diff"])
    for arguments in commands:
        ran = subprocess.run(
            [*base, *arguments, "-w", "ws"], cwd=tmp_path, env={**os.environ, **environment}, capture_output=True
        )
        assert b"Traceback" not in ran.stderr, ran.stderr.decode(errors="replace")


def test_many_columns_are_counted_once(tmp_path: Path) -> None:
    """60,000 columns took more than a minute, as each name was counted among all."""
    names = [f"c{number}" for number in range(3000)]
    (tmp_path / "m.csv").write_text(",".join(["image", *names]) + "\n" + ",".join(["1.png", *["x"] * 3000]) + "\n")
    with patch.object(rows, "Counter", wraps=Counter) as counted:
        assert len(read_cells(tmp_path / "m.csv", error=SourceError).table.columns) == 3001
    assert counted.call_count == 1
    (tmp_path / "m.csv").write_text("image,a,a\n1.png,x,y\n")
    with pytest.raises(SourceError, match="more than one column 'a'"):
        read_cells(tmp_path / "m.csv", error=SourceError)
