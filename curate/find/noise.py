"""Who said what, and what a probe saw → the probable true class: one model of picture and labellers.

The probe's view of a picture is softmax(a g + g M + b) with g = log softplus(k · scores): a score of a one-hot
target is itself an estimate of a probability, so its logarithm is the logit; k rounds off scores below 0. M, drawn
towards 0, lets what the probe says of one class tell about another, which undoes the masking of classes by least
squares (Hastie, Tibshirani and Friedman 2009, 4.2; matrix scaling: Guo et al. 2017).

A labeller who sees a picture x of class t says class j with a probability in proportion to
exp(table[t, j] + skill) · P(j | x)^shared, skill only where j is t: confusions belong to classes (Dawid and Skene
1979; forward correction: Patrini et al. 2017), skill to the labeller, and people share something of the probe's view,
as both find the same pictures hard and mistake them for the same classes. All of it is fitted to all labels at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    import torch

PRIOR = 1.0  # pseudo-observations: weak beside a hundred labels per class, decisive beside a few
SHARED, SURE = 0.2, 0.03  # what people share of the probe's view, and how sure that is; see docs/find-label.md
MOST_MIXED = 256  # classes; beyond, C × C weights would cost more than they bring
ITERATIONS = 300
TINY = 1e-9


@dataclass(frozen=True)
class Said:
    """Labels, M of them, any number for a sample."""

    row: np.ndarray  # (M,) of the sample
    label: np.ndarray  # (M,) class number
    labeller: np.ndarray  # (M,) number: a person, or a source that may be better or worse than another


def said_once(y: np.ndarray, sources: np.ndarray | pd.Series | None = None) -> Said:
    """One label for each sample, -1 for none; `sources` names where each comes from (its split)."""
    row = np.flatnonzero(y >= 0)
    names = np.zeros(len(y)) if sources is None else np.asarray(sources)
    return Said(row, y[row], pd.factorize(names[row], use_na_sentinel=False)[0])


def said_together(said: Said, y: np.ndarray) -> Said:
    """Where several people labelled a sample, their label in force (class number in (N,) `y`) as one labeller's."""
    row, first, count = np.unique(said.row, return_index=True, return_counts=True)
    return Said(row, y[row], np.where(count > 1, said.labeller.max() + 1, said.labeller[first]))


def fit_noise(scores: np.ndarray, said: Said) -> tuple[np.ndarray, np.ndarray]:
    """P(class | pixels), and P(class | pixels, all that was said of the sample).

    Parameters
    ----------
    scores : (N, C) of the probe, out-of-sample
    said : the labels of these rows

    Returns
    -------
    Two (N, C) float32, rows sum to 1; the same where nothing was said

    Notes
    -----
    One label per picture hardly tells `shared`, so a prior holds it to what people were found to share; labels
    of a better source (a clean test split) and several people tell more.
    """
    import torch

    n_classes = scores.shape[1]
    rows, of_vote = np.unique(said.row, return_inverse=True)
    z, at, of = torch.from_numpy(scores).double(), torch.from_numpy(rows), torch.from_numpy(of_vote)
    label, who = torch.from_numpy(said.label), torch.from_numpy(said.labeller)
    is_right = torch.nn.functional.one_hot(label, n_classes).bool()
    itself = torch.diag(torch.full((n_classes,), torch.inf, dtype=torch.float64))

    def free(*shape: int, start: float = 0.0, fitted: bool = True) -> torch.Tensor:
        return torch.full(shape, start, dtype=torch.float64, requires_grad=fitted)

    height, round_off, unlike = free(start=1.0), free(start=2.0), free()  # unlike: what others were found to share
    bias, right, table = free(n_classes), free(n_classes, start=3.0), free(n_classes, n_classes)
    mix = free(n_classes, n_classes, fitted=n_classes <= MOST_MIXED)
    skill = free(int(who.max()) + 1 if len(who) else 1)
    parameters = [p for p in (height, round_off, unlike, bias, right, table, mix, skill) if p.requires_grad]

    def view(some: torch.Tensor) -> torch.Tensor:  # (n, C) log P(class | pixels)
        g = torch.log(torch.nn.functional.softplus(round_off.exp() * some) + TINY)
        return (height.exp() * g + g @ mix + bias).log_softmax(dim=1)

    def evidence(seen: torch.Tensor) -> torch.Tensor:  # (n, C) log P(all that was said | class, pixels)
        lure = (SHARED + SURE * unlike) * seen
        others = torch.log(lure.exp() @ (table - itself).exp().T + TINY)
        lure, others = lure.index_select(0, of), others.index_select(0, of)
        true = right + lure + skill.index_select(0, who)[:, None]
        told = torch.where(is_right, true, table.T.index_select(0, label) + lure.gather(1, label[:, None]))
        return torch.zeros_like(seen).index_add(0, of, told - torch.logaddexp(true, others))

    def loss() -> torch.Tensor:
        seen = view(z[at])
        drawn = (height - 1, round_off - 2, bias, right - right.mean(), table, mix, skill, unlike / 2**0.5)
        prior = PRIOR * torch.stack([part.square().sum() for part in drawn]).sum()
        return (prior - (seen + evidence(seen)).logsumexp(dim=1).sum()) / max(len(at), 1)

    _minimise(loss, parameters)
    with torch.no_grad():
        seen = view(z)
        judged = seen.clone()
        judged[at] += evidence(seen[at])
        return tuple(np.asarray(p.softmax(dim=1).float().numpy()) for p in (seen, judged))  # type: ignore[return-value]


def _minimise(loss: Callable[[], torch.Tensor], parameters: list[torch.Tensor]) -> None:
    import torch

    optimizer = torch.optim.LBFGS(
        parameters, max_iter=ITERATIONS, history_size=20, tolerance_change=1e-8, line_search_fn="strong_wolfe"
    )

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    optimizer.step(closure)
