"""From options to everything that the jobs of a run share."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import timm
import torch

from curate.config import TrainOptions
from curate.embed.models import choose_device
from curate.embed.size import choose_image_size as size_for_embedding
from curate.train.arms import Learner, Workshop
from curate.train.data import Study
from curate.train.full import FullLearner
from curate.train.quick import QuickLearner
from curate.train.recipe import Recipe, choose_preset, make_recipe


def open_workshop(study: Study, run_folder: Path, *, options: TrainOptions) -> Workshop:
    """Choose device, preset and image size, and make the learner; nothing is computed yet."""
    device = choose_device(options.device)
    preset = choose_preset(options, device.type)
    size = options.image_size or choose_image_size(study.images()["path"].tolist(), model=options.model)
    recipe = make_recipe(options, preset=preset, image_size=size, n_train=len(study.before.train))
    learner = _learner(recipe, study, run_folder, device=device, options=options)
    return Workshop(recipe, study.classes, learner, device, resumable=preset == "full")


def choose_image_size(paths: Sequence[str], *, model: str) -> int:
    """The side of the network's input: a third more than the scan takes, for here accuracy is the point."""
    size, config = size_for_embedding(paths, model=model), timm.get_pretrained_cfg(model)
    if config is None or config.fixed_input_size:
        return size
    return min(config.input_size[-1], 32 * round(size * 4 / 3 / 32))


def _learner(recipe: Recipe, study: Study, run_folder: Path, *, device: torch.device, options: TrainOptions) -> Learner:
    cores = os.cpu_count() or 1
    if recipe.preset == "full":
        # on a CPU the processes would take the cores from the training
        default = cores if device.type == "cuda" else 0
        workers = default if options.workers is None else options.workers
        return FullLearner(recipe, study.classes, device=device, workers=workers)
    images = study.images()
    trained_on = images["sample_id"].isin(_pool(study))
    return QuickLearner(
        recipe,
        study.classes,
        pool=images[trained_on],
        rest=images[~trained_on],
        store=run_folder / "features",
        device=device,
        workers=options.workers or cores,
        seed=options.seed,
    )


def _pool(study: Study) -> pd.Series:
    arms = (study.before, study.after)
    return pd.concat([table["sample_id"] for arm in arms for table in (arm.train, arm.val)])
