"""How a preset makes, feeds and keeps models."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import numpy as np
import pandas as pd
import torch
from torch import nn

from curate.progress import Progress
from curate.train.loop import Batch, State


class Learner(Protocol):
    """How a preset makes models and feeds them. Tables are those of `Arm`, or have `data.FILE`.

    `threads` is how many torch computes with while a model trains on a CPU; None: as it is set.
    """

    threads: int | None

    def prepare(self, progress: Progress) -> None:
        """Do what all arms share, before the first is trained."""

    def close(self) -> None:
        """Free what `prepare` made, after the last is trained."""

    def model(self, train: pd.DataFrame, *, seed: int) -> nn.Module:
        """A fresh model for these training images."""

    def training(self, train: pd.DataFrame, targets: np.ndarray, *, seed: int) -> Callable[[int], Iterator[Batch]]:
        """First epoch → endless training batches from there on; targets: class numbers or probabilities."""

    def plain(self, images: pd.DataFrame) -> Iterable[torch.Tensor]:
        """Batches of unvaried inputs in the order of the rows."""

    def weights(self, state: State) -> State:
        """What of a trained model's state is kept, as `model.load_model` reads it."""
