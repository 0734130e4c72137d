"""Label errors: how probable it is that each given label is wrong, and what it should be."""

from __future__ import annotations

import numpy as np
import pandas as pd

from curate.find.labels.probe import Prediction, class_codes

LEAST_CUT = 0.25  # a flag is right one time in four at least, even where the probe can't tell anything


def find_label(samples: pd.DataFrame, prediction: Prediction, *, cut: float | None = None) -> pd.DataFrame:
    """Score every label.

    Parameters
    ----------
    samples : schema SAMPLES, (N,) rows
    prediction : of the same rows, in their order
    cut : P(wrong) from which `is_label_issue` is set; None: where the expected F1 of the flags is largest

    Returns
    -------
    sample_id, is_label_issue, label_probability (P(the label is wrong) given the pixels and all that people said),
    label_score (1 less that: 0 = surely wrong), given_label, suggested_label and suggested_probability.
    Samples without a label have no score, and their suggestion is a first guess.

    References
    ----------
    The model of picture and labellers is `curate.find.labels.noise`. The cut is half the best F1 that can be expected
    (Lipton, Elkan and Naryanaswamy, ECML 2014).
    """
    y = class_codes(samples["label"], prediction.classes)
    posterior = prediction.posterior.astype(np.float64)
    rows, known = np.arange(len(y)), y >= 0
    score = np.where(known, posterior[rows, y], np.nan).clip(0, 1)
    wrong = 1 - score
    others = posterior.copy()
    others[rows[known], y[known]] = -1  # the given label is no suggestion
    best = others.argmax(axis=1)
    return pd.DataFrame(
        {
            "sample_id": samples["sample_id"].to_numpy(),
            "is_label_issue": np.nan_to_num(wrong) >= (expected_f1_cut(wrong[known]) if cut is None else cut),
            "label_score": score,
            "label_probability": wrong,
            "given_label": samples["label"].to_numpy(),
            "suggested_label": prediction.classes[best],
            "suggested_probability": posterior[rows, best].clip(0, 1),
        }
    )


def expected_f1_cut(probability: np.ndarray) -> float:
    """The cut of (N,) calibrated probabilities at which flags from it on have the largest expected F1.

    Where nothing can be told apart, flagging all has the largest: `LEAST_CUT` is the floor.
    """
    ranked = np.sort(probability)[::-1]
    expected = 2 * ranked.cumsum() / (np.arange(1, len(ranked) + 1) + ranked.sum())
    return max(float(ranked[expected.argmax()]), LEAST_CUT) if len(ranked) else 1.0
