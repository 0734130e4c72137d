"""Thumbnails without the border that someone put around the picture: padding, letterbox, the window of a screenshot.

A border is what a copy has and its original hasn't; with it neither their pixels nor their 8 × 8 thumbnails agree.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from curate.find.rows import Indexed, blocks

PLAIN = 12  # grey levels, from the darkest to the brightest pixel of a line; what JPEG leaves of one colour
LEAST_KEPT = 0.4  # of either side; where less is left, the plain lines are the picture's own
STYLE = 0.5  # share of pictures with borders beyond which that is what the collection looks like
WINDOW_EDGES = 3  # of four; two are plain of many a photograph
ROUNDS = 2  # rows, then columns, then what is plain now that those are gone


@dataclass(frozen=True)
class Bare:
    """Pictures without what is around them; indexed as an array. Only those that were cut are held a second time."""

    pictures: Indexed  # (N, h, h, 3) uint8
    place: np.ndarray  # (N,) where in `cut` a picture is that was cut, -1 of others
    cut: np.ndarray  # (m, h, h, 3) uint8

    def __len__(self) -> int:
        return len(self.place)

    def __getitem__(self, rows: np.ndarray | slice) -> np.ndarray:
        place, found = self.place[rows], np.array(self.pictures[rows])
        found[place >= 0] = self.cut[place[place >= 0]]
        return found


def without_borders(thumbs: Indexed) -> tuple[Bare, np.ndarray]:
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
    (N, h, h, 3) uint8, indexed as an array, and the (N,) bool which pictures may have been changed
    """
    framed, windowed = np.zeros(len(thumbs), bool), np.zeros(len(thumbs), bool)
    for block in blocks(len(thumbs)):
        framed[block], windowed[block] = _framed_and_windowed(thumbs[block])
    if np.count_nonzero(framed) > STYLE * len(thumbs):
        windowed[:] = False
    place, cut = np.full(len(thumbs), -1), list[np.ndarray]()
    for block in blocks(len(thumbs)):
        pictures = thumbs[block]
        for row in np.flatnonzero(framed[block]):
            inside = _inside(pictures[row], windowed[block][row])
            if inside.shape != pictures[row].shape:
                place[block.start + row] = len(cut)
                inside = np.ascontiguousarray(inside)
                cut.append(cv2.resize(inside, pictures.shape[1:3], interpolation=cv2.INTER_LINEAR))
    return Bare(thumbs, place, np.array(cut, np.uint8).reshape(-1, *thumbs[:0].shape[1:])), framed


def _framed_and_windowed(pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n,) whether an edge of (n, h, h, 3) pictures is plain, and whether so much is that it may be a window."""
    edges = (pictures[:, 0], pictures[:, -1], pictures[:, :, 0], pictures[:, :, -1])  # (n, h, 3) each
    framed = np.any([_is_plain(edge) for edge in edges], axis=0)
    plain_middles = np.sum([_has_plain_middle(edge) for edge in edges], axis=0)
    return framed, framed & (plain_middles >= WINDOW_EDGES)


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
