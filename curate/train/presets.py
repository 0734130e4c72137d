"""The presets: for each, the learner and what an option becomes that is None. A new preset is an entry here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from curate.config import TrainOptions
from curate.errors import CurateError
from curate.train.full import FullLearner
from curate.train.learner import Learner
from curate.train.quick import QuickLearner


@dataclass(frozen=True)
class Preset:
    """How models are made, fed and read back, and with which numbers.

    Attributes
    ----------
    learner : the class that does it
    defaults : of the options of `TrainOptions` that are None
    """

    name: str
    learner: type[Learner]
    defaults: Mapping[str, Any] = field(default_factory=dict)


# Measured choices: see docs/train.md.
PRESETS = {
    preset.name: preset
    for preset in (
        Preset(  # a linear head on features of the frozen backbone
            "quick",
            QuickLearner,
            {
                "views": 0,
                "epochs": 20,
                "batch_size": 128,
                "learning_rate": 3e-4,
                "weight_decay": 3.0,
                "folds": 5,
                "exchanges": 8,
            },
        ),
        Preset(  # every layer
            "full",
            FullLearner,
            {
                "views": 0,
                "epochs": 12,
                "batch_size": 64,
                "learning_rate": 1e-3,
                "weight_decay": 0.05,
                "folds": 3,
                "exchanges": 0,
            },
        ),
    )
}
FINE_TUNING = PRESETS["full"]


def choose_preset(name: str, device_type: str) -> Preset:
    """The preset of this name; "auto" is full on CUDA and quick elsewhere.

    Raises
    ------
    CurateError : no preset has this name
    """
    if name == "auto":
        name = "full" if device_type == "cuda" else "quick"
    if name not in PRESETS:
        raise CurateError(f"no preset is called '{name}'", f"one of auto, {', '.join(PRESETS)}")
    return PRESETS[name]


def n_exchanges(options: TrainOptions, preset: Preset) -> int:
    """How many pairs of models learn the changes dealt at random, before a difference is called one; 0: none."""
    count: int = preset.defaults["exchanges"] if options.exchanges is None else options.exchanges
    return count


def n_folds(options: TrainOptions, preset: Preset) -> int:
    """How many out-of-fold models to train; 0: none."""
    folds: int = preset.defaults["folds"] if options.folds is None else options.folds
    return folds
