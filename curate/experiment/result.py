"""What a comparison found: figures per arm, their differences, and the verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from curate.evaluate.scores import Difference, Scores

ARMS = ("before", "after", "control")
DIFFERENCES = (("before", "after"), ("before", "control"), ("control", "after"))


@dataclass(frozen=True)
class Comparison:
    """What `retrain` found.

    Attributes
    ----------
    classes : (C,) order of every table
    scores : per arm: before, after, control (random removal of as many images as after has dropped)
    differences : "after - before", "control - before", "after - control"
    arms : per arm: n_train, n_val, and one entry per seed: accuracies, best_epochs, steps
    changes : how many training images were dropped, relabelled, added
    predictions : arm, sample_id, label, predicted, p_<class>: test samples, mean over the seeds
    pred_probs : sample_id + one column per class: out-of-sample for every image of both versions, rows
        sum to 1; no rows where no folds were asked for
    history : arm, seed and the columns of `loop.Fitted.history`
    notes : what a reader of the figures should know, one sentence each
    """

    preset: str
    classes: list[str]
    scores: dict[str, Scores]
    differences: dict[str, Difference]
    arms: dict[str, dict[str, Any]]
    changes: dict[str, int]
    predictions: pd.DataFrame
    pred_probs: pd.DataFrame
    history: pd.DataFrame
    notes: list[str]

    @property
    def verdict(self) -> str:
        """better, worse, or "no difference shown", by `evaluate.verdict`."""
        return self.differences["after - before"].verdict

    def to_dict(self) -> dict[str, Any]:
        """All but the tables, as plain numbers, lists and texts."""
        return {
            "verdict": self.verdict,
            "preset": self.preset,
            "classes": self.classes,
            "n_test": int((self.predictions["arm"] == "before").sum()),
            "changes": self.changes,
            "arms": {name: {**self.arms[name], **self.scores[name].to_dict()} for name in ARMS},
            "differences": {name: difference.to_dict() for name, difference in self.differences.items()},
            "notes": self.notes,
        }

    def to_text(self) -> str:
        """A few lines for the terminal."""
        lines = [self._arm_line(name) for name in ARMS]
        lines += [f"{name}: {found.to_text()}" for name, found in self.differences.items()]
        return "\n".join([*lines, f"verdict: {self.verdict}", *self.notes])

    def _arm_line(self, name: str) -> str:
        scores = self.scores[name]
        return (
            f"{name:<8} accuracy {scores.accuracy:6.1%}   macro F1 {scores.macro_f1:6.1%}"
            f"   ({self.arms[name]['n_train']:,} training images)"
        )
