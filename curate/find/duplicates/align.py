"""Two thumbnails → the zoom and shift that lay one over the other, and how well the pixels then agree.

Near copies are seldom framed alike: the same shot comes cropped, padded, squeezed or mirrored. Axis-wise zoom
and shift are estimated by Gauss-Newton steps on the brightness difference (Lucas and Kanade 1981; Baker and
Matthews 2004), coarse to fine, all pairs of a batch at once. A pose maps a place x of the first picture,
in [-1, 1] per axis, to the place `zoom * x + shift` of the second.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

GREY = (0.299, 0.587, 0.114)  # weights of R, G, B: ITU-R BT.601
ZOOM = (0.55, 1.8)  # beyond, two 32-pixel thumbnails share too little to compare
SHIFT = 0.6  # largest shift, half widths
NOISE = 2.0  # grey levels; weaker structure than this counts as no structure
SLOPE_NOISE = 0.3  # the same for slopes divided by the root of their size
STEPS = (8, 8, 8, 16, 16, 16)  # the resolution of each step of the alignment, pixels


@dataclass(frozen=True)
class Pictures:
    """m thumbnails at the resolutions that comparing needs; float32, in grey levels."""

    brightness: dict[int, Tensor]  # side → (m, 1, side, side), for sides 32, 16 and 8
    colours: Tensor  # (m, 3, 16, 16)

    @classmethod
    def of(cls, thumbs: np.ndarray) -> Pictures:
        """From (m, 32, 32, 3) uint8."""
        rgb = torch.from_numpy(np.ascontiguousarray(thumbs)).permute(0, 3, 1, 2).float()
        grey = torch.einsum("mchw,c->mhw", rgb, torch.tensor(GREY))[:, None]
        return cls(
            {32: grey, 16: _halved(grey), 8: _halved(_halved(grey))},
            _halved(rgb),
        )

    def __len__(self) -> int:
        return len(self.colours)

    def __getitem__(self, rows: Tensor) -> Pictures:
        return Pictures({side: grey[rows] for side, grey in self.brightness.items()}, self.colours[rows])


def unmoved(m: int) -> Tensor:
    """(m, 4) poses that leave everything where it is."""
    return torch.tensor([1.0, 1.0, 0.0, 0.0]).repeat(m, 1)


def align(first: Pictures, second: Pictures, pose: Tensor) -> Tensor:
    """Refine (m, 4) poses by Gauss-Newton steps, coarse to fine; not necessarily better than where they began."""
    for side in STEPS:
        pose = _step(first.brightness[side], second.brightness[side], pose)
    return pose


def rough_pose(first: Pictures, second: Pictures) -> Tensor:
    """(m, 4) the best of a grid of poses at 8 × 8, for pairs of which one may be a part of the other."""
    best, kept = torch.full((len(first),), -torch.inf), unmoved(len(first))
    one, two = first.brightness[8], second.brightness[8]
    for zoom in (0.75, 1.33):
        for shift in itertools.product((-0.2 * zoom, 0.0, 0.2 * zoom), repeat=2):
            pose = torch.tensor([[zoom, zoom, *shift]])  # one for all pairs
            seen, mask = warp(two, pose)
            found = correlation(one, seen, mask) * mask.mean((1, 2, 3)).sqrt()
            kept = torch.where((found > best)[:, None], pose, kept)
            best = torch.maximum(best, found)
    return kept


def agreement(first: Pictures, second: Pictures, pose: Tensor) -> Tensor:
    """(m,) how well the pixels of pairs laid over each other agree; 1 = the same pixels, 0 = nothing in common.

    The mean of three correlations, of 16 × 16 colours (each channel about its own mean) and of brightness
    gradients at 32 × 32 and at 16 × 16, times the root of the share of either picture that the other covers.
    """
    fine, seen = warp(second.brightness[32], pose)
    coarse, half_seen = _halved(fine), _halved(seen).eq(1).float()
    found = (
        correlation(first.colours, *warp(second.colours, pose))
        + _cosine(*_gradients(first.brightness[32], fine, seen), SLOPE_NOISE)
        + _cosine(*_gradients(first.brightness[16], coarse, half_seen), SLOPE_NOISE)
    )
    return found.clamp_min(0) / 3 * _covered(seen, pose)


def rough_agreement(first: Pictures, second: Pictures, pose: Tensor) -> Tensor:
    """(m,) the same without what is finer than 16 × 16: in a third of the time, good enough to choose a pose."""
    coarse, seen = warp(second.brightness[16], pose)
    found = correlation(first.colours, *warp(second.colours, pose)) + _cosine(
        *_gradients(first.brightness[16], coarse, seen), SLOPE_NOISE
    )
    return found.clamp_min(0) / 2 * _covered(seen, pose)


def _covered(seen: Tensor, pose: Tensor) -> Tensor:
    """(m,) root of the share of either picture that the other covers."""
    covered = seen.mean((1, 2, 3))  # of the first picture; in pixels of the second it may be all of that one
    return torch.maximum(covered, covered * pose[:, 0] * pose[:, 1]).clamp_max(1).sqrt()


def _halved(pictures: Tensor) -> Tensor:
    """(m, c, h, w) → (m, c, h / 2, w / 2): the mean of each 2 × 2 pixels."""
    rows = pictures[..., ::2, :] + pictures[..., 1::2, :]
    return (rows[..., ::2] + rows[..., 1::2]) / 4


def warp(pictures: Tensor, pose: Tensor) -> tuple[Tensor, Tensor]:
    """Sample (m, c, n, n) pictures at the places where poses put the first picture's pixels.

    Returns the sampled (m, c, n, n) and a mask (m, 1, n, n), 1 where the place lies inside.
    """
    across, inside_x = _sampling(pose[:, 0], pose[:, 2], pictures.shape[-1])
    down, inside_y = _sampling(pose[:, 1], pose[:, 3], pictures.shape[-1])
    sampled = down[:, None] @ pictures @ across[:, None].transpose(-1, -2)
    return sampled, (inside_y[:, :, None] * inside_x[:, None, :])[:, None]


def correlation(one: Tensor, two: Tensor, mask: Tensor) -> Tensor:
    """(m,) correlation of (m, c, h, w) values, each channel about its mean inside the (m, 1, h, w) mask."""
    weight = mask.sum((-1, -2), keepdim=True).clamp_min(1)
    one = one - (one * mask).sum((-1, -2), keepdim=True) / weight
    two = two - (two * mask).sum((-1, -2), keepdim=True) / weight
    return _cosine(one, two, mask, NOISE**2)


def _cosine(one: Tensor, two: Tensor, mask: Tensor, noise: float) -> Tensor:
    """(m,) cosine of (m, c, h, w) values inside the mask, near 0 where their mean square is less than `noise`."""
    one, two = (one * mask).flatten(1), (two * mask).flatten(1)
    floor = noise * one.shape[1] / mask[0].numel() * mask.flatten(1).sum(1) + 1e-6
    return (one * two).sum(1) / ((one.square().sum(1) + floor) * (two.square().sum(1) + floor)).sqrt()


def _sampling(zoom: Tensor, shift: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """(m, n, n) weights of linear interpolation along one axis, and (m, n) whether the place is inside."""
    index = torch.arange(n, dtype=torch.float32)
    place = zoom[:, None] * ((2 * index + 1) / n - 1) + shift[:, None]
    pixel = ((place + 1) * n - 1) / 2
    inside = ((pixel >= -0.5) & (pixel <= n - 0.5)).float()
    return (1 - (pixel.clamp(0, n - 1)[:, :, None] - index).abs()).clamp_min(0), inside


def _gradients(one: Tensor, two: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Differences to the right and downwards, as two channels, where all pixels involved are inside.

    Each is divided by the root of its size: the one hard edge of a frame would outweigh the picture.
    """
    mask = mask[..., 1:, 1:] * mask[..., :-1, :-1]
    pair = [torch.cat([p[..., :-1, 1:] - p[..., :-1, :-1], p[..., 1:, :-1] - p[..., :-1, :-1]], 1) for p in (one, two)]
    pair = [slope * (slope.abs() + NOISE**2).rsqrt() for slope in pair]
    return pair[0], pair[1], mask.eq(1).float()


def _step(first: Tensor, second: Tensor, pose: Tensor) -> Tensor:
    """One Gauss-Newton step on (m, 1, n, n) brightness: solves for zoom, shift, gain and offset together."""
    n = first.shape[-1]
    seen, mask = warp(second, pose)
    across, down = _slopes(seen[:, 0], n)
    across, down = across / pose[:, :1, None], down / pose[:, 1:2, None]  # per unit of the second's places
    place = (2 * torch.arange(n) + 1) / n - 1
    terms = [across * place, down * place[:, None], across, down, seen[:, 0], torch.ones_like(seen[:, 0])]
    terms_ = (torch.stack(terms, 1) * mask).flatten(2)  # (m, 6, n * n)
    normal = terms_ @ terms_.transpose(1, 2)
    ridge = 1e-3 * torch.diag_embed(normal.diagonal(dim1=1, dim2=2)) + torch.eye(6)
    solved = torch.linalg.solve(normal + ridge, (terms_ @ (first * mask).flatten(1)[:, :, None])[:, :, 0])
    gain = solved[:, 4:5]
    change = torch.where(gain > 0.05, solved[:, :4] / gain.clamp_min(0.05), 0).clamp(-2 / n, 2 / n)  # one pixel at most
    moved = pose + change
    return torch.cat([moved[:, :2].clamp(*ZOOM), moved[:, 2:].clamp(-SHIFT, SHIFT)], 1)


def _slopes(pictures: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """(m, n, n) central differences per unit of place (half a width), 0 at the border."""
    across, down = torch.zeros_like(pictures), torch.zeros_like(pictures)
    across[:, :, 1:-1] = (pictures[:, :, 2:] - pictures[:, :, :-2]) * n / 4
    down[:, 1:-1] = (pictures[:, 2:] - pictures[:, :-2]) * n / 4
    return across, down
