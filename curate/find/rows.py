"""Some rows of an array, in some order, taken when they are asked for: a copy of them may not fit beside it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

BLOCK = 4096  # rows at once; of embeddings, as many are made float32


class Indexed(Protocol):
    """An array of rows, or what takes its place: indexed by a slice or by row numbers."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: np.ndarray | slice, /) -> np.ndarray: ...


@dataclass(frozen=True)
class Rows:
    """The rows `chosen` of `array`."""

    array: np.ndarray  # (M, ...)
    chosen: np.ndarray  # (N,) row numbers

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, rows: np.ndarray | slice) -> np.ndarray:
        return np.asarray(self.array[self.chosen[rows]])


def blocks(n: int) -> Iterator[slice]:
    """All of n rows, `BLOCK` at a time."""
    return (slice(start, min(start + BLOCK, n)) for start in range(0, n, BLOCK))
