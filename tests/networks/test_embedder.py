"""What an embedding may and may not depend on."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from embed_samples import picture

from curate.errors import ModelError
from curate.machine.device import choose_device
from curate.networks import create as models
from curate.networks import embedder
from curate.networks.create import create_backbone
from curate.networks.embedder import Embedder

DEFAULT = "tf_efficientnet_lite0"
CPU = torch.device("cpu")


def pictures(n: int, side: int = 64) -> np.ndarray:
    return np.stack([np.asarray(picture(seed, width=side, height=side)) for seed in range(n)])


@pytest.fixture(scope="module")
def default() -> Iterator[Embedder]:
    yield Embedder(DEFAULT, 64, device=CPU, batch_size=64)


@pytest.fixture
def untrained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Backbones without weights from a hub."""
    monkeypatch.setattr(models, "create_backbone", lambda name: create_backbone(name, pretrained=False))


def test_a_device_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ModelError, match="no device 'warp'"):
        choose_device("warp")
    with pytest.raises(ModelError, match="no device 'cuda:99'"):
        choose_device("cuda:99")


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
    monkeypatch.setattr(embedder, "choose_dtype", lambda device: torch.float32)
    single = Embedder(DEFAULT, 64, device=CPU, batch_size=16)
    monkeypatch.setattr(embedder, "choose_dtype", lambda device: torch.bfloat16)
    half = Embedder(DEFAULT, 64, device=CPU, batch_size=16)
    assert half.fingerprint != single.fingerprint
    cosines = (half.embed(pictures(8)) * single.embed(pictures(8))).sum(axis=1)
    assert cosines.min() > 0.99


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_the_same_directions(default: Embedder) -> None:
    found = Embedder(DEFAULT, 64, device=torch.device("cuda"), batch_size=32).embed(pictures(40))
    assert (found * default.embed(pictures(40))).sum(axis=1).min() > 0.99
