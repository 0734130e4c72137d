"""EfficientNet-Lite0 as its authors wrote it, with the names of its weights: the oracle of the default model.

After lukemelas' EfficientNet-PyTorch and the Lite variant of it that the weights were made with: no
squeeze-and-excitation, ReLU6 for swish, a fixed stem and head, "same" padding as TensorFlow's.
"""

from __future__ import annotations

import torch
from torch import nn

STAGES = (  # repeats, kernel, stride, expansion, channels out
    (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)  # fmt: skip


class SameConv(nn.Conv2d):
    """Pads so that the output has ceil(input / stride) pixels, the odd pixel at the bottom and the right."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        side, kernel, stride = images.shape[-1], self.kernel_size[0], self.stride[0]
        total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
        ends = (total // 2, total - total // 2)
        return super().forward(nn.functional.pad(images, (*ends, *ends)))


def norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


class Block(nn.Module):
    def __init__(self, before: int, after: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = before * expansion
        self.expands, self.adds = expansion > 1, stride == 1 and before == after
        if self.expands:
            self._expand_conv, self._bn0 = SameConv(before, wide, 1, bias=False), norm(wide)
        self._depthwise_conv = SameConv(wide, wide, kernel, stride, groups=wide, bias=False)
        self._bn1 = norm(wide)
        self._project_conv, self._bn2 = SameConv(wide, after, 1, bias=False), norm(after)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        out = nn.functional.relu6(self._bn0(self._expand_conv(maps))) if self.expands else maps
        out = nn.functional.relu6(self._bn1(self._depthwise_conv(out)))
        out = self._bn2(self._project_conv(out))
        return out + maps if self.adds else out


class Lite0(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = SameConv(3, 32, 3, 2, bias=False), norm(32)
        self._blocks, before = nn.ModuleList(), 32
        for repeats, kernel, stride, expansion, after in STAGES:
            for number in range(repeats):
                self._blocks.append(Block(before, after, kernel, stride if number == 0 else 1, expansion))
                before = after
        self._conv_head, self._bn1 = SameConv(320, 1280, 1, bias=False), norm(1280)
        self._fc = nn.Linear(1280, 1000)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = nn.functional.relu6(self._bn0(self._conv_stem(images)))
        for block in self._blocks:
            maps = block(maps)
        maps = nn.functional.relu6(self._bn1(self._conv_head(maps)))
        return self._fc(maps.mean((2, 3)))
