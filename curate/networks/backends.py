"""What runs the network: torch on any device, OpenVINO on a CPU, where it is 1.4 to 1.7 times as fast.

A backend is a function (batch, S, S, 3) uint8 → (batch, d) float32 of length one, safe to call from several
threads. Its batch always has the same shape: the last bits of an embedding depend on it.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from curate.errors import ModelError
from curate.offline import import_openvino

Run = Callable[[np.ndarray], np.ndarray]
BACKENDS = ("auto", "torch", "openvino")

log = logging.getLogger(__name__)


class Normalized(nn.Module):
    """A network between pixels and embeddings: normalisation before it, length one after it."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", 255 * torch.tensor(mean).view(3, 1, 1))
        self.register_buffer("std", 255 * torch.tensor(std).view(3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """(n, S, S, 3) uint8 → (n, d) float32, L2-normalised."""
        planes = images.permute(0, 3, 1, 2).float()  # channels_last, as the network's weights are
        weight = next(self.network.parameters())
        features = self.network(((planes - self.mean) / self.std).to(weight.dtype))
        return nn.functional.normalize(features.float())


def choose_backend(name: str, device: torch.device) -> str:
    """`auto` is OpenVINO where it is installed and the device is a CPU. Raises ModelError."""
    if name not in BACKENDS:
        raise ModelError(f"there is no backend '{name}'", ", ".join(BACKENDS))
    installed = importlib.util.find_spec("openvino") is not None
    if name == "openvino" and device.type != "cpu":
        raise ModelError(f"the backend openvino does not run on {device}", "--device cpu, or --backend torch")
    if name == "openvino" and not installed:
        raise ModelError("the backend openvino is not installed", do="pip install openvino")
    if name == "auto":
        return "openvino" if installed and device.type == "cpu" else "torch"
    return name


def on_torch(network: Normalized, device: torch.device, dtype: torch.dtype, lanes: int) -> Run:
    """Run by torch, at most `lanes` calls at once; on CUDA each has a stream, so that one's transfer hides
    behind another's computing."""
    network.network.to(dtype)
    network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    on_cuda = device.type == "cuda"
    streams: SimpleQueue[torch.cuda.Stream | None] = SimpleQueue()
    for _ in range(lanes):
        streams.put(torch.cuda.Stream(device) if on_cuda else None)

    def run(images: np.ndarray) -> np.ndarray:
        stream = streams.get()  # waits for a free lane
        try:
            with torch.cuda.stream(stream), torch.inference_mode():  # a stream of None changes nothing
                pixels = torch.from_numpy(images)
                if on_cuda:
                    pixels = pixels.pin_memory().to(device, non_blocking=True)
                found: np.ndarray = network(pixels).cpu().numpy()
                return found
        finally:
            streams.put(stream)

    return run


def on_openvino(model: Any, dtype: torch.dtype, lanes: int) -> Run:
    """Run a model of `curate.networks.openvino` by OpenVINO on a CPU; `lanes` calls at once, a stream for each."""
    openvino = import_openvino()

    settings = {
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "NUM_STREAMS": lanes,
        "INFERENCE_PRECISION_HINT": str(dtype).removeprefix("torch.").replace("float32", "f32").replace("bfloat", "bf"),
    }
    # In a thread of its own: on some processors OpenVINO gives the thread that compiles a stack for signals, and takes
    # it away with the network. When two networks go in another order than they came, the thread is left with a stack
    # that is gone, and dies of the next signal: a Ctrl-C, or the end of a child.
    with ThreadPoolExecutor(1) as thread:
        compiled = thread.submit(openvino.Core().compile_model, model, "CPU", settings).result()
    requests: SimpleQueue[Any] = SimpleQueue()
    for _ in range(lanes):
        requests.put(compiled.create_infer_request())

    def run(images: np.ndarray) -> np.ndarray:
        request = requests.get()  # waits for a free stream
        try:
            found: np.ndarray = request.infer([images])[0].copy()
            return found
        finally:
            requests.put(request)

    return run
