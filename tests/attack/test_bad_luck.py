"""What goes wrong around curate: sources that change under it, clocks, links, long paths, full disks."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path

import pandas as pd
import pytest
from command import class_folders, curate, done, picture

from curate.decisions import ledger as ledgers
from curate.embed import look


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return class_folders(tmp_path / "images", {"cat": 12, "dog": 12})


def scan_of(workspace: Path) -> pd.DataFrame:
    return pd.read_parquet(workspace / "tables/scan.parquet").set_index("sample_id")


def grow(file: Path) -> None:
    with file.open("ab") as handle:
        handle.write(b"x" * 1000)


def become_a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


CHANGES: dict[str, Callable[[Path], object]] = {
    "deleted": lambda file: file.unlink(),
    "replaced": lambda file: shutil.copy(picture(file.parent.parent / "new.png", 999), file),
    "cut": lambda file: os.truncate(file, 100),
    "emptied": lambda file: os.truncate(file, 0),
    "growing": grow,
    "a folder": become_a_folder,
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_changes_between_listing_and_reading_is_a_row(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    victim, original = images / "cat" / "005.png", look.Path.read_bytes

    def read(path: Path) -> bytes:
        if path.name == "004.png" and path.parent.name == "cat" and victim.is_file():
            CHANGES[change](victim)
        return original(path)

    monkeypatch.setattr(look.Path, "read_bytes", read)
    done("ingest", images, "--workers", 1, "-w", tmp_path / "ws")
    monkeypatch.undo()
    row = scan_of(tmp_path / "ws").loc["cat/005.png"]
    assert len(scan_of(tmp_path / "ws")) == 24
    assert row["status"] == "ok" or row["error"]
    done("ingest", images, "-w", tmp_path / "ws")  # and the next one sees what is there now
    fresh = tmp_path / "fresh"
    done("ingest", images, "-w", fresh)
    columns = ["status", "sha256", "phash"]
    pd.testing.assert_frame_equal(scan_of(tmp_path / "ws")[columns], scan_of(fresh)[columns])


class LongAgo:
    """A clock that has lost its battery."""

    @staticmethod
    def now(zone: timezone) -> datetime:
        return datetime(2001, 1, 1, tzinfo=zone)


def test_a_clock_that_goes_back_changes_neither_order_nor_freshness(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = tmp_path / "ws"
    done("ingest", images, "-w", workspace)
    first, last = tmp_path / "first.csv", tmp_path / "last.csv"
    first.write_text("sample_id,issue,action\ncat/001.png,outlier,drop\n")
    last.write_text("sample_id,issue,action\ncat/001.png,outlier,keep\n")
    done("decide", first, "-w", workspace)
    monkeypatch.setattr(ledgers, "datetime", LongAgo)
    done("decide", last, "-w", workspace)
    with ledgers.Ledger(workspace / "ledger.sqlite") as ledger:
        assert ledger.current()["action"].tolist() == ["keep"]  # the later entry, whatever its time
    done("ingest", images, "-w", workspace)
    assert scan_of(workspace)["status"].eq("ok").all()


def test_links_out_of_a_folder_tree_are_read_and_those_of_a_manifest_are_refused(images: Path, tmp_path: Path) -> None:
    outside = picture(tmp_path / "outside" / "x.png", 77)
    (images / "cat" / "link.png").symlink_to(outside)
    (tmp_path / "m.csv").write_text("image,label\nimages/cat/link.png,a\nimages/cat/001.png,a\nimages/dog/001.png,b\n")
    done("ingest", tmp_path / "m.csv", "--image-root", tmp_path, "-w", tmp_path / "inside")
    assert "images/cat/link.png" in scan_of(tmp_path / "inside").index  # it leads to a place below the root
    (tmp_path / "m2.csv").write_text("image,label\ncat/link.png,cat\ncat/001.png,cat\ndog/001.png,dog\n")
    done("ingest", tmp_path / "m2.csv", "--image-root", images, "-w", tmp_path / "out")
    problems = pd.read_parquet(tmp_path / "out/tables/row_problems.parquet")
    assert problems["reason"].tolist() == [f"is reached through a link that leads outside {images}"]


def test_a_path_that_is_as_long_as_paths_can_be_is_read(tmp_path: Path) -> None:
    """PATH_MAX is 4,096 bytes; deeper folders exist, and can be reached step by step alone."""
    here, names = os.getcwd(), ["d" * 200] * 18
    root = tmp_path / "deep"
    root.mkdir()
    os.chdir(root)
    try:
        for name in names:
            os.mkdir(name)
            os.chdir(name)
        for number in range(3):
            picture(Path(f"{number}.png"), number)
        for name in names[:4]:
            os.mkdir(name)
            os.chdir(name)
        picture(Path("beyond.png"), 9)
    finally:
        os.chdir(here)
    for number in range(8):
        picture(root / "cat" / f"{number}.png", 20 + number)
        picture(root / "dog" / f"{number}.png", 40 + number)
    result = curate("ingest", root, "-w", tmp_path / "ws")
    assert result.exit_code in (0, 1)
    if result.exit_code == 0:
        assert len(scan_of(tmp_path / "ws")) >= 16
    shutil.rmtree(root)


@pytest.fixture
def few_names(tmp_path: Path) -> Iterator[Path]:
    """A file system that has room for bytes and hardly any for names."""
    folder = tmp_path / "few"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m,nr_inodes=24", "none", folder], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("this machine mounts no small disk: " + mounted.stderr.decode().strip())
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_disk_without_room_for_names_is_told_and_the_command_goes_on_later(images: Path, few_names: Path) -> None:
    result = curate("ingest", images, "-w", few_names / "ws")
    assert result.exit_code == 1 and "No space left" in result.stderr and "free some space" in result.stderr
    subprocess.run(["mount", "-o", "remount,nr_inodes=4000", few_names], check=True)
    done("ingest", images, "-w", few_names / "ws")
    assert len(scan_of(few_names / "ws")) == 24


def test_a_source_that_is_unmounted_is_a_message_and_nothing_is_lost(
    images: Path, few_names: Path, tmp_path: Path
) -> None:
    subprocess.run(["mount", "-o", "remount,nr_inodes=4000", few_names], check=True)
    shutil.copytree(images, few_names / "images")
    done("ingest", few_names / "images", "-w", tmp_path / "ws")
    subprocess.run(["umount", few_names], check=True)
    result = curate("ingest", few_names / "images", "-w", tmp_path / "ws")
    assert result.exit_code == 1 and "no file or folder" in result.stderr
    assert len(scan_of(tmp_path / "ws")) == 24
    subprocess.run(["mount", "-t", "tmpfs", "none", few_names], check=True)
