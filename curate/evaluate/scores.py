"""How good predictions are, and whether two models differ: figures per class, paired bootstrap, exact test."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

BOOTSTRAP_CELLS = 4_000_000  # resampled counts held at a time: 32 MB


@dataclass(frozen=True)
class Scores:
    """The figures of one model on one test split.

    Attributes
    ----------
    accuracy : share of samples whose predicted class is the label
    macro_f1 : mean F1 over the classes that occur among the labels, so that models are averaged alike
    per_class : class, precision, recall, f1 (0 where undefined), support, predicted (counts)
    confusion : (C, C) counts; row = label, column = predicted class
    """

    accuracy: float
    macro_f1: float
    per_class: pd.DataFrame
    confusion: pd.DataFrame

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and lists, for JSON."""
        return {
            "accuracy": self.accuracy,
            "macro_f1": self.macro_f1,
            "per_class": self.per_class.to_dict("records"),
            "confusion": self.confusion.to_numpy().tolist(),
        }


SIGNIFICANT = 0.05  # a p below it is more than chance
NO_DIFFERENCE = "no difference shown"
MCNEMAR, GROUPED = "McNemar's test", "sign-flip test of groups"


@dataclass(frozen=True)
class PairedTest:
    """Whether two models err equally often on the same samples, exact at every size.

    Attributes
    ----------
    name : `MCNEMAR`, or `GROUPED` where samples come in groups
    only_first, only_second : samples that only one of the two gets right
    p_value : two-sided; small where the two counts differ by more than chance
    """

    name: str
    only_first: int
    only_second: int
    p_value: float


@dataclass(frozen=True)
class Difference:
    """The second model minus the first, on the same samples.

    Attributes
    ----------
    accuracy, macro_f1 : the differences, in [-1, 1]
    accuracy_interval, macro_f1_interval : percentile intervals of the paired bootstrap
    level : coverage of the intervals
    test : of the accuracy's difference
    exchange_p : of `exchange_test`; None where it was not made
    """

    accuracy: float
    accuracy_interval: tuple[float, float]
    macro_f1: float
    macro_f1_interval: tuple[float, float]
    level: float
    test: PairedTest
    exchange_p: float | None = None

    @property
    def verdict(self) -> str:
        """better, worse, or "no difference shown"."""
        return verdict(self.accuracy_interval, self.test.p_value, self.exchange_p)

    def to_text(self) -> str:
        """The difference of accuracy with its interval and test, in a line."""
        low, high = self.accuracy_interval
        text = (
            f"{100 * self.accuracy:+.1f} points of accuracy, {self.level:.0%} interval "
            f"{100 * low:+.1f} to {100 * high:+.1f}, {self.test.name} p = {self.test.p_value:.2g}"
        )
        return text if self.exchange_p is None else f"{text}, changes dealt at random p = {self.exchange_p:.2g}"

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and lists, for JSON."""
        return {
            "accuracy": self.accuracy,
            "accuracy_interval": list(self.accuracy_interval),
            "macro_f1": self.macro_f1,
            "macro_f1_interval": list(self.macro_f1_interval),
            "level": self.level,
            "test": self.test.name,
            "only_first_right": self.test.only_first,
            "only_second_right": self.test.only_second,
            "p_value": self.test.p_value,
            "exchange_p": self.exchange_p,
        }


def verdict(accuracy_interval: Sequence[float], p_value: float, exchange_p: float | None = None) -> str:
    """better, worse, or "no difference shown": the rule by which every word on the outcome goes.

    The interval of the accuracy's difference has to leave 0, and the exact test has to call it more than chance:
    with a handful of differing samples, all on one side, the bootstrap's interval is too narrow. Both take the two
    models as given; so, where it was made, the exchange test has to agree as well.
    """
    low, high = accuracy_interval
    if max(p_value, exchange_p or 0.0) >= SIGNIFICANT or low <= 0 <= high:
        return NO_DIFFERENCE
    return "better" if low > 0 else "worse"


def score(labels: Sequence[str] | np.ndarray, predicted: Sequence[str] | np.ndarray, classes: list[str]) -> Scores:
    """Score predictions against labels.

    Parameters
    ----------
    labels, predicted : (N,) class names, all of them in `classes`
    classes : (C,) the order of the tables
    """
    size = len(classes)
    truth, guess = _codes(labels, classes), _codes(predicted, classes)
    confusion = np.bincount(truth * size + guess, minlength=size * size).reshape(size, size)
    hits, support, guesses = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
    f1 = _ratio(2 * hits, support + guesses)
    per_class = pd.DataFrame(
        {
            "class": classes,
            "precision": _ratio(hits, guesses),
            "recall": _ratio(hits, support),
            "f1": f1,
            "support": support,
            "predicted": guesses,
        }
    )
    return Scores(
        accuracy=float(hits.sum() / len(truth)),
        macro_f1=float(f1[support > 0].mean()),
        per_class=per_class,
        confusion=pd.DataFrame(confusion, index=pd.Index(classes, name="label"), columns=classes),
    )


def compare(
    labels: Sequence[str] | np.ndarray,
    first: Sequence[str] | np.ndarray,
    second: Sequence[str] | np.ndarray,
    classes: list[str],
    *,
    groups: Sequence[str] | np.ndarray | None = None,
    bootstraps: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Difference:
    """Compare two models' predictions of the same samples: `second` minus `first`.

    The bootstrap draws test samples with replacement, both models' answers together, so that what is
    hard for both cancels out. With `groups` it draws whole groups, since samples of one group (patient,
    video) are not independent.

    Parameters
    ----------
    labels, first, second : (N,) class names, all of them in `classes`
    groups : (N,) keys of samples that belong together
    bootstraps : number of resamples; 2000 steady the ends of a 95% interval to about 2% of its width
    """
    codes = [_codes(column, classes) for column in (labels, first, second)]
    triples, cell = np.unique(np.stack(codes, axis=1), axis=0, return_inverse=True)  # (T, 3), (N,)
    cell = cell.reshape(-1)
    whole = _differences(np.bincount(cell, minlength=len(triples))[None], triples, len(classes))
    draws = [
        _differences(counts, triples, len(classes))
        for counts in _resampled_counts(cell, len(triples), groups, bootstraps, np.random.default_rng(seed))
    ]
    tails = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile(np.concatenate(draws), tails, axis=0)
    return Difference(
        accuracy=float(whole[0, 0]),
        accuracy_interval=(float(low[0]), float(high[0])),
        macro_f1=float(whole[0, 1]),
        macro_f1_interval=(float(low[1]), float(high[1])),
        level=level,
        test=paired_test(codes[0] == codes[1], codes[0] == codes[2], groups=groups),
    )


def paired_test(
    first_right: np.ndarray, second_right: np.ndarray, *, groups: Sequence[str] | np.ndarray | None = None
) -> PairedTest:
    """Test whether two models err equally often on the same samples.

    Under the null the two are exchangeable, so that each sample, or each whole group, might as well differ the
    other way. Without groups that is McNemar's test (1947, exact binomial form).

    Parameters
    ----------
    first_right, second_right : (N,) bool
    groups : (N,) keys of samples that belong together
    """
    gains = second_right.astype(np.int64) - first_right
    units = gains if groups is None else np.bincount(pd.factorize(np.asarray(groups))[0], weights=gains).astype(int)
    return PairedTest(
        name=MCNEMAR if groups is None else GROUPED,
        only_first=int((gains < 0).sum()),
        only_second=int((gains > 0).sum()),
        p_value=sign_flip(units),
    )


def exchange_test(difference: float, null: Sequence[float]) -> float:
    """Two-sided p of a difference between two training sets, beside those where the changes were dealt at random.

    Models of two random halves of one data set differ, too, by which images they happened to learn from. Where it does
    not matter which of the changed images belongs to which version, `difference` and each of `null` come from one
    distribution around 0: their ratio of size follows Student's t with as many degrees of freedom as there are.

    Parameters
    ----------
    difference : of the accuracies of the two versions
    null : the same of two training sets to which the changes were dealt at random, on the same test samples

    Examples
    --------
    >>> round(exchange_test(0.03, [0.01, -0.01, 0.01, -0.01]), 3)
    0.04
    """
    from scipy.stats import t

    size = float(np.sqrt(np.mean(np.square(null))))
    if size == 0:
        return float(difference == 0)
    return float(2 * t.sf(abs(difference) / size, len(null)))


def sign_flip(differences: np.ndarray) -> float:
    """Two-sided p of Fisher's sign-flip test, from the exact distribution, whatever the number of differences.

    The sum of ±d is total - 2t, where t is what the flipped ones sum to; differences of one size flip as coins do.

    Parameters
    ----------
    differences : (n,) int

    Returns
    -------
    How probable a sum as far from 0 is where each difference may as well have the other sign; 1 where there is none
    """
    from scipy.stats import binom

    sizes, counts = np.unique(np.abs(differences[differences != 0]), return_counts=True)
    chances = np.ones(1)  # of t = 0, 1, …
    for size, count in zip(sizes, counts, strict=True):
        coins = np.zeros(size * count + 1)
        coins[::size] = binom.pmf(np.arange(count + 1), count, 0.5)
        chances = np.convolve(chances, coins)
    seen = (sizes @ counts - abs(differences.sum())) // 2
    return float(min(1, 2 * chances[: seen + 1].sum()))


def _codes(names: Sequence[str] | np.ndarray, classes: list[str]) -> np.ndarray:
    codes = pd.Index(classes).get_indexer(pd.Index(names))
    if (codes < 0).any():
        raise ValueError(f"{names[int(np.argmin(codes))]!r} is not one of the classes {classes}")
    return codes.astype(np.int64)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """`part / whole`, and 0 where whole is 0."""
    return np.divide(part, whole, out=np.zeros(np.shape(part), dtype=np.float64), where=whole > 0)


def _resampled_counts(
    cell: np.ndarray,
    n_cells: int,
    groups: Sequence[str] | np.ndarray | None,
    bootstraps: int,
    rng: np.random.Generator,
) -> Iterator[np.ndarray]:
    """Yield blocks (b, n_cells) of how often each cell occurs in a resample; `bootstraps` rows in all.

    Samples of the same label and the same two answers are interchangeable, so a resample of N samples is
    one multinomial draw over their cells: the same distribution as drawing N rows, without the rows.
    """
    if groups is None:
        n_units, weights, incidence = len(cell), np.bincount(cell, minlength=n_cells) / len(cell), None
    else:
        from scipy.sparse import csr_array

        unit, keys = pd.factorize(np.asarray(groups))
        n_units, weights = len(keys), np.full(len(keys), 1 / len(keys))
        incidence = csr_array((np.ones(len(cell)), (unit, cell)), shape=(len(keys), n_cells))
    block = max(1, BOOTSTRAP_CELLS // max(len(weights), n_cells))
    for start in range(0, bootstraps, block):
        drawn = rng.multinomial(n_units, weights, size=min(block, bootstraps - start))
        yield drawn if incidence is None else drawn @ incidence


def _differences(counts: np.ndarray, triples: np.ndarray, n_classes: int) -> np.ndarray:
    """(b, T) counts of (label, first, second) triples → (b, 2): differences of accuracy and macro F1."""
    truth, first, second = triples.T
    support = counts @ _indicator(truth, n_classes)  # (b, C)
    occurs = np.maximum((support > 0).sum(1), 1)
    figures = []
    for guess in (first, second):
        hits = counts @ _indicator(truth, n_classes, only=truth == guess)
        f1 = _ratio(2 * hits, support + counts @ _indicator(guess, n_classes))
        figures.append(np.stack([hits.sum(1) / counts.sum(1), np.where(support > 0, f1, 0).sum(1) / occurs], axis=1))
    return figures[1] - figures[0]


def _indicator(codes: np.ndarray, n_classes: int, *, only: np.ndarray | None = None) -> Any:
    """(T, C) sparse: 1 where row t has class c (and `only` holds)."""
    from scipy.sparse import csr_array

    values = np.ones(len(codes)) if only is None else only.astype(np.float64)
    return csr_array((values, (np.arange(len(codes)), codes)), shape=(len(codes), n_classes))
