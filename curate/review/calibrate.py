"""What the verdicts so far say about a finder's probabilities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from curate.decisions.decision import InForce, read_evidence
from curate.issues.kinds import KEEP_ONE

# Prior of the line  logit(true) = shift + slope * logit(claimed). A finder that nobody judged yet is believed,
# with little conviction: its odds may well be wrong by a factor of e^2. docs/review.md tells how this was chosen.
PRIOR_MEAN = np.array([0.0, 1.0])
PRIOR_SD = np.array([2.0, 0.7])
Z = 1.645  # standard deviations of a 90% interval
CLIP = 1e-3  # claimed probabilities are brought into [CLIP, 1 - CLIP]: no finder is surer than that


@dataclass(frozen=True)
class Calibration:
    """A finder's probabilities, corrected by verdicts: Platt's line with a prior, fitted by MAP.

    Attributes
    ----------
    line : (2,) shift and slope of the log odds
    covariance : (2, 2) of `line`, by Laplace's approximation
    """

    line: np.ndarray
    covariance: np.ndarray

    def __call__(self, claimed: np.ndarray) -> np.ndarray:
        """Corrected probabilities, (n,) float64, of claimed ones, (n,)."""
        return _sigmoid(_design(claimed) @ self.line)

    def total(self, claimed: np.ndarray) -> tuple[float, float]:
        """Expected number of right flags among these, and its variance.

        The variance has two parts: the flags are right or wrong by chance, and the line is uncertain.
        """
        true = self(claimed)
        chance = true * (1 - true)
        gradient = chance @ _design(claimed)
        return float(true.sum()), float(chance.sum() + gradient @ self.covariance @ gradient)


def calibrate(claimed: np.ndarray, right: np.ndarray) -> Calibration:
    """Fit the line to verdicts.

    Parameters
    ----------
    claimed : (n,) the finder's probabilities of flags that a person judged
    right : (n,) bool, whether the person agreed

    References
    ----------
    Platt, Probabilistic outputs for support vector machines (1999); the prior keeps few verdicts from
    saying much.
    """
    x, y = _design(claimed), np.asarray(right, dtype=np.float64)
    precision = np.diag(PRIOR_SD**-2.0)

    def fit(line: np.ndarray) -> float:
        """Log posterior, but for a constant."""
        z, off = x @ line, line - PRIOR_MEAN
        return float(y @ z - np.logaddexp(0, z).sum() - off @ precision @ off / 2)

    line = PRIOR_MEAN.copy()
    for _ in range(50):  # Newton's method, halving steps that overshoot; concave, so it ends at the one maximum
        true = _sigmoid(x @ line)
        gradient = x.T @ (y - true) - precision @ (line - PRIOR_MEAN)
        hessian = (x.T * (true * (1 - true))) @ x + precision
        step = np.linalg.solve(hessian, gradient)
        while fit(line + step) < fit(line) and np.abs(step).max() > 1e-9:
            step = step / 2
        line = line + step
        if np.abs(step).max() < 1e-9:
            break
    return Calibration(line, np.linalg.inv(hessian))


def interval(expected: float, variance: float, n: int) -> tuple[float, float]:
    """A 90% interval of a count out of `n`, from its mean and variance; symmetric on the scale of log odds."""
    if not 0.0 < expected < n:
        return expected, expected
    chance = expected / n
    middle, width = np.log(chance / (1 - chance)), Z * np.sqrt(variance) / (n * chance * (1 - chance))
    low, high = n * _sigmoid(np.array([middle - width, middle + width]))
    return float(low), float(high)


def outcomes(flags: pd.DataFrame, decisions: InForce) -> pd.DataFrame:
    """What people said of the flags they looked at, one row per flag or group: `issue, claimed, right`.

    A flag is right where a person dropped or relabelled. A group is right where a member was, and wrong once
    all are kept. Verdicts in bulk and `unsure` say nothing. The probability is the one at the time of the
    verdict where its evidence has it: a sample that was relabelled since has another now.

    Parameters
    ----------
    flags : `sample_id, issue, probability, group, is_flagged`
    decisions : schema DECISIONS, in force
    """
    seen = decisions[read_evidence(decisions, "bulk").isna() & decisions["action"].ne("unsure")]
    then = pd.to_numeric(read_evidence(seen, "probability"), errors="coerce").clip(0.0, 1.0)
    seen = seen.assign(then=then)[["sample_id", "issue", "action", "then"]]
    seen = seen.merge(flags[["sample_id", "issue", "probability", "group"]], on=["sample_id", "issue"], how="left")
    seen["claimed"] = seen["then"].fillna(seen["probability"])
    seen["unit"] = seen["group"].fillna(seen["sample_id"])
    seen["right"] = seen["action"].isin(["drop", "relabel"])
    units = seen.dropna(subset=["claimed"]).groupby(["issue", "unit"], as_index=False)
    judged = units.agg(claimed=("claimed", "max"), right=("right", "any"), n=("right", "size"))
    size = flags[flags["is_flagged"]].groupby("group").size()
    complete = judged["n"] >= judged["unit"].map(size).astype("float64").fillna(1.0)
    known = judged["right"] | complete | ~judged["issue"].isin(KEEP_ONE)
    return judged.loc[known, ["issue", "claimed", "right"]].reset_index(drop=True)


def calibrate_all(judged: pd.DataFrame) -> dict[str, Calibration]:
    """A calibration for each issue in a table of `outcomes`."""
    return {
        str(issue): calibrate(rows["claimed"].to_numpy(), rows["right"].to_numpy())
        for issue, rows in judged.groupby("issue")
    }


UNJUDGED = Calibration(PRIOR_MEAN, np.diag(PRIOR_SD**2))  # of a finder without a verdict


def _design(claimed: np.ndarray) -> np.ndarray:
    p = np.clip(np.asarray(claimed, dtype=np.float64), CLIP, 1 - CLIP)
    return np.stack([np.ones_like(p), np.log(p / (1 - p))], axis=1)  # (n, 2)


def _sigmoid(z: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-np.clip(z, -500.0, 500.0)))
