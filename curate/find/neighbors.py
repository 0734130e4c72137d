"""Embeddings → each sample's nearest neighbours by cosine similarity.

Up to `EXACT_UP_TO` samples every pair is compared: the default and the oracle. Beyond, samples are put
into lists by k-means on their leading principal components; the nearest lists are searched there and the
best candidates compared again in full. What was done, and its recall on sampled rows, stands in `method`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

EXACT_UP_TO = 20_000  # samples; two cores take 7 s there, and four times as long for twice as many
CUDA_K = 2048  # FAISS can't select more on a GPU
COMPONENTS = 128  # principal components searched; rescoring uses all dimensions
LIST_ROWS = 256  # mean rows per list
PROBE_FACTOR = 64  # rows looked at per query = PROBE_FACTOR * sqrt(N): N^1.5 in all, at GEMM speed
CHECKED_ROWS = 200  # rows searched exactly too, to state the recall
BLOCK = 1 << 24  # similarities held at once: 64 MiB


@dataclass(frozen=True)
class Neighbors:
    """The k nearest of every sample, itself excluded even where it has exact copies.

    D : (N, k) float32, cosine similarity, descending
    I : (N, k) int32, row numbers
    method : what was computed, in words
    recall : share of the true k nearest that were found, measured on sampled rows; 1 where exact
    """

    D: np.ndarray
    I: np.ndarray  # noqa: E741 - FAISS's letter
    method: str
    recall: float = 1.0


def nearest(embeddings: np.ndarray, k: int, *, method: str = "auto") -> Neighbors:
    """Return the `k` nearest neighbours of each row by cosine similarity.

    Parameters
    ----------
    embeddings : (N, d) float16 or float32, L2-normalised rows
    k : neighbours per row; fewer are returned where there are fewer than k + 1 rows
    method : "exact" compares all pairs, "clustered" searches the nearest k-means lists; "auto" is exact up
        to `EXACT_UP_TO` rows and on CUDA (by FAISS), clustered beyond

    Returns
    -------
    Neighbors with k columns, or N - 1 where that is less. Equal similarities are ordered by row number.
    """
    if method not in ("auto", "exact", "clustered"):
        raise ValueError(f"method is {method!r}; expected auto, exact or clustered")
    k = max(0, min(k, len(embeddings) - 1))
    if k == 0:
        shape = (len(embeddings), 0)
        return Neighbors(np.empty(shape, np.float32), np.empty(shape, np.int32), "exact: fewer than two rows")
    if method == "auto" and k < CUDA_K and _cuda_devices():
        return _exact_on_cuda(embeddings, k)
    if method == "exact" or (method == "auto" and len(embeddings) <= EXACT_UP_TO):
        return Neighbors(*_exact(embeddings, np.arange(len(embeddings)), k), "exact: all pairs, float32")
    return _clustered(embeddings, k)


# ---- exact --------------------------------------------------------------------------------------


def _exact(embeddings: np.ndarray, rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest of the given rows among all, comparing each with each in blocks."""
    D = np.empty((len(rows), k), np.float32)
    I = np.empty((len(rows), k), np.int32)  # noqa: E741
    size = max(1, min(2048, BLOCK // min(len(embeddings), EXACT_UP_TO)))
    for start in range(0, len(rows), size):
        block = rows[start : start + size]
        D[start : start + size], I[start : start + size] = _top_of_all(embeddings, block, k)
    return D, I


def _top_of_all(embeddings: np.ndarray, rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    import torch

    query = _float32(embeddings[rows])
    best = (torch.empty((len(rows), 0)), torch.empty((len(rows), 0), dtype=torch.long))
    for start in range(0, len(embeddings), EXACT_UP_TO):
        similarity = query @ _float32(embeddings[start : start + EXACT_UP_TO]).T
        own = (rows >= start) & (rows < start + similarity.shape[1])
        similarity[np.flatnonzero(own), rows[own] - start] = -torch.inf
        D, I = similarity.topk(min(k, similarity.shape[1]), dim=1)  # noqa: E741
        best = _merge(best, (D, I + start), k)
    return _ordered(best[0].numpy(), best[1].numpy())


def _merge(
    one: tuple[torch.Tensor, torch.Tensor], two: tuple[torch.Tensor, torch.Tensor], k: int
) -> tuple[torch.Tensor, torch.Tensor]:
    import torch

    if not one[0].shape[1]:
        return two
    D, I = (torch.cat(parts, dim=1) for parts in zip(one, two, strict=True))  # noqa: E741
    D, chosen = D.topk(min(k, D.shape[1]), dim=1)
    return D, I.gather(1, chosen)


def _ordered(D: np.ndarray, I: np.ndarray) -> tuple[np.ndarray, np.ndarray]:  # noqa: E741
    """Descending similarity, ties by row number; rounding may lift a copy's cosine above 1."""
    order = np.lexsort((I, -D), axis=1)
    return np.take_along_axis(D, order, 1).clip(-1, 1), np.take_along_axis(I, order, 1).astype(np.int32)


def _cuda_devices() -> int:
    import faiss

    return int(getattr(faiss, "get_num_gpus", lambda: 0)())


def _exact_on_cuda(embeddings: np.ndarray, k: int) -> Neighbors:
    import faiss

    resources = faiss.StandardGpuResources()
    base = np.ascontiguousarray(embeddings)
    D, I = faiss.knn_gpu(resources, base, base, k + 1, metric=faiss.METRIC_INNER_PRODUCT)  # noqa: E741
    own = I == np.arange(len(I))[:, None]
    own[~own.any(axis=1), -1] = True  # a row with k exact copies may miss itself: leave out the last instead
    D, I = (table[~own].reshape(len(table), k) for table in (D, I))  # noqa: E741
    return Neighbors(*_ordered(D.astype(np.float32), I), "exact: all pairs, FAISS on CUDA")


# ---- clustered ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Lists:
    """Rows sorted by list: `order[starts[i]:starts[i + 1]]` are the rows of list i."""

    order: np.ndarray  # (N,) row numbers
    starts: np.ndarray  # (lists + 1,)
    centres: np.ndarray  # (lists, components), unit length
    reduced: torch.Tensor  # (N, components) in the order of `order`


def _clustered(embeddings: np.ndarray, k: int) -> Neighbors:
    lists = _make_lists(_reduce(embeddings))
    n, n_lists = len(embeddings), len(lists.centres)
    probes = min(n_lists, round(PROBE_FACTOR * n**0.5 / LIST_ROWS))
    near = np.argsort(-(lists.centres @ lists.centres.T), axis=1, kind="stable")[:, :probes]
    D = np.empty((n, k), np.float32)
    I = np.empty((n, k), np.int32)  # noqa: E741
    for number in range(n_lists):
        rows = lists.order[lists.starts[number] : lists.starts[number + 1]]
        D[rows], I[rows] = _rescore(embeddings, rows, _candidates(lists, number, near[number], 2 * k), k)
    recall = _recall(embeddings, I)
    words = f"{n_lists} k-means lists, {probes} searched in {lists.reduced.shape[1]} components, rescored in full"
    return Neighbors(D, I, f"clustered: {words}; recall {recall:.3f} on {min(n, CHECKED_ROWS)} rows", recall)
