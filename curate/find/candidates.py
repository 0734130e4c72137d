"""Which pairs of pictures are worth laying over each other.

Copies are near each other in one of two spaces at least: that of the embeddings, which forgives cropping and
colours, and that of 8 × 8 thumbnails, which forgives nothing but noise and finds twins of odd pictures. How
near is near depends on the data: all chest X-rays resemble each other. So each similarity is taken against
chance: what one unrelated sample in a hundred reaches, by a fixed reference of a thousand samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from curate.find.neighbors import nearest

TINY = 8  # pixels, square
FLAT = 1.0  # grey levels; a thumbnail that varies less has nothing to compare
PER_SAMPLE = 10  # neighbours considered in each of the two spaces
REFERENCE = 1000  # samples; enough for a percentile, and the same ones after the data have grown
CHANCE = 0.01  # share of unrelated samples that may be more alike than what we call chance
BLOCK = 8192  # rows at once

TURNS = 8  # ways to lay a square: number = 4 * mirrored + quarter turns


@dataclass(frozen=True)
class Candidates:
    """Pairs of rows `a < b`, each (m,).

    look : correlation of the 8 × 8 thumbnails, the first turned by `turn`
    cosine : cosine similarity of the embeddings
    turn : 0 as they are; 1 to 3 quarter turns anticlockwise; 4 to 7 the same of the mirrored first picture
    chance : mean of what `look` and `cosine` reach by chance, each the mean of the two samples'
    meaning : how far beyond chance the cosine is: 0 chance, 1 the same picture
    evidence : the mean of that and of the same for the look
    """

    a: np.ndarray
    b: np.ndarray
    look: np.ndarray
    cosine: np.ndarray
    turn: np.ndarray
    chance: np.ndarray
    meaning: np.ndarray
    evidence: np.ndarray

    def __getitem__(self, chosen: np.ndarray) -> Candidates:
        return Candidates(**{name: values[chosen] for name, values in vars(self).items()})


def find_candidates(
    embeddings: np.ndarray, thumbs: np.ndarray, neighbors: np.ndarray, reference: np.ndarray
) -> Candidates:
    """Pair each sample with its nearest by embedding and by 8 × 8 thumbnail, mirrored or not.

    Parameters
    ----------
    embeddings : (N, d) float, L2-normalised
    thumbs : (N, 32, 32, 3) uint8
    neighbors : (N, k) int row numbers by embedding, nearest first; negative where there is none
    reference : row numbers that stand for unrelated samples, see `reference_rows`

    Returns
    -------
    Candidates, at most 2 * `PER_SAMPLE` per sample, sorted by a and b
    """
    tiny = shrink(thumbs)
    partners = np.hstack([neighbors[:, :PER_SAMPLE], nearest(_mirror_free(tiny), PER_SAMPLE).I])
    a, b = _unique_pairs(partners)
    look, turn = _looks(tiny, a, b)
    cosine = _products(embeddings, a, b)
    chance_look, chance_cosine = _chance(tiny, reference, mirrored=True), _chance(embeddings, reference)
    by_chance = (chance_look[a] + chance_look[b]) / 2, (chance_cosine[a] + chance_cosine[b]) / 2
    beyond = [(found - chance) / (1 - chance) for found, chance in zip((look, cosine), by_chance, strict=True)]
    return Candidates(a, b, look, cosine, turn, sum(by_chance) / 2, beyond[1], sum(beyond) / 2)


def reference_rows(hashes: np.ndarray) -> np.ndarray:
    """Rows of the `REFERENCE` distinct contents whose hashes are smallest: random, yet the same in any order.

    Most of them stay when samples are added, so that what is called chance hardly moves.
    """
    return np.sort(np.unique(hashes, return_index=True)[1][:REFERENCE])


def shrink(thumbs: np.ndarray) -> np.ndarray:
    """(N, 32, 32, 3) uint8 → (N, 8, 8, 3) float32 about their mean, of length 1; zeros where all is flat."""
    n, side = len(thumbs), thumbs.shape[1] // TINY
    small = np.empty((n, TINY, TINY, 3), np.float32)
    for start in range(0, n, BLOCK):
        block = thumbs[start : start + BLOCK].reshape(-1, TINY, side, TINY, side, 3)
        small[start : start + BLOCK] = block.mean((2, 4), dtype=np.float32)
    small -= small.mean((1, 2, 3), keepdims=True)
    length = np.sqrt(np.square(small).sum((1, 2, 3), keepdims=True))
    return np.where(length < FLAT * (small[0].size ** 0.5), 0, small / np.maximum(length, 1e-6)).astype(np.float32)


def turned(pictures: np.ndarray, turn: int) -> np.ndarray:
    """(m, h, h, c) pictures mirrored where turn >= 4, then turned anticlockwise by turn % 4 quarters."""
    return np.rot90(pictures[:, :, ::-1] if turn >= 4 else pictures, turn % 4, axes=(1, 2))


def _mirror_free(tiny: np.ndarray) -> np.ndarray:
    """(N, 192) that a picture shares with its mirror image: the even part, and the odd part without its sign."""
    even, odd = (tiny + tiny[:, :, ::-1]) / 2, (tiny - tiny[:, :, ::-1]) / 2
    half = TINY // 2
    parts = [even[:, :, :half], np.abs(odd[:, :, :half])]
    return np.sqrt(np.float32(2)) * np.concatenate(parts, axis=2).reshape(len(tiny), -1)


def _unique_pairs(partners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each pair of a row and one of its partners once, smaller row first."""
    rows = np.repeat(np.arange(len(partners), dtype=np.int64), partners.shape[1])
    partners = partners.ravel().astype(np.int64)
    rows, partners = rows[partners >= 0], partners[partners >= 0]
    n = int(max(rows.max(initial=0), partners.max(initial=0))) + 1
    code = np.unique(np.minimum(rows, partners) * n + np.maximum(rows, partners))
    a, b = np.divmod(code, n)
    return a[a != b], b[a != b]


def _blocks(n: int) -> Iterator[slice]:
    return (slice(start, start + BLOCK) for start in range(0, n, BLOCK))


def _looks(tiny: np.ndarray, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The best correlation over the ways to lay the first picture, and the way.

    A quarter turn is believed only where it is clearly better than none: eight chances find more than two.
    """
    look, turn = np.empty(len(a), np.float32), np.empty(len(a), np.int8)
    handicap = np.array([0 if way % 4 == 0 else 0.15 for way in range(TURNS)], np.float32)
    for block in _blocks(len(a)):
        first, second = tiny[a[block]], tiny[b[block]].reshape(len(a[block]), -1)
        ways = np.stack([_dots(turned(first, way).reshape(second.shape), second) for way in range(TURNS)], axis=1)
        turn[block] = (ways - handicap).argmax(axis=1)
        look[block] = np.take_along_axis(ways, turn[block][:, None].astype(np.int64), 1)[:, 0]
    return look, turn


def _products(vectors: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    found = np.empty(len(a), np.float32)
    for block in _blocks(len(a)):
        found[block] = _dots(vectors[a[block]].astype(np.float32), vectors[b[block]].astype(np.float32))
    return found.clip(-1, 1)


def _dots(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    return np.einsum("md,md->m", one, two)


def _chance(vectors: np.ndarray, reference: np.ndarray, *, mirrored: bool = False) -> np.ndarray:
    """(N,) the similarity to the reference that only `CHANCE` of it exceeds; with small data, its tenth value."""
    import torch

    base = vectors[reference].astype(np.float32)
    bases = [base, base[:, :, ::-1]] if mirrored else [base]
    bases = [torch.from_numpy(np.ascontiguousarray(each).reshape(len(each), -1)) for each in bases]
    rank = min(max(10, round(CHANCE * len(reference))), 1 + len(reference) // 2)
    level = np.empty(len(vectors), np.float32)
    for block in _blocks(len(vectors)):
        rows = torch.from_numpy(vectors[block].astype(np.float32)).flatten(1)
        similar = torch.stack([rows @ each.T for each in bases]).amax(0)
        own = np.flatnonzero((reference >= block.start) & (reference < block.stop))
        similar[reference[own] - block.start, own] = -1
        level[block] = similar.topk(rank, dim=1)[0][:, -1].numpy()
    return level.clip(0, 0.95)
