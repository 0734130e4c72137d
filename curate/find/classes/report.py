"""Classes as wholes: too small, mixed with another, worse predicted than the rest, or told by a measurement alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from curate.config import FindOptions
from curate.find.classes.shortcuts import shortcuts
from curate.find.classes.weak_groups import weak_groups
from curate.find.labels.probe import class_codes
from curate.ingest.splits import class_balance

if TYPE_CHECKING:
    from curate.find.labels.probe import Prediction

OVERLAP = 0.5  # score: half of what two classes may share at most
WEAK = 0.8  # score: a fifth less accurate than all
SPURIOUS = 0.3  # score: an area under the ROC curve of 0.85, less three standard errors


def find_classes(
    samples: pd.DataFrame,
    prediction: Prediction,
    *,
    imbalance: float = FindOptions.imbalance,
    overlap: float = OVERLAP,
    weak: float = WEAK,
    spurious: float = SPURIOUS,
) -> pd.DataFrame:
    """Give every sample the scores of the class and the groups that it is in.

    Parameters
    ----------
    samples : schema SAMPLES, the readable ones
    prediction : of the same rows, in their order
    imbalance : classes that lack more than this share of the largest class's count are flagged
    overlap, weak, spurious : flagged where the score is below

    Returns
    -------
    One row per sample. All scores are in [0, 1], lower = worse, and NaN where a sample has no label:
        class_imbalance : the class's count over that of the largest
        class_overlap : 1 less the class's largest overlap with another, which is `overlapping_class`
        underperforming_group : accuracy of the worst group that the sample is in, `underperforming_group`, over
            that of all (see `curate.find.classes.weak_groups`)
        spurious_correlation : 1 less how well one measurement, `spurious_measurement`, tells the class
            (see `curate.find.classes.shortcuts`)
    """
    labelled = samples["label"].notna().to_numpy()
    report = class_report(samples, prediction, imbalance=imbalance).set_index("label")
    of_sample = report.reindex(samples["label"])
    groups, worst = weak_groups(samples[labelled], _correct(samples, prediction)[labelled])
    weakness = pd.DataFrame(index=np.arange(len(samples)), columns=["score", "group"])
    weakness.loc[labelled] = groups[["score", "group"]].to_numpy()[worst]
    scores = {
        "class_imbalance": of_sample["ratio"].to_numpy(float),
        "class_overlap": 1 - of_sample["overlap"].to_numpy(float),
        "underperforming_group": weakness["score"].to_numpy(float),
        "spurious_correlation": 1 - of_sample["strength"].to_numpy(float),
    }
    thresholds = {"class_overlap": overlap, "underperforming_group": weak, "spurious_correlation": spurious}
    flags = {issue: scores[issue] < threshold for issue, threshold in thresholds.items()}
    flags["class_imbalance"] = of_sample["is_small"].eq(True).to_numpy()
    table: dict[str, object] = {"sample_id": samples["sample_id"].to_numpy()}
    for issue, score in scores.items():
        table |= {f"is_{issue}_issue": flags[issue], f"{issue}_score": score}
    table["overlapping_class"] = of_sample["most_like"].to_numpy()
    table["underperforming_group"] = weakness["group"].to_numpy()
    table["spurious_measurement"] = of_sample["told_by"].to_numpy()
    return pd.DataFrame(table)


def class_report(
    samples: pd.DataFrame, prediction: Prediction, *, imbalance: float = FindOptions.imbalance
) -> pd.DataFrame:
    """One row per class, the largest first.

    Parameters
    ----------
    samples, prediction, imbalance : as of `find_classes`

    Returns
    -------
    label, n, ratio, is_small, advice : as `curate.ingest.splits.class_balance`
    accuracy : share of the class that the model, not having seen them, calls by its label
    most_like, overlap : the class that it is most mixed with, and how much: 0 not at all, 1 can't be told apart
    told_by, strength : the measurement that tells the class best, and how well: 0 as chance, 1 always
    """
    report = class_balance(samples["label"], tolerance=imbalance)
    correct = pd.Series(_correct(samples, prediction)).groupby(samples["label"].to_numpy()).mean()
    pairs = class_overlap(samples, prediction)
    swapped = pairs.rename(columns={"label": "other_label", "other_label": "label"})
    most_like = pd.concat([pairs, swapped]).sort_values("overlap", ascending=False, kind="stable")
    most_like = most_like.drop_duplicates("label").set_index("label")
    told = shortcuts(samples).drop_duplicates("label").set_index("label")
    label = report["label"]
    return report.assign(
        accuracy=label.map(correct),
        most_like=label.map(most_like["other_label"]),
        overlap=label.map(most_like["overlap"]).fillna(0.0),
        told_by=label.map(told["measurement"]),
        strength=label.map(told["strength"]).fillna(0.0),
    )


def class_overlap(samples: pd.DataFrame, prediction: Prediction) -> pd.DataFrame:
    """Every pair of classes, the most mixed first.

    The overlap of a and b is the probability that their samples are given to the other of the two, over the
    probability that they are given to either, times two: 0 where they are never mixed up, 1 where the model
    can't tell them apart.

    Returns
    -------
    label, other_label (later in the alphabet), overlap, as_other (mean probability of `other_label` for samples of
    `label`), as_label (the reverse)
    """
    code = class_codes(samples["label"], prediction.classes)
    present = np.unique(code[code >= 0])
    names = np.asarray(prediction.classes, dtype=object)[present]
    rows = samples["sample_id"].argsort(kind="stable").to_numpy()  # in whatever order the table is, sums are the same
    given = np.stack([prediction.pred_probs[rows[code[rows] == c]].mean(axis=0)[present] for c in present])  # (C, C)
    a, b = np.triu_indices(len(present), k=1)
    mixed, own = given[a, b] + given[b, a], given[a, a] + given[b, b]
    overlap = np.minimum(2 * mixed / np.maximum(mixed + own, 1e-12), 1)
    pairs = {
        "label": names[a],
        "other_label": names[b],
        "overlap": overlap,
        "as_other": given[a, b],
        "as_label": given[b, a],
    }
    return pd.DataFrame(pairs).sort_values("overlap", ascending=False, kind="stable", ignore_index=True)


def _correct(samples: pd.DataFrame, prediction: Prediction) -> np.ndarray:
    return prediction.pred_probs.argmax(axis=1) == class_codes(samples["label"], prediction.classes)
