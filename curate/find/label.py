"""Label errors: how probable it is that each given label is wrong, and what it should be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from curate.find.predict import Prediction

CUT = 0.5  # P(the label is wrong) from which a label is flagged
PRIOR = 1.0  # pseudo-observations: weak beside a hundred labels per class, decisive beside a few
TINY = 1e-9


@dataclass(frozen=True)
class NoiseModel:
    """Classes given pixels, and given labels given classes, fitted together.

    Attributes
    ----------
    clean : (N, C) P(class | pixels), out-of-sample
    posterior : (N, C) P(class | pixels, given label); equal to `clean` where there is no label
    transition : (C, C) P(given label | class), rows sum to 1
    """

    clean: np.ndarray
    posterior: np.ndarray
    transition: np.ndarray


def find_label(samples: pd.DataFrame, prediction: Prediction, *, cut: float = CUT) -> pd.DataFrame:
    """Score every label.

    Parameters
    ----------
    samples : schema SAMPLES, (N,) rows
    prediction : of the same rows, in their order
    cut : P(wrong) from which `is_label_issue` is set

    Returns
    -------
    sample_id, is_label_issue, label_score (out-of-sample P(given label | pixels): 0 = surely wrong; ranks),
    label_probability (P(the label is wrong), calibrated), given_label, suggested_label and
    suggested_probability. Samples without a label have no score, and their suggestion is a first guess.

    References
    ----------
    The score is self-confidence (Northcutt et al., Confident Learning, JAIR 2021). The probability is that of
    a class-conditional noise model fitted by maximum likelihood (Patrini et al., CVPR 2017), given the probe.
    """
    classes = list(prediction.classes)
    y = pd.Categorical(samples["label"], categories=classes).codes.astype(np.int64)
    model = fit_noise(prediction.scores, y)
    rows, known = np.arange(len(y)), y >= 0
    wrong = np.where(known, 1 - model.posterior[rows, y], np.nan)
    ranked = np.where(known, model.clean[rows, y], np.nan)
    others = model.posterior.copy()
    others[rows[known], y[known]] = -1  # the given label is no suggestion
    best = others.argmax(axis=1)
    return pd.DataFrame(
        {
            "sample_id": samples["sample_id"].to_numpy(),
            "is_label_issue": np.nan_to_num(wrong) >= cut,
            "label_score": ranked.clip(0, 1),
            "label_probability": wrong.clip(0, 1),
            "given_label": samples["label"].to_numpy(),
            "suggested_label": prediction.classes[best],
            "suggested_probability": model.posterior[rows, best].clip(0, 1),
        }
    )


def fit_noise(scores: np.ndarray, y: np.ndarray) -> NoiseModel:
    """Fit the probe's calibration and the confusion of the labellers together.

    A labeller who sees class t writes y with probability T[t, y]. The likelihood of the labels under
    softmax(slope · scores + bias) · T is maximised over slope, bias and T; a weak prior draws the off-diagonal
    shares of a row towards each other, so that rare classes borrow from what is usual.

    Parameters
    ----------
    scores : (N, C) float32 of the probe, out-of-sample
    y : (N,) given classes, -1 for none
    """
    import torch

    n_classes = scores.shape[1]
    known = np.flatnonzero(y >= 0)
    z, labels = torch.from_numpy(scores).double(), torch.from_numpy(y[known])
    identity = torch.eye(n_classes, dtype=torch.float64)
    slope = torch.tensor(8.0, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(n_classes, dtype=torch.float64, requires_grad=True)
    rate = torch.full((n_classes,), -2.0, dtype=torch.float64, requires_grad=True)
    spread = torch.zeros(n_classes, n_classes, dtype=torch.float64, requires_grad=True)
    parameters = [slope, bias, rate, spread]
    optimizer = torch.optim.LBFGS(parameters, max_iter=150, history_size=20, line_search_fn="strong_wolfe")

    def transition() -> torch.Tensor:
        error = torch.sigmoid(rate)[:, None]
        return (1 - error) * identity + error * (spread - 1e4 * identity).softmax(dim=1)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        clean = (z[known] * slope + bias).softmax(dim=1)
        given = (clean @ transition())[torch.arange(len(labels)), labels]
        prior = PRIOR * (spread.square().sum() + (rate - rate.mean()).square().sum() + bias.square().sum())
        loss = (-torch.log(given + TINY).sum() + prior) / max(len(labels), 1)
        loss.backward()
        return loss

    optimizer.step(closure)
    with torch.no_grad():
        clean = (z * slope + bias).softmax(dim=1)
        confusion = transition()
        posterior = clean.clone()
        posterior[known] = clean[known] * confusion[:, labels].T
        posterior /= posterior.sum(dim=1, keepdim=True)
    return NoiseModel(clean.numpy(), posterior.numpy(), confusion.numpy())
