"""Embeddings → each sample's nearest neighbours by cosine similarity.

Up to `EXACT_UP_TO` samples every pair is compared: the default and the oracle. Beyond, a FAISS index of short
codes names candidates, which are compared again in full. How many lists it searches, and how many candidates
it names, a pilot decides: some rows whose true neighbours are known. What was done, and its recall on other
rows, stands in `method`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.find.rows import Indexed, blocks

if TYPE_CHECKING:
    import torch

EXACT_UP_TO = 20_000  # samples; two cores take 14 s there, and four times as long for twice as many
CUDA_K = 2048  # FAISS can't select more on a GPU
COMPONENTS = 192  # principal components that the index knows, 4 bits for each
LISTS = 2  # inverted lists, in units of sqrt(N)
SEARCHED = (32, 16, 11, 8, 6, 4, 2)  # the pilot tries a 32nd of the lists, a 16th …
REACHED = 0.985  # share of the pilot's true neighbours that the candidates must hold
CANDIDATES = (2, 3, 4, 6, 8, 12, 16)  # in units of k; the pilot takes the fewest that hold them
PILOT_ROWS = 400  # rows searched exactly too: half of them set the effort, the others state the recall
QUERIES = 512  # rows rescored at once; those of one list share candidates, of which more take more memory
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
    recall: float


def nearest(embeddings: np.ndarray, k: int, *, method: str = "auto", recall: float = REACHED) -> Neighbors:
    """Return the `k` nearest neighbours of each row by cosine similarity.

    Parameters
    ----------
    embeddings : (N, d) float16 or float32, L2-normalised rows
    k : neighbours per row; fewer are returned where there are fewer than k + 1 rows
    method : "exact" compares all pairs, "indexed" searches a FAISS index of codes and rescores; "auto" is
        exact up to `EXACT_UP_TO` rows and on CUDA (by FAISS), indexed beyond
    recall : share of the pilot's true neighbours that an index must reach

    Returns
    -------
    Neighbors with k columns, or N - 1 where that is less. Equal similarities are ordered by row number.
    """
    if method not in ("auto", "exact", "indexed"):
        raise ValueError(f"method is {method!r}; expected auto, exact or indexed")
    k = max(0, min(k, len(embeddings) - 1))
    if k == 0:
        shape = (len(embeddings), 0)
        return Neighbors(np.empty(shape, np.float32), np.empty(shape, np.int32), "exact: fewer than two rows", 1.0)
    if method == "auto" and k < CUDA_K and _cuda_devices():
        return _exact_on_cuda(embeddings, k)
    if method == "exact" or (method == "auto" and len(embeddings) <= EXACT_UP_TO):
        return _exact_of_all(embeddings, k)
    return _indexed(embeddings, k, recall)


# ---- exact --------------------------------------------------------------------------------------


def _exact_of_all(embeddings: np.ndarray, k: int) -> Neighbors:
    """Compare all pairs, each once: what a block of rows is to later rows, those are to it."""
    import torch

    rows, n = _float32(embeddings), len(embeddings)
    best = torch.full((n, k), -torch.inf), torch.zeros((n, k), dtype=torch.long)
    size = max(1, min(2048, BLOCK // n))
    for start in range(0, n, size):
        similarity = (rows[start : start + size] @ rows[start:].T).fill_diagonal_(-torch.inf)
        end = start + len(similarity)
        _keep(best, slice(start, end), similarity, start)
        _keep(best, slice(end, n), similarity[:, end - start :].T, start)
    return Neighbors(*_ordered(best[0].numpy(), best[1].numpy()), "exact: all pairs, float32", 1.0)


def _keep(best: tuple[torch.Tensor, torch.Tensor], rows: slice, similarity: torch.Tensor, start: int) -> None:
    """Merge the best of new (m, c) similarities, of columns that begin at `start`, into `best` of these rows."""
    k = best[0].shape[1]
    D, I = similarity.topk(min(k, similarity.shape[1]), dim=1)  # noqa: E741
    best[0][rows], best[1][rows] = _merge((best[0][rows], best[1][rows]), (D, I + start), k)


def exact(embeddings: Indexed, rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """(n, k) float32 similarities and int32 numbers of the k nearest among all of the (n,) `rows`, all compared."""
    D = np.empty((len(rows), k), np.float32)
    I = np.empty((len(rows), k), np.int32)  # noqa: E741
    for start in range(0, len(rows), QUERIES):
        block = slice(start, start + QUERIES)
        D[block], I[block] = _top_of_all(embeddings, rows[block], k)
    return D, I


def _top_of_all(embeddings: Indexed, rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    import torch

    query = _float32(embeddings[rows])
    best = (torch.empty((len(rows), 0)), torch.empty((len(rows), 0), dtype=torch.long))
    for part in blocks(len(embeddings)):
        similarity = query @ _float32(embeddings[part]).T
        own = (rows >= part.start) & (rows < part.stop)
        similarity[np.flatnonzero(own), rows[own] - part.start] = -torch.inf
        D, I = similarity.topk(min(k, similarity.shape[1]), dim=1)  # noqa: E741
        best = _merge(best, (D, I + part.start), k)
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
    return Neighbors(*_ordered(D.astype(np.float32), I), "exact: all pairs, FAISS on CUDA", 1.0)


# ---- indexed ------------------------------------------------------------------------------------


def _indexed(embeddings: np.ndarray, k: int, recall: float) -> Neighbors:
    n = len(embeddings)
    rows = np.unique(np.linspace(0, n - 1, PILOT_ROWS, dtype=np.int64))
    truth = exact(embeddings, rows, k)[1]
    reduced = _reduce(embeddings)
    index = _codes(reduced)
    count = _set_effort(index, reduced, rows[::2], truth[::2], recall)
    if not count:
        said = "exact: all pairs, float32; no index reaches so many"
        return Neighbors(*exact(embeddings, np.arange(n), k), said, 1.0)
    D = np.empty((n, k), np.float32)
    I = np.empty((n, k), np.int32)  # noqa: E741
    order = np.argsort(index.quantizer.assign(reduced, 1)[:, 0], kind="stable")
    for start in range(0, n, QUERIES):
        some = order[start : start + QUERIES]
        D[some], I[some] = _rescored(embeddings, some, _candidates(index, reduced, some, count), k)
    found = _share_found(I[rows[1::2]], truth[1::2])
    shape = f"{index.nprobe} of {index.nlist} lists, {reduced.shape[1]} components"
    return Neighbors(D, I, f"indexed by FAISS: {shape}, {count} candidates rescored; recall {found:.3f}", found)


def _reduce(embeddings: np.ndarray) -> np.ndarray:
    """(N, components): coordinates along the leading principal axes; not centred, so that products stay products."""
    import torch

    sample = _float32(embeddings[:: -(-len(embeddings) // EXACT_UP_TO)])
    axes = torch.linalg.eigh(sample.T @ sample)[1][:, -COMPONENTS:].contiguous()
    reduced = np.empty((len(embeddings), axes.shape[1]), np.float32)
    for part in blocks(len(embeddings)):
        reduced[part] = _float32(embeddings[part]) @ axes
    return reduced


def _codes(reduced: np.ndarray) -> Any:
    """An inverted file of 4-bit codes of what a list's centre leaves, one for each component.

    FAISS's fast scan: André et al., Quicker ADC, 2019. https://arxiv.org/abs/1812.09162
    """
    import faiss

    n, d = reduced.shape
    lists = max(1, round(LISTS * n**0.5))
    index = faiss.IndexIVFPQFastScan(faiss.IndexFlatIP(d), d, lists, d, 4, faiss.METRIC_INNER_PRODUCT)
    index.by_residual = True
    index.cp.niter, index.cp.min_points_per_centroid = 8, 1
    index.train(reduced[:: -(-n // max(EXACT_UP_TO, 32 * lists))])
    index.add(reduced)
    return index


def _set_effort(index: Any, reduced: np.ndarray, rows: np.ndarray, truth: np.ndarray, recall: float) -> int:
    """Set how many lists `index` searches, and return how many candidates it should name; 0 where none suffice."""
    counts = [min(len(reduced) - 1, times * truth.shape[1]) for times in CANDIDATES]
    for part in SEARCHED:
        index.nprobe = max(1, index.nlist // part)
        found = _candidates(index, reduced, rows, counts[-1])
        if _share_found(found, truth) >= recall:
            return next(count for count in counts if _share_found(found[:, :count], truth) >= recall)
    return 0


def _candidates(index: Any, reduced: np.ndarray, rows: np.ndarray, count: int) -> np.ndarray:
    """(m, count) rows that the index holds nearest to `rows`, themselves excluded; -1 where it names fewer."""
    found = index.search(reduced[rows], count + 1)[1]
    others = found != rows[:, None]
    others[others.all(axis=1), -1] = False  # a row with many copies may not find itself: leave out the last instead
    return found[others].reshape(len(rows), count)


def _rescored(
    embeddings: np.ndarray, rows: np.ndarray, candidates: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The k best of (rows, m) candidates by the full embeddings."""
    import faiss

    shared, place = np.unique(candidates, return_inverse=True)
    query, base = _float32(embeddings[rows]).numpy(), _float32(embeddings[shared]).numpy()
    place = np.ascontiguousarray(place.reshape(candidates.shape), dtype=np.int64)
    D = np.empty(candidates.shape, np.float32)
    pointers = (faiss.swig_ptr(array) for array in (D, query, base, place))
    faiss.fvec_inner_products_by_idx(*pointers, query.shape[1], *candidates.shape)  # type: ignore[attr-defined]
    D[candidates < 0] = -np.inf
    if len(lacking := np.flatnonzero((candidates >= 0).sum(axis=1) < k)):  # few rows in the lists nearby
        D[lacking, :k], candidates[lacking, :k] = exact(embeddings, rows[lacking], k)
        D[lacking, k:] = -np.inf
    best = np.argpartition(-D, k - 1, axis=1)[:, :k]
    return _ordered(np.take_along_axis(D, best, 1), np.take_along_axis(candidates, best, 1))


def _share_found(found: np.ndarray, truth: np.ndarray) -> float:
    """Share of the true neighbours (m, k) among those found (m, any)."""
    return float(np.mean([np.isin(true, some).mean() for some, true in zip(found, truth, strict=True)]))


def _float32(rows: np.ndarray) -> torch.Tensor:
    import torch

    return torch.from_numpy(np.array(rows)).float()  # a copy: the rows may be a read-only map; torch converts faster
