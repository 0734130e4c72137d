"""Pictures that nobody judged are not exported: a file that was replaced after ingest is told, and nothing is made."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from command import class_folders, done, picture, refused


@pytest.fixture(scope="module")
def first(tmp_path_factory) -> Path:
    """A folder with `images` of two classes and its workspace `ws`."""
    root = tmp_path_factory.mktemp("first")
    done("ingest", class_folders(root / "images", {"cat": 10, "dog": 10}), "-w", root / "ws")
    return root


def replace(file: Path, seed: int) -> None:
    """Another picture of the same name, size and time, which only its content tells apart."""
    was = file.stat()
    picture(file, seed)
    os.truncate(file, was.st_size)
    os.utime(file, ns=(was.st_atime_ns, was.st_mtime_ns))


@pytest.mark.parametrize("how", ["copy", "symlink", "hardlink"])
def test_an_export_of_replaced_files_is_refused_and_names_them(how, images, workspace, tmp_path):
    for number in (2, 5):
        replace(images / f"cat/{number:03d}.png", 9000 + number)
    said = refused("apply", "--export", tmp_path / "out", "--how", how, "-w", workspace)
    assert "2 file(s) have changed since they were ingested: cat/002.png, cat/005.png" in said
    assert "curate ingest" in said
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []


def test_a_list_of_replaced_files_is_refused_too(images, workspace, tmp_path):
    replace(images / "dog/003.png", 9000)
    assert "1 file(s) have changed" in refused("apply", "--csv", tmp_path / "out.csv", "-w", workspace)
    assert not (tmp_path / "out.csv").exists()


def test_a_finished_export_of_links_is_not_called_done_where_the_originals_have_changed(images, workspace, tmp_path):
    for how in ("copy", "symlink"):
        done("apply", "--export", tmp_path / how, "--how", how, "-w", workspace)
    replace(images / "dog/003.png", 9000)
    assert "have changed" in refused("apply", "--export", tmp_path / "symlink", "-w", workspace)
    done("apply", "--export", tmp_path / "copy", "--how", "copy", "-w", workspace)  # holds what was judged


def test_a_file_that_changes_while_it_is_copied_is_told(images, workspace, tmp_path, monkeypatch):
    copy = shutil.copyfile

    def copy_another(original: Path, place: Path) -> None:
        copy(original, place)
        if Path(original).name == "007.png":
            place.write_bytes(b"the first half of one picture and the second of another")

    monkeypatch.setattr("curate.formats.tree.shutil.copyfile", copy_another)
    said = refused("apply", "--export", tmp_path / "out", "--how", "copy", "-w", workspace)
    assert "007.png has changed since it was ingested" in said
    monkeypatch.undo()
    done("apply", "--export", tmp_path / "out", "--how", "copy", "-w", workspace)


def test_no_network_learns_from_replaced_files(images, workspace):
    done("apply", "-w", workspace)
    replace(images / "cat/002.png", 9002)
    said = refused("retrain", "--preset", "quick", "--epochs", "1", "--image-size", "32", "-w", workspace)
    assert "1 file(s) have changed since they were ingested: cat/002.png" in said
    assert not list((workspace / "runs").glob("*"))


def test_after_another_ingest_and_apply_the_export_holds_what_was_judged(images, workspace, tmp_path):
    replace(images / "cat/002.png", 9002)
    picture(images / "cat/002.png", 9003)
    refused("apply", "--export", tmp_path / "out", "--how", "copy", "-w", workspace)
    done("ingest", images, "-w", workspace)
    done("apply", "--export", tmp_path / "out", "--how", "copy", "-w", workspace)
    (copied,) = (tmp_path / "out").rglob("cat/002.png")
    assert copied.read_bytes() == (images / "cat/002.png").read_bytes()
