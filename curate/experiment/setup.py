"""From options to everything that the jobs of a run share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import timm

from curate.config import TrainOptions
from curate.embed.size import choose_image_size as size_for_embedding
from curate.experiment.jobs import TrainContext
from curate.machine.device import choose_device
from curate.train.learner import LearnerContext
from curate.train.presets import choose_preset
from curate.train.recipe import make_recipe


def open_context(
    images: pd.DataFrame, classes: list[str], run_folder: Path, *, n_train: int, options: TrainOptions
) -> TrainContext:
    """Choose device, preset and image size, and make the learner; nothing is computed yet.

    Parameters
    ----------
    images : `data.FILE` and is_learned (by any model) of all that is learned or judged
    n_train : images that set the number of steps of an epoch
    """
    device = choose_device(options.device)
    preset = choose_preset(options.preset, device.type)
    size = options.image_size or choose_image_size(images["path"].tolist(), model=options.model)
    recipe = make_recipe(options, preset=preset.name, defaults=preset.defaults, image_size=size, n_train=n_train)
    context = LearnerContext(recipe, classes, images, run_folder, device, options.workers, options.seed)
    return TrainContext(recipe, classes, preset.learner.open(context), device)


def choose_image_size(paths: Sequence[str], *, model: str) -> int:
    """The side of the network's input: a third more than the scan takes, for here accuracy is the point."""
    size, config = size_for_embedding(paths, model=model), timm.get_pretrained_cfg(model)
    if config is None or config.fixed_input_size:
        return size
    return min(config.input_size[-1], 32 * round(size * 4 / 3 / 32))
