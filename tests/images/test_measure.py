"""What is measured, against CleanVision's recorded numbers, numpy, Pillow and imagehash's definition."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from pictures import CLEANVISION_MEASURED, PICTURES
from PIL import Image
from scipy.fft import dctn
from scipy.stats import spearmanr

from curate.images import measure as measure_module
from curate.images.decode import Decoded, decode
from curate.images.measure import EDGE_SIDE, WORK_SIDE, measure, perceptual_hash
from curate.schema import MEASUREMENTS

OF_THE_FILE = {"bytes", "mtime_ns", "sha256", "status", "error"}
NUMBERS = ["brightness_p5", "brightness_p99", "brightness_mean", "entropy", "edges", "histogram_spread"]


def picture(pixels: np.ndarray, *, width: int | None = None, height: int | None = None) -> Decoded:
    """As the decoder gives it; grey pixels become a file of mode L."""
    rgb = np.ascontiguousarray(np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels)
    mode = "L" if pixels.ndim == 2 else "RGB"
    return Decoded(rgb, width or pixels.shape[1], height or pixels.shape[0], mode)


def blurred(pixels: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(pixels, (0, 0), sigma)


@pytest.fixture(scope="module")
def bench_photos(bench: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("photos")
    with tarfile.open(bench / "photos-256.tar") as archive:
        archive.extractall(folder, filter="data")
    return sorted(folder.rglob("*.jpg"))


def test_every_measurement_of_the_schema_is_made_and_no_other():
    found = measure(picture(PICTURES["scene_small"]))
    assert set(found) == {column.name for column in MEASUREMENTS} - OF_THE_FILE


@pytest.mark.parametrize("name", PICTURES)
def test_the_numbers_are_those_of_cleanvision(name: str):
    found = measure(picture(PICTURES[name]))
    expected = dict(zip(NUMBERS, CLEANVISION_MEASURED[name], strict=True))
    for column in ("brightness_p5", "brightness_p99", "brightness_mean"):
        assert found[column] == pytest.approx(expected[column], abs=3e-4)  # tenths of a grey level
    assert found["entropy"] == pytest.approx(expected["entropy"], abs=1e-5)
    rough = 0.05 if max(PICTURES[name].shape) > EDGE_SIDE else 0.002  # we make grey before shrinking, they after
    assert found["edges"] == pytest.approx(expected["edges"], rel=rough, abs=0.02)
    assert found["histogram_spread"] == pytest.approx(expected["histogram_spread"], rel=rough, abs=0.05)


def test_percentiles_are_numpys_to_a_tenth_of_a_grey_level():
    rgb = np.random.default_rng(0).integers(0, 256, (37, 53, 3), dtype=np.uint8)
    brightness = np.sqrt(rgb.astype(float) ** 2 @ [0.241, 0.691, 0.068]) / 255
    found = measure(picture(rgb))
    for column, percent in (("brightness_p5", 5), ("brightness_p99", 99)):
        assert found[column] == pytest.approx(np.percentile(brightness, percent), abs=0.1 / 255)


@pytest.mark.parametrize("name", PICTURES)
def test_the_hash_is_that_of_imagehash(name: str):
    pixels = PICTURES[name]
    grey = Image.fromarray(pixels).convert("L").resize((32, 32), Image.Resampling.LANCZOS)
    lowest = dctn(np.asarray(grey, dtype=float), type=2)[:8, :8]
    expected = lowest > np.median(lowest)
    found = np.unpackbits(np.frombuffer(bytes.fromhex(str(measure(picture(pixels))["phash"])), np.uint8))
    allowed = 0 if max(pixels.shape) <= 64 else 4  # larger ones are hashed from a copy of 64 pixels
    if pixels.std() > 0:
        assert np.count_nonzero(found != expected.ravel()) <= allowed


def test_a_constant_picture_has_one_hash_whatever_its_size():
    hashes = {perceptual_hash(np.full((side, side), 100, np.uint8)) for side in (1, 7, 32, 64)}
    assert hashes == {"8000000000000000"}


def test_grey_files_have_no_colour_and_tinted_ones_do():
    grey = measure(picture(PICTURES["scene_grey"]))
    assert grey["colourfulness"] == 0
    tinted = np.repeat(PICTURES["scene_grey"][..., None], 3, axis=2).astype(int) + [0, 0, 7]
    assert measure(picture(np.clip(tinted, 0, 255).astype(np.uint8)))["colourfulness"] == pytest.approx(7, abs=0.5)


def test_sharpness_falls_with_blur_and_not_with_contrast():
    scene = PICTURES["scene_small"]
    sharp = measure(picture(scene))["sharpness"]
    softer = [measure(picture(blurred(scene, sigma)))["sharpness"] for sigma in (1, 2, 3)]
    assert sharp > 0.9 > softer[0] > softer[1] > softer[2]
    assert softer[1] < 0.6
    faint = (100 + 0.25 * scene).astype(np.uint8)
    assert measure(picture(faint))["sharpness"] == pytest.approx(sharp, rel=0.05)


def test_sharpness_is_the_frequency_of_a_wave():
    frequency = 0.5  # radians per pixel
    wave = 128 + 100 * np.sin(frequency * np.arange(200))
    found = measure(picture(np.tile(wave, (200, 1)).round().astype(np.uint8)))["sharpness"]
    assert found == pytest.approx(frequency, rel=0.05)


def test_jpeg_artefacts_do_not_make_a_blurred_picture_sharp():
    scene = blurred(PICTURES["scene"], 6)
    buffer = io.BytesIO()
    Image.fromarray(scene).save(buffer, "JPEG", quality=70)
    assert measure(decode(buffer.getvalue()))["sharpness"] < 0.5


def test_a_reduced_decode_measures_nearly_the_same():
    scene = cv2.resize(PICTURES["scene"], (1600, 1200), interpolation=cv2.INTER_CUBIC)
    buffer = io.BytesIO()
    Image.fromarray(scene).save(buffer, "JPEG", quality=92)
    full, reduced = decode(buffer.getvalue()), decode(buffer.getvalue(), target=256)
    assert reduced.rgb.shape[0] < full.rgb.shape[0]
    exact, found = measure(full), measure(reduced)
    assert found["width"], found["height"] == (1600, 1200)
    for column in ("brightness_p5", "brightness_p99", "brightness_mean"):
        assert found[column] == pytest.approx(exact[column], abs=0.02)
    assert found["entropy"] == pytest.approx(exact["entropy"], abs=0.1)
    for column in ("edges", "sharpness", "contrast"):
        assert found[column] == pytest.approx(exact[column], rel=0.12)


def test_photographs_measure_nearly_the_same_at_reduced_scale(bench_photos: list[Path]):
    n_reduced = 0
    for path in bench_photos:
        full, reduced = decode(path.read_bytes()), decode(path.read_bytes(), target=WORK_SIDE)
        if reduced.rgb.shape == full.rgb.shape:
            continue
        n_reduced += 1
        exact, found = measure(full), measure(reduced)
        assert found["brightness_p5"] == pytest.approx(exact["brightness_p5"], abs=0.03)
        assert found["brightness_p99"] == pytest.approx(exact["brightness_p99"], abs=0.03)
        assert found["entropy"] == pytest.approx(exact["entropy"], abs=0.15)
        assert found["sharpness"] == pytest.approx(exact["sharpness"], abs=0.15)
    assert n_reduced >= 5


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 1), (3, 3), (1, 5000), (5000, 1), (7, 300)])
@pytest.mark.parametrize("level", [0, 128, 255, None])
def test_tiny_and_narrow_pictures_measure_finite_numbers(shape: tuple[int, int], level: int | None):
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    found = measure(picture(noise if level is None else np.full_like(noise, level)))
    numbers = [value for value in found.values() if not isinstance(value, str)]
    assert np.isfinite(numbers).all()
    assert 0 <= found["brightness_p5"] <= found["brightness_p99"] <= 1


def test_a_sample_of_a_large_picture_skips_no_pattern(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(measure_module, "SAMPLE_SIDE", 31)
    checkers = np.kron(np.ones((64, 64)), [[0, 255], [255, 0]]).astype(np.uint8)
    assert measure(picture(checkers))["brightness_mean"] == pytest.approx(0.5, abs=0.05)


def test_real_images_rank_as_cleanvision_ranks_them(bench_photos: list[Path]):
    """Sharpness is ours, but what CleanVision calls blurriness is measured too: against Pillow's own filter."""
    from PIL import ImageFilter, ImageStat

    ours, theirs = [], []
    for path in bench_photos[:60]:
        with Image.open(path) as file:
            image = file.convert("RGB")
        ratio = max(image.size) / 64
        small = image.resize((int(image.width // ratio), int(image.height // ratio))).convert("L")
        theirs.append(ImageStat.Stat(small.filter(ImageFilter.FIND_EDGES)).stddev[0])
        ours.append(measure(decode(path.read_bytes(), target=WORK_SIDE))["edges"])
    assert spearmanr(ours, theirs).statistic > 0.99
