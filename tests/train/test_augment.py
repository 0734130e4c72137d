"""Augmentation: sizes, types, repetition, and silence towards the network."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest

from curate.errors import CurateError
from curate.train.augment import RECIPES, Augment

PICTURE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("shape", [(40, 60, 3), (300, 200, 3), (1, 1, 3), (2, 500, 3)])
def test_every_recipe_gives_square_uint8_pictures(recipe: str, shape: tuple[int, ...]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    varied = Augment(recipe, 32)(picture, "a.png")
    assert varied.shape == (32, 32, 3) and varied.dtype == np.uint8 and varied.flags["C_CONTIGUOUS"]


@pytest.mark.parametrize("recipe", RECIPES)
def test_name_seed_and_turn_alone_decide_whatever_came_before(recipe: str) -> None:
    augment = Augment(recipe, 32)
    expected = augment(PICTURE, "a.png", seed=1, turn=2)
    augment(PICTURE, "b.png")
    np.testing.assert_array_equal(augment(PICTURE, "a.png", seed=1, turn=2), expected)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(augment))(PICTURE, "a.png", seed=1, turn=2), expected)


def test_turns_give_different_pictures_and_leave_the_original_alone() -> None:
    augment, before = Augment("standard", 32), PICTURE.copy()
    views = {augment(PICTURE, "a.png", turn=turn).tobytes() for turn in range(20)}
    assert len(views) == 20
    np.testing.assert_array_equal(PICTURE, before)


def test_light_never_mirrors_and_standard_mirrors_half_the_time_whether_bright_or_dark() -> None:
    ramp = np.repeat(np.tile(np.linspace(60, 190, 64, dtype=np.uint8), (64, 1))[..., None], 3, axis=2)
    mirrored, bright = {}, {}
    for recipe in ("light", "standard"):
        views = np.stack([Augment(recipe, 32)(ramp, f"{number}.png") for number in range(300)]).astype(float)
        mirrored[recipe] = views[:, :, :8].mean((1, 2, 3)) > views[:, :, -8:].mean((1, 2, 3))
        bright[recipe] = views.mean((1, 2, 3)) > np.median(views.mean((1, 2, 3)))
    assert not mirrored["light"].any()
    assert 0.4 < mirrored["standard"].mean() < 0.6
    both = (mirrored["standard"] & bright["standard"]).mean()
    assert 0.17 < both < 0.33  # a quarter: the steps draw independently


def test_an_unknown_recipe_is_named() -> None:
    with pytest.raises(CurateError, match="no augmentation is called 'heavy'"):
        Augment("heavy", 32)


def test_importing_albumentations_asks_no_server() -> None:
    code = """
import socket
def refuse(*_): raise SystemExit("asked the network")
socket.socket.connect = socket.getaddrinfo = refuse
from curate.train.augment import Augment
Augment("none", 8)
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
