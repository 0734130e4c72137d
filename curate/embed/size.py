"""How large a model's input is. Without timm for the models that come with curate: it takes seconds to import."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from curate.config import EmbedOptions
from curate.embed.look import File, stat_file
from curate.errors import DecodeError
from curate.images.decode import peek
from curate.networks.known import own_size

SMALLEST_SIZE, SIZE_STEP = (
    96,
    32,
)  # pixels: the last maps of a network of stride 32 are 3 x 3 then; sizes are multiples of the stride
PEEKED = 64  # images looked at to choose the input size


def choose_image_size(paths: Sequence[str], *, model: str = EmbedOptions.model) -> int:
    """The side of the model's input that suits these images, pixels.

    Twice the median short side of a sample of the images, but at least 96 and at most what the model was made
    for: enlarging tells it nothing new, and cost grows with the square. Models that take one size only have
    that.
    """
    own, fixed = own_size(model)
    if fixed:
        return own
    if (side := typical_side(paths)) is None:
        return own
    return min(max(SIZE_STEP * round(2 * side / SIZE_STEP), SMALLEST_SIZE), own)


def typical_side(paths: Sequence[str]) -> float | None:
    """The median short side of a sample of these images, pixels; None where none can be read."""
    step = max(1, len(paths) // PEEKED)
    sides = [side for path in list(paths)[::step][:PEEKED] if (side := _short_side(path))]
    return float(np.median(sides)) if sides else None


def _short_side(path: str) -> int | None:
    if not isinstance(stat_file("", path), File):
        return None  # a pipe would keep us waiting; the scan will say what is wrong with it
    try:
        with open(path, "rb") as file:
            return min(peek(file))
    except (OSError, DecodeError):
        return None
