"""Options and device → the recipe: every number that training needs, none left open."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from curate.config import TrainOptions

MIN_STEPS = 50  # per epoch: small data sets are passed over several times in one


@dataclass(frozen=True)
class Recipe:
    """How one model is trained; two arms with the same recipe have the same budget.

    Attributes
    ----------
    views : augmented looks at each image beside the plain one; quick only, full draws a new one each time
    steps_per_epoch : the same for all arms, from the size of the version before: an epoch is a number of
        steps, not a pass
    The others are those of `curate.config.TrainOptions`.
    """

    preset: str
    model: str
    image_size: int
    augmentation: str
    views: int
    epochs: int
    steps_per_epoch: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    warmup: float
    label_smoothing: float
    ema_decay: float
    patience: int | None
    amp: bool


def make_recipe(
    options: TrainOptions, *, preset: str, defaults: Mapping[str, Any], image_size: int, n_train: int
) -> Recipe:
    """Fill what of `options` is None from `defaults`; `n_train` images of the version before set the budget."""
    given = {name: value for name, value in vars(options).items() if value is not None}
    values = {**vars(options), **defaults, **given, "preset": preset, "image_size": image_size}
    values["steps_per_epoch"] = max(MIN_STEPS, math.ceil(n_train / values["batch_size"]))
    return Recipe(**{field.name: values[field.name] for field in fields(Recipe)})
