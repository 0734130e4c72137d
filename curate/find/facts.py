"""What finders may ask for: the facts, and which of them a finder needs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import pandas as pd

from curate.artifacts import ACTIVE, EMBEDDED, EMBEDDER
from curate.config import FindOptions
from curate.errors import SchemaError

RESTS_ON = {  # the files that each fact comes from, beside `scan`
    "scan": [],
    "samples": ["samples"],
    "embeddings": EMBEDDED,
    "thumbs": [EMBEDDER],
    "neighbors": EMBEDDED,  # and the file of the neighbours themselves, whose name tells the embedder
    "pairs": ["near_duplicate_pairs"],
    "groups": ["near_duplicate_pairs", "samples"],
    "prediction": [ACTIVE],
}

Finder = Callable[..., pd.DataFrame]


def needs(finder: Finder, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts that `finder` names as parameters; raises SchemaError where it needs one that is unknown."""
    wanted = {}
    for name, parameter in inspect.signature(finder).parameters.items():
        if name in facts:
            wanted[name] = facts[name]
        elif parameter.default is inspect.Parameter.empty:
            raise SchemaError(f"the finder {finder.__name__} needs '{name}'", f"one of {', '.join(facts)}")
    return wanted


def chosen(finder: Finder, options: FindOptions) -> dict[str, Any]:
    """The options that `finder` names as parameters, such as `imbalance`; a fact of the same name goes first."""
    names = inspect.signature(finder).parameters.keys() - RESTS_ON.keys()
    return {option.name: getattr(options, option.name) for option in fields(options) if option.name in names}


@dataclass(frozen=True)
class Facts:
    """What is known of the samples. All but `scan` cover the readable ones, row by row."""

    scan: pd.DataFrame  # SCAN: every file, readable or not
    samples: pd.DataFrame  # SAMPLES: the readable ones
    embeddings: np.ndarray  # (n, d) float16, L2-normalised
    thumbs: np.ndarray  # (n, 32, 32, 3) uint8
    neighbors: Any = None  # curate.find.neighbors.Neighbors
    pairs: Any = None  # PAIRS
    groups: Any = None  # (n,) int: duplicates, and what the user's key joins
    probe: Any = None  # curate.find.labels.probe.Prediction, by the probe alone
    prediction: Any = None  # the same with what a trained network says, where asked for
    lacking: dict[str, str] = field(default_factory=dict)  # facts that can't be had of these samples, and why

    def offered(self) -> dict[str, Any]:
        """What finders may name as parameters."""
        return {name: getattr(self, name) for name in RESTS_ON}
