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

# brightness_perc_5, brightness_perc_99, brightness, entropy, blurriness, blurriness_grayscale_std
CLEANVISION_MEASURED = {
    "scene_small": (0.316836, 0.858497, 0.481591, 8.200011, 59.981618, 7.345811),
    "scene": (0.338727, 0.970687, 0.530179, 8.602725, 43.405604, 24.263527),
    "scene_tall": (0.347895, 0.730706, 0.509668, 8.345675, 49.908113, 8.984361),
    "scene_grey": (0.337255, 0.952941, 0.530253, 6.833857, 49.281921, 16.607604),
    "noise": (0.208164, 0.915014, 0.497465, 9.521965, 112.545563, 8.308505),
    "dark": (0.067293, 0.191468, 0.104594, 6.294065, 10.006494, 42.315316),
    "bright": (0.989182, 0.995812, 0.991618, 2.663554, 65.033809, 147.638309),
    "plain_small": (0.167941, 0.262098, 0.169533, 1.729245, 16.0599, 62.573519),
    "plain": (0.167941, 0.262098, 0.169096, 1.696769, 11.770779, 186.373994),
    "faint": (0.257894, 0.409641, 0.300608, 6.361242, 26.438518, 13.497106),
    "soft": (0.378872, 0.91545, 0.529595, 7.960038, 33.24968, 25.02967),
    "black": (0.0, 0.0, 0.0, 1.584963, 0.0, 124.75562),
    "white": (1.0, 1.0, 1.0, 1.584963, 72.240199, 124.75562),
}

# scores of dark, light (our "bright"), blurry, low_information, odd_size, odd_aspect_ratio, grayscale, on this folder
CLEANVISION_SCORES = {
    "scene_small": (0.858497, 0.683164, 0.451087, 0.820001, 0.909206, 1.0, 1.0),
    "scene": (0.970687, 0.661273, 0.567566, 0.860272, 0.480331, 0.75, 1.0),
    "scene_tall": (0.730706, 0.652105, 0.392912, 0.834568, 0.954939, 0.333333, 1.0),
    "scene_grey": (0.952941, 0.662745, 0.389098, 0.683386, 0.928571, 0.75, 0.0),
    "noise": (0.915014, 0.791836, 0.675495, 0.952196, 0.944867, 0.75, 1.0),
    "dark": (0.191468, 0.932707, 0.440243, 0.629406, 0.970759, 0.75, 1.0),
    "bright": (0.995812, 0.010818, 1.0, 0.266355, 0.970759, 0.75, 1.0),
    "plain_small": (0.262098, 0.832059, 0.613498, 0.172924, 0.909206, 1.0, 1.0),
    "plain": (0.262098, 0.832059, 0.955953, 0.169677, 0.612166, 0.75, 1.0),
    "faint": (0.409641, 0.742106, 0.232322, 0.636124, 0.909206, 1.0, 1.0),
    "soft": (0.91545, 0.621128, 0.504299, 0.796004, 0.928571, 0.75, 1.0),
    "black": (0.0, 1.0, 0.712794, 0.158496, 0.928571, 0.8, 1.0),
    "white": (1.0, 0.0, 1.0, 0.158496, 0.928571, 0.8, 1.0),
}

# issue → the pictures that CleanVision flags by default; its "light" is our "bright"
CLEANVISION_FLAGS = {
    "dark": ["dark", "plain_small", "plain", "black"],
    "bright": ["bright", "white"],
    "blurry": ["faint"],
    "low_information": ["bright", "plain_small", "plain", "black", "white"],
    "odd_size": ["scene"],
    "odd_aspect_ratio": ["scene_tall"],
    "grayscale": ["scene_grey"],
}
