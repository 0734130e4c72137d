"""Candidate pairs → how alike they are: laid over each other, compared pixel by pixel, and set against chance.

The agreement is 1 for the same picture and about 0 for pictures that are as alike as unrelated ones of this
collection. It is the mean of three correlations of pixels and the cosine of the embeddings, corrected for
chance as Cohen's kappa is, and lessened by how much one picture must be zoomed, shifted or turned to fit.

Chance is more than usual in a collection of look-alikes: digits of the same class fit each other nearly as well
as copies do. So it is learnt from the collection itself how well different pictures fit (`look_alikes`).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from curate.find.duplicates.align import Pictures, agreement, align, rough_agreement, rough_pose, unmoved
from curate.find.duplicates.candidates import Candidates, find_candidates, reference_rows, turned
from curate.find.neighbors import nearest
from curate.find.rows import Indexed
from curate.machine.threads import torch_threads

BATCH = 512  # pairs aligned at once by each thread: 30 MB
PER_MOVE = 0.15  # a zoom by e, or a shift by half a width, leaves exp(-0.15) of the agreement
PER_TURN = 0.85  # of it is left to a mirrored or turned picture: it has had eight chances to fit
FITS = 0.6  # agreement of pixels from which no other pose is tried
ALIKE = 10  # neighbours among which the most alike picture of the reference is sought
PASSED_OVER = 2  # of a picture's most alike ones may be its copies
CERTAIN = 8.0  # robust deviations of the cosine beyond that of different pictures: the same shot, whatever the pixels
SURELY_NEAR = 0.97  # agreement that is a near copy's in any collection
DEVIATIONS = 3.0  # robust deviations beyond which a value is unusual, one in 700 of a normal distribution
LEAST_SURE = 0.9  # cosine; among few pictures the deviations are not well known
ONE = 0.9999  # cosines beyond can't be told from it in float16
QUARTILE = 0.6745  # of the normal distribution


def agreements(thumbs: Indexed, candidates: Candidates, look_alike: float = 0.0) -> np.ndarray:
    """How well the pictures of candidate pairs agree.

    Parameters
    ----------
    thumbs : (N, 32, 32, 3) uint8
    candidates : m pairs
    look_alike : what `look_alikes` says of the collection

    Returns
    -------
    (m,) float64 in [0, 1]
    """
    pixels = np.zeros(len(candidates.a), np.float32)

    def compare(some: np.ndarray) -> None:
        first = Pictures.of(turned(thumbs[candidates.a[some]], int(candidates.turn[some[0]])))
        pixels[some] = _best_agreement(first, Pictures.of(thumbs[candidates.b[some]])).numpy()

    alike = [np.flatnonzero(candidates.turn == turn) for turn in np.unique(candidates.turn)]
    batches = [rows[start : start + BATCH] for rows in alike for start in range(0, len(rows), BATCH)]
    with ThreadPoolExecutor(torch.get_num_threads()) as threads, torch_threads(1):  # steps too small to be shared
        list(threads.map(compare, batches))
    found = _against_chance(pixels, candidates)
    return ((found - look_alike) / (1 - look_alike)).clip(0, 1)


def look_alikes(embeddings: Indexed, thumbs: Indexed, rank: np.ndarray, *, near: float) -> float:
    """The agreement of different pictures of this collection that is to count as none, in [0, 1].

    Of the reference, a fixed sample, each picture is laid over its most alike other one, the two before it passed
    over: they may be copies. `DEVIATIONS` robust deviations beyond the median (of Fisher's z, measured below it,
    where no duplicates are) begins what different pictures hardly reach; `near` is put there, if it was lower.

    Parameters
    ----------
    embeddings, thumbs, rank : (N, ...) as `find_candidates` takes them
    near : agreement from which a pair is taken for the same shot
    """
    rows = reference_rows(rank)
    vectors, pictures = embeddings[rows], thumbs[rows]
    found = find_candidates(vectors, pictures, nearest(vectors, ALIKE), rank[rows], least=-1.0)
    found = found[_in_place(found, PASSED_OVER)]
    if not len(found.a):  # too few pictures to know
        return 0.0
    agreed = np.arctanh(agreements(pictures, found).clip(0, SURELY_NEAR))
    low, middle = np.percentile(agreed, [25, 50])
    unusual = min(float(np.tanh(middle + DEVIATIONS * (middle - low) / QUARTILE)), SURELY_NEAR)
    return max(0.0, (unusual - near) / (1 - near))


def sure_cosine(embeddings: Indexed, rank: np.ndarray) -> float:
    """The cosine from which the embeddings alone say that two pictures are the same shot, in [-1, 1].

    A cut of the same shot has other pixels at every place, and nearly the same embedding. `CERTAIN` robust deviations
    beyond the median cosine of the reference's pictures to their third most alike, of Fisher's z.

    Parameters
    ----------
    embeddings, rank : (N, ...) as `find_candidates` takes them
    """
    vectors = embeddings[reference_rows(rank)]
    found = nearest(vectors, PASSED_OVER + 1).D
    if found.shape[1] <= PASSED_OVER:  # too few pictures to know
        return 1.0
    low, middle = np.percentile(np.arctanh(found[:, PASSED_OVER].clip(-1, ONE)), [25, 50])
    return max(float(np.tanh(middle + CERTAIN * (middle - low) / QUARTILE)), LEAST_SURE)


def agreements_of_embeddings(cosine: np.ndarray, sure: float, near: float) -> np.ndarray:
    """(m,) `near` where the (m,) cosine is `sure`, 1 where it is 1, 0 below `sure`."""
    return np.where(cosine >= sure, near + (1 - near) * (cosine - sure) / max(1 - sure, 1 - ONE), 0).clip(0, 1)


def _in_place(found: Candidates, place: int) -> np.ndarray:
    """The pairs that stand at `place` (0 = of most evidence) among those of one of their samples; one per sample."""
    sample, pair = np.concatenate([found.a, found.b]), np.tile(np.arange(len(found.a)), 2)
    order = np.lexsort((pair, -found.evidence[pair], sample))
    places = np.arange(len(order)) - np.searchsorted(sample[order], sample[order])
    return pair[order][places == place]


def _best_agreement(first: Pictures, second: Pictures) -> Tensor:
    """(m,) agreement at the best of three poses: as the pictures are, aligned, aligned from a grid of poses.

    Poses are compared at 16 pixels; what they show there decides which pairs are worth more.
    """
    still = unmoved(len(first))
    pose, best = _better(first, second, still, align(first, second, still))
    rest = torch.nonzero(best < FITS)[:, 0]
    if len(rest):
        one, two = first[rest], second[rest]
        pose[rest] = _better(one, two, pose[rest], align(one, two, rough_pose(one, two)))[0]
    return agreement(first, second, pose) * _stayed(pose)


def _better(first: Pictures, second: Pictures, one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """The (m, 4) better poses of two, and the (m,) rough agreement there."""
    found, beside = (rough_agreement(first, second, pose) * _stayed(pose) for pose in (one, other))
    return torch.where((beside > found)[:, None], other, one), torch.maximum(found, beside)


def _stayed(pose: Tensor) -> Tensor:
    """(m,) what a move leaves of the agreement."""
    return torch.exp(-PER_MOVE * (pose[:, :2].log().abs().sum(1) + pose[:, 2:].abs().sum(1)))


def _against_chance(pixels: np.ndarray, candidates: Candidates) -> np.ndarray:
    """Three correlations of pixels and one of embeddings; those of gradients are near 0 by chance."""
    found = (3 * pixels.astype(np.float64) + candidates.cosine) / 4
    chance = (candidates.chance_look + candidates.chance_cosine) / 4
    turned_ = np.where(candidates.turn > 0, PER_TURN, 1.0)
    return ((found - chance) / (1 - chance) * turned_).clip(0, 1)
