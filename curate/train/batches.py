"""Which samples each step learns from: passes over shuffled rows, cut into batches without a seam."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import count

import numpy as np


def endless_batches(n: int, batch_size: int, *, seed: int, first_step: int = 0) -> Iterator[tuple[np.ndarray, int]]:
    """Yield, for each step from `first_step` on, the rows to learn from and the pass they belong to.

    Pass `t` is a permutation drawn from (seed, t), so any step can be reached without the steps before.
    Batches are always full: what a pass leaves over begins the next batch, so that arms of different
    size take steps of the same weight. A batch that spans passes carries the number of its first.

    Yields
    ------
    rows : (batch_size,) int in [0, n); a row repeats within a batch only where passes meet
    turn : number of the pass, from 0
    """

    @lru_cache(maxsize=2)
    def shuffled(turn: int) -> np.ndarray:
        return np.random.default_rng([seed, turn]).permutation(n)

    for step in count(first_step):
        position = np.arange(step * batch_size, (step + 1) * batch_size)
        turns = position // n
        rows = [shuffled(int(turn))[position[turns == turn] % n] for turn in np.unique(turns)]
        yield np.concatenate(rows), int(turns[0])
