"""Stage pooling against hooks on the unchanged network."""

from __future__ import annotations

import timm
import torch

from curate.networks.pool import StagePool, embedding_network


def test_the_deep_stages_are_pooled_each_to_length_one() -> None:
    torch.manual_seed(0)
    network = timm.create_model("tf_efficientnet_lite0").eval()
    maps: dict[int, torch.Tensor] = {}
    for number in (3, 4, 5, 6):
        network.blocks[number].register_forward_hook(lambda _, __, out, number=number: maps.update({number: out}))
    images = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        found = StagePool(network).eval()(images)
        network(images)
    expected = []
    for number in (3, 4, 5, 6):
        flat = maps[number].flatten(2)  # (n, c, pixels)
        expected += [flat.mean(2), flat.std(2, correction=0)]
    expected = [part / part.norm(dim=1, keepdim=True) for part in expected]
    torch.testing.assert_close(found, torch.cat(expected, dim=1))
    assert found.shape == (2, 1408)


def test_a_single_pixel_has_no_spread_and_no_nan() -> None:
    found = StagePool(timm.create_model("test_efficientnet").eval())(torch.rand(1, 3, 16, 16))
    assert torch.isfinite(found).all()


def test_other_networks_keep_their_own_pooling() -> None:
    network = timm.create_model("test_resnet", num_classes=0)
    assert embedding_network(network) is network
