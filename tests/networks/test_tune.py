"""Tuned networks against the same networks untuned."""

from __future__ import annotations

import timm
import torch
from timm.layers.conv2d_same import Conv2dSame
from torch import nn

from curate.networks.pool import embedding_network
from curate.networks.tune import tuned


def outputs(network: nn.Module, size: int) -> torch.Tensor:
    images = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(7))
    with torch.inference_mode():
        return network.eval()(images)


def with_random_norms(name: str) -> nn.Module:
    """Norms that do something: a new network's are the identity."""
    torch.manual_seed(0)
    network = timm.create_model(name, num_classes=0).eval()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for tensor in (layer.weight.data, layer.bias.data, layer.running_mean, layer.running_var):
                tensor.uniform_(0.5, 1.5)
    return network


def test_norms_and_lopsided_padding_go_and_the_outputs_stay() -> None:
    for size in (64, 72):  # 72: some maps have odd sides, where the padding is even
        network = embedding_network(with_random_norms("tf_efficientnet_lite0"))
        expected = outputs(network, size)
        faster = tuned(network, size)
        assert not any(isinstance(layer, nn.BatchNorm2d | Conv2dSame) for layer in faster.modules())
        torch.testing.assert_close(outputs(faster, size), expected, rtol=0, atol=1e-4)


def test_networks_of_other_families_keep_their_outputs() -> None:
    for name in ("test_resnet", "test_convnext", "test_vit"):
        network = with_random_norms(name)
        expected = outputs(network, 160)
        torch.testing.assert_close(outputs(tuned(network, 160), 160), expected, rtol=1e-3, atol=1e-4)


class Misleading(nn.Module):
    """Registers a norm after a convolution, and applies it before."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3)
        self.norm.running_mean.fill_(0.4)
        self.norm.running_var.fill_(0.1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.conv(self.norm(images)).mean((2, 3))


def test_a_network_that_tuning_would_change_is_left_as_it_is() -> None:
    network = Misleading().eval()
    assert tuned(network, 16) is network
