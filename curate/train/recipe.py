"""Options and device → the recipe: every number that training needs, none left open."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

from curate.config import TrainOptions
from curate.errors import CurateError

# What an option that is None becomes. `quick` learns a linear head on features of the frozen backbone,
# `full` every layer. Measured choices: see docs/train.md.
PRESETS: dict[str, dict[str, Any]] = {
    "quick": {
        "views": 0,
        "epochs": 20,
        "batch_size": 128,
        "learning_rate": 3e-4,
        "weight_decay": 3.0,
        "folds": 5,
    },
    "full": {
        "views": 0,
        "epochs": 12,
        "batch_size": 64,
        "learning_rate": 1e-3,
        "weight_decay": 0.05,
        "folds": 3,
    },
}


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


def choose_preset(options: TrainOptions, device_type: str) -> str:
    """The preset's name; "auto" is full on CUDA and quick elsewhere."""
    preset = options.preset
    if preset == "auto":
        preset = "full" if device_type == "cuda" else "quick"
    if preset not in PRESETS:
        raise CurateError(f"no preset is called '{preset}'", f"one of auto, {', '.join(PRESETS)}")
    return preset


def make_recipe(options: TrainOptions, *, preset: str, image_size: int, n_train: int) -> Recipe:
    """Fill what of `options` is None from the preset; `n_train` images of the version before set the budget."""
    given = {name: value for name, value in vars(options).items() if value is not None}
    values = {**vars(options), **PRESETS[preset], **given, "preset": preset, "image_size": image_size}
    values["steps_per_epoch"] = max(MIN_STEPS, math.ceil(n_train / values["batch_size"]))
    return Recipe(**{field.name: values[field.name] for field in fields(Recipe)})


def n_folds(options: TrainOptions, preset: str) -> int:
    """How many out-of-fold models to train; 0: none."""
    return PRESETS[preset]["folds"] if options.folds is None else options.folds
