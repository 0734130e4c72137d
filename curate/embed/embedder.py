"""Pixels → embeddings: a network ready to embed on one device."""

from __future__ import annotations

from collections.abc import Sequence

from curate.config import EmbedOptions
from curate.embed.size import choose_image_size
from curate.errors import ModelError
from curate.machine.allocator import keep_large_blocks
from curate.machine.device import choose_device
from curate.networks.embedder import Embedder
from curate.networks.known import own_size


def load_embedder(options: EmbedOptions, paths: Sequence[str]) -> Embedder:
    """The embedder that the options name, for the images at `paths`.

    Raises
    ------
    ModelError : unknown model, device or backend, weights that can't be had, a size that the model does not take
    """
    own, fixed = own_size(options.model)
    size = options.image_size or choose_image_size(paths, model=options.model)
    if fixed and size != own:
        raise ModelError(f"'{options.model}' does not take images of {size} px", f"{own} px", "leave --image-size out")
    device = choose_device(options.device)
    if device.type == "cpu":
        keep_large_blocks()
    return Embedder(options.model, size, device=device, batch_size=options.batch_size, backend=options.backend)
