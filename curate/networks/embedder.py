"""Pixels → embeddings: a network, its input and its batches."""

from __future__ import annotations

import logging

import numpy as np
import torch

from curate.embed.size import SMALLEST_SIZE
from curate.errors import ModelError
from curate.machine.device import choose_dtype
from curate.networks.backends import Run, choose_backend, on_openvino, on_torch

PREPROCESSING = 4  # part of the fingerprint: goes up when resizing, batching, normalising, pooling, converting changes
CPU_LANES = 8  # more batches at once would cost more memory than they bring speed
CPU_BATCH = 32  # images of the smallest size; of larger ones fewer, so that what is between two layers fits the cache
log = logging.getLogger(__name__)


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
        on_cpu, dtype = device.type == "cpu", choose_dtype(device)
        self.name, self.image_size, self.device = name, image_size, device
        self.batch_size = min(batch_size, _cpu_batch(image_size)) if on_cpu else batch_size
        self.lanes = min(CPU_LANES, torch.get_num_threads()) if on_cpu else 2
        chosen = choose_backend(backend, device)
        self.backend, self._run, digest = self._start(chosen, dtype, is_wish=backend == "auto")
        self.dim = self._embed(np.zeros((1, image_size, image_size, 3), np.uint8)).shape[1]
        number = str(dtype).removeprefix("torch.")
        self.fingerprint = f"{name}-{digest}-{image_size}px-{number}-{self.backend}-{PREPROCESSING}"

    def _start(self, backend: str, dtype: torch.dtype, *, is_wish: bool) -> tuple[str, Run, str]:
        """The backend's name and function, and the digest of the weights; where OpenVINO was only a wish and can't run
        this network, torch's."""
        if backend == "openvino":
            from curate.networks.openvino import openvino_model

            try:
                model, digest = openvino_model(self.name, self.image_size, self.batch_size)
                return backend, on_openvino(model, dtype, self.lanes), digest
            except ModelError as error:
                if not is_wish:
                    raise
                log.warning("%s: torch runs it, more slowly", error.found)
        from curate.networks.create import embedding_model

        network, digest = embedding_model(self.name, self.image_size)
        return "torch", on_torch(network, self.device, dtype, self.lanes), digest

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


def _cpu_batch(image_size: int) -> int:
    """A power of two, at most as many pixels as `CPU_BATCH` images of the smallest size."""
    return 1 << max(0, int(np.log2(CPU_BATCH * (SMALLEST_SIZE / image_size) ** 2)))
