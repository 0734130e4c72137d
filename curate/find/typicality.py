"""How far each embedding is from what is usual: a covariance that intruders can't bend.

Concentration steps as in FAST-MCD (Rousseeuw and van Driessen 1999): fit to the half nearest the centre, keep
the nearest nine tenths under that fit, fit again. The covariance is shrunk (Ledoit and Wolf 2004), because
embeddings have about as many dimensions as there are samples, and a sample that helped to fit is measured by a
fit without it. A sample is compared with the nearest class centre, so that a small class isn't one of intruders.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from curate.find.rows import blocks

STEPS = 3  # fits to a core, the first of them to a smaller one: concentration steps (Rousseeuw and Van Driessen 1999)
FIRST_CORE = 0.5  # of the samples, those nearest a centre; half of them may be intruders and don't count
CORE = 0.9  # kept from then on: up to a tenth of the samples may be intruders
CENTRE_MEMBERS = 20  # a class of fewer has no centre of its own
LEVERAGE = 0.99  # a sample that has its own direction explains itself: capped, or its distance were infinite
PART = 256  # columns at a time


@dataclass(frozen=True)
class Fit:
    """What is usual.

    centres : (C, d) float32, the mean of all, then the means of the classes
    covariance : (d, d) float32 around the centres, shrunk and so of full rank
    whiten : (d, d) float32, upper triangular; `rows @ whiten` have unit covariance
    core : (n,) bool, the rows that were fitted to
    leverage : what a core row adds to the covariance, per unit of its own squared distance
    """

    centres: np.ndarray
    covariance: np.ndarray
    whiten: np.ndarray
    core: np.ndarray
    leverage: float


def fit_typical(rows: np.ndarray, codes: np.ndarray) -> tuple[Fit, np.ndarray]:
    """Fit centres and a covariance to `rows`, leaving out those that lie apart.

    Parameters
    ----------
    rows : (n, d) float32
    codes : (n,) int, the class of each; -1 for none

    Returns
    -------
    The fit, and the (n,) float64 squared Mahalanobis distances of `rows` from it, each core row measured by a
    fit without itself.
    """
    centres = _centres(rows, codes, np.ones(len(rows), dtype=bool))
    distances = _nearest_centre(rows, centres)[1]
    share = FIRST_CORE
    for _ in range(STEPS):
        core = distances <= np.quantile(distances, share)
        fit = _fit(rows, codes, core)
        distances = squared_distances(rows, fit)
        own = distances[core]
        distances[core] = own / (1 - np.minimum(fit.leverage * own, LEVERAGE))
        share = CORE
    return fit, distances


def squared_distances(rows: np.ndarray, fit: Fit) -> np.ndarray:
    """(n,) float64 squared Mahalanobis distance of each (n, d) row from its nearest centre."""
    origin = fit.centres[0]  # near all rows: keeps the squares below small, so that float32 is enough
    centres = (fit.centres - origin) @ fit.whiten
    found = [_nearest_centre(_times_upper(rows[part] - origin, fit.whiten), centres)[1] for part in blocks(len(rows))]
    return np.concatenate(found).astype(np.float64)


def _times_upper(rows: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """`rows @ upper`, without the products with what is zero below the diagonal of (d, d) `upper`: half the time."""
    product = np.empty_like(rows)
    for at in range(0, len(upper), PART):
        end = at + PART
        product[:, at:end] = rows[:, :end] @ upper[:end, at:end]
    return product


def _fit(rows: np.ndarray, codes: np.ndarray, core: np.ndarray) -> Fit:
    centres = _centres(rows, codes, core)
    inside = rows[core]
    deviations = inside - centres[_nearest_centre(inside, centres)[0]]
    covariance = deviations.T @ deviations / np.float32(len(inside))
    shrinkage = _ledoit_wolf(deviations, covariance)
    spread = float(np.trace(covariance)) / len(covariance)
    covariance *= np.float32(1 - shrinkage)
    covariance.flat[:: len(covariance) + 1] += np.float32(max(shrinkage * spread, 1e-9))
    lower = linalg.cholesky(covariance, lower=True, check_finite=False)
    identity = np.eye(len(lower), dtype=np.float32)
    whiten = linalg.solve_triangular(lower, identity, lower=True, check_finite=False).T
    return Fit(centres, covariance, whiten, core, (1 - shrinkage) / len(inside))


def _centres(rows: np.ndarray, codes: np.ndarray, core: np.ndarray) -> np.ndarray:
    """The mean of the core, then of each class of `CENTRE_MEMBERS` or more that has a share in it: (C, d)."""
    classes, sizes = np.unique(codes, return_counts=True)
    inside = (core & (codes == code) for code in classes[(sizes >= CENTRE_MEMBERS) & (classes >= 0)])
    return np.stack([rows[core].mean(axis=0), *(rows[members].mean(axis=0) for members in inside if members.any())])


def _nearest_centre(rows: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Index of the nearest centre of each row, and the squared Euclidean distance to it."""
    squared = np.einsum("cd,cd->c", centres, centres) - 2 * rows @ centres.T  # (n, C)
    nearest = squared.argmin(axis=1)
    distances = squared[np.arange(len(rows)), nearest] + np.einsum("nd,nd->n", rows, rows)
    return nearest, np.maximum(distances, 0)


def _ledoit_wolf(deviations: np.ndarray, covariance: np.ndarray) -> float:
    """The share of the covariance to replace by a round one; formula (14) of Ledoit and Wolf 2004, in one pass."""
    n, d = deviations.shape
    energy = float(np.sum(covariance.astype(np.float64) ** 2))
    off_round = energy - float(np.trace(covariance)) ** 2 / d
    fourth = float(np.mean(np.einsum("nd,nd->n", deviations, deviations).astype(np.float64) ** 2))
    noise = (fourth - energy) / n
    return min(noise / off_round, 1.0) if off_round > 0 else 1.0
