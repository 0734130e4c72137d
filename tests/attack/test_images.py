"""Images made to take memory, or to talk on the terminal."""

from __future__ import annotations

import io
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from embed_samples import encoded, picture
from PIL import Image

from curate.embed import look
from curate.embed.look import File, look_at
from curate.errors import DecodeError
from curate.images import decode as decoding
from curate.images.decode import OpenImage, decode, open_image, quiet_decoders
from curate.machine.memory import MemoryBudget

SIDE = 6000

PEAK = """
import resource, sys
from curate.embed.look import DECODING, File, look_at
from curate.images.decode import open_image
import os, torch
look_at([File("warm", sys.argv[2], os.path.getsize(sys.argv[2]), 0)], image_size=96, max_pixels=10**9)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
row = look_at([File("a", sys.argv[1], os.path.getsize(sys.argv[1]), 0)], image_size=96, max_pixels=10**9)[0].row
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(row["status"], (peak - before) * 1024, open_image(open(sys.argv[1], "rb").read(), target=256).needs)
"""


def grey16(side: int) -> Image.Image:
    return Image.fromarray(np.zeros((side, side), np.uint16))


MAKERS: dict[str, Callable[[Path], None]] = {
    "F.tif": lambda file: Image.new("F", (SIDE, SIDE)).save(file, compression="tiff_adobe_deflate"),
    "I16.tif": lambda file: grey16(SIDE).save(file, compression="tiff_adobe_deflate"),
    "I16.png": lambda file: grey16(SIDE).save(file),
    "RGBA.png": lambda file: Image.new("RGBA", (SIDE, SIDE)).save(file),
    "LA.png": lambda file: Image.new("LA", (SIDE, SIDE)).save(file),
    "P.gif": lambda file: Image.new("P", (SIDE, SIDE)).save(file),
    "CMYK.tif": lambda file: Image.new("CMYK", (SIDE, SIDE)).save(file, compression="tiff_adobe_deflate"),
    "progressive.jpg": lambda file: Image.new("RGB", (SIDE, SIDE)).save(file, progressive=True),
    "RGB.webp": lambda file: Image.new("RGB", (SIDE, SIDE)).save(file),
    "RGB.bmp": lambda file: Image.new("RGB", (SIDE, SIDE)).save(file),
    "L.png": lambda file: Image.new("L", (SIDE, SIDE)).save(file),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MAKERS)
def test_an_image_takes_no_more_memory_than_is_set_aside_for_it(tmp_path: Path, name: str) -> None:
    MAKERS[name](tmp_path / name)
    picture(1).save(tmp_path / "warm.png")
    command = [sys.executable, "-c", PEAK, str(tmp_path / name), str(tmp_path / "warm.png")]
    ran = subprocess.run(command, capture_output=True, text=True)
    status, taken, needs = ran.stdout.split()
    assert status == "ok" and int(taken) <= int(needs), (name, taken, needs)


def large(tmp_path: Path, count: int) -> list[File]:
    """Files that count as large where `LARGE` is 1."""
    files = []
    for number in range(count):
        file = tmp_path / f"{number}.png"
        picture(number, width=300, height=200).save(file)
        files.append(File(file.name, str(file), file.stat().st_size, 0))
    return files


def needs_of(file: File) -> int:
    return open_image(Path(file.path).read_bytes()).needs


def test_an_image_that_alone_takes_more_than_all_is_a_row_that_says_so(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(look, "LARGE", 1)
    files = large(tmp_path, 1)
    row = look_at(files, image_size=96, max_pixels=10**9, budget=MemoryBudget(1000))[0].row
    assert row["status"] == "too_large"
    assert row["error"] == f"decoding it takes up to {needs_of(files[0]):,} bytes; at most 1,000 are used"


def test_large_images_share_the_memory_that_is_set_aside_and_all_are_looked_at(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(look, "LARGE", 1)
    files, lock, held, most = large(tmp_path, 24), threading.Lock(), [0], [0]
    budget = MemoryBudget(int(2.5 * needs_of(files[0])))  # two at once
    original = OpenImage.decode

    def watched(opened: OpenImage) -> object:
        with lock:
            held[0] += opened.needs
            most[0] = max(most[0], held[0])
        time.sleep(0.005)
        image = original(opened)
        with lock:
            held[0] -= opened.needs
        return image

    monkeypatch.setattr(OpenImage, "decode", watched)
    with ThreadPoolExecutor(8) as threads:
        one = lambda file: look_at([file], image_size=96, max_pixels=10**9, budget=budget)[0].row  # noqa: E731
        assert [row["status"] for row in threads.map(one, files)] == ["ok"] * 24
    assert needs_of(files[0]) < most[0] <= budget.total


def test_large_and_small_images_come_back_in_their_order_and_as_one_by_one(tmp_path: Path, monkeypatch) -> None:
    files = large(tmp_path, 6)
    apart = [look_at([file], image_size=96, max_pixels=10**9)[0] for file in files]
    small = sorted(map(needs_of, files))[2]
    monkeypatch.setattr(look, "LARGE", small)
    together = look_at(files, image_size=96, max_pixels=10**9)
    assert [found.row for found in together] == [found.row for found in apart]


def whole(image: Image.Image) -> np.ndarray:
    """What `decode` documents, from whole arrays."""
    if image.mode == "F" or image.mode.startswith("I"):
        grey = np.asarray(image)
        if grey.dtype.itemsize == 2:
            scaled = ((grey.astype(np.uint32) + 128) // 257).astype(np.uint8)
        else:
            values = np.nan_to_num(grey.astype(np.float64), posinf=0, neginf=0)
            low, high = values.min(), values.max()
            scaled = np.rint((values - low) * (255 / (high - low) if high > low else 0)).astype(np.uint8)
        return np.repeat(scaled[:, :, None], 3, axis=2)
    over = image.convert("RGBA")
    return np.asarray(Image.alpha_composite(Image.new("RGBA", over.size, "white"), over).convert("RGB"))


@pytest.mark.parametrize("mode", ["F", "I;16", "I", "RGBA", "LA", "P"])
def test_strips_give_the_pixels_of_the_whole(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    rng = np.random.default_rng(0)
    pixels = {
        "F": lambda: Image.fromarray(rng.normal(size=(37, 23)).astype(np.float32)),
        "I;16": lambda: Image.fromarray(rng.integers(0, 1 << 16, (37, 23)).astype(np.uint16)),
        "I": lambda: Image.fromarray(rng.integers(-1 << 30, 1 << 30, (37, 23)).astype(np.int32)),
    }
    image = pixels[mode]() if mode in pixels else picture(3, width=23, height=37).convert("RGBA")
    if mode not in pixels:
        image.putalpha(Image.fromarray(rng.integers(0, 256, (37, 23), dtype=np.uint8)))
        image = image.convert(mode) if mode != "P" else image.quantize(16)
    data = encoded(image, "TIFF" if mode in pixels else "PNG")
    monkeypatch.setattr(decoding, "STRIP", 50)  # two rows
    np.testing.assert_array_equal(decode(data).rgb, whole(Image.open(io.BytesIO(data))))


def test_a_budget_of_another_process_is_an_equal_one() -> None:
    import pickle

    budget = MemoryBudget(100)
    with budget.holding(100):
        assert pickle.loads(pickle.dumps(budget)).total == 100
    with pytest.raises(MemoryError), budget.holding(101):
        pass


def test_no_broken_tiff_writes_on_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    rng = random.Random(0)
    data = encoded(picture(5), "TIFF", compression="tiff_lzw")
    with quiet_decoders():
        for _ in range(200):
            broken = bytearray(data)
            for _ in range(3):
                broken[rng.randrange(len(broken))] = rng.randrange(256)
            try:
                decode(bytes(broken), max_pixels=10**6)
            except DecodeError:
                continue
    assert capfd.readouterr() == ("", "")


def test_numbers_that_are_none_give_pixels_and_no_warning() -> None:
    odd = np.array([[np.nan, np.inf, -np.inf, 3e38, -3e38, 0.0, 1e-45, 1.0]] * 8, np.float32)
    with np.errstate(all="raise"):
        rgb = decode(encoded(Image.fromarray(odd), "TIFF")).rgb
    assert rgb[0, :, 0].tolist() == [128, 128, 128, 255, 0, 128, 128, 128]
