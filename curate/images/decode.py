"""Bytes of an image file → RGB pixels, or the reason why not. The only decoder of curate.

The signature of the bytes chooses Pillow's reader, never the file's name. `Image.open` would do the same, but
its limit on pixels is a global, and a second one beside ours. Nothing global is changed here, so any number of
threads may decode at once; Pillow lets go of the GIL while it does.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, Literal

import numpy as np
from PIL import Image, ImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from curate.config import EmbedOptions
from curate.errors import DecodeError
from curate.images.libtiff import quiet_libtiff

READERS: tuple[tuple[bytes, type[ImageFile.ImageFile]], ...] = (
    (b"\xff\xd8\xff", JpegImageFile),  # also MPO: several JPEGs in a row
    (b"\x89PNG\r\n\x1a\n", PngImageFile),
    (b"RIFF", WebPImageFile),
    (b"GIF8", GifImageFile),
    (b"II*\0", TiffImageFile),
    (b"MM\0*", TiffImageFile),
    (b"II+\0", TiffImageFile),  # BigTIFF
    (b"MM\0+", TiffImageFile),
    (b"BM", BmpImageFile),
)
SIGNATURE = max(len(signature) for signature, _ in READERS) + 4  # of WebP, its kind stands behind its length
FORMATS = "JPEG, PNG, WebP, GIF, TIFF or BMP"

ORIENTATION = 0x0112  # EXIF tag
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
MARKER = re.compile(b"\xff+([^\xff])", re.DOTALL)  # of a JPEG; more than one 0xFF is fill (ITU T.81, B.1.1.2)
START_OF_SCAN = b"\xda"  # code of the marker that the pixels follow
STRIP_OFFSETS, STRIP_BYTES = 273, 279  # TIFF tags: where the pixels lie
TILE_OFFSETS, TILE_BYTES = 324, 325  # the same of tiled ones
STRIP = 1 << 20  # pixels that are converted at once where that takes several times their memory
CONVERTED = 12  # bytes of a pixel beside what Pillow stores: turned and converted (8), as an array (3), grey (1)


@dataclass(frozen=True)
class Decoded:
    """One decoded image.

    Attributes
    ----------
    rgb : (H, W, 3) uint8, C-contiguous, writable; may be smaller than the file says where a `target` allowed it
    width, height : pixels of the file's own image, after EXIF orientation
    mode : the file's own colour mode, as Pillow names it: RGB, L, P, CMYK, RGBA, I;16 …
    """

    rgb: np.ndarray
    width: int
    height: int
    mode: str


def decode(data: bytes, *, target: int | None = None, max_pixels: int = EmbedOptions.max_pixels) -> Decoded:
    """Decode the first frame of an image to 8-bit RGB.

    EXIF orientation is applied. Grey is repeated over three channels, palettes are looked up, CMYK is
    converted by Pillow's formula without colour profiles, transparent pixels are laid over white, 16-bit
    grey is scaled by its full range (65,535 → 255) and 32-bit grey, which has no agreed range, from its own
    minimum to its own maximum.

    Parameters
    ----------
    data : the file's bytes
    target : a JPEG may be decoded at 1/2, 1/4 or 1/8 scale as long as its short side keeps so many pixels
    max_pixels : larger images are refused before their pixels are decoded

    Raises
    ------
    DecodeError : with `status` empty, not_an_image, truncated, corrupt or too_large
    """
    return open_image(data, target=target, max_pixels=max_pixels).decode()


class OpenImage:
    """An image whose header has been read, and no pixel yet.

    Attributes
    ----------
    needs : bytes of memory that decoding takes at its peak, at most, beside the file's own
    """

    def __init__(self, data: bytes, image: ImageFile.ImageFile, width: int, height: int) -> None:
        self._data, self._image, self._width, self._height = data, image, width, height
        self._mode = image.mode
        self.needs = _peak_memory(image, width * height)

    def decode(self) -> Decoded:
        """The pixels; raises DecodeError. Once."""
        with _decode_errors(self._data, self._image):
            return _read(self._image, self._width, self._height, self._mode)


def open_image(data: bytes, *, target: int | None = None, max_pixels: int = EmbedOptions.max_pixels) -> OpenImage:
    """Read the header; parameters and errors as for `decode`."""
    reader = _reader_for(data)
    with _decode_errors(data, None):
        image = reader(io.BytesIO(data))
    with _decode_errors(data, image):
        if reader is JpegImageFile and _jpeg_ends_early(data):
            raise _truncated(data)  # a download padded with zeros would decode without complaint, grey below
        width, height = image.size
        if width * height > max_pixels:
            raise DecodeError("too_large", f"{width:,} × {height:,} pixels; at most {max_pixels:,} are decoded")
        opened = OpenImage(data, image, width, height)
        if target and isinstance(image, JpegImageFile):
            image.draft(None, (target, target))
            opened.needs = _peak_memory(image, width * height)
        return opened


@contextmanager
def _decode_errors(data: bytes, image: ImageFile.ImageFile | None) -> Iterator[None]:
    """Whatever a reader says of broken bytes becomes a DecodeError."""
    try:
        yield
    except DecodeError:
        raise
    except MemoryError as error:
        raise DecodeError("too_large", "needs more memory than there is") from error
    except Image.DecompressionBombError as error:  # the readers of WebP and TIFF keep Pillow's own limit
        raise DecodeError("too_large", str(error)) from error
    except Exception as error:  # readers raise anything on broken bytes: OSError, SyntaxError, struct.error …
        if _ends_early(data, image):
            raise _truncated(data) from error
        raise DecodeError("corrupt", f"{type(error).__name__}: {error}") from error


@contextmanager
def quiet_decoders() -> Iterator[None]:
    """Pillow and libtiff warn of oddities in files whose pixels are fine; what matters becomes a row's error."""
    with warnings.catch_warnings(), quiet_libtiff():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


def peek(file: BinaryIO) -> tuple[int, int]:
    """Width and height that the first bytes of an image's file tell, as stored. Raises DecodeError."""
    reader = _reader_for(file.read(SIGNATURE))
    file.seek(0)
    try:
        return reader(file).size
    except Exception as error:
        raise DecodeError("corrupt", f"{type(error).__name__}: {error}") from error


def _reader_for(data: bytes) -> type[ImageFile.ImageFile]:
    if not data:
        raise DecodeError("empty", "the file has no bytes")
    for signature, reader in READERS:
        if data.startswith(signature) and (signature != b"RIFF" or b"WEBP".startswith(data[8:12])):
            return reader
    if any(signature.startswith(data) for signature, _ in READERS):
        raise DecodeError("truncated", f"the file ends after {len(data)} bytes, within its signature")
    raise DecodeError("not_an_image", f"begins with {repr(data[:8])[1:]}; expected {FORMATS}")  # no b


def _peak_memory(image: ImageFile.ImageFile, full_pixels: int) -> int:
    """Bytes that decoding and measuring take at their peak, beside the file's: measured ones are below it."""
    pixels, stored = image.size[0] * image.size[1], _stored_bytes(image.mode)
    if isinstance(image, TiffImageFile):
        stored *= 2  # libtiff decodes a strip, which may be the whole, before Pillow takes it over
    coefficients = 6 * full_pixels if image.info.get("progressive") else 0  # libjpeg keeps those of the whole image
    return pixels * (stored + CONVERTED) + coefficients


def _stored_bytes(mode: str) -> int:
    """Bytes that Pillow keeps of a pixel."""
    return {"1": 1, "L": 1, "P": 1}.get(mode, 2 if mode.startswith("I;16") else 4)


def _read(image: ImageFile.ImageFile, width: int, height: int, mode: str) -> Decoded:
    image.load()
    turn = _orientation(image)
    plain = _to_plain(image)
    if turn in TURNS:
        plain = plain.transpose(TURNS[turn])
        width, height = (height, width) if turn >= 5 else (width, height)
    if plain.mode == "L":
        return Decoded(np.repeat(np.asarray(plain)[:, :, None], 3, axis=2), width, height, mode)
    return Decoded(np.array(plain), width, height, mode)


def _to_plain(image: Image.Image) -> Image.Image:
    """The image in mode L or RGB."""
    if image.mode == "F" or image.mode.startswith("I"):  # first of all: Pillow's own conversions clip these at 255
        return Image.fromarray(_to_bytes(image))
    if image.has_transparency_data:
        return _over_white(image)
    return image if image.mode in ("L", "RGB") else image.convert("RGB")


def _over_white(image: Image.Image) -> Image.Image:
    """An image with transparent pixels laid over white, strip by strip."""
    rgb = Image.new("RGB", image.size)
    for box in _strips(image):
        over = image.crop(box).convert("RGBA")
        rgb.paste(Image.alpha_composite(Image.new("RGBA", over.size, "white"), over).convert("RGB"), box)
    return rgb


def _to_bytes(image: Image.Image) -> np.ndarray:
    """(H, W) uint8 of an image of 16 or 32 bits, as `decode` documents it, strip by strip.

    Pixels of the one level that a PNG may call transparent become white.
    """
    grey, transparent = np.empty((image.height, image.width), np.uint8), image.info.get("transparency")
    scaled = _by_half if image.mode.startswith("I;16") else _by_range(image)
    for box in _strips(image):
        strip = np.asarray(image.crop(box))
        part = scaled(strip)
        grey[box[1] : box[3]] = part if transparent is None else np.where(strip == transparent, np.uint8(255), part)
    return grey


def _by_half(strip: np.ndarray) -> np.ndarray:
    """16 bits → 8."""
    return ((strip.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _by_range(image: Image.Image) -> Callable[[np.ndarray], np.ndarray]:
    """32 bits → 8, by the image's own minimum and maximum; what is no number counts as 0."""
    strips = (_numbers(np.asarray(image.crop(box))) for box in _strips(image))
    lows, highs = zip(*((strip.min(), strip.max()) for strip in strips), strict=True)
    low, high = min(lows), max(highs)
    factor = 255 / (high - low) if high > low else 0
    return lambda strip: np.rint((_numbers(strip) - low) * factor).astype(np.uint8)


def _numbers(strip: np.ndarray) -> np.ndarray:
    return np.nan_to_num(strip.astype(np.float64), posinf=0, neginf=0)


def _strips(image: Image.Image) -> Iterator[tuple[int, int, int, int]]:
    """Boxes that cover the image from top to bottom, of `STRIP` pixels or a row."""
    rows = max(1, STRIP // max(image.width, 1))
    for top in range(0, image.height, rows):
        yield 0, top, image.width, min(top + rows, image.height)


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 where there is none. Unreadable EXIF is no reason to refuse readable pixels."""
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:
        return 1


def _truncated(data: bytes) -> DecodeError:
    return DecodeError("truncated", f"the file ends after {len(data):,} bytes, before the image does")


def _ends_early(data: bytes, image: ImageFile.ImageFile | None) -> bool:
    """Whether the bytes of a failed image lack its end: what its header promised, or its end mark."""
    if data.startswith(b"\xff\xd8\xff"):
        return _jpeg_ends_early(data)
    if data.startswith(b"\x89PNG"):
        return b"IEND" not in data[-4096:]
    if data.startswith(b"RIFF"):
        return len(data) < 12 or len(data) < 8 + int.from_bytes(data[4:8], "little")
    if data.startswith(b"GIF8"):
        return not data.rstrip(b"\0").endswith(b";")
    if data.startswith(b"BM"):
        return len(data) < 54 or len(data) < int.from_bytes(data[2:6], "little")
    return _tiff_ends_early(data, image)


def _jpeg_ends_early(data: bytes) -> bool:
    """Whether there is no end mark after the pixels begin; EXIF thumbnails before them have marks of their own."""
    at = 2
    while (marker := MARKER.match(data, at)) and marker[1] != START_OF_SCAN:
        at = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2], "big")
    return data.rfind(b"\xff\xd9", at) < 0


def _tiff_ends_early(data: bytes, image: ImageFile.ImageFile | None) -> bool:
    """Whether the directory of a TIFF, or pixels that it points to, lie beyond the end."""
    if not isinstance(image, TiffImageFile):
        return _directory_end(data) > len(data)
    tags = image.tag_v2
    for offsets, sizes in ((STRIP_OFFSETS, STRIP_BYTES), (TILE_OFFSETS, TILE_BYTES)):
        pairs = zip(tags.get(offsets, ()), tags.get(sizes, ()), strict=False)
        if any(offset + size > len(data) for offset, size in pairs):
            return True
    return False


def _directory_end(data: bytes) -> int:
    """Where the first directory of a classic TIFF ends: a count of two bytes, then twelve for each tag."""
    order: Literal["little", "big"] = "little" if data.startswith(b"I") else "big"
    start = int.from_bytes(data[4:8], order) if len(data) >= 8 else 8
    return start + 6 + 12 * int.from_bytes(data[start : start + 2], order)
