"""A network as OpenVINO reads it: converted from torch, and kept for next time where its weights are a package's.

To convert takes two seconds, most of them for timm and what torch needs to trace a network. What is kept is
read in a tenth of one. It lies in the user's cache (`~/.cache/curate`, or below XDG_CACHE_HOME), one file for a model,
size and batch, and may be deleted at any time.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import warnings
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from curate.errors import DamagedFile, ModelError
from curate.files import code_version, digest_of, read_arrays, replacing
from curate.networks.backends import Normalized
from curate.networks.packaged import packaged_weights
from curate.offline import import_openvino

VERSIONS = ("openvino", "torch", "timm")  # of what has a part in a conversion, beside curate

log = logging.getLogger(__name__)


def openvino_model(name: str, image_size: int, batch_size: int) -> tuple[Any, str]:
    """The network (batch_size, S, S, 3) uint8 → (batch_size, d) float32 as an OpenVINO model, and its weights' digest.

    Raises
    ------
    ModelError : as `create_backbone`, or OpenVINO can't convert this network
    """
    weights = packaged_weights(name)
    if weights is None:
        return _made(name, image_size, batch_size)
    file = _cache() / f"{name}-{image_size}px-{batch_size}.npz"
    origin = hashlib.blake2b(digest_size=16)
    for part in (code_version(), digest_of(weights), *map(version, VERSIONS)):
        origin.update(f"{part}\n".encode())
    kept = _read(file, origin.hexdigest())
    if kept is None:
        kept = _packed(*_made(name, image_size, batch_size), origin.hexdigest())
        _keep(file, kept)
    return _unpacked(kept)


def _made(name: str, image_size: int, batch_size: int) -> tuple[Any, str]:
    from curate.networks.create import embedding_model

    network, digest = embedding_model(name, image_size)
    return _converted(network, (batch_size, image_size, image_size, 3)), digest


def _converted(network: Normalized, shape: tuple[int, ...]) -> Any:
    """The network as an OpenVINO model. Not by `openvino.convert_model`, which reports its use over the network."""
    import_openvino()
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch calls its tracer deprecated; OpenVINO still reads networks by it
            traced = torch.jit.trace(network, torch.zeros(shape, dtype=torch.uint8), check_trace=False)
        frontend = FrontEndManager().load_by_framework("pytorch")
        decoder = TorchScriptPythonDecoder(traced)  # in a variable: the frontend holds no reference to it
        model = frontend.convert(frontend.load(decoder))
        model.reshape(list(shape))
    except Exception as error:  # the tracer and the converter raise many kinds
        raise ModelError(
            f"OpenVINO can't run this network ({str(error).splitlines()[0]})", do="use --backend torch"
        ) from error
    return model


# ---- what is kept ------------------------------------------------------------------------------------------

Kept = dict[str, np.ndarray]  # description and weights of a model, digest of the network's, origin


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "curate"


def _packed(model: Any, digest: str, origin: str) -> Kept:
    openvino = import_openvino()

    with TemporaryDirectory() as folder:
        description, weights = Path(folder, "model.xml"), Path(folder, "model.bin")
        try:
            openvino.serialize(model, description, weights)
        except RuntimeError as error:  # all that it says of a full disk
            raise OSError(errno.ENOSPC, "OpenVINO could not write the converted network", folder) from error
        parts = {"description": np.fromfile(description, np.uint8), "weights": np.fromfile(weights, np.uint8)}
    return {**parts, "digest": np.array(digest), "origin": np.array(origin)}


def _unpacked(kept: Kept) -> tuple[Any, str]:
    """Model and digest. What was just made goes this way too: the last bits of embeddings depend on it."""
    openvino = import_openvino()

    model = openvino.Core().read_model(kept["description"].tobytes(), openvino.Tensor(kept["weights"]))
    return model, str(kept["digest"])


def _read(file: Path, origin: str) -> Kept | None:
    """What is kept; None where it is nothing, of another origin, or damaged."""
    try:
        if not file.exists():
            return None
        parts = read_arrays(file, do="it is made anew")
    except (DamagedFile, OSError) as error:  # another user's cache can't even be looked at
        log.info("%s", error)
        return None
    return parts if str(parts.get("origin")) == origin and parts.keys() >= {"description", "weights"} else None


def _keep(file: Path, kept: Kept) -> None:
    """Keep it; where that can't be, the next process converts the network again."""
    try:
        with replacing(file) as temporary, open(temporary, "wb") as handle:
            np.savez(handle, **kept)  # type: ignore[arg-type]
    except OSError as error:
        log.info("the converted network is not kept: %s", error)
