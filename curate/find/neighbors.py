"""Embeddings → each sample's nearest neighbours by cosine similarity.

Up to `EXACT_UP_TO` samples every pair is compared: the default and the oracle. Beyond, samples are put
into lists by k-means on their leading principal components; the nearest lists are searched there and the
best candidates compared again in full. What was done, and its recall on sampled rows, stands in `method`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

EXACT_UP_TO = 20_000  # samples; two cores take 7 s there, and four times as long for twice as many
CUDA_K = 2048  # FAISS can't select more on a GPU
COMPONENTS = 192  # principal components searched; rescoring uses all dimensions
LISTS = 4  # lists, in units of sqrt(N)
LOOKED_AT = 72  # rows compared per query, in units of sqrt(N)
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
    """The rows sorted by k-means list."""

    order: np.ndarray  # (N,) row numbers, list after list
    starts: np.ndarray  # (lists + 1,) where each list begins in `order`, and N
    centres: np.ndarray  # (lists, components) float32
    reduced: torch.Tensor  # (N, components) float32, in the order of `order`


def _clustered(embeddings: np.ndarray, k: int) -> Neighbors:
    n = len(embeddings)
    looked_at = min(n, max(8 * k, round(LOOKED_AT * n**0.5)))
    lists = _make_lists(_reduce(embeddings))
    D = np.empty((n, k), np.float32)
    I = np.empty((n, k), np.int32)  # noqa: E741
    for rows, candidates in _candidates(lists, looked_at, min(n - 1, 2 * k)):
        D[rows], I[rows] = _rescored(embeddings, rows, candidates, k)
    recall = _recall(embeddings, I)
    shape = f"{len(lists.centres)} k-means lists of {lists.reduced.shape[1]} components"
    method = f"clustered: {shape}, {looked_at} rows looked at, {2 * k} rescored in full; recall {recall:.3f}"
    return Neighbors(D, I, method, recall)


def _reduce(embeddings: np.ndarray) -> np.ndarray:
    """(N, components): coordinates along the leading principal axes; not centred, so that products stay products."""
    import torch

    sample = _float32(embeddings[:: -(-len(embeddings) // EXACT_UP_TO)])
    axes = torch.linalg.eigh(sample.T @ sample)[1][:, -COMPONENTS:].contiguous().numpy()
    starts = range(0, len(embeddings), EXACT_UP_TO)
    return np.concatenate([embeddings[i : i + EXACT_UP_TO].astype(np.float32) @ axes for i in starts])


def _make_lists(reduced: np.ndarray) -> _Lists:
    import faiss
    import torch

    kmeans = faiss.Kmeans(
        reduced.shape[1],
        round(LISTS * len(reduced) ** 0.5),
        niter=8,
        seed=0,
        spherical=True,
        min_points_per_centroid=1,
        max_points_per_centroid=32,
    )
    kmeans.train(reduced)
    belongs = kmeans.index.search(reduced, 1)[1][:, 0]
    order = np.argsort(belongs, kind="stable")
    belongs = belongs[order]
    place = np.arange(len(order)) - np.searchsorted(belongs, belongs)  # 0, 1, 2 … within each list
    starts = np.flatnonzero(place % _longest(len(order)) == 0)
    return _Lists(
        order=order,
        starts=np.append(starts, len(order)),
        centres=np.asarray(kmeans.centroids)[belongs[starts]],
        reduced=torch.from_numpy(reduced[order]),
    )


def _longest(n: int) -> int:
    """Longer lists are cut, so that copies can't make one list of everything."""
    return 2 * math.ceil(n**0.5 / LISTS)


def _candidates(lists: _Lists, looked_at: int, count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each list its rows, and for each row the `count` most similar rows of the lists nearby, unsorted."""
    import torch

    longest = _longest(len(lists.order))
    room = torch.empty((looked_at + longest, lists.reduced.shape[1]))
    products = torch.empty(longest * len(room))  # both reused: fresh pages cost more than the product
    for number in range(len(lists.centres)):
        spans = _spans_nearby(lists, number, looked_at)
        base = torch.cat([lists.reduced[span] for span in spans], out=room[: sum(s.stop - s.start for s in spans)])
        query = lists.reduced[spans[0]]
        similarity = products[: len(query) * len(base)].view(len(query), len(base))
        torch.mm(query, base.T, out=similarity).fill_diagonal_(-torch.inf)  # row i is column i: see _spans_nearby
        columns = similarity.topk(count, dim=1, sorted=False)[1].numpy()
        yield lists.order[spans[0]], np.concatenate([lists.order[span] for span in spans])[columns]


def _spans_nearby(lists: _Lists, number: int, looked_at: int) -> list[slice]:
    """The places in `order` of list `number` first, then of the lists nearest to it, until enough rows."""
    affinity = lists.centres @ lists.centres[number]
    affinity[number] = np.inf
    near = np.argsort(-affinity, kind="stable")
    rows = np.diff(lists.starts)[near].cumsum()
    near = near[: np.searchsorted(rows, looked_at) + 1]
    return [slice(int(lists.starts[i]), int(lists.starts[i + 1])) for i in near]


def _rescored(
    embeddings: np.ndarray, rows: np.ndarray, candidates: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The k best of (rows, m) candidates by the full embeddings; the rows of a list share most of theirs."""
    import faiss

    shared, place = np.unique(candidates, return_inverse=True)
    query, base = _float32(embeddings[rows]).numpy(), _float32(embeddings[shared]).numpy()
    place = np.ascontiguousarray(place.reshape(candidates.shape), dtype=np.int64)
    D = np.empty(candidates.shape, np.float32)
    pointers = (faiss.swig_ptr(array) for array in (D, query, base, place))
    faiss.fvec_inner_products_by_idx(*pointers, query.shape[1], *candidates.shape)  # type: ignore[attr-defined]
    best = np.argpartition(-D, k - 1, axis=1)[:, :k]
    return _ordered(np.take_along_axis(D, best, 1), np.take_along_axis(candidates, best, 1))


def _recall(embeddings: np.ndarray, I: np.ndarray) -> float:  # noqa: E741
    """Share of the true nearest found, over rows spread evenly."""
    rows = np.unique(np.linspace(0, len(I) - 1, CHECKED_ROWS, dtype=np.int64))
    truth = _exact(embeddings, rows, I.shape[1])[1]
    return float(np.mean([np.isin(found, true).mean() for found, true in zip(I[rows], truth, strict=True)]))


def _float32(rows: np.ndarray) -> torch.Tensor:
    import torch

    return torch.from_numpy(rows.astype(np.float32, order="C"))  # a copy: the rows may be a read-only map
