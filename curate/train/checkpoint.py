"""A trained model on disk: its weights, and the facts that say how to read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from curate.errors import StageMissing
from curate.files import Shape, read_sealed, replacing, require_digest
from curate.train.model import State
from curate.train.presets import PRESETS

WEIGHTS, FACTS = "model.safetensors", "arm.json"
ARM: Shape = {
    "fingerprint": str,
    "arm": str,
    "seed": int,
    "n_train": int,
    "n_val": int,
    "best_epoch": int,
    "steps": int,
    "seconds": float,
    "recipe": {"model": str, "preset": str, "image_size": int, ...: object},
    "classes": [str],
    "digests?": {...: str},
}


def save_weights(file: Path, weights: State) -> None:
    """Write tensors as safetensors, atomically."""
    from safetensors.torch import save_file

    with replacing(file) as temporary:
        save_file({name: value.contiguous() for name, value in weights.items()}, temporary)


def read_arm(folder: Path) -> dict[str, Any]:
    """What stands in the arm.json of a finished arm, whose other files are what was written.

    Raises
    ------
    DamagedFile : one of them is gone or is not
    """
    facts = read_sealed(folder / FACTS, ARM, do="curate retrain")
    for name, digest in facts.get("digests", {}).items():  # an earlier curate kept none
        require_digest(folder / name, digest, do="curate retrain")
    return facts


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
    facts = read_arm(folder)
    learner = PRESETS[facts["recipe"]["preset"]].learner
    return learner.load(load_file(folder / WEIGHTS), facts).eval(), facts
