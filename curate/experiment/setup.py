"""From options to everything that the jobs of a run share."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import timm
import torch

from curate.config import TrainOptions
from curate.embed.size import choose_image_size as size_for_embedding
from curate.experiment.jobs import Workshop
from curate.machine.device import choose_device
from curate.train.full import FullLearner
from curate.train.learner import Learner
from curate.train.quick import QuickLearner
from curate.train.recipe import Recipe, choose_preset, make_recipe


def open_workshop(
    images: pd.DataFrame, classes: list[str], run_folder: Path, *, n_train: int, options: TrainOptions
) -> Workshop:
    """Choose device, preset and image size, and make the learner; nothing is computed yet.

    Parameters
    ----------
    images : `data.FILE` and is_learned (by any model) of all that is learned or judged
    n_train : images that set the number of steps of an epoch
    """
    device = choose_device(options.device)
    preset = choose_preset(options, device.type)
    size = options.image_size or choose_image_size(images["path"].tolist(), model=options.model)
    recipe = make_recipe(options, preset=preset, image_size=size, n_train=n_train)
    learner = _learner(recipe, images, classes, run_folder, device=device, options=options)
    return Workshop(recipe, classes, learner, device, resumable=preset == "full")


def choose_image_size(paths: Sequence[str], *, model: str) -> int:
    """The side of the network's input: a third more than the scan takes, for here accuracy is the point."""
    size, config = size_for_embedding(paths, model=model), timm.get_pretrained_cfg(model)
    if config is None or config.fixed_input_size:
        return size
    return min(config.input_size[-1], 32 * round(size * 4 / 3 / 32))


def _learner(
    recipe: Recipe,
    images: pd.DataFrame,
    classes: list[str],
    run_folder: Path,
    *,
    device: torch.device,
    options: TrainOptions,
) -> Learner:
    cores = os.cpu_count() or 1
    if recipe.preset == "full":
        # on a CPU the processes would take the cores from the training
        default = cores if device.type == "cuda" else 0
        workers = default if options.workers is None else options.workers
        return FullLearner(recipe, classes, device=device, workers=workers)
    return QuickLearner(
        recipe,
        classes,
        pool=images[images["is_learned"]],
        rest=images[~images["is_learned"]],
        store=run_folder / "features",
        device=device,
        workers=options.workers or cores,
        seed=options.seed,
    )
