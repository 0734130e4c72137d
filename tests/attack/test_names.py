"""Names of every kind: what can't be kept is a row with a reason or a message; all else goes through every command."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import class_folders, curate, done, picture, refused

import curate as library
from curate.errors import AnnotationError, InputError, SourceError
from curate.ingest.annotations import read_annotations
from curate.ingest.sources import read_source
from curate.text import csv_text, for_terminal

NO_UTF8 = os.fsdecode(b"b\xe4d")  # as Python spells a name in Latin-1
CONTROLS = [chr(code) for code in (*range(1, 32), 127, 0x85, 0x9B, 0xAD, 0x2028, 0x202E, 0xFEFF, 0xFFFE, 0xE000)]


def raw(*cells: bytes) -> pa.Array:
    """Text for Arrow that need not be UTF-8."""
    return pa.Array.from_buffers(pa.string(), len(cells), pa.array(cells, type=pa.binary()).buffers())


def reasons(problems: pd.DataFrame) -> dict[int, str]:
    return dict(zip(problems["row"], problems["reason"], strict=True))


# ---- NUL and half characters in a row --------------------------------------------------------


@pytest.mark.parametrize("column", ["label", "group", "split"])
@pytest.mark.parametrize("kind", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_a_nul_in_a_name_is_a_row_with_a_reason(tmp_path: Path, kind: str, column: str) -> None:
    table = pd.DataFrame({"image": ["1.png", "2.png"], column: ["a\0b", "train"]})
    if kind == ".csv" and sys.version_info < (3, 11):
        pytest.skip("Python's own reader refuses the file")
    source = read_source(as_file(table, tmp_path / f"m{kind}"))
    assert source.sources["sample_id"].tolist() == ["2.png"]
    assert reasons(source.problems) == {1: f"has a {column} with a NUL character"}


def as_file(table: pd.DataFrame, file: Path) -> Path:
    if file.suffix == ".jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in table.to_dict("records")))
    elif file.suffix == ".parquet":
        table.to_parquet(file)
    else:
        table.to_csv(file, index=False, sep="\t" if file.suffix == ".tsv" else ",")
    return file


@pytest.mark.parametrize("column", ["annotator", "label"])
def test_a_nul_in_a_vote_is_a_row_with_a_reason(tmp_path: Path, sources, column: str) -> None:
    votes = pd.DataFrame({"image": ["1.png", "2.png"], "annotator": "ann", "label": "cat"})
    votes.loc[0, column] = "a\0"
    annotations, problems = read_annotations(as_file(votes, tmp_path / "v.parquet"), sources("1.png", "2.png"))
    assert annotations["sample_id"].tolist() == ["2.png"]
    assert reasons(problems) == {1: f"has a {column} with a NUL character"}


@pytest.mark.parametrize("column", ["image", "label", "group"])
def test_half_a_character_in_json_is_a_row_with_a_reason(tmp_path: Path, column: str) -> None:
    rows = [{"image": "1.png", "label": "cat", column: "\ud800"}, {"image": "2.png", "label": "cat"}]
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert reasons(read_source(tmp_path / "m.jsonl").problems) == {1: "holds half of a UTF-16 character pair"}


# ---- what is not UTF-8 -----------------------------------------------------------------------


def test_a_parquet_cell_that_is_not_utf8_is_told(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": ["1.png", "2.png"], "label": raw(b"c\xe4t", b"dog")}), tmp_path / "m.parquet")
    with pytest.raises(SourceError, match="UTF8"):
        read_source(tmp_path / "m.parquet")


def test_a_parquet_column_whose_name_is_not_utf8_is_told(tmp_path: Path, sources) -> None:
    file = tmp_path / "m.parquet"
    pq.write_table(pa.table({"image": ["1.png"], "lXbel": ["a"]}), file, compression="none", store_schema=False)
    file.write_bytes(file.read_bytes().replace(b"lXbel", b"l\xe4bel"))
    with pytest.raises(SourceError, match="name is not UTF-8"):
        read_source(file)
    with pytest.raises(AnnotationError, match="name is not UTF-8"):
        read_annotations(file, sources("1.png"))


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_a_table_whose_own_name_is_not_utf8_is_read(tmp_path: Path, suffix: str, sources) -> None:
    votes = pd.DataFrame({"image": ["1.png", "no.png"], "annotator": "ann", "label": "cat"})
    file = as_file(votes, tmp_path / f"v{suffix}").rename(tmp_path / f"{NO_UTF8}{suffix}")
    annotations, problems = read_annotations(file, sources("1.png"))
    assert len(annotations) == 1 and problems["file"].tolist() == [f"b\\udce4d{suffix}"]
    problems.to_parquet(tmp_path / "problems.parquet")


def test_folders_that_are_not_utf8_are_told_with_what_to_do(tmp_path: Path) -> None:
    class_folders(tmp_path / "good", {"cat": 3})
    shutil.copytree(tmp_path / "good", tmp_path / NO_UTF8)
    (tmp_path / NO_UTF8 / "m.csv").write_text("image,label\ncat/000.png,cat\n")
    (tmp_path / "good" / "m.csv").write_text("image,label\ncat/000.png,cat\n")
    for arguments in (
        ["ingest", tmp_path / NO_UTF8, "-w", tmp_path / "ws"],
        ["ingest", tmp_path / NO_UTF8 / "m.csv", "-w", tmp_path / "ws2"],
        ["ingest", tmp_path / "good/m.csv", "--image-root", tmp_path / NO_UTF8, "-w", tmp_path / "ws3"],
        ["ingest", tmp_path / "good", "-w", tmp_path / f"ws{NO_UTF8}"],
        ["status", "-w", tmp_path / f"ws{NO_UTF8}"],
    ):
        said = refused(*arguments)
        assert "b\\udce4d" in said and "is not UTF-8" in said and "make a link" in said
    assert not (tmp_path / f"ws{NO_UTF8}").exists()
    (tmp_path / "link").symlink_to(tmp_path / NO_UTF8)
    assert "3 samples" in done("ingest", tmp_path / "link", "-w", tmp_path / "ws4")


def test_every_file_that_a_command_writes_may_have_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    images = class_folders(tmp_path / "images", {"cat": 3, "dog": 3})
    shutil.copy(images / "cat" / "000.png", images / "cat" / f"{NO_UTF8}.png")
    done("ingest", images, "-w", tmp_path / "ws")
    assert "not UTF-8" in pd.read_parquet(tmp_path / "ws/tables/row_problems.parquet").loc[0, "reason"]
    out = tmp_path / NO_UTF8
    for arguments in (
        ["issues", "--out", f"{out}.csv"],
        ["issues", "--out", f"{out}.parquet"],
        ["review", "--html", "--out", f"{out}.html"],
        ["review", "--csv", "--out", f"{out}-review.csv"],
        ["report", "--out", f"{out}-report.html"],
        ["apply", "--export", out, "--csv", f"{out}-version.csv"],
    ):
        done(*arguments, "-w", tmp_path / "ws")
    verdicts = Path(f"{out}-verdicts.csv")
    verdicts.write_text("sample_id,issue,action\ncat/000.png,label,keep\nno,label,keep\n")
    assert "1 decision(s) recorded" in done("decide", verdicts, "-w", tmp_path / "ws")


@pytest.mark.parametrize("option", ["--reviewer", "--reason"])
@pytest.mark.parametrize("value", [NO_UTF8, "a\0b"])
def test_who_decides_and_why_are_text(tmp_path: Path, option: str, value: str) -> None:
    done("ingest", class_folders(tmp_path / "images", {"cat": 3, "dog": 3}), "-w", tmp_path / "ws")
    (tmp_path / "d.csv").write_text("sample_id,issue,action\ncat/000.png,label,keep\n")
    refused("decide", tmp_path / "d.csv", option, value, "-w", tmp_path / "ws")


def test_a_locale_without_utf8_names_the_remedy(tmp_path: Path) -> None:
    class_folders(tmp_path / "bilder-ä", {"cat": 3})
    surroundings = {k: v for k, v in os.environ.items() if k not in ("LANG", "LC_CTYPE", "PYTHONIOENCODING")}
    surroundings |= {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-m", "curate", "ingest", str(tmp_path / "bilder-ä"), "-w", str(tmp_path / "ws")]
    said = subprocess.run(command, env=surroundings, capture_output=True)
    assert said.returncode == 1 and b"set PYTHONUTF8=1" in said.stderr and b"Traceback" not in said.stderr


# ---- decisions -------------------------------------------------------------------------------


def test_one_cell_with_a_nul_does_not_block_the_other_verdicts(tmp_path: Path) -> None:
    if sys.version_info < (3, 11):
        pytest.skip("Python's own reader refuses the file")
    done("ingest", class_folders(tmp_path / "images", {"cat": 3, "dog": 3}), "-w", tmp_path / "ws")
    rows = "cat/000.png,label,keep,\ncat/001.png,label,keep,a\0b\n"
    (tmp_path / "d.csv").write_text(f"sample_id,issue,action,reason\n{rows}")
    said = done("decide", tmp_path / "d.csv", "-w", tmp_path / "ws")
    assert "1 decision(s) recorded" in said and "row 2 not recorded" in said and "NUL" in said


def test_half_a_character_in_a_verdict_in_memory_is_a_row_with_a_reason(tmp_path: Path) -> None:
    done("ingest", class_folders(tmp_path / "images", {"cat": 3, "dog": 3}), "-w", tmp_path / "ws")
    verdicts = pd.DataFrame({"sample_id": ["cat/000.png", "cat/001.png"], "issue": "label", "action": "keep"})
    dataset = library.open(tmp_path / "ws")
    summary = dataset.decide(verdicts.assign(reason=pd.Series(["\ud800", "ok"], dtype=object)), reviewer="ann")
    assert len(summary.recorded) == 1 and reasons(summary.problems) == {1: "reason is not UTF-8"}


def test_a_path_with_a_nul_is_refused_from_python(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="NUL"):
        library.open(f"{tmp_path}/a\0b")


# ---- all that can be kept --------------------------------------------------------------------


@pytest.fixture(scope="module")
def controls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in whose classes, files and annotators every control character occurs."""
    root = tmp_path_factory.mktemp("controls")
    for number, sign in enumerate(CONTROLS):
        label = f"c{''.join(CONTROLS[number // 8 * 8 :][:8])}x"
        for image in range(2):
            picture(root / "images" / label / f"{image}{sign}.png", 2 * number + image)
    for image in range(4):
        picture(root / "images" / "$\\frac{$" / f"$\\frac{image}$.png", 1000 + image)
    ids = sorted(str(path.relative_to(root / "images")) for path in (root / "images").rglob("*.png"))
    labels = [name.split("/")[0] for name in ids]
    table = {"image": ids, "a\x1b$x$": labels, f"b{''.join(CONTROLS)}": labels[9:] + labels[:9]}
    pd.DataFrame(table).to_parquet(root / "votes.parquet")
    done("ingest", root / "images", "--annotations", root / "votes.parquet", "-w", root / "ws")
    return root


def test_every_command_ends_well_over_control_characters(controls: Path, tmp_path: Path) -> None:
    workspace = shutil.copytree(controls / "ws", tmp_path / "ws")
    samples = pd.read_parquet(workspace / "tables/samples.parquet")
    verdicts = samples[["sample_id"]].assign(issue="label", action="keep", reviewer="me\x1b", reason="".join(CONTROLS))
    (tmp_path / "d.csv").write_bytes(csv_text(verdicts).encode())
    for arguments in (
        ["review", "--html"],
        ["review", "--csv"],
        ["decide", tmp_path / "d.csv"],
        ["apply", "--export", tmp_path / "tree", "--how", "copy", "--csv", tmp_path / "version.csv"],
        ["diff"],
        ["issues", "--issue", "label", "--all"],
        ["report"],
        ["status"],
        ["undo", "--last", "1"],
        ["find"],
    ):
        said = done(*arguments, "-w", workspace)
        assert for_terminal(said) == said
    assert curate("check", "-w", workspace).exit_code in (0, 2)
    labels = pd.read_parquet(workspace / "versions/1/manifest.parquet")["label"].sort_values().tolist()
    for manifest, root in ((tmp_path / "tree/manifest.csv", None), (tmp_path / "version.csv", controls / "images")):
        assert read_source(manifest, image_root=root).sources["label"].sort_values().tolist() == labels
    queue = workspace / "tables/arbitration.csv"
    annotations, problems = read_annotations(queue, pd.read_parquet(workspace / "tables/sources.parquet"))
    assert problems.empty
    pd.testing.assert_frame_equal(annotations, annotations_in(workspace, annotations))


def annotations_in(workspace: Path, wanted: pd.DataFrame) -> pd.DataFrame:
    """The annotations of the images that are in conflict."""
    table = pd.read_parquet(workspace / "tables/annotations.parquet")
    return table[table["sample_id"].isin(wanted["sample_id"])].reset_index(drop=True)
