"""A recipe small enough for tests, handwritten digits as image files, and a backbone of a few layers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import timm
import torch
from sklearn.datasets import load_digits

from curate.train.recipe import Recipe

TINY = "test_efficientnet"  # timm's own model for tests: 0.3 million weights


@pytest.fixture
def make_recipe() -> Callable[..., Recipe]:
    def make(**changes: Any) -> Recipe:
        usual: dict[str, Any] = {
            "preset": "quick",
            "model": TINY,
            "image_size": 32,
            "augmentation": "light",
            "views": 1,
            "epochs": 6,
            "steps_per_epoch": 5,
            "batch_size": 16,
            "learning_rate": 0.05,
            "weight_decay": 0.01,
            "warmup": 0.1,
            "label_smoothing": 0.0,
            "ema_decay": 0.9,
            "patience": None,
            "amp": True,
        }
        return Recipe(**{**usual, **changes})

    return make


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The MANIFEST of 600 handwritten digits, 8 × 8 grey PNG files: 400 for training, 200 for the test."""
    folder = tmp_path_factory.mktemp("digits")
    source = load_digits()
    rows = []
    for number in range(600):
        file = folder / f"{number:03d}.png"
        cv2.imwrite(str(file), (source.images[number] * 15.9).astype(np.uint8))
        split = "test" if number % 3 == 0 else "train"
        rows.append((file.name, str(file), str(source.target[number]), split, None, sha256_of(file)))
    columns = ["sample_id", "path", "label", "split", "group", "sha256"]
    return pd.DataFrame(rows, columns=columns).astype({"group": "str"})


def sha256_of(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.fixture
def tiny_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any backbone is timm's model for tests with weights drawn from seed 0: fast, and knows nothing."""

    def create(name: str, num_classes: int = 0, *, pretrained: bool = True) -> torch.nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            network = timm.create_model(TINY)
        network.reset_classifier(num_classes)
        return network.eval()

    for module in ("embed.models", "train.full", "train.model"):
        monkeypatch.setattr(f"curate.{module}.create_backbone", create)
    monkeypatch.setattr("curate.embed.convert.packaged_weights", lambda name: None)  # these are not to be kept
