"""What an embedding is, for networks whose last map is narrow: the statistics of all deep maps."""

from __future__ import annotations

import torch
from timm.models import EfficientNet, MobileNetV3
from torch import nn

DEEP_STRIDE = 16  # pixels of the input per step of a map: from here on maps tell things, before it edges


class StagePool(nn.Module):
    """An EfficientNet or MobileNet whose output is the mean and the spread of each of its deep maps.

    These networks end in a narrow map that one more convolution blows up to 1,280 features for the classifier.
    Means and standard deviations over the pixels of the last stages (from stride 16 on), each part of length
    one, tell more about a picture for less work: of 32-pixel images at 96, a linear probe recognises as many as
    it does from the classifier's features at 224, and a third more near-duplicates rank among the first 300
    pairs (docs/embed.md).
    """

    def __init__(self, network: EfficientNet | MobileNetV3) -> None:
        super().__init__()
        self.conv_stem, self.bn1, self.blocks = network.conv_stem, network.bn1, network.blocks
        shallow = [info["module"] for info in network.feature_info if info["reduction"] < DEEP_STRIDE]
        self.first_deep = 1 + int(shallow[-1].removeprefix("blocks."))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(n, 3, S, S) → (n, d) float32: 2 × (80 + 112 + 192 + 320) = 1,408 for EfficientNet-Lite0."""
        maps = self.bn1(self.conv_stem(images))
        parts: list[torch.Tensor] = []
        for number, stage in enumerate(self.blocks):
            maps = stage(maps)
            if number >= self.first_deep:
                variance, mean = torch.var_mean(maps.float(), dim=(2, 3), correction=0)
                parts += [nn.functional.normalize(mean), nn.functional.normalize(variance.sqrt())]
        return torch.cat(parts, dim=1)


def embedding_network(backbone: nn.Module) -> nn.Module:
    """`backbone` with stage pooling where it suits; any other network keeps its own pooled features."""
    return StagePool(backbone) if isinstance(backbone, EfficientNet | MobileNetV3) else backbone
