"""Label errors: how probable it is that each given label is wrong, and what it should be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from curate.find.predict import Prediction

if TYPE_CHECKING:
    import torch

LEAST_CUT = 0.25  # a flag is right one time in four at least, even where the probe can't tell anything
PRIOR = 1.0  # pseudo-observations: weak beside a hundred labels per class, decisive beside a few
TINY = 1e-9


def find_label(samples: pd.DataFrame, prediction: Prediction, *, cut: float | None = None) -> pd.DataFrame:
    """Score every label.

    Parameters
    ----------
    samples : schema SAMPLES, (N,) rows
    prediction : of the same rows, in their order
    cut : P(wrong) from which `is_label_issue` is set; None: where the expected F1 of the flags is largest

    Returns
    -------
    sample_id, is_label_issue, label_score (out-of-sample P(given label | pixels): 0 = surely wrong; ranks),
    label_probability (P(the label is wrong), falls with the score), given_label, suggested_label and
    suggested_probability. Samples without a label have no score, and their suggestion is a first guess.

    References
    ----------
    The score is self-confidence (Northcutt et al., Confident Learning, JAIR 2021). How many labels are wrong
    is told by a noise model fitted by maximum likelihood (after Patrini et al., CVPR 2017), given the probe;
    isotonic regression of its verdicts on the score gives one probability that agrees with the ranking.
    The cut is half the best F1 that can be expected (Lipton, Elkan and Naryanaswamy, ECML 2014).
    """
    classes = list(prediction.classes)
    y = pd.Categorical(samples["label"], categories=classes).codes.astype(np.int64)
    posterior = fit_noise(prediction.scores, y)
    rows, known = np.arange(len(y)), y >= 0
    score = np.where(known, prediction.pred_probs[rows, y], np.nan)
    wrong = np.full(len(y), np.nan)
    wrong[known] = _falling((1 - posterior[rows, y])[known], score[known])
    others = posterior.copy()
    others[rows[known], y[known]] = -1  # the given label is no suggestion
    best = others.argmax(axis=1)
    return pd.DataFrame(
        {
            "sample_id": samples["sample_id"].to_numpy(),
            "is_label_issue": np.nan_to_num(wrong) >= (expected_f1_cut(wrong[known]) if cut is None else cut),
            "label_score": score.clip(0, 1),
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


def _falling(wrong: np.ndarray, score: np.ndarray) -> np.ndarray:
    """(N,) probabilities that fall as the score rises, closest to `wrong`; their sum stays."""
    from sklearn.isotonic import isotonic_regression

    order = np.lexsort((-wrong, score))
    fitted = np.empty_like(wrong)
    fitted[order] = isotonic_regression(wrong[order], increasing=False)
    return fitted.clip(0, 1)


def fit_noise(scores: np.ndarray, y: np.ndarray) -> np.ndarray:
    """P(class | pixels, given label), from the probe's scores and all given labels.

    A labeller who sees class t errs with a rate that may rise with the doubt in the picture (people and probe
    find the same pictures hard), and then writes each other class with a share that belongs to t. The
    likelihood of the given labels under softmax(slope · scores + bias) and such labellers is maximised over
    all of it. A weak prior draws the rates of classes, and the shares of a row, towards each other, so that
    rare classes borrow from what is usual.

    Parameters
    ----------
    scores : (N, C) float32 of the probe, out-of-sample
    y : (N,) given classes, -1 for none

    Returns
    -------
    (N, C) float64, rows sum to 1; P(class | pixels) where no label is given

    Notes
    -----
    Where the probe is unsure, its own errors and the labellers' look alike: one label per picture tells them
    apart only through the shape assumed here. Expect the number of wrong labels to be some 15% off.
    """
    import torch

    n_classes = scores.shape[1]
    known = np.flatnonzero(y >= 0)
    z, labels = torch.from_numpy(scores).double(), torch.from_numpy(y[known])
    doubt = _doubt(z[known])
    slope, bias, rate, shares, rise = parameters = [
        torch.full(shape, start, dtype=torch.float64, requires_grad=True)
        for shape, start in (((), 8.0), ((n_classes,), 0.0), ((n_classes,), -2.0), ((n_classes,) * 2, 0.0), ((), 0.0))
    ]
    optimizer = torch.optim.LBFGS(parameters, max_iter=150, history_size=20, line_search_fn="strong_wolfe")
    is_given = torch.nn.functional.one_hot(labels, n_classes).double()
    diagonal = torch.diag(torch.full((n_classes,), torch.inf, dtype=torch.float64))

    def clean(some: torch.Tensor) -> torch.Tensor:
        return (some * slope + bias).softmax(dim=1)

    def given() -> torch.Tensor:  # (n, C) P(given label | class, pixels)
        error = torch.sigmoid(rate + rise * doubt[:, None])
        return error * (shares - diagonal).softmax(dim=1)[:, labels].T + (1 - error) * is_given

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        likelihood = (clean(z[known]) * given()).sum(dim=1)
        spread = (shares, rate - rate.mean(), bias, rise)
        prior = PRIOR * torch.stack([part.square().sum() for part in spread]).sum()
        loss = (-torch.log(likelihood + TINY).sum() + prior) / max(len(labels), 1)
        loss.backward()
        return loss

    optimizer.step(closure)
    with torch.no_grad():
        posterior = clean(z)
        posterior[known] *= given()
        return np.asarray((posterior / posterior.sum(dim=1, keepdim=True)).numpy())


def _doubt(z: torch.Tensor) -> torch.Tensor:
    """(n,) how close the second-best score comes to the best, in standard deviations."""
    best = z.topk(2, dim=1).values
    margin = best[:, 0] - best[:, 1]
    return -margin / margin.std(correction=0).clamp_min(TINY)
