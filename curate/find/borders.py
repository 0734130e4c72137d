"""Thumbnails without the border that someone put around the picture: padding, letterbox, the window of a screenshot.

A border is what a copy has and its original hasn't; with it neither their pixels nor their 8 × 8 thumbnails agree.
"""

from __future__ import annotations

import cv2
import numpy as np

PLAIN = 12  # grey levels, from the darkest to the brightest pixel of a line; what JPEG leaves of one colour
LEAST_KEPT = 0.4  # of either side; where less is left, the plain lines are the picture's own
ROUNDS = 2  # rows, then columns, then what is plain now that those are gone: a window has a bar and a margin


def without_borders(thumbs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cut off outer lines of one colour each and stretch the rest.

    Parameters
    ----------
    thumbs : (N, h, h, 3) uint8

    Returns
    -------
    (N, h, h, 3) uint8, and the (N,) bool which pictures may have been changed
    """
    bare, framed = thumbs.copy(), _has_plain_edge(thumbs)
    for row in np.flatnonzero(framed):
        bare[row] = _without_border(thumbs[row])
    return bare, framed


def _has_plain_edge(thumbs: np.ndarray) -> np.ndarray:
    """(N,) whether the first or last row or column is of one colour."""
    edges = (thumbs[:, 0], thumbs[:, -1], thumbs[:, :, 0], thumbs[:, :, -1])  # (N, h, 3) each
    return np.any([_is_plain(edge) for edge in edges], axis=0)


def _is_plain(lines: np.ndarray) -> np.ndarray:
    """(n,) whether (n, h, 3) lines are of one colour each."""
    return (lines.max(axis=1).astype(np.int16) - lines.min(axis=1)).max(axis=1) <= PLAIN


def _without_border(picture: np.ndarray) -> np.ndarray:
    kept = picture
    for _ in range(ROUNDS):
        kept = _without_plain_rows(kept)
        kept = _without_plain_rows(kept.swapaxes(0, 1)).swapaxes(0, 1)
    if min(kept.shape[:2]) < LEAST_KEPT * len(picture) or kept.shape == picture.shape:
        return picture
    return cv2.resize(np.ascontiguousarray(kept), picture.shape[:2], interpolation=cv2.INTER_LINEAR)


def _without_plain_rows(picture: np.ndarray) -> np.ndarray:
    """The rows from the first to the last that is not plain; all where all are."""
    varied = np.flatnonzero(~_is_plain(picture))
    return picture[varied[0] : varied[-1] + 1] if len(varied) else picture
