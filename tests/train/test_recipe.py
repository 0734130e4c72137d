"""Options become one recipe for all arms."""

from __future__ import annotations

import pandas as pd
import pytest

from curate.config import TrainOptions
from curate.errors import CurateError, ModelError
from curate.experiment.setup import choose_image_size
from curate.train.recipe import MIN_STEPS, PRESETS, choose_preset, make_recipe, n_folds


def test_auto_is_full_on_cuda_and_quick_elsewhere() -> None:
    assert [choose_preset(TrainOptions(), device) for device in ("cpu", "cuda", "mps")] == ["quick", "full", "quick"]
    assert choose_preset(TrainOptions(preset="full"), "cpu") == "full"


def test_an_unknown_preset_is_named() -> None:
    with pytest.raises(CurateError, match="no preset is called 'best'"):
        choose_preset(TrainOptions(preset="best"), "cpu")


def test_what_is_not_said_comes_from_the_preset() -> None:
    recipe = make_recipe(TrainOptions(epochs=3), preset="quick", image_size=96, n_train=10_000)
    assert recipe.epochs == 3 and recipe.image_size == 96
    assert recipe.learning_rate == PRESETS["quick"]["learning_rate"]
    assert n_folds(TrainOptions(), "quick") == PRESETS["quick"]["folds"] and n_folds(TrainOptions(folds=0), "full") == 0


@pytest.mark.parametrize(("n_train", "steps"), [(10_000, 157), (9_985, 157), (9_984, 156), (64, MIN_STEPS)])
def test_an_epoch_is_about_a_pass_over_the_version_before(n_train: int, steps: int) -> None:
    recipe = make_recipe(TrainOptions(batch_size=64), preset="full", image_size=96, n_train=n_train)
    assert recipe.steps_per_epoch == steps


def test_small_images_are_enlarged_and_large_ones_brought_to_the_models_size(digits: pd.DataFrame) -> None:
    model = TrainOptions.model
    assert choose_image_size(digits["path"].tolist(), model=model) == 128
    assert choose_image_size(digits["path"].tolist(), model="vit_tiny_patch16_224") == 224  # takes nothing else
    with pytest.raises(ModelError):
        choose_image_size(digits["path"].tolist(), model="no_such_model")
