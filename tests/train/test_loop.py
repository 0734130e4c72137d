"""The loop on two clouds of points: it learns, repeats, resumes to the bit, stops early, and counts steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from curate.errors import CurateError
from curate.train.batches import endless_batches
from curate.train.loop import Batch, Fitted, fit, predict
from curate.train.optim import make_optimizer, make_schedule
from curate.train.recipe import Recipe

CPU = torch.device("cpu")
MakeRecipe = Callable[..., Recipe]


def clouds(n: int, *, seed: int) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    targets = torch.arange(n) % 2
    return torch.randn(n, 4, generator=generator) + 2.0 * targets[:, None], targets


def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 2))


def train(
    recipe: Recipe,
    *,
    stop_in: int | None = None,
    validated: bool = True,
    as_probabilities: bool = False,
    **options: object,
) -> Fitted:
    """`stop_in`: raise KeyboardInterrupt in this step, as a person would."""
    inputs, targets = clouds(80, seed=0)
    if as_probabilities:
        targets = nn.functional.one_hot(targets, 2).float()

    def batches(first_epoch: int) -> Iterator[Batch]:
        first = first_epoch * recipe.steps_per_epoch
        for step, (rows, _) in enumerate(endless_batches(80, recipe.batch_size, seed=0, first_step=first), first):
            if step == stop_in:
                raise KeyboardInterrupt
            yield inputs[rows], targets[rows]

    def validation() -> list[Batch]:
        return [clouds(30, seed=1), clouds(10, seed=2)]

    usual = {"recipe": recipe, "device": CPU, "seed": 0}
    return fit(network(), batches, validation if validated else None, **{**usual, **options})  # type: ignore[arg-type]


def same(first: Fitted, second: Fitted) -> bool:
    return all(torch.equal(first.state[name], second.state[name]) for name in first.state)


def test_it_learns_two_clouds(make_recipe: MakeRecipe) -> None:
    fitted = train(make_recipe())
    assert fitted.history[-1]["val_accuracy"] >= 0.9
    assert fitted.history[-1]["train_loss"] < fitted.history[0]["train_loss"]
    model, (inputs, targets) = network(), clouds(200, seed=9)
    model.load_state_dict(fitted.state)
    probabilities = predict(model, [inputs[:150], inputs[150:]], device=CPU, amp=True)
    assert probabilities.shape == (200, 2) and probabilities.dtype == torch.float32
    torch.testing.assert_close(probabilities.sum(1), torch.ones(200))
    assert (probabilities.argmax(1) == targets).float().mean() >= 0.9


def test_the_same_seed_gives_the_same_weights_and_another_other_ones(make_recipe: MakeRecipe) -> None:
    recipe = make_recipe()
    torch.manual_seed(123)
    first = train(recipe)
    torch.manual_seed(321)
    assert same(first, train(recipe)) and not same(first, train(recipe, seed=1))


def test_sure_probabilities_teach_what_class_numbers_do(make_recipe: MakeRecipe) -> None:
    recipe = make_recipe(label_smoothing=0.1)
    as_numbers, as_probabilities = train(recipe, validated=False), train(recipe, validated=False, as_probabilities=True)
    for name, value in as_numbers.state.items():
        torch.testing.assert_close(as_probabilities.state[name], value, rtol=1e-4, atol=1e-5)


def test_training_leaves_the_callers_random_numbers_alone(make_recipe: MakeRecipe) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(make_recipe())
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("step", [0, 4, 5, 17, 29])
def test_an_interrupted_run_ends_as_an_undisturbed_one(make_recipe: MakeRecipe, tmp_path: Path, step: int) -> None:
    recipe, file = make_recipe(), tmp_path / "last.pt"
    with pytest.raises(KeyboardInterrupt):
        train(recipe, stop_in=step, checkpoint=file, fingerprint="a")
    assert file.exists() == (step >= 5)
    counted: list[int] = []
    resumed, whole = train(recipe, checkpoint=file, fingerprint="a", advance=counted.append), train(recipe)
    assert same(resumed, whole) and resumed.best_epoch == whole.best_epoch
    assert [row["val_loss"] for row in resumed.history] == [row["val_loss"] for row in whole.history]
    assert counted[0] == step // 5 * 5 and sum(counted) == 30
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]


def test_a_checkpoint_of_another_recipe_is_not_gone_on_with(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    recipe, file = make_recipe(), tmp_path / "last.pt"
    train(make_recipe(learning_rate=0.5), checkpoint=file, fingerprint="old")
    assert same(train(recipe, checkpoint=file, fingerprint="new"), train(recipe))


def test_it_stops_early_and_returns_the_best_epoch(make_recipe: MakeRecipe) -> None:
    recipe = make_recipe(epochs=40, patience=3, learning_rate=0.3)
    fitted = train(recipe)
    figures = [(row["val_accuracy"], -row["val_loss"]) for row in fitted.history]
    assert len(figures) < 40 and len(figures) - fitted.best_epoch == 3
    assert figures[fitted.best_epoch - 1] == max(figures)


def test_without_patience_the_last_epoch_counts_whatever_validation_says(make_recipe: MakeRecipe) -> None:
    watched, unwatched = (train(make_recipe(learning_rate=0.3), validated=validated) for validated in (True, False))
    best = max(watched.history, key=lambda row: row["val_accuracy"])
    assert best["epoch"] < watched.best_epoch == len(watched.history) == 6
    assert same(watched, unwatched)


def test_steps_are_told_as_they_are_done(make_recipe: MakeRecipe) -> None:
    counted: list[int] = []
    train(make_recipe(epochs=2), advance=counted.append)
    assert counted == [0] + [1] * 10


def test_without_validation_the_whole_schedule_is_run(make_recipe: MakeRecipe) -> None:
    fitted = train(make_recipe(patience=1), validated=False)
    assert fitted.best_epoch == len(fitted.history) == 6
    assert math.isnan(fitted.history[0]["val_loss"])


def test_a_last_epoch_ends_the_run_within_the_same_schedule(make_recipe: MakeRecipe) -> None:
    short, whole = train(make_recipe(), last_epoch=2), train(make_recipe())
    assert short.history[1]["val_loss"] == whole.history[1]["val_loss"]
    assert len(short.history) == 2 and short.history[-1]["step"] == 10


def test_an_epoch_is_the_recipes_number_of_steps(make_recipe: MakeRecipe) -> None:
    fitted = train(make_recipe(steps_per_epoch=7, epochs=2))
    assert [row["step"] for row in fitted.history] == [7, 14]


@pytest.mark.parametrize("patience", [None, 100])
@pytest.mark.parametrize("validated", [True, False])
def test_divergence_is_said(make_recipe: MakeRecipe, patience: int | None, validated: bool) -> None:
    with pytest.raises(CurateError, match="training diverged"):
        train(make_recipe(learning_rate=1e30, patience=patience), validated=validated)


def test_the_learning_rate_warms_up_and_falls_along_a_cosine(make_recipe: MakeRecipe) -> None:
    recipe = make_recipe(epochs=20, steps_per_epoch=5, warmup=0.1, learning_rate=1.0)
    optimizer = make_optimizer(network(), recipe)
    schedule, rates = make_schedule(optimizer, recipe), []
    for step in range(100):
        rates.append(optimizer.param_groups[0]["lr"])
        schedule.step_update(step + 1)
    assert rates[0] == pytest.approx(0.01) and rates[10] == pytest.approx(1.0) and max(rates) == rates[10]
    assert rates[55] == pytest.approx(0.505, abs=0.01) and rates[99] == pytest.approx(0.01, abs=0.01)


def test_biases_and_norms_are_not_decayed(make_recipe: MakeRecipe) -> None:
    groups = make_optimizer(network(), make_recipe(weight_decay=0.3)).param_groups
    decayed = {group["weight_decay"]: {p.ndim for p in group["params"]} for group in groups}
    assert decayed == {0.0: {1}, 0.3: {2}}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_it_learns_on_cuda_in_half_precision(make_recipe: MakeRecipe) -> None:
    assert train(make_recipe(), device=torch.device("cuda")).history[-1]["val_accuracy"] >= 0.9
