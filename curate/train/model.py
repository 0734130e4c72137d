"""The networks: a timm model behind its normalisation, and a linear head on its features."""

from __future__ import annotations

import torch
from timm.data import resolve_model_data_config
from torch import nn

from curate.networks.pool import embedding_network

State = dict[str, torch.Tensor]


class Classifier(nn.Module):
    """A timm model that takes pixels as they are: normalisation belongs to the network, not to its user."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, model: nn.Module, *, network: nn.Module | None = None) -> None:
        super().__init__()
        self.network = network or model  # a part of the timm model, where only that is needed
        config = resolve_model_data_config(model)
        for name in ("mean", "std"):
            self.register_buffer(name, torch.tensor(config[name]) * 255, persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(n, S, S, 3) uint8 → (n, C) logits, or (n, D) features of a network without classes."""
        pixels = (images.float() - self.mean) / self.std
        return self.network(pixels.permute(0, 3, 1, 2))  # which is channels_last in memory


class FlipTTA(nn.Module):
    """What a classifier of pixels says of a picture and its mirror image together: the geometric mean."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(n, S, S, 3) uint8 → (n, C) logits."""
        log_probs: torch.Tensor = self.classifier(images).log_softmax(1) + self.classifier(images.flip(2)).log_softmax(
            1
        )
        return log_probs / 2


class Head(nn.Module):
    """Features → logits: standardised by the training images, then one linear layer.

    Parameters
    ----------
    features : (n, D) of the training images
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, features: torch.Tensor, n_classes: int) -> None:
        super().__init__()
        std, mean = torch.std_mean(features.float(), dim=0, correction=0)
        self.register_buffer("mean", mean)
        self.register_buffer("std", std.clamp(min=1e-4))
        self.linear = nn.Linear(features.shape[1], n_classes)
        nn.init.zeros_(self.linear.weight)  # the loss is convex: every start leads to the same end
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(n, D) float32 → (n, C) logits."""
        return self.linear((features - self.mean) / self.std)


def unstandardised(head: State) -> State:
    """The state of a linear layer on plain features that equals a `Head` of this state."""
    weight = head["linear.weight"] / head["std"]
    return {"weight": weight, "bias": head["linear.bias"] - weight @ head["mean"]}


class HeadedBackbone(nn.Module):
    """A frozen backbone, as the scan embeds with it, and a linear layer on the embeddings."""

    def __init__(self, backbone: nn.Module, linear: State) -> None:
        super().__init__()
        self.features = Classifier(backbone, network=embedding_network(backbone))
        n_classes, dim = linear["weight"].shape
        self.linear = nn.Linear(dim, n_classes)
        self.linear.load_state_dict(linear)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(n, S, S, 3) uint8 → (n, C) logits."""
        return self.linear(nn.functional.normalize(self.features(images)))
