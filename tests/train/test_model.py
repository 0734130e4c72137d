"""Normalisation inside the network, and heads that can be taken apart."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from torch import nn

from curate.errors import StageMissing
from curate.networks.create import create_backbone
from curate.networks.embedder import Embedder
from curate.train.checkpoint import load_model
from curate.train.model import Classifier, FlipTTA, Head, HeadedBackbone, unstandardised

IMAGES = torch.randint(0, 256, (3, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_a_classifier_normalises_as_timm_would() -> None:
    network = timm.create_model("test_efficientnet").eval()
    mean, std = (torch.tensor(network.pretrained_cfg[name])[:, None, None] for name in ("mean", "std"))
    expected = network((IMAGES.permute(0, 3, 1, 2) / 255 - mean) / std)
    torch.testing.assert_close(Classifier(network)(IMAGES), expected, rtol=1e-4, atol=1e-5)


def test_a_picture_and_its_mirror_image_are_judged_alike_by_both() -> None:
    classifier = Classifier(timm.create_model("test_efficientnet", num_classes=5)).eval()
    one, other = (classifier(images).softmax(1) for images in (IMAGES, IMAGES.flip(2)))
    expected = (one * other).sqrt()
    both = FlipTTA(classifier)
    torch.testing.assert_close(both(IMAGES).softmax(1), expected / expected.sum(1, keepdim=True))
    torch.testing.assert_close(both(IMAGES.flip(2)), both(IMAGES))


def test_a_head_without_its_standardising_is_a_linear_layer_of_the_same_outputs() -> None:
    features = torch.randn(50, 8) * torch.arange(1, 9) + 3
    head, linear = Head(features, 4), nn.Linear(8, 4)
    nn.init.normal_(head.linear.weight)
    linear.load_state_dict(unstandardised(head.state_dict()))
    torch.testing.assert_close(linear(features), head(features), rtol=1e-4, atol=1e-4)


def test_a_constant_feature_does_no_harm() -> None:
    features = torch.ones(10, 3)
    assert torch.isfinite(Head(features, 2)(features)).all()


def test_a_headed_backbone_sees_what_the_embedder_saw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curate.networks.embedder.choose_dtype", lambda device: torch.float32)
    embedder = Embedder("tf_efficientnet_lite0", 32, device=torch.device("cpu"), batch_size=4)
    linear = {"weight": torch.eye(embedder.dim), "bias": torch.zeros(embedder.dim)}
    model = HeadedBackbone(create_backbone("tf_efficientnet_lite0"), linear).eval()
    with torch.inference_mode():
        embeddings = model(IMAGES)
    torch.testing.assert_close(embeddings, torch.from_numpy(embedder.embed(IMAGES.numpy())), rtol=1e-3, atol=1e-4)


def test_a_folder_without_a_model_is_said(tmp_path: Path) -> None:
    with pytest.raises(StageMissing, match="no trained model"):
        load_model(tmp_path)
