"""Who said what, and what a probe saw → the probable true class: one model of picture and labellers.

The probe's view of a picture is softmax(a g + g M + b) with g = log softplus(k · scores): a score of a one-hot
target is itself an estimate of a probability, so its logarithm is the logit; k rounds off scores below 0. M, drawn
towards 0, lets what the probe says of one class tell about another, which undoes the masking of classes by least
squares (Hastie, Tibshirani and Friedman 2009, 4.2; matrix scaling: Guo et al. 2017).

A labeller who sees a picture x of class t says class j with a probability in proportion to
exp(table[t, j] + skill) · P(j | x)^shared, skill only where j is t: confusions belong to classes (Dawid and Skene
1979; forward correction: Patrini et al. 2017), skill to the labeller, and people share something of the probe's view,
as both find the same pictures hard and mistake them for the same classes. All of it is fitted to all labels at once.
The table and M are C × C weights each. With few labels for so many, only the table is fitted, and `shared` is an
exponent of exp g, which is fixed, in place of the view: the fit could make the view surer, and its pull on people with
it. Then what such a model says is averaged with the model without table and M, by how much they raise the likelihood.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

    _Labels = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # of which of the samples, what, and by whom

PRIOR = 1.0  # pseudo-observations: weak beside a hundred labels per class, decisive beside a few
SHARED, SHARED_SD = 0.2, 0.015  # exponent of the probe's view that people share; its prior with one label each
SHARED_LOOK = 0.7  # exponent of exp g instead: about the same, as log P of the view is about 3.5 times g
TRUSTED = 1600  # samples a class; of more, a model that is only about right would learn what is not so
FEW, MANY = 2, 20  # labels for each of 2 C² weights: below FEW no M; above MANY the model with both alone
MOST_MIXED = 100  # classes; beyond, C × C weights would cost more than they bring
ROUNDED = 2.0  # log of how steeply scores are rounded off at 0, where the search begins
LEAST = 1e-6  # probability; lower ones are taken for it
RIGHT = 3.0  # how much likelier than another one the right class of ten is named, in logarithms
ITERATIONS = 300  # of L-BFGS, at most: TOLERANCES end it, as a rule, long before
BLOCK = 1 << 18  # numbers, samples by classes, held at once of each step of the model
HISTORY = 1 << 22  # numbers that L-BFGS may remember: all steps of a few classes, twenty and more of many
TOLERANCES = {"ftol": 1e-9, "gtol": 1e-6}  # share of the loss that a step wins, and slope, that end the search
TINY = 1e-9  # keeps logarithms of 0 finite
NO_NUMBER = 1e9  # in place of a loss that is none


@dataclass(frozen=True)
class Annotations:
    """Labels, M of them, any number for a sample."""

    row: np.ndarray  # (M,) of the sample
    label: np.ndarray  # (M,) class number
    labeller: np.ndarray  # (M,) number: a person, or a source that may be better or worse than another
    each: float = 1.0  # labels that one of these stands for, on average


def single_source(y: np.ndarray) -> Annotations:
    """One label for each sample, (N,) class numbers, -1 for none; all from one labeller."""
    row = np.flatnonzero(y >= 0)
    return Annotations(row, y[row], np.zeros(len(row), np.int64))


def pooled(annotations: Annotations, y: np.ndarray) -> Annotations:
    """Where several people labelled a sample, their label in force (class number in (N,) `y`) as one labeller's."""
    row, first, count = np.unique(annotations.row, return_index=True, return_counts=True)
    labeller = np.where(count > 1, annotations.labeller.max() + 1, annotations.labeller[first])
    return Annotations(row, y[row], labeller, each=len(annotations.row) / len(row))


def fit_noise(scores: np.ndarray, annotations: Annotations) -> tuple[np.ndarray, np.ndarray]:
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
    One label per picture hardly tells `shared`, so a prior holds it to what people were found to share; it gives way
    with every label more that a picture has. With few labels for each of the C × C weights, the model without them and
    the better of those with them, by Akaike's criterion, are both heard.
    """
    n_classes = scores.shape[1]
    labels_a_weight = len(annotations.label) / (2 * n_classes**2)
    if n_classes > MOST_MIXED:
        return _Model(scores, annotations).fit().probabilities(scores)
    if labels_a_weight > MANY:
        return _Model(scores, annotations, has_table=True, is_mixed=True).fit().probabilities(scores)
    plain = _Model(scores, annotations).fit()
    kinds = (False, True) if labels_a_weight >= FEW else (False,)
    richer = max(
        (_Model(scores, annotations, has_table=True, is_mixed=kind).fit() for kind in kinds), key=_Model.akaike
    )
    weight, both = (
        _weight_of_the_richer(plain, richer),
        zip(plain.probabilities(scores), richer.probabilities(scores), strict=True),
    )
    by_pixels, by_all = ((1 - weight) * one + weight * other for one, other in both)
    return by_pixels, by_all


def _weight_of_the_richer(plain: _Model, richer: _Model) -> float:
    """How much the model with C × C weights counts beside the one without, by what they win.

    Weights that tell nothing raise the logarithm of the likelihood by half of their number (Wilks 1938): then, nothing.
    Where it rises by their number, Akaike's criterion (1974) prefers the model that has them: then, all. Of a table
    alone only those count that the labels tell; and as it may take the probe's errors for people's, it never has all
    the say, but the share of the gain that is more than Akaike asks for.
    """
    gain = richer.log_likelihood() - plain.log_likelihood()
    if richer.is_mixed:
        return float(np.clip(gain / len(richer.bias) ** 2 - 1, 0, 1))
    return max(0.0, 1 - richer.effective_table_weights() / max(gain, TINY))


def as_scores(probabilities: np.ndarray) -> np.ndarray:
    """(N, C) float32 scores that the view takes for these (N, C) probabilities where the search begins."""
    return (np.log(np.expm1(np.maximum(probabilities, LEAST))) / np.exp(ROUNDED)).astype(np.float32)


class _Model:
    """The parameters of view and labellers, float64, and what they say of the scores and labels that were given."""

    def __init__(
        self, scores: np.ndarray, annotations: Annotations, *, has_table: bool = False, is_mixed: bool = False
    ) -> None:
        import torch

        n, order = scores.shape[1], np.argsort(annotations.row, kind="stable")
        rows, of = np.unique(annotations.row[order], return_inverse=True)
        self.block, self.trusted = max(1, BLOCK // n), TRUSTED * n
        self.rows, self.scores = torch.from_numpy(rows), torch.from_numpy(scores[rows])  # of the samples with labels
        self.of = torch.from_numpy(of)  # which of these each label is of, ascending
        self.label, self.labeller = (
            torch.from_numpy(annotations.label[order]),
            torch.from_numpy(annotations.labeller[order]),
        )
        self.diag_inf = torch.diag(torch.full((n,), torch.inf, dtype=torch.float64))
        self.height, self.round_off = _free(start=1.0), _free(start=ROUNDED)  # log a, log k
        self.shared_sd = SHARED_SD * annotations.each * len(annotations.label) / max(len(rows), 1)
        self.has_table, self.is_mixed = has_table, is_mixed  # table and mix are C × C weights each
        self.shares_look = has_table and not is_mixed
        self.shared_z = _free(fitted=not self.shares_look)  # how many `shared_sd` the exponent is from SHARED
        # as likely to be right among n classes, where the n - 1 others are as like: they draw by (n - 1)^(1 - SHARED)
        self.expected_right = RIGHT + (1 - SHARED) * float(np.log((n - 1) / 9))
        self.bias, self.right = _free(n), _free(n, start=self.expected_right)
        self.table, self.mix = _free(n, n, fitted=has_table), _free(n, n, fitted=is_mixed)
        self.skill = _free(int(annotations.labeller.max(initial=0)) + 1)
        if self.has_table:
            self._start_from_observed()
        numbers, weights = (self.height, self.round_off, self.shared_z), (self.bias, self.right, self.table, self.mix)
        parameters = (*numbers, *weights, self.skill)
        self.fitted = [parameter for parameter in parameters if parameter.requires_grad]

    def fit(self) -> _Model:
        """Itself, its parameters where the labels are likeliest."""
        _minimise(self.losses, self.fitted)
        return self

    def probabilities(self, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What `fit_noise` returns; (N, C) `scores` are of all samples, with labels or without."""
        import torch

        with torch.no_grad():
            blocks = torch.from_numpy(scores).split(self.block)
            by_pixels = torch.cat([self.view(block.double())[0].exp().float() for block in blocks])
            by_all = by_pixels.clone()
            for rows, log_joint in self.log_joints():
                by_all[rows] = log_joint.softmax(dim=1).float()
        return np.asarray(by_pixels.numpy()), np.asarray(by_all.numpy())

    def log_likelihood(self) -> float:
        """log P(what was said | the scores), over all samples."""
        import torch

        with torch.no_grad():
            return sum(log_joint.logsumexp(dim=1).sum().item() for _, log_joint in self.log_joints())

    def _start_from_observed(self) -> None:
        """Start from what pictures that look like a class are called, the view taken for right as it is.

        From a start without confusions the search may end where a class that is often called another has become part
        of what the view takes for that other, and all labels are right.
        """
        import torch

        with torch.no_grad():
            called = torch.full_like(self.table, 0.5)  # (as which class it is seen, what it is called)
            for _, log_view, _, (of, label, _) in self._blocks():
                called += torch.zeros_like(called).index_add(0, label, log_view.exp().index_select(0, of)).T
            right = called.diagonal().clone()
            called *= (len(called) - 1) / (called.sum(dim=1) - right)[:, None]  # each wrong name, against their mean
            self.right.copy_(called.diagonal().log())
            self.table.copy_(called.log().fill_diagonal_(0))

    def view(self, scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(n, C) log P(class | pixels) of (n, C) scores, and the logarithm of how much people are drawn to a class."""
        import torch

        g = torch.log(torch.nn.functional.softplus(self.round_off.exp() * scores) + TINY)
        logits = self.height.exp() * g + self.bias
        log_view = (logits + g @ self.mix if self.is_mixed else logits).log_softmax(dim=1)
        if self.shares_look:
            return log_view, SHARED_LOOK * g.log_softmax(dim=1)
        return log_view, (SHARED + self.shared_sd * self.shared_z) * log_view

    def evidence(
        self, log_attraction: torch.Tensor, of: torch.Tensor, label: torch.Tensor, by: torch.Tensor
    ) -> torch.Tensor:
        """(n, C) log P(all that was said | class, pixels) of n samples, from what draws people and their labels.

        The (m,) labels are `label`, of samples `of` among the n, said `by` these labellers.
        """
        import torch

        drawn = log_attraction.exp()
        if self.has_table:
            others = torch.log(drawn @ (self.table - self.diag_inf).exp().T + TINY)
        else:
            others = torch.log(drawn.sum(dim=1, keepdim=True) - drawn + TINY)
        log_attraction, others, label = log_attraction.index_select(0, of), others.index_select(0, of), label[:, None]
        right = self.right + log_attraction + self.skill.index_select(0, by)[:, None]
        wrong = self.table.T.index_select(0, label[:, 0]) + log_attraction.gather(1, label)
        log_likelihood = wrong.scatter(1, label, right.gather(1, label)) - torch.logaddexp(right, others)
        return torch.zeros_like(drawn).index_add(0, of, log_likelihood)

    def log_joints(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Rows of samples with labels, block by block, and their (n, C) log P(class, what was said | pixels)."""
        for rows, log_view, log_attraction, labels in self._blocks():
            yield rows, log_view + self.evidence(log_attraction, *labels)

    def akaike(self) -> float:
        """Akaike's criterion, halved; higher is better. Of the table those weights count that the labels tell."""
        return self.log_likelihood() - self.effective_table_weights() - (self.mix.numel() if self.is_mixed else 0)

    def effective_table_weights(self) -> float:
        """How many weights of the table the labels tell rather than the prior: of each, n / (n + prior).

        n is how often the one class is called the other (MacKay, Bayesian interpolation, Neural Computation 4, 1992).
        """
        import torch

        with torch.no_grad():
            called = torch.zeros_like(self.table)
            for _, log_view, log_attraction, (of, label, by) in self._blocks():
                true = (log_view + self.evidence(log_attraction, of, label, by)).softmax(dim=1)
                called.index_add_(0, label, true.index_select(0, of))
            called.fill_diagonal_(0)
            return float((called / (called + PRIOR * (1 + len(self.rows) / self.trusted))).sum())

    def _blocks(self) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor, _Labels]]:
        """Rows of samples with labels, their (n, C) views and lures, and the labels."""
        starts = range(0, len(self.rows), self.block)
        ends = np.searchsorted(self.of.numpy(), [start + self.block for start in starts])
        for start, first, end in zip(starts, [0, *ends], ends, strict=False):
            log_view, log_attraction = self.view(self.scores[start : start + self.block].double())
            labels = self.of[first:end] - start, self.label[first:end], self.labeller[first:end]
            yield self.rows[start : start + self.block], log_view, log_attraction, labels

    def losses(self) -> Iterator[torch.Tensor]:
        """Parts of the mean of -log P(what was said) over the samples with labels, and the priors.

        Beside many labels priors would have no say any more, and a model that is only about right would be as sure as
        a true one. So n samples weigh as n trusted / (n + trusted) do (coarsened posterior; Miller and Dunson 2019).
        """
        import torch

        n = max(len(self.rows), 1)
        right = self.right.mean()
        apart = (self.height - 1, self.round_off - ROUNDED, self.shared_z / 2**0.5, self.right - right)
        # by 2**0.5: as a standard normal draws, the others twice as strongly; that would hide confusions
        drawn = (*apart, right - self.expected_right, self.bias, self.table / 2**0.5, self.mix, self.skill)
        yield PRIOR * torch.stack([part.square().sum() for part in drawn]).sum() * (1 / n + 1 / self.trusted)
        for _, log_joint in self.log_joints():
            yield -log_joint.logsumexp(dim=1).sum() / n


def _free(*shape: int, start: float = 0.0, fitted: bool = True) -> torch.Tensor:
    import torch

    return torch.full(shape, start, dtype=torch.float64, requires_grad=fitted)


def _minimise(losses: Callable[[], Iterable[torch.Tensor]], parameters: list[torch.Tensor]) -> None:
    """Bring the sum of `losses` to its minimum, holding what the gradient needs of one at a time.

    The valley is long and flat, so much of the curvature that was met is remembered. By SciPy's L-BFGS (Zhu, Byrd, Lu
    and Nocedal 1997), as torch's imports its compiler, which takes a second. Where a step goes so far that the loss is
    no number any more, it counts as far too large, so that the line search turns back.
    """
    import torch
    from scipy.optimize import minimize
    from threadpoolctl import threadpool_limits

    sizes = [parameter.numel() for parameter in parameters]

    def move(place: np.ndarray) -> None:
        with torch.no_grad():
            for parameter, values in zip(parameters, torch.from_numpy(place).split(sizes), strict=True):
                parameter.copy_(values.view_as(parameter))

    def loss_and_slope(place: np.ndarray) -> tuple[float, np.ndarray]:
        move(place)
        total, slope = 0.0, np.zeros_like(place)
        for loss in losses():
            slopes = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
            slope += torch.cat([part.flatten() for part in slopes]).numpy()
            total += loss.item()
        is_number = np.isfinite(total) and np.isfinite(slope).all()
        return (total, slope) if is_number else (NO_NUMBER, np.zeros_like(place))

    start = torch.cat([parameter.detach().flatten() for parameter in parameters]).numpy()
    most = {"maxiter": ITERATIONS, "maxcor": min(ITERATIONS, max(20, HISTORY // len(start)))}
    with threadpool_limits(1, user_api="blas"):  # its threads and torch's would wait for each other
        found = minimize(loss_and_slope, start, jac=True, method="L-BFGS-B", options={**most, **TOLERANCES})
    move(found.x)
