"""The embedding map: a sample of the images as points, alike ones close together (t-SNE of 50 principal components)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

POINTS = 2000  # more take long to lay out and hide each other
COMPONENTS = 50  # of the PCA before t-SNE, as scikit-learn's manual advises
TILES_PER_ROW = 50  # of the atlas
TILE = 32  # pixels, those of a thumbnail


@dataclass(frozen=True)
class EmbeddingMap:
    """Points and their pictures.

    Attributes
    ----------
    points : sample_id, x, y in [0, 1]
    of : how many images the points were drawn from
    atlas : a WebP of all the points' pictures in their order, `TILES_PER_ROW` of 32×32 pixels to a row, or None
    """

    points: pd.DataFrame
    of: int
    atlas: bytes | None = None


def embedding_map(
    embeddings: np.ndarray,
    sample_ids: Sequence[str],
    *,
    thumbs: np.ndarray | None = None,
    keep: Sequence[str] = (),
    limit: int = POINTS,
    seed: int = 0,
) -> EmbeddingMap:
    """Lay out up to `limit` images in the plane. About 10 s for 2,000 on one core.

    Parameters
    ----------
    embeddings : (N, d) float16 or float32
    sample_ids : (N,)
    thumbs : (N, 32, 32, 3) uint8, shown where the reader points
    keep : samples to show in any case (the flagged ones, worst first), up to half of `limit`
    seed : of the sampling and the layout

    Notes
    -----
    The order of rows doesn't matter. One thread, because the sums of several are added in any order, which
    t-SNE (van der Maaten and Hinton 2008; Barnes-Hut form, 2014) makes visible.
    """
    chosen = _choose(np.asarray(sample_ids, dtype=object), keep, limit, seed)
    xy = _lay_out(np.asarray(embeddings[chosen], dtype=np.float32), seed)
    points = pd.DataFrame({"sample_id": [sample_ids[row] for row in chosen], "x": xy[:, 0], "y": xy[:, 1]})
    atlas = None if thumbs is None else _atlas(np.asarray(thumbs[chosen]))
    return EmbeddingMap(points, len(sample_ids), atlas)


def _choose(sample_ids: np.ndarray, keep: Sequence[str], limit: int, seed: int) -> np.ndarray:
    """Rows to show, in the order of their names: the first of `keep`, filled up at random."""
    by_name = np.argsort(sample_ids.astype(str), kind="stable")
    kept = set(list(dict.fromkeys(keep))[: limit // 2])
    is_kept = np.array([sample in kept for sample in sample_ids[by_name]], dtype=bool)
    others = np.random.default_rng(seed).permutation(by_name[~is_kept])[: limit - is_kept.sum()]
    chosen = np.concatenate([by_name[is_kept], others])
    return chosen[np.argsort(sample_ids[chosen].astype(str), kind="stable")]


def _lay_out(embeddings: np.ndarray, seed: int) -> np.ndarray:
    """(n, d) → (n, 2) in [0, 1]."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    n, d = embeddings.shape
    if (embeddings == embeddings[:1]).all():  # one image, or all the same: nothing to lay out
        return np.zeros((n, 2))
    with threadpool_limits(limits=1):
        components = min(COMPONENTS, n, d)
        reduced = PCA(components, svd_solver="randomized", random_state=seed).fit_transform(embeddings)
        if n > 3 and components > 2:
            perplexity = min(30.0, (n - 1) / 3)
            reduced = TSNE(perplexity=perplexity, init="pca", max_iter=500, random_state=seed).fit_transform(reduced)
    xy = np.zeros((n, 2))
    xy[:, : reduced.shape[1]] = reduced[:, :2]
    return _to_unit_square(xy)


def _to_unit_square(xy: np.ndarray) -> np.ndarray:
    """Each axis to [0, 1]; t-SNE's own scale means nothing."""
    low, high = xy.min(axis=0), xy.max(axis=0)
    return np.asarray((xy - low) / np.maximum(high - low, 1e-12))


def _atlas(thumbs: np.ndarray) -> bytes:
    from PIL import Image

    n_rows = -(-len(thumbs) // TILES_PER_ROW)
    tiles = np.zeros((n_rows * TILES_PER_ROW, TILE, TILE, 3), np.uint8)
    tiles[: len(thumbs)] = thumbs
    sheet = tiles.reshape(n_rows, TILES_PER_ROW, TILE, TILE, 3).transpose(0, 2, 1, 3, 4)
    buffer = io.BytesIO()
    Image.fromarray(sheet.reshape(n_rows * TILE, TILES_PER_ROW * TILE, 3)).save(buffer, "WEBP", quality=60)
    return buffer.getvalue()
