"""Measurements that give a label away: how well one number of the picture alone tells a class, out of sample."""

from __future__ import annotations

import numpy as np
import pandas as pd

BINS = 20  # of equal counts: a class may be told by a band of values, not only by high or low ones
FOLDS = 5  # of the cross-validation: the field's usual number
STANDARD_ERRORS = 3  # taken off what is measured, so that small classes don't look told by chance


def properties(samples: pd.DataFrame) -> pd.DataFrame:
    """The measurements that a label should not follow from, one of each kind; indexed like `samples`."""
    width, height = samples["width"].astype(float), samples["height"].astype(float)
    measured = {name: samples[name] for name in ("colourfulness", "contrast", "entropy", "sharpness", "bytes")}
    own = {"brightness": samples["brightness_mean"], "size": np.sqrt(width * height), "aspect_ratio": width / height}
    return pd.DataFrame({**own, **measured}, index=samples.index).astype(float)


def shortcuts(samples: pd.DataFrame) -> pd.DataFrame:
    """For each measurement and class, how well the measurement alone tells the class from the rest.

    The values are put into 20 bins of equal counts; the share of the class in each bin, counted on four fifths of the
    samples, ranks the other fifth. Chance is an area under the ROC curve of one half whatever the sizes of the
    classes, so no baseline has to be guessed (cleanlab 2.9 takes one from a class's index instead of its count).

    Parameters
    ----------
    samples : schema SAMPLES; unlabelled rows are left aside

    Returns
    -------
    measurement, label, n, auc (0.5 = chance, 1 = the measurement tells the class), strength (in [0, 1]:
    2 auc - 1 less three standard errors), median_inside and median_outside of the class; strongest first
    """
    labelled = samples[samples["label"].notna()].sort_values("sample_id")
    codes, labels = pd.factorize(labelled["label"].to_numpy(dtype=object), sort=True)
    if len(labels) < 2:
        return pd.DataFrame(columns=["measurement", "label", "n", "auc", "strength", "median_inside", "median_outside"])
    rows = []
    for name, values in properties(labelled).items():
        cells = _cells(bins_of(values.to_numpy()), codes, len(labels))
        rows += [_told(str(name), values.to_numpy(), codes == code, cells, code, labels) for code in range(len(labels))]
    found = pd.DataFrame(rows)
    return found.sort_values(
        ["strength", "auc", "measurement", "label"], ascending=[False, False, True, True]
    ).reset_index(drop=True)


def bins_of(values: np.ndarray, count: int = BINS) -> np.ndarray:
    """(n,) int bin of each value, `count` bins of equal counts at most; equal values share one, NaN is in the last."""
    known = values[~np.isnan(values)]
    if not len(known):
        return np.zeros(len(values), dtype=int)
    edges = np.unique(np.quantile(known, np.linspace(0, 1, count + 1)[1:-1]))
    return np.searchsorted(edges, values, side="right")


def _cells(bins: np.ndarray, codes: np.ndarray, n_classes: int) -> np.ndarray:
    """Counts by fold, bin and class: (FOLDS, bins, C). Rows are in order of their ids, folds take turns."""
    shape = (FOLDS, int(bins.max()) + 1, n_classes)
    cell = np.ravel_multi_index((np.arange(len(bins)) % FOLDS, bins, codes), shape)
    return np.bincount(cell, minlength=int(np.prod(shape))).reshape(shape)


def _told(
    name: str, values: np.ndarray, inside: np.ndarray, cells: np.ndarray, code: int, labels: np.ndarray
) -> dict[str, object]:
    auc, error = _held_out_auc(cells[:, :, code], cells.sum(axis=2))
    return {
        "measurement": name,
        "label": labels[code],
        "n": int(inside.sum()),
        "auc": auc,
        "strength": min(max(2 * (auc - STANDARD_ERRORS * error) - 1, 0.0), 1.0),
        "median_inside": _median(values[inside]),
        "median_outside": _median(values[~inside]),
    }


def _held_out_auc(members: np.ndarray, total: np.ndarray) -> tuple[float, float]:
    """Area under the ROC curve of a bin's share in the other folds, and its standard error under chance.

    members, total : (FOLDS, bins) counts of the class and of all
    """
    others, all_others = members.sum(axis=0) - members, total.sum(axis=0) - total
    prior = others.sum(axis=1) / all_others.sum(axis=1)
    share = ((others + prior[:, None]) / (all_others + 1)).ravel()  # one pseudo-count: an empty bin has the prior
    positive, negative = members.ravel(), (total - members).ravel()
    n_positive, n_negative = int(positive.sum()), int(negative.sum())
    wins = (share[:, None] > share) + 0.5 * (share[:, None] == share)
    auc = float(positive @ wins @ negative) / (n_positive * n_negative)
    return auc, float(np.sqrt((n_positive + n_negative + 1) / (12 * n_positive * n_negative)))


def _median(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else float("nan")
