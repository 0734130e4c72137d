"""Pictures drawn by arithmetic, the same on every machine, and what CleanVision 0.3.7 measured of them.

The numbers were recorded by saving the pictures as PNG and running CleanVision 0.3.7 (Pillow 10.3) on the folder.
"""

from __future__ import annotations

import numpy as np


def _noise(height: int, width: int, seed: int) -> np.ndarray:
    """(H, W, 3) uint8 that looks random: the high bits of a 32-bit linear congruential generator."""
    state = np.arange(seed, seed + height * width * 3, dtype=np.uint64)
    for _ in range(3):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        state ^= state >> 13
    return (state >> 24).astype(np.uint8).reshape(height, width, 3)


def _scene(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Sky, ground, a sun and some texture: (H, W, 3) uint8."""
    y, x = np.mgrid[:height, :width] / max(height, width)
    sky = np.stack([110 + 60 * y, 150 + 50 * y, 230 - 20 * y], axis=-1)
    ground = np.stack([90 + 60 * x, 120 - 40 * x, 40 + 30 * y], axis=-1)
    picture = np.where((y > 0.4 + 0.1 * np.sin(9 * x))[..., None], ground, sky)
    picture[(x - 0.7) ** 2 + (y - 0.15) ** 2 < 0.01] = [255, 240, 180]
    coarse = _noise(height // 4 + 1, width // 4 + 1, seed).astype(float).repeat(4, 0).repeat(4, 1)[:height, :width]
    return np.clip(picture + 0.25 * (coarse - 128), 0, 255).astype(np.uint8)


def _plain(height: int, width: int) -> np.ndarray:
    """A small sharp disc on an even, dim ground."""
    y, x = np.mgrid[:height, :width]
    disc = (x - 0.6 * width) ** 2 + (y - 0.5 * height) ** 2 < (0.08 * height) ** 2
    return np.where(disc[..., None], [90, 60, 20], [36, 44, 52]).astype(np.uint8)


def _soft(rgb: np.ndarray, radius: int) -> np.ndarray:
    """Blurred by two box filters each way."""
    weights = np.ones(2 * radius + 1) / (2 * radius + 1)
    for axis in (0, 1, 0, 1):
        padded = np.pad(rgb, [(radius, radius) if i == axis else (0, 0) for i in range(3)], mode="edge")
        rgb = np.apply_along_axis(np.convolve, axis, padded.astype(float), weights, mode="valid")
    return rgb.astype(np.uint8)


def _grey(rgb: np.ndarray) -> np.ndarray:
    return (rgb.astype(int) @ [299, 587, 114] // 1000).astype(np.uint8)


PICTURES: dict[str, np.ndarray] = {
    "scene_small": _scene(32, 32),
    "scene": _scene(375, 500, 1),
    "scene_tall": _scene(210, 70, 2),
    "scene_grey": _grey(_scene(120, 160, 3)),
    "noise": _noise(48, 64, 4),
    "dark": (_scene(96, 128, 5) * 0.2).astype(np.uint8),
    "bright": (252 + _scene(96, 128, 6) * 0.01).astype(np.uint8),
    "plain_small": _plain(32, 32),
    "plain": _plain(300, 400),
    "faint": (45 + 0.25 * _scene(32, 32, 7)).astype(np.uint8),  # little contrast, and sharp
    "soft": _soft(_scene(120, 160, 8), 4),  # bright, and blurred
    "black": np.zeros((40, 50, 3), np.uint8),
    "white": np.full((40, 50, 3), 255, np.uint8),
}
