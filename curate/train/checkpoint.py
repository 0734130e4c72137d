"""A trained model on disk: its weights, and the facts that say how to read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import nn

from curate.errors import StageMissing
from curate.files import replacing
from curate.train.model import State
from curate.train.presets import PRESETS

WEIGHTS, FACTS = "model.safetensors", "arm.json"


def save_weights(file: Path, weights: State) -> None:
    """Write tensors as safetensors, atomically."""
    from safetensors.torch import save_file

    with replacing(file) as temporary:
        save_file({name: value.contiguous() for name, value in weights.items()}, temporary)


def load_model(folder: Path) -> tuple[nn.Module, dict[str, Any]]:
    """Load the model of one arm for inference.

    Parameters
    ----------
    folder : an arm's folder in a run, such as `runs/1/arms/after-0`

    Returns
    -------
    model : on the CPU, in eval mode: (n, S, S, 3) uint8, by `curate.images.resize.resized` → (n, C) logits
    facts : what stands in its arm.json: classes in the order of the logits, recipe (with image_size) …
    """
    from safetensors.torch import load_file

    if not (folder / FACTS).exists() or not (folder / WEIGHTS).exists():
        raise StageMissing(f"no trained model in {folder}", do="curate retrain")
    facts: dict[str, Any] = json.loads((folder / FACTS).read_text())
    learner = PRESETS[facts["recipe"]["preset"]].learner
    return learner.load(load_file(folder / WEIGHTS), facts).eval(), facts
