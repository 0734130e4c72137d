"""The files of a run: tables, and run.json with all that is needed to repeat it and to trust it."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from curate.config import TrainOptions
from curate.errors import CurateError
from curate.experiment.jobs import TrainContext
from curate.experiment.result import Comparison
from curate.files import digest_of, sealed, write_atomically, write_csv, write_parquet
from curate.version import __version__

PACKAGES = ("torch", "torchvision", "timm", "albumentations", "numpy", "scikit-learn", "pandas")


def write_run(
    folder: Path,
    comparison: Comparison,
    context: TrainContext,
    *,
    versions: dict[str, pd.DataFrame],
    options: TrainOptions,
) -> None:
    """Write predictions.parquet, pred_probs.parquet, history.csv and, last, run.json, which means done."""
    write_parquet(folder / "predictions.parquet", comparison.predictions)
    if len(comparison.pred_probs):
        write_parquet(folder / "pred_probs.parquet", comparison.pred_probs)
    write_csv(folder / "history.csv", comparison.history)
    if options.tensorboard:
        _write_events(folder / "tensorboard", comparison.history)
    facts = {
        "metrics": comparison.to_dict(),
        "recipe": asdict(context.recipe),
        "options": asdict(options),
        "seeds": list(range(options.seed, options.seed + options.seeds)),
        "preprocessing": "RGB uint8, resized to image_size x image_size; the network normalises",
        "data": {name: _digest(table) for name, table in versions.items()},
        "packages": {"curate": __version__, **{name: version(name) for name in PACKAGES}},
        "hardware": hardware(context.device),
        "digests": {file.name: digest_of(file) for file in sorted(folder.glob("*.parquet"))},
    }
    write_atomically(folder / "run.json", json.dumps(sealed(facts), indent=1).encode())


def hardware(device: torch.device) -> dict[str, Any]:
    """What the training ran on."""
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "platform": platform.platform(),
        "python": platform.python_version(),
    }


def require_tensorboard() -> None:
    """Raise before training where events are wished for and the package is missing."""
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError as error:
        raise CurateError("TensorBoard events need the package tensorboard", do="pip install tensorboard") from error


def _write_events(folder: Path, history: pd.DataFrame) -> None:
    from torch.utils.tensorboard import SummaryWriter

    for (arm, seed), rows in history.groupby(["arm", "seed"]):
        with SummaryWriter(str(folder / f"{arm}-{seed}")) as writer:
            for row in rows.to_dict("records"):
                for name in ("learning_rate", "train_loss", "val_loss", "val_accuracy"):
                    writer.add_scalar(name, row[name], int(row["step"]))


def _digest(table: pd.DataFrame) -> str:
    """Of the rows of a manifest, in whatever order they come."""
    rows = table[["sample_id", "label", "split"]].sort_values("sample_id")
    return hashlib.blake2b(rows.to_json(orient="values").encode(), digest_size=16).hexdigest()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
