"""Options become one recipe for all arms."""

from __future__ import annotations

import pandas as pd
import pytest

from curate.config import TrainOptions
from curate.errors import CurateError, ModelError
from curate.experiment.setup import choose_image_size
from curate.train.presets import PRESETS, choose_preset, n_folds
from curate.train.recipe import MIN_STEPS, make_recipe


def test_auto_is_full_on_cuda_and_quick_elsewhere() -> None:
    assert [choose_preset("auto", device).name for device in ("cpu", "cuda", "mps")] == ["quick", "full", "quick"]
    assert choose_preset("full", "cpu").name == "full"


def test_an_unknown_preset_is_named() -> None:
    with pytest.raises(CurateError, match="no preset is called 'best'"):
        choose_preset("best", "cpu")


def test_what_is_not_said_comes_from_the_preset() -> None:
    recipe = make_recipe(
        TrainOptions(epochs=3), preset="quick", defaults=PRESETS["quick"].defaults, image_size=96, n_train=10_000
    )
    assert recipe.epochs == 3 and recipe.image_size == 96
    assert recipe.learning_rate == PRESETS["quick"].defaults["learning_rate"]
    assert n_folds(TrainOptions(), PRESETS["quick"]) == PRESETS["quick"].defaults["folds"]
    assert n_folds(TrainOptions(folds=0), PRESETS["full"]) == 0


@pytest.mark.parametrize(("n_train", "steps"), [(10_000, 157), (9_985, 157), (9_984, 156), (64, MIN_STEPS)])
def test_an_epoch_is_about_a_pass_over_the_version_before(n_train: int, steps: int) -> None:
    recipe = make_recipe(
        TrainOptions(batch_size=64), preset="full", defaults=PRESETS["full"].defaults, image_size=96, n_train=n_train
    )
    assert recipe.steps_per_epoch == steps


def test_small_images_are_enlarged_and_large_ones_brought_to_the_models_size(digits: pd.DataFrame) -> None:
    model = TrainOptions.model
    assert choose_image_size(digits["path"].tolist(), model=model) == 128
    assert choose_image_size(digits["path"].tolist(), model="vit_tiny_patch16_224") == 224  # takes nothing else
    with pytest.raises(ModelError):
        choose_image_size(digits["path"].tolist(), model="no_such_model")
