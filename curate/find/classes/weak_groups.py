"""Groups of samples that the model does worse on than on the rest: classes, splits, and dark, small, soft … images."""

from __future__ import annotations

import numpy as np
import pandas as pd

from curate.find.classes.shortcuts import bins_of, properties

FIFTHS = 5  # a measurement divides the samples into fifths
STANDARD_ERRORS = 3  # the benefit of the doubt, so that small groups don't look weak by chance


def weak_groups(samples: pd.DataFrame, correct: np.ndarray) -> tuple[pd.DataFrame, np.ndarray]:
    """Score every group by how its accuracy compares with that of all.

    Parameters
    ----------
    samples : schema SAMPLES, the labelled ones
    correct : (n,) bool, whether the model, not having seen the sample, predicts its label

    Returns
    -------
    groups : group (in words), n, accuracy, score (in [0, 1], lower = worse: accuracy over the accuracy of all,
        given the benefit of three standard errors); worst first
    worst : (n,) the row of `groups` that is the worst which each sample is in
    """
    names: list[str] = []
    codes = []
    for name, of_sample in _partitions(samples).items():
        code, values = pd.factorize(of_sample.to_numpy(dtype=object), sort=True)
        codes.append(np.where(code >= 0, code + len(names), -1))
        names += [f"{name} {value}" for value in values]
    membership = np.stack(codes)  # (partitions, n)
    table = _scored(names, membership, correct)
    order = np.lexsort((table["group"], table["score"]))
    rank = np.empty(len(order) + 1, dtype=int)
    rank[order], rank[-1] = np.arange(len(order)), len(order)  # membership -1, in no group, ranks last
    return table.iloc[order].reset_index(drop=True), rank[membership].min(axis=0)


def _partitions(samples: pd.DataFrame) -> dict[str, pd.Series]:
    """What divides the samples into groups: null where a sample is in none."""
    fifths = {str(name): _fifths(values) for name, values in properties(samples).items()}
    return {"class": samples["label"], "split": samples["split"], **fifths}


def _fifths(values: pd.Series) -> pd.Series:
    """The range of values of the fifth that each sample is in, in words: `0.12 to 0.3`."""
    bins = pd.Series(bins_of(values.to_numpy(), FIFTHS), index=values.index)
    low, high = values.groupby(bins).min(), values.groupby(bins).max()
    words = {code: f"{low[code]:.3g} to {high[code]:.3g}" for code in low.index}
    return bins.map(words).where(values.notna(), None)


def _scored(names: list[str], membership: np.ndarray, correct: np.ndarray) -> pd.DataFrame:
    inside = membership >= 0
    n = np.bincount(membership[inside], minlength=len(names))
    right = np.bincount(membership[inside], np.broadcast_to(correct, membership.shape)[inside], len(names))
    accuracy = right / n
    score = np.minimum(_upper_limit(accuracy, n) / max(float(correct.mean()), 1e-9), 1)
    return pd.DataFrame({"group": names, "n": n, "accuracy": accuracy, "score": score})


def _upper_limit(share: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Upper end of Wilson's interval of a share of `n`."""
    z2 = STANDARD_ERRORS**2
    root = np.sqrt(share * (1 - share) / n + z2 / (4 * n**2))
    return (share + z2 / (2 * n) + STANDARD_ERRORS * root) / (1 + z2 / n)
