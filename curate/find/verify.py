"""Candidate pairs → how alike they are: laid over each other, compared pixel by pixel, and set against chance.

`similarity` is 1 for the same picture and about 0 for pictures that are as alike as unrelated ones of this
collection. It is the mean of three correlations of pixels and the cosine of the embeddings, corrected for
chance as Cohen's kappa is, and lessened by how much one picture must be zoomed, shifted or turned to fit.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from curate.find.align import Pictures, agreement, align, rough_pose, unmoved
from curate.find.candidates import Candidates, turned

BATCH = 512  # pairs aligned at once: 30 MB
PER_MOVE = 0.3  # a zoom by e, or a shift by half a width, leaves exp(-0.3) of the similarity
PER_TURN = 0.85  # of it is left to a mirrored or turned picture: it has had eight chances to fit
FITS = 0.6  # agreement of pixels from which no other pose is tried


def similarities(thumbs: np.ndarray, candidates: Candidates) -> np.ndarray:
    """(m,) float64 in [0, 1] for m candidates among the (N, 32, 32, 3) uint8 `thumbs`."""
    pixels = np.zeros(len(candidates.a), np.float32)
    for turn in np.unique(candidates.turn):
        rows = np.flatnonzero(candidates.turn == turn)
        for start in range(0, len(rows), BATCH):
            some = rows[start : start + BATCH]
            first = Pictures.of(turned(thumbs[candidates.a[some]], int(turn)))
            pixels[some] = _best_agreement(first, Pictures.of(thumbs[candidates.b[some]])).numpy()
    return _against_chance(pixels, candidates)


def _best_agreement(first: Pictures, second: Pictures) -> Tensor:
    """(m,) agreement as the pictures are, aligned, and, where neither fits, aligned from a grid of poses."""
    still = unmoved(len(first))
    best = torch.maximum(_at(first, second, still), _at(first, second, align(first, second, still)))
    rest = torch.nonzero(best < FITS)[:, 0]
    if len(rest):
        first, second = first[rest], second[rest]
        found = _at(first, second, align(first, second, rough_pose(first, second)))
        best[rest] = torch.maximum(best[rest], found)
    return best


def _at(first: Pictures, second: Pictures, pose: Tensor) -> Tensor:
    """Agreement at a pose, lessened by how far the pose is from none."""
    moved = pose[:, :2].log().abs().sum(1) + pose[:, 2:].abs().sum(1)
    return agreement(first, second, pose) * torch.exp(-PER_MOVE * moved)


def _against_chance(pixels: np.ndarray, candidates: Candidates) -> np.ndarray:
    """Three correlations of pixels and one of embeddings; those of gradients are near 0 by chance."""
    found = (3 * pixels.astype(np.float64) + candidates.cosine) / 4
    chance = candidates.chance / 2
    turned_ = np.where(candidates.turn > 0, PER_TURN, 1.0)
    return ((found - chance) / (1 - chance) * turned_).clip(0, 1)
