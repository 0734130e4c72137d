"""The preset quick: each image goes through the frozen backbone once, then all arms train heads in seconds."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from curate.errors import DamagedFile
from curate.files import read_arrays, replacing
from curate.images.resize import resized
from curate.machine.allocator import keep_large_blocks
from curate.machine.threads import torch_threads
from curate.networks.create import create_backbone
from curate.networks.embedder import Embedder
from curate.progress import Advance, Progress
from curate.train.augment import Augment
from curate.train.batches import endless_batches
from curate.train.learner import LearnerContext
from curate.train.loop import Batch
from curate.train.model import Head, HeadedBackbone, State, unstandardised
from curate.train.pixels import read_pixels
from curate.train.recipe import Recipe

SHARD = 512  # images whose features share a file: the unit of resume
EMBED_BATCH = 64  # images a call, as EmbedOptions.batch_size
HEAD_BATCH = 4096  # rows of features a call of the head: 20 MB


class QuickLearner:
    """Trains a linear head on features of the frozen backbone, plain and augmented.

    Parameters
    ----------
    pool : `data.FILE` of the images that some arm trains on; these get `recipe.views` augmented looks
    rest : the others, looked at plainly
    store : folder for the features, a cache that `close` removes
    workers : threads that decode
    """

    # a step of a head takes a millisecond of one core: two threads would mostly wait for each other,
    # and where other processes keep the cores busy they wait twenty times as long as they work
    threads: int | None = 1
    resumable = False  # a head is trained in seconds

    def __init__(
        self,
        recipe: Recipe,
        classes: list[str],
        *,
        pool: pd.DataFrame,
        rest: pd.DataFrame,
        store: Path,
        device: torch.device,
        workers: int,
        seed: int,
    ) -> None:
        self.recipe, self.classes, self.device = recipe, classes, device
        self.pool, self.rest, self.store = pool, rest, store
        self.workers, self.seed = workers, seed
        self.rows = pd.Index([*pool["sample_id"], *rest["sample_id"]])
        self.looks = np.empty((0, 1, 0), np.float16)  # (n_pool, 1 + views, D), the plain look first
        self.plain_features = np.empty((0, 0), np.float16)  # (N, D) of pool and rest

    @classmethod
    def open(cls, context: LearnerContext) -> QuickLearner:
        """With the images that some model learns from as the pool."""
        is_learned = context.images["is_learned"]
        return cls(
            context.recipe,
            context.classes,
            pool=context.images[is_learned],
            rest=context.images[~is_learned],
            store=context.folder / "features",
            device=context.device,
            workers=context.workers or os.cpu_count() or 1,
            seed=context.seed,
        )

    @staticmethod
    def load(weights: State, facts: Mapping[str, Any]) -> HeadedBackbone:
        """The frozen backbone, known by its name, and the linear layer."""
        return HeadedBackbone(create_backbone(facts["recipe"]["model"]), weights)

    def prepare(self, progress: Progress) -> None:
        """Take the features of every image, going on where an interrupted run stopped."""
        if self.device.type == "cpu":
            keep_large_blocks()
        with progress("features", len(self.rows), "img") as advance:
            self.looks = self._extract(self.pool, self.recipe.views, advance)
            rest = self._extract(self.rest, 0, advance)
        self.plain_features = np.concatenate([self.looks[:, 0], rest[:, 0]]) if len(rest) else self.looks[:, 0]

    def close(self) -> None:
        """Remove the cache."""
        shutil.rmtree(self.store, ignore_errors=True)

    def model(self, train: pd.DataFrame, *, seed: int) -> Head:
        """A new head, standardised by the arm's own training images."""
        return Head(torch.from_numpy(self.plain_features[self._rows_of(train)]), len(self.classes))

    def train_batches(self, train: pd.DataFrame, targets: np.ndarray, *, seed: int) -> Callable[[int], Iterator[Batch]]:
        """First epoch → endless batches of features and their targets, each pass from another look."""
        where, soft_targets = self._rows_of(train), torch.from_numpy(targets)

        def batches(first_epoch: int) -> Iterator[Batch]:
            first_step = first_epoch * self.recipe.steps_per_epoch
            for rows, turn in endless_batches(len(train), self.recipe.batch_size, seed=seed, first_step=first_step):
                look = (turn + rows) % self.looks.shape[1]
                yield torch.from_numpy(self.looks[where[rows], look]).float(), soft_targets[rows]

        return batches

    def eval_batches(self, images: pd.DataFrame) -> Iterable[torch.Tensor]:
        """(n, D) float32 batches of plain features, in the order of the rows."""
        where = self._rows_of(images)
        for start in range(0, len(where), HEAD_BATCH):
            yield torch.from_numpy(self.plain_features[where[start : start + HEAD_BATCH]]).float()

    def weights(self, state: State) -> State:
        """The linear layer on plain embeddings; the backbone is frozen, and known by its name."""
        return unstandardised(state)

    def _rows_of(self, images: pd.DataFrame) -> np.ndarray:
        return self.rows.get_indexer(pd.Index(images["sample_id"]))

    @cached_property
    def _embedder(self) -> Embedder:
        return Embedder(self.recipe.model, self.recipe.image_size, device=self.device, batch_size=EMBED_BATCH)

    def _extract(self, images: pd.DataFrame, views: int, advance: Advance) -> np.ndarray:
        """(n, 1 + views, D) float16: the plain look first."""
        folder, shards = self.store / self._fingerprint(images, views), []
        for start in range(0, len(images), SHARD):
            part, file = images.iloc[start : start + SHARD], folder / f"{start:08d}.npz"
            features = _kept(file)
            if features is None:
                features = self._features(part, views)
                with replacing(file) as temporary, open(temporary, "wb") as handle:
                    np.savez(handle, features=features)
            shards.append(features)
            advance(len(part))
        return np.concatenate(shards) if shards else np.empty((0, 1 + views, 0), np.float16)

    def _features(self, images: pd.DataFrame, views: int) -> np.ndarray:
        """Each thread takes a few images from file to features; the cores are shared among threads, not calls."""
        embedder = self._embedder
        count = max(1, embedder.batch_size // (1 + views))
        batches = [images.iloc[start : start + count] for start in range(0, len(images), count)]
        share = max(1, torch.get_num_threads() // embedder.lanes)
        with torch_threads(share), ThreadPoolExecutor(self.workers) as threads:
            features = list(threads.map(lambda batch: embedder.embed(self._looks(batch, views)), batches))
        return np.concatenate(features).reshape(len(images), 1 + views, -1).astype(np.float16)

    def _looks(self, images: pd.DataFrame, views: int) -> np.ndarray:
        """(n · (1 + views), S, S, 3) uint8, the looks at one image together."""
        size, looks = self.recipe.image_size, []
        varied = Augment(self.recipe.augmentation, size)  # each thread its own, for it has a state
        for path, name in zip(images["path"], images["sample_id"], strict=True):
            rgb = read_pixels(path, size)
            looks += [
                resized(rgb, size),
                *(varied(rgb, name, seed=self.seed, turn=turn) for turn in range(1, views + 1)),
            ]
        return np.stack(looks)

    def _fingerprint(self, images: pd.DataFrame, views: int) -> str:
        recipe = (self.recipe.model, self.recipe.image_size, self.recipe.augmentation, views, self.seed)
        contents = images[["sample_id", "sha256"]].to_json(orient="values")
        return hashlib.blake2b(repr((recipe, contents)).encode(), digest_size=8).hexdigest()


def _kept(file: Path) -> np.ndarray | None:
    """Features that an interrupted call left; None where there are none, or damaged ones."""
    with suppress(DamagedFile):
        return read_arrays(file, do="curate retrain")["features"]
    return None
