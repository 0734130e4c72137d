"""The networks: a timm model behind its normalisation, a linear head on its features, and checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from timm.data import resolve_model_data_config
from torch import nn

from curate.errors import StageMissing
from curate.files import Shape, read_sealed, replacing, require_digest
from curate.networks.create import create_backbone
from curate.networks.pool import embedding_network

State = dict[str, torch.Tensor]
WEIGHTS, FACTS = "model.safetensors", "arm.json"
ARM: Shape = {
    "fingerprint": str,
    "arm": str,
    "seed": int,
    "n_train": int,
    "n_val": int,
    "best_epoch": int,
    "steps": int,
    "seconds": float,
    "recipe": {"model": str, "preset": str, "image_size": int, ...: object},
    "classes": [str],
    "digests?": {...: str},
}


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


class BothWays(nn.Module):
    """What a classifier of pixels says of a picture and its mirror image together: the geometric mean."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(n, S, S, 3) uint8 → (n, C) logits."""
        told: torch.Tensor = self.classifier(images).log_softmax(1) + self.classifier(images.flip(2)).log_softmax(1)
        return told / 2


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


def unstandardised(head: State) -> State:
    """The state of a linear layer on plain features that equals a `Head` of this state."""
    weight = head["linear.weight"] / head["spread"]
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


def save_weights(file: Path, weights: State) -> None:
    """Write tensors as safetensors, atomically."""
    from safetensors.torch import save_file

    with replacing(file) as temporary:
        save_file({name: value.contiguous() for name, value in weights.items()}, temporary)


def read_arm(folder: Path) -> dict[str, Any]:
    """What stands in the arm.json of a finished arm, whose other files are what was written.

    Raises
    ------
    DamagedFile : one of them is gone or is not
    """
    facts = read_sealed(folder / FACTS, ARM, do="curate retrain")
    for name, digest in facts.get("digests", {}).items():  # an earlier curate kept none
        require_digest(folder / name, digest, do="curate retrain")
    return facts


def load_model(folder: Path) -> tuple[nn.Module, dict[str, Any]]:
    """Load the model of one arm for inference.

    Parameters
    ----------
    folder : an arm's folder in a run, such as `runs/1/arms/after-0`

    Returns
    -------
    model : on the CPU, in eval mode: (n, S, S, 3) uint8, by `curate.images.resize.resized` → (n, C) logits
    facts : what stands in its arm.json: classes in the order of the logits, recipe (with image_size) …
    """
    from safetensors.torch import load_file

    if not (folder / FACTS).exists() or not (folder / WEIGHTS).exists():
        raise StageMissing(f"no trained model in {folder}", do="curate retrain")
    facts = read_arm(folder)
    name, weights = facts["recipe"]["model"], load_file(folder / WEIGHTS)
    if facts["recipe"]["preset"] == "quick":
        return HeadedBackbone(create_backbone(name), weights).eval(), facts
    network = create_backbone(name, len(facts["classes"]), pretrained=False)
    network.load_state_dict(weights)
    return Classifier(network).eval(), facts
