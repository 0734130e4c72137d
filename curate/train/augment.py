"""Random changes that leave the label true: recipes over albumentations, the same for the same seed."""

from __future__ import annotations

import os
import random
import zlib
from functools import cached_property
from typing import Any

import cv2
import numpy as np

from curate.errors import CurateError
from curate.images.resize import resized

RECIPES = ("none", "light", "standard")


class Augment:
    """Turns an image of any size into a varied one of `size`² pixels.

    The result depends on the image, its sample_id, the seed and the turn only, never on the order of
    calls or the process: so training repeats exactly, and resumes exactly.

    Parameters
    ----------
    recipe : "none": resized only, as in the scan. "light": also cropped a little, and brighter or darker;
        safe where left and right, or colour, carry meaning (digits, text, stains). "standard": also
        mirrored, and varied in colour.
    size : pixels of both sides of the result
    """

    def __init__(self, recipe: str, size: int) -> None:
        if recipe not in RECIPES:
            raise CurateError(f"no augmentation is called '{recipe}'", f"one of {', '.join(RECIPES)}")
        self.recipe, self.size = recipe, size

    def __call__(self, rgb: np.ndarray, sample_id: str, *, seed: int = 0, turn: int = 0) -> np.ndarray:
        """(H, W, 3) uint8 → (size, size, 3) uint8: look number `turn` at this sample."""
        if self.recipe == "none":
            return resized(rgb, self.size)
        generator = np.random.default_rng([seed, turn, zlib.crc32(sample_id.encode())])
        # one generator for all steps: with `seed=`, albumentations starts each step alike, so that a
        # picture that is mirrored would also always be a bright one
        self._steps.set_random_state(generator, random.Random(int(generator.integers(1 << 62))))
        return np.ascontiguousarray(self._steps(image=rgb)["image"])

    @cached_property
    def _steps(self) -> Any:
        return _compose(self.recipe, self.size)

    def __reduce__(self) -> tuple[Any, ...]:
        return Augment, (self.recipe, self.size)  # worker processes make their own


def _compose(recipe: str, size: int) -> Any:
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # else importing it asks a server for its newest version
    import albumentations as A

    steps: list[Any] = [
        A.RandomResizedCrop(
            (size, size),
            scale=(0.6, 1.0),
            ratio=(0.8, 1.25),
            interpolation=cv2.INTER_CUBIC,
            area_for_downscale="image",
        ),
        A.RandomBrightnessContrast(brightness_limit=0.2, contrast_limit=0.2, p=0.8),
    ]
    if recipe == "standard":
        steps += [A.HorizontalFlip(p=0.5), A.HueSaturationValue(10, 20, 0, p=0.5)]
    return A.Compose(steps)
