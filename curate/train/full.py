"""The preset full: all layers learn, from pixels that are decoded and varied anew for each step."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader, Dataset

from curate.machine.allocator import keep_large_blocks
from curate.networks.create import create_backbone
from curate.progress import Progress
from curate.train.augment import Augment
from curate.train.batches import endless_batches
from curate.train.learner import LearnerContext
from curate.train.loop import Batch
from curate.train.model import Classifier, State
from curate.train.pixels import read_pixels
from curate.train.recipe import Recipe


class FullLearner:
    """Fine-tunes a timm model.

    Parameters
    ----------
    workers : processes that decode and augment; 0: this one
    """

    threads: int | None = None
    resumable = True

    def __init__(self, recipe: Recipe, classes: list[str], *, device: torch.device, workers: int) -> None:
        self.recipe, self.classes, self.device, self.workers = recipe, classes, device, workers

    @classmethod
    def open(cls, context: LearnerContext) -> FullLearner:
        """With a process per core beside CUDA; on a CPU with none, for they would take the cores from the training."""
        default = (os.cpu_count() or 1) if context.device.type == "cuda" else 0
        workers = default if context.workers is None else context.workers
        return cls(context.recipe, context.classes, device=context.device, workers=workers)

    @staticmethod
    def load(weights: State, facts: Mapping[str, Any]) -> Classifier:
        """The timm model behind its normalisation."""
        network = create_backbone(facts["recipe"]["model"], len(facts["classes"]), pretrained=False)
        network.load_state_dict(weights)
        return Classifier(network)

    def prepare(self, progress: Progress) -> None:
        """Nothing to compute before the first arm."""
        if self.device.type == "cpu":
            keep_large_blocks()

    def close(self) -> None:
        """Nothing to free after the last."""

    def model(self, train: pd.DataFrame, *, seed: int) -> Classifier:
        """A pretrained network with a new classifier, drawn from the seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return Classifier(create_backbone(self.recipe.model, num_classes=len(self.classes)))

    def train_batches(self, train: pd.DataFrame, targets: np.ndarray, *, seed: int) -> Callable[[int], Iterator[Batch]]:
        """First epoch → endless batches of varied images and their targets."""
        pictures = _Pictures(train, self.recipe, varied=True)
        soft_targets = torch.from_numpy(targets)

        def batches(first_epoch: int) -> Iterator[Batch]:
            order = _Order(len(train), self.recipe, seed, first_epoch * self.recipe.steps_per_epoch)
            for images, rows in self._load(pictures, batch_sampler=order):
                yield images, soft_targets[rows]

        return batches

    def eval_batches(self, images: pd.DataFrame) -> Iterable[torch.Tensor]:
        """(n, S, S, 3) uint8 batches, unvaried, in the order of the rows."""
        pictures = _Pictures(images, self.recipe, varied=False)
        keys = [(row, 0, 0) for row in range(len(images))]
        size = 2 * self.recipe.batch_size  # no gradients to keep
        order = [keys[start : start + size] for start in range(0, len(keys), size)]
        return (batch for batch, _ in self._load(pictures, batch_sampler=order))

    def weights(self, state: State) -> State:
        """The state dict of the timm model."""
        return {name.removeprefix("network."): value for name, value in state.items()}

    def _load(self, pictures: Dataset[Any], *, batch_sampler: Iterable[Any]) -> DataLoader[Any]:
        return DataLoader(
            pictures,
            batch_sampler=batch_sampler,
            num_workers=self.workers,
            pin_memory=self.device.type == "cuda",
        )


class _Order:
    """Batches of (row, seed, turn), for ever."""

    def __init__(self, n: int, recipe: Recipe, seed: int, first_step: int) -> None:
        self.steps = endless_batches(n, recipe.batch_size, seed=seed, first_step=first_step)
        self.seed = seed

    def __iter__(self) -> Iterator[list[tuple[int, int, int]]]:
        for rows, turn in self.steps:
            yield [(int(row), self.seed, turn) for row in rows]


class _Pictures(Dataset[tuple[torch.Tensor, int]]):
    """(row, seed, turn) → pixels, and the row again."""

    def __init__(self, images: pd.DataFrame, recipe: Recipe, *, varied: bool) -> None:
        self.paths, self.names = images["path"].tolist(), images["sample_id"].tolist()
        self.size = recipe.image_size
        self.augment = Augment(recipe.augmentation if varied else "none", self.size)

    def __getitem__(self, key: tuple[int, int, int]) -> tuple[torch.Tensor, int]:
        row, seed, turn = key
        rgb = read_pixels(self.paths[row], self.size)
        return torch.from_numpy(self.augment(rgb, self.names[row], seed=seed, turn=turn)), row
