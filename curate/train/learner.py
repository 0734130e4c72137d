"""How a preset makes, feeds and keeps models."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch
from torch import nn

from curate.progress import Progress
from curate.train.loop import Batch, State
from curate.train.recipe import Recipe


@dataclass(frozen=True)
class LearnerContext:
    """What the models of one run share, and a learner is made from.

    Attributes
    ----------
    images : `study.FILE` and is_learned (by any model) of all that is learned or judged
    folder : of the run; what a learner keeps there it removes when it is closed
    workers : processes or threads that decode; None: as the learner and the device want it
    """

    recipe: Recipe
    classes: list[str]
    images: pd.DataFrame
    folder: Path
    device: torch.device
    workers: int | None = None
    seed: int = 0


class Learner(Protocol):
    """How a preset makes models, feeds them and reads them back. Tables are those of `Arm`, or have `study.FILE`.

    Attributes
    ----------
    threads : how many torch computes with while a model trains on a CPU; None: as it is set
    resumable : whether the state after each epoch is kept: worth it where an epoch takes minutes
    """

    threads: int | None
    resumable: bool

    @classmethod
    def open(cls, context: LearnerContext) -> Learner:
        """A learner for the jobs of one run; nothing is computed yet."""

    @staticmethod
    def load(weights: State, facts: Mapping[str, Any]) -> nn.Module:
        """A trained model: (n, S, S, 3) uint8 → (n, C) logits; `weights` are its own, `facts` its arm.json."""

    def prepare(self, progress: Progress) -> None:
        """Do what all arms share, before the first is trained."""

    def close(self) -> None:
        """Free what `prepare` made, after the last is trained."""

    def model(self, train: pd.DataFrame, *, seed: int) -> nn.Module:
        """A fresh model for these training images."""

    def train_batches(self, train: pd.DataFrame, targets: np.ndarray, *, seed: int) -> Callable[[int], Iterator[Batch]]:
        """First epoch → endless training batches from there on; targets: class numbers or probabilities."""

    def eval_batches(self, images: pd.DataFrame) -> Iterable[torch.Tensor]:
        """Batches of unvaried inputs in the order of the rows."""

    def weights(self, state: State) -> State:
        """What of a trained model's state is kept, as `load` reads it."""
