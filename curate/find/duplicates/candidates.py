"""Which pairs of pictures are worth laying over each other.

Copies are near each other in one of two spaces at least: that of the embeddings, which forgives cropping and
colours, and that of 8 × 8 thumbnails, which forgives nothing but noise and finds twins of odd pictures. How
near is near depends on the data: all chest X-rays resemble each other. So each similarity is taken against
chance: what one unrelated sample in a hundred reaches, by a fixed reference of a thousand samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from curate.find.neighbors import Neighbors, exact, nearest
from curate.find.rows import Indexed, Rows, blocks

TINY = 8  # pixels, square
FLAT = 1.0  # grey levels; a thumbnail that varies less has nothing to compare
PER_SAMPLE = 10  # neighbours considered in each of the two spaces
LOOKS_FOUND = 0.9  # of the nearest by thumbnail, where an index seeks them: a pair has two chances, and embeddings
REFERENCE = 1000  # samples; enough for a percentile, and the same ones after the data have grown
CHANCE = 0.01  # share of unrelated samples that may be more alike than what we call chance

ALL_WAYS = tuple(range(8))  # to lay a square: 4 * mirrored + quarter turns
UPRIGHT = (0, 4)  # of ALL_WAYS: as it is, and mirrored


@dataclass(frozen=True)
class Candidates:
    """Pairs of rows, each (m,).

    look : correlation of the 8 × 8 thumbnails, the first turned by `turn`
    cosine : cosine similarity of the embeddings
    turn : 0 as they are; 1 to 3 quarter turns anticlockwise; 4 to 7 the same of the mirrored first picture
    chance_look, chance_cosine : what `look` and `cosine` reach by chance, the mean of the two samples'
    """

    a: np.ndarray
    b: np.ndarray
    look: np.ndarray
    cosine: np.ndarray
    turn: np.ndarray
    chance_look: np.ndarray
    chance_cosine: np.ndarray

    @property
    def evidence(self) -> np.ndarray:
        """(m,) how far beyond chance look and cosine are, in the mean: 0 chance, 1 the same picture."""
        by_look = (self.look - self.chance_look) / (1 - self.chance_look)
        return (by_look + (self.cosine - self.chance_cosine) / (1 - self.chance_cosine)) / 2

    def __getitem__(self, chosen: np.ndarray) -> Candidates:
        return Candidates(**{name: values[chosen] for name, values in vars(self).items()})


def find_candidates(
    embeddings: Indexed,
    thumbs: Indexed,
    neighbors: Neighbors,
    rank: np.ndarray,
    *,
    least: float,
    sure: float = 1.0,
) -> Candidates:
    """Pair each sample with its nearest by embedding and by 8 × 8 thumbnail, mirrored or not.

    Parameters
    ----------
    embeddings : (N, d) float, L2-normalised; one row per content
    thumbs : (N, 32, 32, 3) uint8
    neighbors : as `distinct_neighbors` finds them
    rank : (N,) place of each content in the order of the hashes; it chooses the reference, and which of a pair
        is `a`, so that neither hangs on names or the order of the rows
    least : evidence from which a pair is returned
    sure : cosine from which it is, whatever its look

    Returns
    -------
    Candidates, at most 2 * `PER_SAMPLE` per sample, in order of their ranks
    """
    tiny = shrink(thumbs)
    reference = reference_rows(rank)
    chance_look, chance_cosine = _chance(tiny, reference, mirrored=True), _chance(embeddings, reference)
    a, b, cosine = _pairs(neighbors, nearest(_mirror_free(tiny), PER_SAMPLE, recall=LOOKS_FOUND).I)
    swap = rank[a] > rank[b]
    a, b = np.where(swap, b, a), np.where(swap, a, b)
    unknown = np.isnan(cosine)  # neither is among the other's nearest, so the cosine is at most as theirs
    farthest = np.where(neighbors.I >= 0, neighbors.D, 1).min(axis=1, initial=1)
    cosine[unknown] = np.minimum(farthest[a], farthest[b])[unknown]
    look, turn = _looks(tiny, a, b, unknown)
    by_chance = [(chance[a] + chance[b]) / 2 for chance in (chance_look, chance_cosine)]
    found = Candidates(a, b, look, cosine, turn, *by_chance)
    hopeful = (found.evidence >= least) | (found.cosine >= sure)
    found, unknown = found[hopeful], unknown[hopeful]
    found.cosine[unknown] = _products(embeddings, found.a[unknown], found.b[unknown])
    found = found[(found.evidence >= least) | (found.cosine >= sure)]
    return found[np.lexsort((rank[found.b], rank[found.a]))]


def distinct_neighbors(
    embeddings: np.ndarray, neighbors: Neighbors, rows: np.ndarray, content: np.ndarray
) -> Neighbors:
    """The `PER_SAMPLE` nearest other contents of each of M contents; -1 in `I` where there are no more.

    A picture with many exact copies has them as its nearest; where these leave no room, it is searched again.

    Parameters
    ----------
    embeddings : (N, d) of all samples
    neighbors : of all samples
    rows : (M,) the sample that stands for each content
    content : (N,) the number of each sample's content, from 0 to M - 1
    """
    I, D = neighbors.I[rows], neighbors.D[rows]  # noqa: E741
    I = np.where(I >= 0, content[I], -1)  # noqa: E741
    I[I == np.arange(len(rows))[:, None]] = -1
    order = np.argsort(I, axis=1, kind="stable")
    ordered = np.take_along_axis(I, order, 1)
    again = np.zeros(I.shape, bool)
    np.put_along_axis(again, order[:, 1:], ordered[:, 1:] == ordered[:, :-1], 1)
    I[again] = -1
    order = np.argsort(I < 0, axis=1, kind="stable")[:, :PER_SAMPLE]
    I, D = np.take_along_axis(I, order, 1), np.take_along_axis(D, order, 1)  # noqa: E741
    wanted = min(I.shape[1], len(rows) - 1)
    short = np.flatnonzero((I >= 0).sum(axis=1) < wanted)
    D[short, :wanted], I[short, :wanted] = exact(Rows(embeddings, rows), short, wanted)
    return Neighbors(D, I, neighbors.method, neighbors.recall)


def best_of_each(found: Candidates, most: int) -> np.ndarray:
    """(m,) which pairs are among the `most` of most evidence that have the same first, or the same second, sample."""
    kept = np.zeros(len(found.a), dtype=bool)
    order = np.lexsort((found.b, found.a, -found.evidence))
    for rows in (found.a[order], found.b[order]):
        kept[order] |= pd.Series(rows).groupby(rows).cumcount().to_numpy() < most
    return kept


def reference_rows(rank: np.ndarray) -> np.ndarray:
    """Rows of the `REFERENCE` contents whose hashes rank first: random, yet the same in any order.

    Most of them stay when samples are added, so that what is called chance hardly moves.
    """
    return np.sort(np.argsort(rank, kind="stable")[:REFERENCE])


def shrink(thumbs: Indexed) -> np.ndarray:
    """(N, 32, 32, 3) uint8 → (N, 8, 8, 3) float32 about their mean, of length 1; zeros where all is flat."""
    small = np.empty((len(thumbs), TINY, TINY, 3), np.float32)
    for block in blocks(len(thumbs)):
        pictures = thumbs[block]
        side = pictures.shape[1] // TINY
        rows = pictures.reshape(-1, side, TINY * side * 3).sum(1, dtype=np.uint16)
        some = rows.reshape(-1, TINY, TINY, side, 3).sum(3, dtype=np.uint16) / np.float32(side**2)
        some -= some.mean((1, 2, 3), keepdims=True)
        length = np.sqrt(np.square(some).sum((1, 2, 3), keepdims=True))
        small[block] = np.where(length < FLAT * (some[0].size ** 0.5), 0, some / np.maximum(length, 1e-6))
    return small


def turned(pictures: np.ndarray, turn: int) -> np.ndarray:
    """(m, h, h, c) pictures mirrored where turn >= 4, then turned anticlockwise by turn % 4 quarters."""
    return np.rot90(pictures[:, :, ::-1] if turn >= 4 else pictures, turn % 4, axes=(1, 2))


def _mirror_free(tiny: np.ndarray) -> np.ndarray:
    """(N, 192) that a picture shares with its mirror image: the even part, and the odd part without its sign."""
    free, half = np.empty_like(tiny), TINY // 2
    for block in blocks(len(tiny)):
        left, right = tiny[block, :, :half], tiny[block, :, ::-1][:, :, :half]
        free[block, :, :half], free[block, :, half:] = (left + right) / 2, np.abs((left - right) / 2)
        free[block] *= np.sqrt(np.float32(2))
    return free.reshape(len(tiny), -1)


def _pairs(by_meaning: Neighbors, by_look: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each pair of a row and one of its neighbours once, and its cosine, NaN where it is known by look alone."""
    partners = np.hstack([by_meaning.I, by_look])
    cosine = np.full(partners.shape, np.nan, np.float32)
    cosine[:, : by_meaning.I.shape[1]] = by_meaning.D
    rows = np.broadcast_to(np.arange(len(partners))[:, None], partners.shape)
    rows, partners, cosine = (values.T[partners.T >= 0] for values in (rows, partners, cosine))  # known cosines first
    n = len(by_look)
    code, first = np.unique(np.minimum(rows, partners) * n + np.maximum(rows, partners), return_index=True)
    a, b = np.divmod(code, n)
    return a, b, cosine[first]


def _looks(tiny: np.ndarray, a: np.ndarray, b: np.ndarray, by_look: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The best correlation over the ways to lay the first picture, and the way.

    Pairs known by their looks alone are so as they are or mirrored. Of others a quarter turn is believed only
    where it is clearly better than none: eight chances find more than two.
    """
    look, turn = np.empty(len(a), np.float32), np.empty(len(a), np.int8)
    for ways, pairs in ((UPRIGHT, np.flatnonzero(by_look)), (ALL_WAYS, np.flatnonzero(~by_look))):
        handicap = np.array([0 if way in UPRIGHT else 0.15 for way in ways], np.float32)
        for block in blocks(len(pairs)):
            some = pairs[block]
            first, second = tiny[a[some]], tiny[b[some]].reshape(len(some), -1)
            found = np.stack([_dots(turned(first, way).reshape(second.shape), second) for way in ways], axis=1)
            best = (found - handicap).argmax(axis=1)
            turn[some], look[some] = np.array(ways)[best], found[np.arange(len(some)), best]
    return look, turn


def _products(vectors: Indexed, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    found = np.empty(len(a), np.float32)
    for block in blocks(len(a)):
        found[block] = _dots(vectors[a[block]].astype(np.float32), vectors[b[block]].astype(np.float32))
    return found.clip(-1, 1)


def _dots(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    return np.einsum("md,md->m", one, two)


def _chance(vectors: Indexed, reference: np.ndarray, *, mirrored: bool = False) -> np.ndarray:
    """(N,) the similarity to the reference that only `CHANCE` of it exceeds; with small data, its tenth value."""
    base = vectors[reference].astype(np.float32)
    bases = [each.reshape(len(base), -1) for each in ([base, base[:, :, ::-1]] if mirrored else [base])]
    rank = min(max(10, round(CHANCE * len(reference))), 1 + len(reference) // 2)
    level = np.empty(len(vectors), np.float32)
    for block in blocks(len(vectors)):
        rows = vectors[block].astype(np.float32).reshape(-1, bases[0].shape[1])
        similar = np.max([rows @ each.T for each in bases], axis=0)
        own = np.flatnonzero((reference >= block.start) & (reference < block.stop))
        similar[reference[own] - block.start, own] = -1
        level[block] = np.partition(similar, -rank, axis=1)[:, -rank]
    return level.clip(0, 0.95)
