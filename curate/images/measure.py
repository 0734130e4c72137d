"""One decoded image → the numbers from which every quality score and the perceptual hash follow.

Brightness, entropy and edges are CleanVision 0.3.7's definitions; `sharpness` is ours, because edge energy
alone calls plain pictures blurry. Every number is about content, so a photograph that the decoder shrank
measures almost as the full one does.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from PIL import Image

from curate.images.decode import Decoded

SAMPLE_SIDE = 1021  # larger images give 1021² evenly spaced pixels to histograms; prime, so that it skips patterns
WORK_SIDE = 256  # long side at which sharpness is judged: about what a model sees
EDGE_SIDE = 64  # long side at which CleanVision looks for edges

SINGLE_CHANNEL_MODES = frozenset({"1", "L", "LA", "La", "F", "I", "I;16", "I;16B", "I;16L", "I;16N"})

_PERCEIVED = np.array([0.241, 0.691, 0.068], dtype=np.float32)  # weights of squared R, G, B: alienryderflex.com/hsp
_FIND_EDGES = np.array([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]], dtype=np.float32)
_LEVELS = np.arange(256, dtype=np.float32)
_HASH_SIDE, _HASH_FREQUENCIES = 32, 8  # as imagehash.phash
_DCT = 2 * np.cos(np.pi / (2 * _HASH_SIDE) * np.outer(np.arange(_HASH_FREQUENCIES), 2 * np.arange(_HASH_SIDE) + 1))
# What rounding to whole grey levels (variance 1/12) leaves in the mean squared Laplacian and gradient below.
_ROUNDING_LAPLACIAN, _ROUNDING_GRADIENT = 0.406 / 12, 0.117 / 12


def measure(image: Decoded) -> dict[str, float | str]:
    """Measure one image.

    Parameters
    ----------
    image : as `curate.images.decode.decode` returns it; `rgb` may be smaller than `width` × `height`

    Returns
    -------
    dict of
        width, height : pixels of the file's own image
        mode : the file's own colour mode
        phash : 16 hex digits, as `imagehash.phash`
        brightness_p5, brightness_p99 : percentiles of perceived brightness over pixels, in [0, 1]
        brightness_mean : perceived brightness of the mean colour, in [0, 1]
        entropy : bits; of the grey histogram of single-channel files (0 to 8), else of the three channels'
            histograms together (0 to 9.58)
        colourfulness : largest mean absolute difference between two channels, 0 to 255 grey levels; 0 = grey
        contrast : standard deviation of grey levels, 0 to 128
        edges : standard deviation of Pillow's FIND_EDGES at 64 pixels, grey levels
        histogram_spread : standard deviation of the counts of the grey histogram at 64 pixels; high = plain
        sharpness : root-mean-square spatial frequency at 256 pixels, radians per pixel; below 0.6 nothing
            finer than ten pixels is to be seen

    Notes
    -----
    Holds the GIL only between numpy, OpenCV and Pillow calls: made to be called from decoder threads.
    """
    pixels = _sampled(image.rgb)
    counts = np.array([_histogram(pixels, channel) for channel in range(3)])  # (3, 256)
    grey = _fit(cv2.cvtColor(image.rgb, cv2.COLOR_RGB2GRAY), WORK_SIDE)
    small = _cleanvision_grey(grey, image.width, image.height)
    dark_end, bright_end = _brightness_percentiles(pixels, (0.05, 0.99))
    return {
        "width": image.width,
        "height": image.height,
        "mode": image.mode,
        "phash": perceptual_hash(small),
        "brightness_p5": dark_end,
        "brightness_p99": bright_end,
        "brightness_mean": _brightness_of_mean(counts),
        "entropy": _entropy(counts[:1] if image.mode in SINGLE_CHANNEL_MODES else counts),
        "colourfulness": _colourfulness(pixels),
        "contrast": _deviation(grey),
        "edges": _edges(small),
        "histogram_spread": _deviation(_histogram(small, 0)),
        "sharpness": _sharpness(grey),
    }


def perceptual_hash(grey: np.ndarray) -> str:
    """64-bit DCT hash of an (H, W) uint8 grey image: 16 hex digits.

    The definition of `imagehash.phash`: the 8 × 8 lowest frequencies at 32 × 32 pixels, each compared with
    their median. Coefficients are rounded to a thousandth so that a constant image has one hash, not noise.
    """
    if grey.shape != (_HASH_SIDE, _HASH_SIDE):
        resized = Image.fromarray(grey).resize((_HASH_SIDE, _HASH_SIDE), Image.Resampling.LANCZOS)
        grey = np.asarray(resized)
    frequencies = np.round(_DCT @ grey @ _DCT.T, 3)
    ordered = np.sort(frequencies, axis=None)
    median = (ordered[31] + ordered[32]) / 2
    return np.packbits(frequencies > median).tobytes().hex()


def _sampled(rgb: np.ndarray) -> np.ndarray:
    """The pixels that histograms are made of: all, or an even sample. No averaging, which would hide extremes."""
    if rgb.shape[0] * rgb.shape[1] <= SAMPLE_SIDE**2:
        return rgb
    return cv2.resize(rgb, (SAMPLE_SIDE, SAMPLE_SIDE), interpolation=cv2.INTER_NEAREST)


def _brightness_percentiles(pixels: np.ndarray, shares: tuple[float, ...]) -> list[float]:
    """Linearly interpolated percentiles of sqrt(.241 R² + .691 G² + .068 B²) / 255, as `np.percentile`.

    Counted in tenths of a grey level: a sort of all pixels would take several times as long.
    """
    values = pixels.astype(np.float32)
    brightness = cv2.sqrt(cv2.transform(cv2.multiply(values, values), _PERCEIVED[None]))  # 0 to 255
    tenths = (brightness * 10 + 0.5).astype(np.uint16).ravel()
    up_to = np.cumsum(np.bincount(tenths))  # how many pixels are at most so bright
    last = int(up_to[-1]) - 1
    percentiles = []
    for share in shares:
        rank = int(share * last)
        low = int(up_to.searchsorted(rank, side="right"))
        high = int(up_to.searchsorted(min(rank + 1, last), side="right"))
        percentiles.append(min((low + (share * last - rank) * (high - low)) / 2550, 1.0))
    return percentiles


def _brightness_of_mean(counts: np.ndarray) -> float:
    means = counts @ _LEVELS / counts[0].sum()
    return min(math.sqrt(_PERCEIVED @ means**2) / 255, 1.0)


def _histogram(pixels: np.ndarray, channel: int) -> np.ndarray:
    """Counts of the 256 levels of one channel: (256,) float32."""
    return cv2.calcHist([pixels], [channel], None, [256], [0, 256]).ravel()


def _entropy(counts: np.ndarray) -> float:
    present = counts[counts > 0] / counts.sum()
    return abs(float(present @ np.log2(present)))


def _colourfulness(pixels: np.ndarray) -> float:
    red, green, blue = cv2.split(pixels)
    pairs = ((red, green), (green, blue), (red, blue))
    return max(cv2.norm(one, other, cv2.NORM_L1) for one, other in pairs) / red.size


def _deviation(values: np.ndarray) -> float:
    return float(cv2.meanStdDev(values)[1][0, 0])


def _fit(grey: np.ndarray, side: int) -> np.ndarray:
    """Shrink to `side` pixels on the long side, never enlarge. Whole-number averaging first: it is fast."""
    height, width = grey.shape
    factor = max(height, width) // side
    if factor > 1:
        size = (max(width // factor, 1), max(height // factor, 1))
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    ratio = max(grey.shape) / side
    if ratio <= 1:
        return grey
    size = (max(round(grey.shape[1] / ratio), 1), max(round(grey.shape[0] / ratio), 1))
    return cv2.resize(grey, size, interpolation=cv2.INTER_LINEAR)


def _cleanvision_grey(grey: np.ndarray, width: int, height: int) -> np.ndarray:
    """The grey image at CleanVision's size for `width` × `height`, by its resampling (Pillow's bicubic)."""
    ratio = max(width, height) / EDGE_SIDE
    if ratio <= 1:
        return grey
    size = (max(int(width // ratio), 1), max(int(height // ratio), 1))
    return np.asarray(Image.fromarray(grey).resize(size, Image.Resampling.BICUBIC))


def _edges(grey: np.ndarray) -> float:
    """As `ImageStat.Stat(grey.filter(FIND_EDGES))`, which leaves the border pixels as they are."""
    edges = cv2.filter2D(grey, cv2.CV_8U, _FIND_EDGES)
    for border in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
        edges[border] = grey[border]
    return _deviation(edges)


def _sharpness(grey: np.ndarray) -> float:
    """Root-mean-square spatial frequency: |Laplacian| over |gradient|, after a 3 × 3 binomial against noise.

    A ratio of energies, so contrast cancels: a faint sharp picture is sharp, a strong blurred one isn't, and
    a plain picture is judged by the few edges it has. With no edges at all, rounding noise decides: sharp.
    """
    smooth = cv2.GaussianBlur(grey.astype(np.float32), (3, 3), 0)
    laplacian = cv2.norm(cv2.Laplacian(smooth, cv2.CV_32F), cv2.NORM_L2SQR)
    across = cv2.norm(cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=1, scale=0.5), cv2.NORM_L2SQR)
    down = cv2.norm(cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=1, scale=0.5), cv2.NORM_L2SQR)
    pixels = grey.size
    return math.sqrt((laplacian / pixels + _ROUNDING_LAPLACIAN) / ((across + down) / pixels + _ROUNDING_GRADIENT))
