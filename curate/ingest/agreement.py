"""How far people agree beyond chance: the coefficients, as formulas over counts, with bootstrap draws.

Samples with the same votes are alike to every coefficient, so samples are first gathered into distinct
patterns of votes. A bootstrap over samples is then one multinomial draw of how often each pattern comes
up, and each coefficient a few matrix products: 10,000 samples take no longer than their patterns.

Sources
-------
Fleiss (1971), Measuring nominal scale agreement among many raters. Krippendorff (2011), Computing
Krippendorff's alpha-reliability. Gwet (2014), Handbook of inter-rater reliability, chapter 2, for
samples with different numbers of raters. Efron and Tibshirani (1993) for percentile intervals.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse

BLOCK = 1 << 22  # cells of a bootstrap draw held at once: 32 MiB
LEVEL = 0.95  # of the intervals

Values = dict[str, np.ndarray]


@dataclass(frozen=True)
class Patterns:
    """Distinct patterns of votes.

    Attributes
    ----------
    counts : (K, C) sparse float: votes for each class in each pattern
    times : (K,) int: how many samples have the pattern
    """

    counts: sparse.csr_array
    times: np.ndarray


def find_patterns(samples: np.ndarray, labels: np.ndarray, n_classes: int) -> Patterns:
    """Gather samples by their votes.

    Parameters
    ----------
    samples, labels : (M,) int: sample and class of each vote; samples numbered from 0 without gaps
    """
    order = np.lexsort((labels, samples))
    samples, labels = samples[order], labels[order]
    n_votes = np.bincount(samples)
    place = np.arange(len(samples)) - np.repeat(np.cumsum(n_votes) - n_votes, n_votes)
    votes = np.full((len(n_votes), n_votes.max(initial=1)), -1, dtype=np.int32)  # (N, most votes), sorted
    votes[samples, place] = labels
    distinct, times = np.unique(votes, axis=0, return_counts=True)
    rows, places = np.nonzero(distinct >= 0)
    cells = (np.ones(len(rows)), (rows, distinct[rows, places]))
    return Patterns(sparse.coo_array(cells, shape=(len(distinct), n_classes)).tocsr(), times)


def coefficients(patterns: Patterns, weights: np.ndarray) -> tuple[Values, Values]:
    """Every coefficient of agreement, for each of B weightings of the patterns.

    Parameters
    ----------
    weights : (B, K): how often each pattern comes up; `patterns.times[None]` gives the data's own values

    Returns
    -------
    overall : (B,) each; nan where it is not defined (no sample with two votes, or one class only)
        agreement : mean over samples of the share of pairs of votes that agree, 0 to 1
        conflict_rate : share of samples whose votes are not all one, 0 to 1
        fleiss_kappa : agreement beyond chance, at most 1, 0 = chance; shares of classes as in Gwet (2014)
        krippendorff_alpha : for nominal labels, at most 1, 0 = chance; corrected for small samples
    per_class : (B, C) each
        agreement : of two votes on a sample, P(the second says c | the first says c), 0 to 1
        conflict_rate : of the samples that someone called c, the share with another vote too, 0 to 1
        kappa : Fleiss' kappa of the class, at most 1, 0 = chance
    """
    counts = patterns.counts
    n = counts.sum(axis=1)  # (K,) votes of each pattern
    is_shared = (n >= 2).astype(float)
    confirmed = counts * (counts - counts.sign())  # (K, C) sparse: n_c (n_c - 1), ordered pairs that agree on c
    agreeing = confirmed.sum(axis=1)
    is_conflict = is_shared * (agreeing < n * (n - 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        n_shared = weights @ is_shared
        observed = weights @ (agreeing / np.maximum(n * (n - 1), 1)) / n_shared
        shares = _times(weights, _scale(counts, 1 / n)) / weights.sum(axis=1)[:, None]
        by_chance = (shares**2).sum(axis=1)
        paired = _times(weights, _scale(counts, is_shared))
        said = _times(weights, _scale(counts, n - 1))  # ordered pairs whose first vote is c
        among_all = said / said.sum(axis=1)[:, None]
        given_c = _times(weights, confirmed) / said
        overall = {
            "agreement": observed,
            "conflict_rate": weights @ is_conflict / n_shared,
            "fleiss_kappa": (observed - by_chance) / (1 - by_chance),
            "krippendorff_alpha": _alpha(paired, weights @ (agreeing / np.maximum(n - 1, 1))),
        }
        per_class = {
            "agreement": given_c,
            "conflict_rate": _times(weights, _scale(counts.sign(), is_conflict))
            / _times(weights, _scale(counts.sign(), is_shared)),
            "kappa": (given_c - among_all) / (1 - among_all),
        }
    return overall, per_class


def _alpha(paired: np.ndarray, coincidences: np.ndarray) -> np.ndarray:
    """1 - observed / expected disagreement, (B,), from (B, C) pairable votes and (B,) coincidences that agree."""
    total = paired.sum(axis=1)
    disagreeing = total - coincidences
    expected = (total**2 - (paired**2).sum(axis=1)) / (total - 1)
    return np.asarray(1 - disagreeing / expected)


def cohen(table: sparse.coo_array, weights: np.ndarray) -> Values:
    """Agreement of two people, for each of B weightings of the cells of their table of votes.

    Parameters
    ----------
    table : (C, C) sparse: samples that the first called by the row's class and the second by the column's
    weights : (B, cells): how often each stored cell comes up; `table.data[None]` for the data's own

    Returns
    -------
    agreement, cohen_kappa : (B,); kappa is at most 1, 0 = chance, and nan where both used one class only
    """
    n_classes = table.shape[0]
    first, second = table.coords
    total = weights.sum(axis=1)
    observed = weights[:, first == second].sum(axis=1) / total
    margins = [_times(weights, _one_hot(side, n_classes)) / total[:, None] for side in (first, second)]
    by_chance = (margins[0] * margins[1]).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {"agreement": observed, "cohen_kappa": (observed - by_chance) / (1 - by_chance)}


def draws(times: np.ndarray, bootstraps: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Bootstrap samples as counts of patterns, in blocks of (b, K)."""
    total = int(times.sum())
    if not total:
        return
    block = max(1, BLOCK // max(1, len(times)))
    for start in range(0, bootstraps, block):
        yield rng.multinomial(total, times / total, size=min(block, bootstraps - start)).astype(float)


def interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Percentile interval of (B, ...) bootstrap values, over those that are defined; nan where none is."""
    if not len(values):
        return np.full(values.shape[1:], np.nan), np.full(values.shape[1:], np.nan)
    nowhere = np.isnan(values).all(axis=0)
    low, high = np.nanquantile(np.where(nowhere, 0.0, values), [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return np.where(nowhere, np.nan, low), np.where(nowhere, np.nan, high)


def _scale(counts: sparse.csr_array, factors: np.ndarray) -> sparse.csr_array:
    """Each row times its factor."""
    return sparse.csr_array(counts.multiply(factors[:, None]))


def _times(weights: np.ndarray, matrix: sparse.csr_array) -> np.ndarray:
    """(B, K) dense times (K, C) sparse."""
    return np.asarray((matrix.T @ weights.T).T)


def _one_hot(columns: np.ndarray, width: int) -> sparse.csr_array:
    return sparse.csr_array((np.ones(len(columns)), (np.arange(len(columns)), columns)), (len(columns), width))
