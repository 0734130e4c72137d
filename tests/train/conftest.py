"""A recipe small enough for tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from curate.train.recipe import Recipe


@pytest.fixture
def make_recipe() -> Callable[..., Recipe]:
    def make(**changes: Any) -> Recipe:
        usual: dict[str, Any] = {
            "preset": "quick",
            "model": "test_efficientnet",
            "image_size": 32,
            "augmentation": "light",
            "views": 1,
            "epochs": 6,
            "steps_per_epoch": 5,
            "batch_size": 16,
            "learning_rate": 0.05,
            "weight_decay": 0.01,
            "layer_decay": None,
            "warmup": 0.1,
            "label_smoothing": 0.0,
            "ema_decay": 0.9,
            "patience": 100,
            "amp": True,
        }
        return Recipe(**{**usual, **changes})

    return make
