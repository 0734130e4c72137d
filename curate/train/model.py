"""The networks: a timm model behind its normalisation, a linear head on its features, and checkpoints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from curate.errors import ModelError, StageMissing
from curate.workspace import replacing

State = dict[str, torch.Tensor]
WEIGHTS, FACTS = "model.safetensors", "arm.json"


class Classifier(nn.Module):
    """A timm model that takes pixels as they are: normalisation belongs to the network, not to its user."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        config: dict[str, Any] = network.pretrained_cfg  # type: ignore[assignment]
        for name in ("mean", "std"):
            self.register_buffer(name, torch.tensor(config[name]) * 255, persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(n, S, S, 3) uint8 → (n, C) logits, or (n, D) features of a network without classes."""
        pixels = (images.float() - self.mean) / self.std
        return self.network(pixels.permute(0, 3, 1, 2))  # which is channels_last in memory


class Head(nn.Module):
    """Features → logits: standardised by the training images, then one linear layer.

    Parameters
    ----------
    features : (n, D) of the training images
    """

    mean: torch.Tensor
    spread: torch.Tensor

    def __init__(self, features: torch.Tensor, n_classes: int) -> None:
        super().__init__()
        spread, mean = torch.std_mean(features.float(), dim=0, correction=0)
        self.register_buffer("mean", mean)
        self.register_buffer("spread", spread.clamp(min=1e-4))
        self.linear = nn.Linear(features.shape[1], n_classes)
        nn.init.zeros_(self.linear.weight)  # the loss is convex: every start leads to the same end
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(n, D) float32 → (n, C) logits."""
        return self.linear((features - self.mean) / self.spread)


def unstandardised(head: State) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight (C, D) and bias (C,) of the linear layer on plain features that equals a `Head`'s state."""
    weight = head["linear.weight"] / head["spread"]
    return weight, head["linear.bias"] - weight @ head["mean"]


def linear_classifier(network: nn.Module) -> nn.Linear:
    """The last layer of a timm model, where it is one linear layer; else ModelError."""
    layer = network.get_classifier()  # type: ignore[operator]
    if not isinstance(layer, nn.Linear):
        raise ModelError(
            f"the classifier of this model is {type(layer).__name__}",
            "one linear layer, for the preset quick",
            "use the preset full, or another model",
        )
    return layer


def save_weights(file: Path, network_state: State) -> None:
    """Write a timm model's state dict as safetensors, atomically."""
    from safetensors.torch import save_file

    with replacing(file) as temporary:
        save_file({name: value.contiguous() for name, value in network_state.items()}, temporary)


def load_model(folder: Path) -> tuple[Classifier, dict[str, Any]]:
    """Load the model of one arm for inference.

    Parameters
    ----------
    folder : an arm's folder in a run, such as `runs/1/arms/after-0`

    Returns
    -------
    model : on the CPU, in eval mode; takes images brought to `image_size` as in training
    facts : what stands in its arm.json: classes in the order of the logits, recipe, figures
    """
    import timm
    from safetensors.torch import load_file

    if not (folder / FACTS).exists() or not (folder / WEIGHTS).exists():
        raise StageMissing(f"no trained model in {folder}", do="curate retrain")
    facts = json.loads((folder / FACTS).read_text())
    network = timm.create_model(facts["recipe"]["model"], num_classes=len(facts["classes"]))
    network.load_state_dict(load_file(folder / WEIGHTS))
    return Classifier(network).eval(), facts
