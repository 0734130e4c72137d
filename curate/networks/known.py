"""The input size of networks."""

from __future__ import annotations

import difflib

from curate.config import EmbedOptions
from curate.errors import ModelError
from curate.networks.packaged import PACKAGED


def own_size(name: str) -> tuple[int, bool]:
    """The input size that a model was made for, and whether it takes no other."""
    if name in PACKAGED:
        return PACKAGED[name].image_size, False
    import timm

    require_known(name)
    config = timm.get_pretrained_cfg(name, allow_unregistered=False)
    assert config is not None  # a known name has one
    return config.input_size[-1], bool(config.fixed_input_size)


def require_known(name: str) -> None:
    """Raises ModelError where timm has no such model."""
    import timm

    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=3, cutoff=0.5) or [EmbedOptions.model]
        raise ModelError(f"timm knows no model '{name}'", f"a name such as {', '.join(near)}")
