"""One file at a time: what stands in its row, and what is left out of it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from embed_samples import encoded, picture
from PIL import Image

from curate.embed.look import File, Look, Row, look_at, stat_file
from curate.images.resize import resized, squared


def look(path: Path, *, image_size: int = 48, max_pixels: int = 10**6) -> Look:
    file = stat_file(path.name, str(path))
    assert isinstance(file, File)
    return look_at([file], image_size=image_size, max_pixels=max_pixels)[0]


def refused(path: Path) -> Row:
    row = stat_file(path.name, str(path))
    assert isinstance(row, dict)
    return row


def test_a_picture_has_a_row_a_thumbnail_and_pixels(tmp_path: Path) -> None:
    data = encoded(picture(), "PNG")
    (tmp_path / "a.png").write_bytes(data)
    found = look(tmp_path / "a.png")
    assert found.row["sha256"] == hashlib.sha256(data).hexdigest()
    assert (found.row["status"], found.row["bytes"], found.row["width"], found.row["height"]) == (
        "ok",
        len(data),
        60,
        44,
    )
    assert found.thumb is not None and found.thumb.shape == (32, 32, 3)
    assert found.pixels is not None and found.pixels.shape == (48, 48, 3)


def test_what_is_not_there_is_missing(tmp_path: Path) -> None:
    assert refused(tmp_path / "a.png")["status"] == "missing"
    (tmp_path / "b.png").symlink_to(tmp_path / "a.png")
    assert refused(tmp_path / "b.png")["status"] == "missing"


def test_what_the_system_does_not_let_us_read_is_unreadable(tmp_path: Path) -> None:
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")  # opening it would wait for ever
    rows = [refused(tmp_path / f"{name}.png") for name in ("loop", "folder", "pipe")]
    assert [row["status"] for row in rows] == ["unreadable"] * 3
    assert rows[1]["error"] == rows[2]["error"] == "not a regular file"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_unreadable(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(picture(), "PNG"))
    (tmp_path / "a.png").chmod(0)
    assert look(tmp_path / "a.png").row["status"] == "unreadable"


def test_a_file_that_cannot_be_opened_is_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a.png").write_bytes(encoded(picture(), "PNG"))
    monkeypatch.setattr(Path, "read_bytes", refuse)
    found = look(tmp_path / "a.png")
    assert found.row == {"sample_id": "a.png", "status": "unreadable", "error": "Permission denied"}
    assert not found.is_lasting


def test_a_file_that_vanishes_before_it_is_opened_is_missing(tmp_path: Path) -> None:
    file = File("a.png", str(tmp_path / "a.png"), 1, 1)
    assert look_at([file], image_size=48, max_pixels=10)[0].row["status"] == "missing"


def test_several_files_are_as_each_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, side in enumerate((40, 200, 40, 90)):
        (tmp_path / f"{number}.png").write_bytes(encoded(picture(number, width=side), "PNG"))
    (tmp_path / "4.png").write_bytes(b"broken")
    files = [file for path in sorted(tmp_path.iterdir()) if isinstance(file := stat_file(path.name, str(path)), File)]
    expected = [look_at([file], image_size=64, max_pixels=10**6)[0] for file in files]
    for together in (1, 10_000, 10**9):
        monkeypatch.setattr("curate.embed.look.TOGETHER", together)
        found = look_at(files, image_size=64, max_pixels=10**6)
        assert [each.row for each in found] == [each.row for each in expected]
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_equal((one.thumb, one.pixels), (other.thumb, other.pixels))


def test_a_file_of_gigabytes_is_not_read(tmp_path: Path) -> None:
    with open(tmp_path / "a.png", "wb") as file:
        file.truncate(3 << 30)  # takes no room on the disk
    assert refused(tmp_path / "a.png")["status"] == "too_large"


def test_whether_a_refusal_lasts_depends_on_what_it_rests_on(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(picture(), "PNG"))
    (tmp_path / "b.png").write_bytes(b"no image")
    assert not look(tmp_path / "a.png", max_pixels=10).is_lasting
    assert look(tmp_path / "b.png").is_lasting


def test_resizing_is_pillows_antialiased_bicubic() -> None:
    for width, height, side in ((60, 44, 96), (200, 150, 32), (20, 300, 64)):
        image = picture(width=width, height=height)
        expected = np.asarray(image.resize((side, side), Image.Resampling.BICUBIC)).astype(int)
        assert np.abs(resized(np.array(image), side) - expected).max() <= 1


def test_pictures_of_all_shapes_become_squares_as_each_would_alone() -> None:
    shapes = ((32, 32), (20, 30), (32, 32), (48, 48), (20, 30), (30, 20))
    pictures = [np.array(picture(width=width, height=height, seed=i)) for i, (height, width) in enumerate(shapes)]
    np.testing.assert_array_equal(squared(pictures, 48), np.stack([resized(each, 48) for each in pictures]))
