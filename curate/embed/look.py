"""One look at each file: read once, hashed, decoded once, measured, brought to the sizes that others need."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Container, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from curate.errors import DecodeError
from curate.images.decode import Decoded, OpenImage, open_image
from curate.images.measure import WORK_SIDE, measure
from curate.images.resize import resized
from curate.machine.memory import MemoryBudget, total_memory

MAX_BYTES = 1 << 31  # a larger file is no picture, and is not read into memory
LARGE = 1 << 26  # bytes that decoding an image may take; of larger ones only so many are decoded at once
DECODING = MemoryBudget(min(total_memory() // 4, 1 << 32))  # for all large images that are decoded at once
TOGETHER = 1 << 22  # bytes of decoded pixels that are measured together
THUMB = 32  # pixels, square: enough to tell whether two pictures are the same shot

Row = dict[str, Any]  # of table SCAN; columns left out are null


@dataclass(frozen=True)
class File:
    """What is known of a file before it is opened."""

    sample_id: str
    path: str
    bytes: int
    mtime_ns: int


@dataclass(frozen=True)
class Look:
    """What one look at a file gave: a row and, of a picture, its thumbnail and its pixels or their embedding.

    Where the content was known already, there is a row without a status.
    """

    row: Row
    thumb: np.ndarray | None = None  # (32, 32, 3) uint8; of a small picture yet to be made
    pixels: np.ndarray | None = None  # (S, S, 3) uint8, or smaller, yet to be embedded
    embedding: np.ndarray | None = None  # (d,) float

    def finished(self, thumb: np.ndarray, embedding: np.ndarray) -> Look:
        """The same without pixels, with its (32, 32, 3) uint8 thumbnail and (d,) embedding."""
        return Look(self.row, thumb, embedding=embedding)

    def known(self) -> Look:
        """The same without what its content tells: which file, and which content."""
        names = ("sample_id", "bytes", "mtime_ns", "sha256")
        return Look({name: self.row[name] for name in names}) if "sha256" in self.row else self

    @property
    def is_known(self) -> bool:
        """Whether its content was known, so that it was not decoded."""
        return "status" not in self.row

    @property
    def is_lasting(self) -> bool:
        """Whether the same bytes would give the same row whatever the options, the rights and the disk."""
        return "sha256" in self.row and self.row["status"] != "too_large"


def stat_file(sample_id: str, path: str) -> File | Row:
    """A file as the system lists it, or the row that says why it can't be opened."""
    try:
        seen = os.stat(path)
    except OSError as error:
        return _refused(sample_id, error)
    if not stat.S_ISREG(seen.st_mode):
        return failed(sample_id, "unreadable", "not a regular file")
    if seen.st_size > MAX_BYTES:
        return failed(sample_id, "too_large", f"{seen.st_size:,} bytes; at most {MAX_BYTES:,} are read")
    return File(sample_id, path, seen.st_size, seen.st_mtime_ns)


def look_at(
    files: Iterable[File],
    *,
    image_size: int,
    max_pixels: int,
    known: Container[str] = (),
    budget: MemoryBudget = DECODING,
) -> list[Look]:
    """Open each file, once. What goes wrong with one becomes its row's status and error.

    Several small pictures are decoded, then measured: the code of either stays in the processor's cache, which
    takes a third off their time.

    Parameters
    ----------
    image_size : side of the pixels to be embedded; a smaller picture is kept as it is, for `squared`
    max_pixels : larger images are refused
    known : SHA-256 of contents that need not be decoded
    budget : of memory, that images share which take more than `LARGE`; one that takes more than all is too large
    """
    looks, decoded, held = list[Look](), list[tuple[Row, Decoded | None]](), 0
    for file in files:
        row, opened = _opened(file, max(image_size, WORK_SIDE), max_pixels, known)
        is_large = opened is not None and opened.needs > LARGE
        if is_large or held >= TOGETHER:
            looks += [_measured(*each, image_size) for each in decoded]
            decoded, held = [], 0
        if opened is not None and is_large:
            looks.append(_large(row, opened, image_size, budget))
            continue
        decoded.append(_decoded(row, opened))
        held += opened.needs if opened else 0
    return looks + [_measured(*each, image_size) for each in decoded]


def _large(row: Row, opened: OpenImage, image_size: int, budget: MemoryBudget) -> Look:
    """Decode and measure an image while its memory is set aside."""
    try:
        with budget.holding(opened.needs):
            return _measured(*_decoded(row, opened), image_size)
    except MemoryError:
        reason = f"decoding it takes up to {opened.needs:,} bytes; at most {budget.total:,} are used"
        return Look({**row, "status": "too_large", "error": reason})


def _decoded(row: Row, opened: OpenImage | None) -> tuple[Row, Decoded | None]:
    """The row so far, and the picture, unless it is broken."""
    try:
        return row, opened.decode() if opened else None
    except DecodeError as error:
        return {**row, "status": error.status, "error": str(error)}, None


def _opened(file: File, target: int, max_pixels: int, known: Container[str]) -> tuple[Row, OpenImage | None]:
    """The row so far, and the picture to decode, unless it is known or broken."""
    try:
        data = Path(file.path).read_bytes()
    except OSError as error:
        return _refused(file.sample_id, error), None
    row: Row = {
        "sample_id": file.sample_id,
        "bytes": file.bytes,
        "mtime_ns": file.mtime_ns,
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    if row["sha256"] in known:
        return row, None
    try:
        return row, open_image(data, target=target, max_pixels=max_pixels)
    except DecodeError as error:
        return {**row, "status": error.status, "error": str(error)}, None


def _measured(row: Row, image: Decoded | None, image_size: int) -> Look:
    if image is None:
        return Look(row)
    row |= {**measure(image), "status": "ok"}
    if max(image.rgb.shape[:2]) < image_size:  # those of one shape are resized together
        return Look(row, pixels=image.rgb)
    return Look(row, resized(image.rgb, THUMB), resized(image.rgb, image_size))


def _refused(sample_id: str, error: OSError) -> Row:
    status = "missing" if isinstance(error, FileNotFoundError) else "unreadable"
    return failed(sample_id, status, error.strerror or str(error))


def failed(sample_id: str, status: str, error: str) -> Row:
    """The row of a file that could not be looked at; `status` is one of `curate.schema.STATUSES`."""
    return {"sample_id": sample_id, "status": status, "error": error}
