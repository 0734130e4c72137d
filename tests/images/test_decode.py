"""Every format, every mode and every way a file can be broken, each with its known answer."""

from __future__ import annotations

import io
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from embed_samples import encoded, picture
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, ImageOps

from curate.errors import DecodeError
from curate.images.decode import decode, peek

KINDS = {
    "jpeg": ("JPEG", {}),
    "progressive jpeg": ("JPEG", {"progressive": True}),
    "png": ("PNG", {}),
    "webp": ("WEBP", {}),
    "lossless webp": ("WEBP", {"lossless": True}),
    "bmp": ("BMP", {}),
    "gif": ("GIF", {}),
    "tiff": ("TIFF", {}),
    "lzw tiff": ("TIFF", {"compression": "tiff_lzw"}),
}
LOSSLESS = {"png", "lossless webp", "bmp", "tiff", "lzw tiff"}


def status_of(data: bytes, **options: int) -> str:
    try:
        decode(data, **options)
    except DecodeError as error:
        assert str(error)
        return error.status
    return "ok"


def sample(kind: str) -> bytes:
    format, options = KINDS[kind]
    return encoded(picture(), format, **options)


# ---- formats and modes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_each_format_gives_the_pixels_that_pillow_reads(kind: str) -> None:
    original = np.asarray(picture())
    found = decode(sample(kind))
    assert (found.width, found.height, found.rgb.dtype) == (60, 44, np.uint8)
    assert found.rgb.flags.c_contiguous and found.rgb.flags.writeable
    if kind in LOSSLESS:
        np.testing.assert_array_equal(found.rgb, original)
    else:
        assert np.abs(found.rgb.astype(int) - original).mean() < 12


def test_grey_is_repeated_over_three_channels() -> None:
    grey = picture().convert("L")
    found = decode(encoded(grey, "PNG"))
    assert found.mode == "L"
    np.testing.assert_array_equal(found.rgb, np.repeat(np.asarray(grey)[..., None], 3, axis=2))


def test_black_and_white_becomes_0_and_255() -> None:
    bits = Image.fromarray(np.array([[True, False], [False, True]]))
    assert decode(encoded(bits, "PNG")).rgb[..., 0].tolist() == [[255, 0], [0, 255]]


def test_palettes_are_looked_up() -> None:
    indexed = picture().quantize(16)
    found = decode(encoded(indexed, "PNG"))
    assert found.mode == "P"
    np.testing.assert_array_equal(found.rgb, np.asarray(indexed.convert("RGB")))


def test_cmyk_is_converted_by_pillows_formula() -> None:
    inks = picture().convert("CMYK")
    found = decode(encoded(inks, "TIFF"))
    assert found.mode == "CMYK"
    np.testing.assert_array_equal(found.rgb, np.asarray(inks.convert("RGB")))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_pixels_are_laid_over_white(mode: str) -> None:
    image = Image.new(mode, (3, 1), 0)
    image.putdata([(10,) * (len(mode) - 1) + (alpha,) for alpha in (0, 255, 128)])
    assert decode(encoded(image, "PNG")).rgb[0].tolist() == [[255] * 3, [10] * 3, [132] * 3]


def test_a_transparent_palette_entry_is_white() -> None:
    indexed = Image.new("P", (2, 1))
    indexed.putpalette([0, 0, 0, 200, 0, 0])
    indexed.putdata([0, 1])
    assert decode(encoded(indexed, "GIF", transparency=0)).rgb[0].tolist() == [[255] * 3, [200, 0, 0]]


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_by_their_full_range(format: str) -> None:
    levels = np.array([[0, 128, 129, 257, 32768, 65535]], dtype=np.uint16)
    found = decode(encoded(Image.fromarray(levels), format))
    assert found.mode == "I;16"
    assert found.rgb[0, :, 0].tolist() == [0, 0, 1, 1, 128, 255]


def test_the_transparent_level_of_sixteen_bits_is_white_and_the_others_keep_their_scale() -> None:
    levels = np.array([[0, 257, 258, 32768, 65535]], dtype=np.uint16)
    data = encoded(Image.fromarray(levels), "PNG")
    place = data.index(b"IDAT") - 4
    data = data[:place] + png_chunk(b"tRNS", struct.pack(">H", 257)) + data[place:]
    assert decode(data).rgb[0, :, 0].tolist() == [0, 255, 1, 128, 255]


def test_floats_are_scaled_from_their_minimum_to_their_maximum() -> None:
    values = np.array([[-1.0, 0.0, 3.0]], dtype=np.float32)
    assert decode(encoded(Image.fromarray(values), "TIFF")).rgb[0, :, 0].tolist() == [0, 64, 255]


def test_a_constant_float_image_is_black() -> None:
    values = np.full((2, 2), 7.0, dtype=np.float32)
    assert not decode(encoded(Image.fromarray(values), "TIFF")).rgb.any()


def test_the_first_frame_counts() -> None:
    red, blue = Image.new("RGB", (4, 4), "red"), Image.new("RGB", (4, 4), "blue")
    data = encoded(red, "GIF", save_all=True, append_images=[blue])
    assert decode(data).rgb[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation_is_applied(format: str, turn: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    data = encoded(picture(), format, exif=exif)
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    found = decode(data)
    np.testing.assert_array_equal(found.rgb, expected)
    assert (found.height, found.width) == expected.shape[:2]


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")
def test_unreadable_exif_does_not_refuse_readable_pixels() -> None:
    data = encoded(picture(), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\xff\x01\x02\x03")
    assert decode(data).rgb.shape == (44, 60, 3)


# ---- reduced scale -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "expected"), [(None, (600, 800)), (400, (600, 800)), (300, (300, 400)), (75, (75, 100))]
)
def test_a_jpeg_is_reduced_as_far_as_the_target_allows(target: int | None, expected: tuple[int, int]) -> None:
    found = decode(encoded(picture(width=800, height=600), "JPEG"), target=target)
    assert found.rgb.shape[:2] == expected
    assert (found.width, found.height) == (800, 600)


def test_a_reduced_jpeg_shows_what_averaging_its_pixels_shows() -> None:
    data = encoded(picture(width=800, height=600), "JPEG", quality=95)
    averaged = decode(data).rgb.reshape(150, 4, 200, 4, 3).mean(axis=(1, 3))
    assert np.abs(decode(data, target=150).rgb - averaged).mean() < 1


# ---- broken files ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_cut_anywhere_is_told_or_has_all_its_pixels(kind: str) -> None:
    format, options = KINDS[kind]
    data = encoded(picture(width=24, height=18), format, **options)
    whole = decode(data).rgb
    assert status_of(b"") == "empty"
    statuses = []
    for length in range(1, len(data)):
        try:
            np.testing.assert_array_equal(decode(data[:length]).rgb, whole)
        except DecodeError as error:
            statuses.append(error.status)
    assert statuses.count("truncated") > 0.98 * len(statuses)
    assert set(statuses) <= {"truncated", "corrupt"}


def test_a_download_padded_with_zeros_is_truncated() -> None:
    data = encoded(picture(width=320, height=240), "JPEG")
    assert status_of(data[: len(data) // 2] + bytes(len(data) // 2)) == "truncated"


def test_bytes_after_the_end_of_a_jpeg_are_no_fault() -> None:
    assert status_of(sample("jpeg") + bytes(100_000)) == "ok"


def test_fill_bytes_before_the_markers_of_a_jpeg_are_no_fault() -> None:
    data, at, filled = sample("jpeg"), 2, b"\xff\xd8"
    while data[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        filled, at = filled + b"\xff\xff" + data[at:end], end
    filled += b"\xff" + data[at:]
    np.testing.assert_array_equal(decode(filled).rgb, decode(data).rgb)
    assert status_of(filled[:-2]) == "truncated"


def test_a_thumbnail_inside_a_truncated_jpeg_does_not_hide_the_cut() -> None:
    exif = b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0" + encoded(picture(1), "JPEG")
    data = encoded(picture(width=320, height=240), "JPEG", exif=exif)
    assert status_of(data) == "ok"
    assert status_of(data[: -len(data) // 4]) == "truncated"


@pytest.mark.parametrize(
    "data", [b"<html>not found</html>", b"RIFF\x10\0\0\0WAVEfmt ", b"%PDF-1.7", bytes(64), b"\xff\xd8"[:1] + b"x" * 9]
)
def test_other_bytes_are_no_image(data: bytes) -> None:
    assert status_of(data) == "not_an_image"


def test_a_damaged_middle_is_corrupt() -> None:
    data = bytearray(sample("png"))
    data[len(data) // 2] ^= 0xFF
    assert status_of(bytes(data)) == "corrupt"


def png_chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png_header(width: int, height: int) -> bytes:
    """A PNG of this size whose pixels are a few bytes: a decompression bomb."""
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"")),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)


def test_a_decompression_bomb_is_refused_unopened() -> None:
    assert status_of(png_header(100_000, 100_000)) == "too_large"


def test_the_limit_of_pixels_is_the_callers() -> None:
    data = sample("png")
    assert status_of(data, max_pixels=60 * 44) == "ok"
    assert status_of(data, max_pixels=60 * 44 - 1) == "too_large"


@pytest.mark.parametrize("kind", ["jpeg", "png", "bmp", "gif"])
def test_pillows_own_limit_neither_warns_nor_refuses(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert status_of(sample(kind)) == "ok"


@pytest.mark.parametrize("kind", ["webp", "tiff"])
def test_readers_with_a_limit_of_their_own_refuse_in_our_words(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert status_of(sample(kind)) == "too_large"


# ---- manners -----------------------------------------------------------------------------------------------


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    assert status_of(data) in {"empty", "not_an_image", "truncated", "corrupt", "ok"}


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(sorted(KINDS)), st.data())
def test_no_damage_raises_anything_else(kind: str, draw: st.DataObject) -> None:
    data = bytearray(sample(kind))
    for place in draw.draw(st.lists(st.integers(0, len(data) - 1), min_size=1, max_size=8)):
        data[place] = draw.draw(st.integers(0, 255))
    status_of(bytes(data), max_pixels=1_000_000)


def test_threads_decode_alike_and_leave_pillow_as_it_was() -> None:
    limits = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
    files = [sample(kind) for kind in KINDS] * 10
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(decode, files))
    for one, other in zip(together, map(decode, files), strict=True):
        np.testing.assert_array_equal(one.rgb, other.rgb)
    assert limits == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)


@pytest.mark.parametrize("kind", KINDS)
def test_peek_tells_the_size(kind: str) -> None:
    assert peek(io.BytesIO(sample(kind))) == (60, 44)
