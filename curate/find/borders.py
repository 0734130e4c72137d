"""Thumbnails without the border that someone put around the picture: padding, letterbox, the window of a screenshot.

A border is what a copy has and its original hasn't; with it neither their pixels nor their 8 × 8 thumbnails agree.
"""

from __future__ import annotations

import cv2
import numpy as np

PLAIN = 12  # grey levels, from the darkest to the brightest pixel of a line; what JPEG leaves of one colour
LEAST_KEPT = 0.4  # of either side; where less is left, the plain lines are the picture's own
STYLE = 0.5  # share of pictures with borders beyond which that is what the collection looks like
WINDOW_EDGES = 3  # of four; two are plain of many a photograph
ROUNDS = 2  # rows, then columns, then what is plain now that those are gone


def without_borders(thumbs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cut off what is around a picture and stretch the rest.

    Outer lines of one colour each are a border. Where the middles of three edges are plain, and one edge throughout, a
    window is taken to be around the picture. There a line with a plain middle counts as plain, as titles and buttons
    stand at the ends of lines; and the picture is the longest run of lines that are not, as words stand above or below.
    Where most pictures have a border or look so, as things on a plain ground do, none is in a window.

    Parameters
    ----------
    thumbs : (N, h, h, 3) uint8

    Returns
    -------
    (N, h, h, 3) uint8, and the (N,) bool which pictures may have been changed
    """
    edges = (thumbs[:, 0], thumbs[:, -1], thumbs[:, :, 0], thumbs[:, :, -1])  # (N, h, 3) each
    framed = np.any([_is_plain(edge) for edge in edges], axis=0)
    windowed = framed & (np.sum([_has_plain_middle(edge) for edge in edges], axis=0) >= WINDOW_EDGES)
    if np.count_nonzero(framed) > STYLE * len(thumbs):
        windowed[:] = False
    bare = thumbs.copy()
    for row in np.flatnonzero(framed):
        inside = _inside(thumbs[row], windowed[row])
        if inside.shape != thumbs[row].shape:
            bare[row] = cv2.resize(np.ascontiguousarray(inside), bare[row].shape[:2], interpolation=cv2.INTER_LINEAR)
    return bare, framed


def _is_plain(lines: np.ndarray) -> np.ndarray:
    """(n,) whether (n, h, 3) lines are of one colour each."""
    return (lines.max(axis=1).astype(np.int16) - lines.min(axis=1)).max(axis=1) <= PLAIN


def _has_plain_middle(lines: np.ndarray) -> np.ndarray:
    """(n,) whether the middle third of (n, h, 3) lines is of one colour each."""
    third = lines.shape[1] // 3
    return _is_plain(lines[:, third : lines.shape[1] - third])


def _inside(picture: np.ndarray, windowed: bool) -> np.ndarray:
    """What is inside the window or, where that is too little, the border; the picture where that is too little, too."""
    for cut in (_inside_window, _inside_border) if windowed else (_inside_border,):
        kept = cut(picture)
        if min(kept.shape[:2]) >= LEAST_KEPT * len(picture):
            return kept
    return picture


def _inside_border(picture: np.ndarray) -> np.ndarray:
    kept = picture
    for _ in range(ROUNDS):
        kept = _without_plain_rows(kept)
        kept = _without_plain_rows(kept.swapaxes(0, 1)).swapaxes(0, 1)
    return kept


def _without_plain_rows(picture: np.ndarray) -> np.ndarray:
    """The rows from the first to the last that is not plain; all where all are."""
    varied = np.flatnonzero(~_is_plain(picture))
    return picture[varied[0] : varied[-1] + 1] if len(varied) else picture


def _inside_window(picture: np.ndarray) -> np.ndarray:
    return picture[_longest_run(picture), _longest_run(picture.swapaxes(0, 1))]


def _longest_run(picture: np.ndarray) -> slice:
    """Of rows whose middles are not plain; all where all are."""
    varied = ~_has_plain_middle(picture)
    ends = np.flatnonzero(np.diff(np.concatenate([[False], varied, [False]])))
    if not len(ends):
        return slice(None)
    longest = 2 * int(np.argmax(np.diff(ends)[::2]))
    return slice(int(ends[longest]), int(ends[longest + 1]))
