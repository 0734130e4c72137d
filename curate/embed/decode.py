"""Bytes of an image file → RGB pixels, or the reason why not. The only decoder of curate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Decoded:
    """One decoded image.

    Attributes
    ----------
    rgb : (H, W, 3) uint8, C-contiguous; may be smaller than the file says where a `target` allowed it
    width, height : pixels of the file's own image, after EXIF orientation
    mode : the file's own colour mode, as Pillow names it: RGB, L, P, CMYK, RGBA, I;16 …
    """

    rgb: np.ndarray
    width: int
    height: int
    mode: str
