"""Borders: padding, letterboxes and windows are cut off; pictures that are plain themselves are left alone."""

from __future__ import annotations

import tracemalloc

import cv2
import numpy as np
import pytest

from curate.find.duplicates.borders import without_borders


def bare_of(pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    bare, changed = without_borders(pictures)
    return bare[:], changed


def picture(seed: int = 0) -> np.ndarray:
    """(32, 32, 3) random smooth colours."""
    noise = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    return cv2.resize(noise, (32, 32), interpolation=cv2.INTER_CUBIC)


def inside(canvas: np.ndarray, left: int, top: int, width: int, height: int) -> np.ndarray:
    canvas[top : top + height, left : left + width] = cv2.resize(picture(), (width, height))
    return canvas


def alike(one: np.ndarray, two: np.ndarray) -> float:
    return float(np.corrcoef(one.ravel(), two.ravel())[0, 1])


@pytest.mark.parametrize(
    ("colour", "place"),
    [(255, (4, 4, 24, 24)), (0, (0, 6, 32, 20)), (0, (7, 0, 18, 32)), (90, (2, 5, 26, 24))],
)
def test_a_border_of_one_colour_is_cut_off(colour: int, place: tuple[int, int, int, int]):
    framed = inside(np.full((32, 32, 3), colour, np.uint8), *place)
    bare, changed = bare_of(framed[None])
    assert changed.all()
    assert alike(bare[0], picture()) > 0.97 > alike(framed, picture())


def test_the_bar_and_the_margins_of_a_window_are_cut_off():
    window = np.full((32, 32, 3), 240, np.uint8)
    window[:2] = 50
    assert alike(bare_of(inside(window, 2, 5, 24, 24)[None])[0][0], picture()) > 0.97


def phone_screen() -> np.ndarray:
    window = np.full((32, 32, 3), 18, np.uint8)
    window[1, 2:9] = window[1, 26:30] = 220  # a clock and a battery
    window[26:28, 3:25] = [[[200], [90]] * 11] * 2  # a comment
    return inside(window, 1, 6, 30, 18)


def test_a_title_in_the_bar_and_words_below_are_cut_off():
    some = np.stack([phone_screen(), picture(1)])
    bare, changed = bare_of(some)
    np.testing.assert_array_equal(changed, [True, False])
    np.testing.assert_array_equal(without_borders(some)[0][np.array([1, 0])], bare[::-1])
    assert alike(bare[0], picture()) > 0.97 > alike(some[0], picture())


def test_where_most_pictures_look_like_windows_none_is_one():
    some = np.stack([phone_screen(), phone_screen(), picture(1)])
    assert alike(bare_of(some)[0][0], picture()) < 0.9


def test_a_picture_with_a_plain_sky_and_ground_is_no_window():
    plain = picture()
    plain[:6], plain[28:] = (120, 160, 220), (90, 80, 60)
    plain[:6, :8] = plain[28:, 24:] = 255  # a cloud and a stone, so that no edge is of one colour
    bare, changed = bare_of(plain[None])
    assert not changed.any()
    np.testing.assert_array_equal(bare[0], plain)


def test_pictures_without_a_border_stay_as_they_are():
    some = np.stack([picture(seed) for seed in range(20)])
    bare, changed = bare_of(some)
    assert not changed.any()
    np.testing.assert_array_equal(bare, some)


def test_a_small_thing_on_a_plain_ground_and_a_plain_picture_stay_as_they_are():
    small = np.full((32, 32, 3), 255, np.uint8)
    small[12:18, 10:20] = 30
    plain = np.full((32, 32, 3), 70, np.uint8)
    some = np.stack([small, plain])
    np.testing.assert_array_equal(bare_of(some)[0], some)


def test_pictures_are_not_held_twice():
    many = np.tile(picture(), (40_000, 1, 1, 1))
    many[:100, :4] = 255
    tracemalloc.start()
    bare, changed = without_borders(many)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert np.count_nonzero(changed) == 100
    assert peak < many.nbytes / 4
    assert not (bare[:100] == many[:100]).all(axis=(1, 2, 3)).any()
    np.testing.assert_array_equal(bare[100:200], many[100:200])


def test_no_pictures_have_no_borders():
    assert bare_of(np.zeros((0, 32, 32, 3), np.uint8))[0].shape == (0, 32, 32, 3)


def test_ink_that_touches_every_edge_is_in_no_window():
    """The middles of three edges are plain and none is so from end to end, as of many a written digit."""
    digit = picture()
    digit[[0, -1], 8:24] = digit[8:24, 0] = 250
    bare, changed = bare_of(np.stack([digit, *(picture(seed) for seed in range(1, 9))]))
    assert not changed.any()
    np.testing.assert_array_equal(bare[0], digit)
