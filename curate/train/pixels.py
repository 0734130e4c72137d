"""Files → pixels for training, through the decoder of the scan."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from curate.errors import CurateError, DecodeError
from curate.images.decode import Decoded, decode


def read_pixels(path: str, image_size: int) -> np.ndarray:
    """(H, W, 3) uint8 of an image file, maybe reduced, but to no less than `image_size` where it had that."""
    return _decoded(path, image_size).rgb


def size_of(path: str) -> tuple[int, int]:
    """Width and height of an image, pixels, after EXIF orientation."""
    image = _decoded(path, 1)
    return image.width, image.height


def require_files(images: pd.DataFrame) -> None:
    """Raise before hours are spent where an image of the version is no longer there."""
    absent = [path for path in images["path"] if not Path(path).is_file()]
    if absent:
        raise CurateError(
            f"{len(absent)} of {len(images)} images are no longer there, such as {absent[0]}",
            "the images as they were when scanned",
            "put them back, or run `curate ingest` again, then `curate apply`",
        )


def _decoded(path: str, target: int) -> Decoded:
    try:
        return decode(Path(path).read_bytes(), target=target)
    except (OSError, DecodeError) as error:
        raise CurateError(
            f"can't read {path}: {error}",
            "the images as they were when scanned",
            "run `curate ingest` again, then `curate apply`",
        ) from error
