"""Measurements → quality issues: dark, bright, blurry, low information, odd size or shape, grey, unreadable.

Scores follow CleanVision 0.3.7; docs/find-quality.md names where they differ, and why.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

ISSUES = (
    "dark",
    "bright",
    "blurry",
    "low_information",
    "odd_size",
    "odd_aspect_ratio",
    "grayscale",
    "unreadable",
)

SOFT_FREQUENCY = 0.6  # radians per pixel: below it no detail is finer than about ten pixels
BLURRY_CUT = 0.29  # CleanVision's threshold; SOFT_FREQUENCY is brought to this score
GREY = 0.5  # score; a set of which half score below has no colour to lack
GREY_LEVELS = 1.0  # mean difference between channels from which a picture counts as coloured; JPEG rounding leaves less


def find_quality(
    scan: pd.DataFrame,
    *,
    dark: float = 0.32,
    bright: float = 0.05,
    blurry: float = BLURRY_CUT,
    low_information: float = 0.3,
    odd_size: float = 0.5,
    odd_aspect_ratio: float = 0.35,
    grayscale: float = GREY,
    size_iqrs: float = 3.0,
) -> pd.DataFrame:
    """Score every row of the scan for each quality issue.

    Parameters
    ----------
    scan : table `scan` of the schema; rows whose `status` is not "ok" have no measurements
    dark, bright, blurry, low_information, odd_size, odd_aspect_ratio, grayscale : an image has the issue where
        its score is below this; CleanVision's defaults where it has one
    size_iqrs : sizes further than this many interquartile ranges outside the quartiles score below 0.5

    Returns
    -------
    One row per row of `scan`, in its order: `sample_id`, then `is_<issue>_issue` (bool) and `<issue>_score`
    (in [0, 1], lower = worse) for each of `ISSUES`. An unreadable file has `unreadable_score` 0 and NaN for the
    rest, and only its unreadable flag set.

    Notes
    -----
    odd_size and grayscale compare a picture with the others of the set, the rest look at the picture alone.
    """
    readable = scan["status"].eq("ok").to_numpy()
    ok = scan[readable]
    scored = {
        "dark": (ok["brightness_p99"], dark),
        "bright": (1 - ok["brightness_p5"], bright),
        "blurry": (_blurry_score(ok), blurry),
        "low_information": (np.minimum(ok["entropy"] / 10, 1), low_information),
        "odd_size": (_size_score(ok, size_iqrs), odd_size),
        "odd_aspect_ratio": (np.minimum(ok["width"] / ok["height"], ok["height"] / ok["width"]), odd_aspect_ratio),
        "grayscale": (_grayscale_score(ok), grayscale),
    }
    columns: dict[str, object] = {"sample_id": scan["sample_id"].to_numpy()}
    for issue, (score, threshold) in scored.items():
        everywhere = np.full(len(scan), np.nan)
        everywhere[readable] = score
        columns[f"is_{issue}_issue"] = everywhere < threshold  # NaN is below nothing
        columns[f"{issue}_score"] = everywhere
    columns["is_unreadable_issue"] = ~readable
    columns["unreadable_score"] = readable.astype(float)
    return pd.DataFrame(columns)


def _blurry_score(scan: pd.DataFrame) -> np.ndarray:
    """CleanVision's order among sharp pictures; sharpness decides which are not.

    CleanVision sums edge energy, border pixels included, so plain pictures with a dark rim look blurred to it
    and blurred ones with a bright rim don't. Sharp pictures are therefore held at its threshold or above,
    and soft ones are pulled below it.
    """
    edges = 1 - np.exp(-scan["edges"].to_numpy(float) / 100)
    plainness = 1 - np.exp(-scan["histogram_spread"].to_numpy(float) / 100)
    cleanvision = edges + np.where(plainness > 0.18, plainness, 0)
    softness = BLURRY_CUT * (scan["sharpness"].to_numpy(float) / SOFT_FREQUENCY) ** 4  # steep: touches few others
    return np.minimum(np.clip(cleanvision, BLURRY_CUT, 1), softness)


def _size_score(scan: pd.DataFrame, size_iqrs: float) -> np.ndarray:
    """CleanVision's: distance of sqrt(width × height) from the middle of the usual range; 0.5 at its ends.

    The interquartile range counts as at least 5% of the middle, so that a set of (nearly) one size does not
    call a picture odd for one more column of pixels.
    """
    size = np.sqrt(scan["width"].to_numpy(float)) * np.sqrt(scan["height"].to_numpy(float))
    if not len(size):
        return size
    first, third = np.percentile(size, [25, 75])
    middle = (first + third) / 2
    usual_range = (1 + 2 * size_iqrs) * max(third - first, 0.05 * middle)
    return 1 - np.minimum(np.abs(size - middle) / usual_range, 1)


def _grayscale_score(scan: pd.DataFrame) -> np.ndarray:
    """0 = grey, 1 = coloured; all 1 where grey pictures are not the exception in this set."""
    score = np.minimum(scan["colourfulness"].to_numpy(float) / GREY_LEVELS, 1)
    grey_is_usual = 2 * np.count_nonzero(score < GREY) >= len(score)
    return np.ones(len(score)) if grey_is_usual else score
