"""Embeddings → what does not belong: several scores brought to one, and small clusters of intruders as groups.

Two distances decide: from what is usual as a whole (`curate.find.typicality`) and from the nearest usual
samples. Neither is taken in by intruders that resemble each other, because both are measured against samples
that are themselves usual. Isolation Forest's score is offered beside them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import linalg
from scipy.special import expit

from curate.find.rows import Rows, blocks
from curate.find.typicality import Fit, fit_typical, squared_distances

if TYPE_CHECKING:
    from curate.find.neighbors import Neighbors

FEWEST = 20  # samples; among fewer there is no telling what is usual
REFERENCE = 10_000  # samples that stand for all: cost stays linear in the number of samples
NEAREST = 10  # usual samples whose mean distance counts
COMPONENTS = 128  # principal components in which these are sought and Isolation Forest looks
SOUGHT_AMONG = 4096  # usual samples
GROUPED = 4096  # the worst flagged samples are grouped, any more stand alone
MODIFIED_Z = 3.5  # Iglewicz and Hoaglin 1993: beyond this many robust deviations a value is an outlier
LEAST_SCALE = 0.02  # of log distance: within 2% of each other nothing is unusual


def find_outlier(
    samples: pd.DataFrame,
    embeddings: np.ndarray,
    neighbors: Neighbors,
    *,
    threshold: float = 0.5,
    seed: int = 0,
) -> pd.DataFrame:
    """Score how far each sample is from what is usual in this set.

    Parameters
    ----------
    samples : `sample_id` and `label`, one row per embedding. Labels, where there are any, only tell that a
        small class is a class; wrong ones do no harm
    embeddings : (N, d) float16 or float32, L2-normalised
    neighbors : of the same rows; the source of `nearest_id`
    threshold : samples that score below it are flagged. 0.5 is a robust z-score of 3.5, of the distances' logarithm
    seed : of Isolation Forest

    Returns
    -------
    One row per sample, in the order of `samples`:
        is_outlier_issue : bool
        outlier_score : [0, 1], lower = worse; 1 / (1 + exp(z - 3.5)) of the two distances' joint z-score
        typicality_score : the same of the distance from the usual as a whole alone
        neighbor_score : the same of the distance to the nearest usual samples alone
        isolation_forest_score : [0, 1], lower = worse; alone a weak one
        nearest_id : the most similar sample, null where there is no other
        group_id : shared by flagged samples that resemble each other, else null
    Among fewer than 20 samples nothing is flagged and all score 1.

    Notes
    -----
    The result does not depend on the order of the rows. Beyond 10,000 samples, 10,000 evenly spaced ones (by
    `sample_id`) tell what is usual.
    """
    ids = samples["sample_id"].to_numpy(dtype=object)
    nearest = ids[neighbors.I[:, 0]] if neighbors.I.shape[1] else np.full(len(ids), None)
    if len(samples) < FEWEST:
        scores = dict.fromkeys(("outlier", "typicality", "neighbor", "isolation_forest"), np.ones(len(ids)))
        groups = np.full(len(ids), None)
    else:
        order = samples["sample_id"].argsort(kind="stable").to_numpy()
        codes = pd.factorize(samples["label"].to_numpy(dtype=object)[order], sort=True)[0]
        scores, groups = _scores_and_groups(_Rows(embeddings, order), codes, ids[order], threshold, seed)
        back = np.argsort(order)
        scores, groups = {name: score[back] for name, score in scores.items()}, groups[back]
    table = {"sample_id": ids, "is_outlier_issue": scores["outlier"] < threshold}
    table |= {f"{name}_score": score for name, score in scores.items()}
    return pd.DataFrame(table | {"nearest_id": nearest, "group_id": groups})


class _Rows(Rows):
    """Embeddings in order of their ids, as float32."""

    def __getitem__(self, rows: np.ndarray | slice) -> np.ndarray:
        return super().__getitem__(rows).astype(np.float32)


def _scores_and_groups(
    embeddings: _Rows, codes: np.ndarray, ids: np.ndarray, threshold: float, seed: int
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """All scores by name, and the groups; rows are in order of their ids."""
    everything = np.arange(len(ids))
    reference = _evenly(everything, REFERENCE)
    others = np.setdiff1d(everything, reference)
    fit, of_reference = fit_typical(embeddings[reference], codes[reference])
    usual = np.empty(len(ids))
    usual[reference] = of_reference
    for part in blocks(len(others)):
        usual[others[part]] = squared_distances(embeddings[others[part]], fit)
    reduced = _reduce(embeddings, fit)
    near = _distance_to_usual(reduced, reference[fit.core])
    far, apart = _modified_z(np.log(np.maximum(usual, 1e-9))), _modified_z(np.log(np.maximum(near, 1e-9)))
    z = {"outlier": _modified_z(far + apart), "typicality": far, "neighbor": apart}
    scores = {name: expit(MODIFIED_Z - values) for name, values in z.items()}
    scores["isolation_forest"] = _isolation_forest(reduced.rows, reference, seed)
    flagged = np.flatnonzero(scores["outlier"] < threshold)
    worst = flagged[np.argsort(-z["outlier"][flagged], kind="stable")][:GROUPED]
    return scores, _groups(embeddings[worst], worst, float(np.median(near)), ids)


@dataclass(frozen=True)
class _Reduced:
    """Embeddings in the leading principal components of what is usual, and what these leave out."""

    rows: np.ndarray  # (N, p) float32
    rest: np.ndarray  # (N,) float32, squared length outside of them


def _reduce(embeddings: _Rows, fit: Fit) -> _Reduced:
    n, d = len(embeddings), len(fit.covariance)
    p = min(COMPONENTS, d)
    scale = np.abs(fit.covariance).max() or np.float32(1)  # LAPACK gives up on numbers as small as these
    # by divide and conquer: of few samples most eigenvalues are alike, of which LAPACK's default may find no vectors
    axes = linalg.eigh(fit.covariance / scale, driver="evd", check_finite=False)[1][:, d - p :]
    rows, rest = np.empty((n, p), np.float32), np.empty(n, np.float32)
    for part in blocks(n):
        block = embeddings[part] - fit.centres[0]
        rows[part] = block @ axes
        rest[part] = np.maximum((block**2).sum(axis=1) - (rows[part] ** 2).sum(axis=1), 0)
    return _Reduced(rows, rest)


def _distance_to_usual(reduced: _Reduced, core: np.ndarray) -> np.ndarray:
    """(N,) mean distance to the nearest usual samples, itself not counted.

    What the components leave out of two samples counts as if at right angles.
    """
    import torch

    core = _evenly(core, SOUGHT_AMONG)
    position = np.full(len(reduced.rows), -1)
    position[core] = np.arange(len(core))
    rows, rest = torch.from_numpy(reduced.rows), torch.from_numpy(reduced.rest)
    length = (rows**2).sum(dim=1) + rest
    found = np.empty(len(rows))
    k = min(NEAREST, len(core) - 1)
    for part in blocks(len(rows)):
        squared = length[part, None] + length[core] - 2 * rows[part] @ rows[core].T
        diag_inf = np.flatnonzero(position[part] >= 0)
        squared[diag_inf, position[part][diag_inf]] = torch.inf
        found[part] = squared.topk(k, largest=False).values.clamp_min(0).sqrt().mean(dim=1)
    return found


def _isolation_forest(rows: np.ndarray, reference: np.ndarray, seed: int) -> np.ndarray:
    from sklearn.ensemble import IsolationForest

    forest = IsolationForest(random_state=seed).fit(rows[reference])
    return 1 + np.concatenate([forest.score_samples(rows[part]) for part in blocks(len(rows))])


def _groups(rows: np.ndarray, worst: np.ndarray, radius: float, ids: np.ndarray) -> np.ndarray:
    """Group the `worst` samples (worst first): each takes those left that are as near as usual samples are.

    All members are near the first one, so groups don't chain. A group is named after it.
    """
    groups = np.full(len(ids), None, dtype=object)
    left = np.arange(len(worst))
    while len(left):
        near = ((rows[left] - rows[left[0]]) ** 2).sum(axis=1) <= radius**2
        if np.count_nonzero(near) > 1:
            groups[worst[left[near]]] = ids[worst[left[0]]]
        near[0] = True
        left = left[~near]
    return groups


def _evenly(rows: np.ndarray, most: int) -> np.ndarray:
    """At most `most` of `rows`, evenly spaced."""
    return rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).astype(int)]


def _modified_z(values: np.ndarray) -> np.ndarray:
    """(value - median) / (1.4826 × median absolute deviation)."""
    from_median = values - np.median(values)
    return from_median / max(1.4826 * np.median(np.abs(from_median)), LEAST_SCALE)
