"""Manifests and annotations as people really send them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pandas as pd
import pytest
from command import class_folders, done, picture, refused

USELESS = {
    "without-image.csv": (b"label,split\ncat,train\n", ["has no column 'image'", "rename the column"]),
    "header.csv": (b"image,label\n", ["has no row that can be read"]),
    "empty.csv": (b"", ["is empty"]),
    "latin.csv": ("image,label\ncat/000.png,Möwe\n".encode("latin-1"), ["is not UTF-8", "iconv"]),
    "list.xlsx": (b"PK\x03\x04", ["is of no known kind", ".csv"]),
    "broken.parquet": (b"PAR1 and then nothing", ["can't be read as Parquet"]),
    "broken.jsonl": (b"{not json\n[1]\n", ["has no row that can be read", "is not JSON"]),
    "two-images.csv": (b"img,path\na,b\n", ["could each be the image"]),
    "absent.csv": (b"image,label\nno.png,cat\ngone.png,dog\n", ["none of 2 images can be read", "2 missing"]),
    "elsewhere.csv": (b"image\n../../etc/passwd\n/etc/passwd\n", ["not one of the 2 rows", "--image-root"]),
}


def digests(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {str(file.relative_to(root)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.mark.parametrize("name", USELESS)
def test_a_manifest_that_is_no_use_is_refused_and_the_workspace_stays_as_it_was(name, images, workspace):
    content, words = USELESS[name]
    (images / name).write_bytes(content)
    was = digests(workspace)
    try:
        said = refused("ingest", images / name, "-w", workspace)
    finally:
        (images / name).unlink()
    assert all(word in said for word in words), said
    if name != "absent.csv":  # there the list was fine, and is kept
        assert digests(workspace) == was


def test_rows_that_cannot_be_used_have_a_reason_and_the_others_are_used(tmp_path):
    root = class_folders(tmp_path / "images", {"cat": 8, "dog": 8})
    picture(tmp_path / "outside.png", 99)
    (root / "way-out.png").symlink_to(tmp_path / "outside.png")
    good = [f"{label}/{n:03d}.png,{label},,p{n}" for label in ("cat", "dog") for n in range(7)]
    rows = {
        "../outside.png,cat,,": "lies outside",
        f"{tmp_path}/outside.png,cat,,": "lies outside",
        "way-out.png,cat,,": "is reached through a link that leads outside",
        "cat/000.png,cat,,p0": "repeats row 1",
        "cat/007.png,cat,,": "contradicts the other rows of this image in label",
        "cat/007.png,dog,,": "contradicts the other rows of this image in label",
        "dog/007.png,dog,holdout,": "is of split 'holdout'",
        f"dog/007.png,{'x' * 1_000_000},,": "has a label of more than 255 characters",
        f"{'y' * 1_000_000},dog,,": "is longer than a path can be",
        ",dog,,": "names no image",
        "dog/007.png": "has 1 cells where the header has 4",
        "https://example.org/a.png,dog,,": "is a web address",
        ".,dog,,": "names a folder",
    }
    absent = "dog/999.png,dog,,"
    (root / "list.csv").write_text("\n".join(["image,label,split,group", *good, *rows, absent]) + "\n")
    said = done("ingest", root / "list.csv", "-w", tmp_path / "ws")
    assert "1 missing" in said and f"{len(rows)} rows that can't be used" in said
    problems = pd.read_parquet(tmp_path / "ws/tables/row_problems.parquet")
    assert problems["row"].tolist() == list(range(len(good) + 1, len(good) + len(rows) + 1))
    for reason, expected in zip(problems["reason"], rows.values(), strict=True):
        assert reason.startswith(expected)
    assert problems["image"].str.len().max() <= 80
    samples = pd.read_parquet(tmp_path / "ws/tables/samples.parquet").set_index("sample_id")
    assert len(samples) == len(good) + 1
    assert samples.at["dog/999.png", "status"] == "missing"
    per_group = samples[samples["status"].eq("ok")].groupby("group")["split"].nunique()
    assert per_group.eq(1).all()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"image,who\ncat/000.png,7\n", None),  # one column per annotator: somebody called 'who' said 7
        (b"image,annotator\ncat/000.png,ann\n", ["has the columns", "image, annotator, label"]),
        (b"annotator,label\nann,cat\n", ["has no column 'image'"]),
        (b"image,annotator,label\n", ["has no row that can be read"]),
        (b"image,annotator,label\nunknown.png,ann,cat\n", ["holds no usable label", "is no image of this data set"]),
        (b"image,annotator,label\ncat/000.png,ann,\n", ["holds no usable label", "has no label"]),
        (b"\xff\xfei\0m\0a\0g\0e\0", ["is not UTF-8"]),
    ],
)
def test_annotations_that_are_no_use_are_refused_and_nothing_changes(content, words, images, workspace, tmp_path):
    (tmp_path / "votes.csv").write_bytes(content)
    was = digests(workspace)
    if words is None:
        done("ingest", images, "--annotations", tmp_path / "votes.csv", "-w", workspace)
        return
    said = refused("ingest", images, "--annotations", tmp_path / "votes.csv", "-w", workspace)
    assert all(word in said for word in words), said
    assert digests(workspace) == was


def test_an_annotator_who_labels_twice_counts_once_or_not_at_all(images, tmp_path):
    votes = ["cat/000.png,ann,cat", "cat/000.png,ann,cat", "cat/001.png,ann,cat", "cat/001.png,ann,dog"]
    votes += [f"{label}/{n:03d}.png,{who},{label}" for label in ("cat", "dog") for n in range(2, 10) for who in "ab"]
    votes += ["nowhere.png,ann,cat", "cat/002.png,,cat"]
    (tmp_path / "votes.csv").write_text("\n".join(["image,annotator,label", *votes]))
    done("ingest", images, "--annotations", tmp_path / "votes.csv", "-w", tmp_path / "ws")
    problems = pd.read_parquet(tmp_path / "ws/tables/row_problems.parquet")
    assert problems["row"].tolist() == [2, 3, 4, 37, 38]
    table = pd.read_parquet(tmp_path / "ws/tables/annotations.parquet")
    assert table.query("annotator == 'ann'")[["sample_id", "label"]].values.tolist() == [["cat/000.png", "cat"]]
    assert len(table) == 1 + 32


def test_what_is_no_file_is_not_opened(tmp_path):
    """A pipe that nobody writes to would keep whoever opens it waiting."""
    root = class_folders(tmp_path / "images", {"cat": 2, "dog": 2})
    os.mkfifo(root / "pipe.png")
    (root / "folder.png").mkdir()
    names = ["pipe.png", "folder.png", *(str(file.relative_to(root)) for file in sorted(root.rglob("0*.png")))]
    (root / "list.csv").write_text("\n".join(["image", *names]))
    assert "2 unreadable" in done("ingest", root / "list.csv", "-w", tmp_path / "ws")
    scan = pd.read_parquet(tmp_path / "ws/tables/scan.parquet").set_index("sample_id")
    assert scan.loc[["pipe.png", "folder.png"], "error"].tolist() == ["not a regular file"] * 2


def test_annotations_that_are_gone_the_next_time_leave_no_trace(images, tmp_path):
    votes = [f"{label}/{n:03d}.png,{who},{label}" for label in ("cat", "dog") for n in range(10) for who in "ab"]
    (tmp_path / "votes.csv").write_text("\n".join(["image,annotator,label", *votes]))
    done("ingest", images, "--annotations", tmp_path / "votes.csv", "-w", tmp_path / "ws")
    done("ingest", images, "-w", tmp_path / "ws")
    left = {file.stem for file in (tmp_path / "ws").rglob("*.parquet")}
    assert not left & {"annotations", "consensus", "annotators"}
    assert "stale" not in done("status", "-w", tmp_path / "ws")
