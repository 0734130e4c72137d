"""A folder with everything wrong that a folder can have: each file is a row with a reason, none stops the run."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command import class_folders, curate, done, picture, refused
from PIL import Image

from curate.find import FINDERS
from curate.schema import validate


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb() -> bytes:
    """A PNG of a few bytes that says it is 60,000 × 60,000 pixels."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    pixels = png_chunk(b"IDAT", zlib.compress(b"\0" * 1000))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + pixels + png_chunk(b"IEND", b"")


def jpeg(mode: str = "RGB") -> bytes:
    pixels = np.random.default_rng(7).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(out, "JPEG")
    return out.getvalue()


def broken(folder: Path) -> dict[str, str]:
    """Write a file of each broken kind; returns the status that each must get."""
    whole = picture(folder / "whole.png", 5).read_bytes()
    (folder / "whole.png").unlink()
    contents = {
        "truncated.jpg": (jpeg()[:900], "truncated"),
        "truncated.png": (whole[: len(whole) // 2], "truncated"),
        "empty.png": (b"", "empty"),
        "text.jpg": (b"this is a letter, not a picture\n" * 20, "not_an_image"),
        "page.png": (b"<!DOCTYPE html><title>404</title>", "not_an_image"),
        "corrupt.png": (whole[:40] + bytes(60) + whole[100:], "corrupt"),
        "bomb.png": (bomb(), "too_large"),
    }
    for name, (data, _) in contents.items():
        (folder / name).write_bytes(data)
    (folder / "dangling.jpg").symlink_to("nowhere.jpg")
    (folder / "loop.jpg").symlink_to("loop.jpg")
    return {name: status for name, (_, status) in contents.items()} | {"dangling.jpg": "missing"}


def odd_but_good(folder: Path) -> list[str]:
    """Images that an unusual mode, format or name does not make worse."""
    for mode in ("L", "LA", "P", "RGBA", "1"):
        picture(folder / f"mode-{mode}.png", ord(mode[0]), mode=mode)
    for name in (
        "UPPER.PNG",
        "ünï 图 🐶.png",
        "two\nlines.png",
        "-w.png",
        "quote'\".png",
        "=1+1.png",
        "x" * 240 + ".png",
    ):
        picture(folder / name, len(name))
    (folder / "png-inside.jpg").write_bytes(picture(folder / "UPPER.PNG", 9).read_bytes())
    (folder / "cmyk.jpg").write_bytes(jpeg("CMYK"))
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 65536, (40, 40), dtype=np.uint16)).save(folder / "sixteen.png")
    Image.fromarray(rng.random((40, 40), dtype=np.float32)).save(folder / "float.tif")
    frames = [Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)) for _ in range(3)]
    frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:])
    frames[1].save(folder / "pages.tiff", save_all=True, append_images=frames[2:])
    frames[2].save(folder / "plain.webp")
    Image.new("RGB", (1, 1), "red").save(folder / "pixel.bmp")
    Image.new("RGB", (3000, 2), "red").save(folder / "line.png")
    return [file.name for file in folder.iterdir()]


def test_every_kind_of_broken_file_is_a_row_with_a_reason(tmp_path):
    root = class_folders(tmp_path / "images", {"good": 6})
    (root / "bad").mkdir()
    (root / "odd").mkdir()
    statuses, good = broken(root / "bad"), odd_but_good(root / "odd")
    (root / "bad" / "folder.jpg").mkdir()
    (root / "bad" / "circle").symlink_to(root, target_is_directory=True)
    os.mkfifo(root / "bad" / "pipe.png")
    (root / "bad" / "notes.txt").write_text("no image")
    Path(os.fsdecode(bytes(root / "bad") + b"/latin-\xe9.png")).write_bytes(b"x")
    said = done("ingest", root, "-w", tmp_path / "ws")
    scan = validate("scan", pd.read_parquet(tmp_path / "ws/tables/scan.parquet")).set_index("sample_id")
    assert {name: scan.at[f"bad/{name}", "status"] for name in statuses} == statuses
    assert scan.loc[[f"bad/{name}" for name in statuses], "error"].str.len().gt(10).all()
    assert scan.loc[[f"odd/{name}" for name in good], "status"].eq("ok").all()
    assert scan["status"].eq("ok").sum() == 6 + len(good)
    problems = pd.read_parquet(tmp_path / "ws/tables/row_problems.parquet").set_index("image")["reason"]
    assert problems["bad/notes.txt"].startswith("is no image by its suffix")
    assert problems["bad/pipe.png"] == "is no regular file"
    assert problems["bad/circle"] == "is a link to a folder that was read already"
    assert problems["bad/loop.jpg"] == "is a link that leads to itself"
    assert "not UTF-8" in problems[r"bad/latin-\udce9.png"]
    assert len(problems) == 5
    assert "2 truncated" in said and "5 rows that can't be used" in said
    unreadable = curate("issues", "--issue", "unreadable", "--json", "-w", tmp_path / "ws").stdout
    assert unreadable.count('"sample_id"') == len(statuses)
    done("apply", "-w", tmp_path / "ws")
    manifest = pd.read_parquet(tmp_path / "ws/versions/1/manifest.parquet")
    assert len(manifest) == 6 + len(good)
    for form in ("--html", "--csv"):
        done("review", form, "-w", tmp_path / "ws")
    done("report", "-w", tmp_path / "ws")


def test_a_file_and_a_folder_without_permission_are_told(open_folder, unprivileged):
    root = class_folders(open_folder / "images", {"cat": 6, "dog": 6})
    (root / "cat" / "000.png").chmod(0)
    (root / "shut").mkdir(mode=0)
    done("ingest", root, "-w", open_folder / "ws")
    scan = pd.read_parquet(open_folder / "ws/tables/scan.parquet").set_index("sample_id")
    assert scan.at["cat/000.png", "status"] == "unreadable" and "Permission" in scan.at["cat/000.png", "error"]
    assert scan["status"].eq("ok").sum() == 11
    problems = pd.read_parquet(open_folder / "ws/tables/row_problems.parquet")
    assert problems["image"].tolist() == ["shut"]


def test_an_empty_folder_says_what_was_expected(tmp_path):
    (tmp_path / "images").mkdir()
    said = refused("ingest", tmp_path / "images", "-w", tmp_path / "ws")
    assert "holds no images" in said and "expected:" in said and "to do:" in said


def test_a_folder_of_broken_images_alone_is_refused_with_the_reasons(tmp_path):
    (tmp_path / "images").mkdir()
    broken(tmp_path / "images")
    said = refused("ingest", tmp_path / "images", "-w", tmp_path / "ws")
    assert "none of 8 images can be read" in said and "2 truncated" in said
    refused("review", "--html", "-w", tmp_path / "ws")


@pytest.mark.parametrize(
    ("counts", "not_run"),
    [
        ({"cat": 1}, ["classes", "label"]),
        ({"cat": 2}, ["classes", "label"]),
        ({"cat": 1, "dog": 1}, []),
        ({"cat": 1, "dog": 1, "eel": 1}, []),
        ({"cat": 25}, ["classes", "label"]),
        ({"cat": 9, "dog": 9, "eel": 1}, []),
    ],
)
def test_few_images_and_few_classes_get_every_finder_that_can_run(tmp_path, counts, not_run):
    root = class_folders(tmp_path / "images", counts)
    done("ingest", root, "-w", tmp_path / "ws")
    samples = pd.read_parquet(tmp_path / "ws/tables/samples.parquet")
    assert samples["label"].value_counts().to_dict() == counts
    assert samples["split"].notna().all()
    made = {file.stem for file in (tmp_path / "ws/issues").glob("*.parquet")} - {"near_duplicate_pairs"}
    assert made == set(FINDERS) - set(not_run)
    for command in (["review", "--html"], ["review", "--csv"], ["apply"], ["report"], ["check"], ["status"]):
        done(*command, "-w", tmp_path / "ws")
    if len(counts) == 1:
        assert "expected: " in refused("retrain", "-w", tmp_path / "ws")


def test_images_without_labels_are_examined_too(tmp_path):
    for number in range(6):
        picture(tmp_path / "images" / f"{number}.png", number % 5)
    said = done("ingest", tmp_path / "images", "-w", tmp_path / "ws")
    assert "not run: label (no labels)" in said and "exact duplicate" in said
    flagged = pd.read_parquet(tmp_path / "ws/issues/exact_duplicate.parquet").query("is_exact_duplicate_issue")
    assert sorted(flagged["sample_id"]) == ["0.png", "5.png"]


def test_nothing_is_said_of_the_workspace_that_lies_among_the_images(tmp_path):
    root = class_folders(tmp_path / "images", {"cat": 2, "dog": 2})
    for _ in range(2):
        done("ingest", root, "-w", root / "ws")
    assert pd.read_parquet(root / "ws/tables/row_problems.parquet").empty
    assert "stale" not in done("status", "-w", root / "ws")
