"""OpenVINO against torch: the same embeddings, told apart, and no silent choice between them."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from embed_samples import picture

from curate.errors import ModelError
from curate.networks import create as models
from curate.networks import embedder
from curate.networks import openvino as convert
from curate.networks.backends import choose_backend
from curate.networks.create import create_backbone
from curate.networks.embedder import Embedder

pytest.importorskip("openvino", reason="the backend openvino is not installed")

DEFAULT = "tf_efficientnet_lite0"
CPU = torch.device("cpu")


def pictures(n: int, side: int = 64) -> np.ndarray:
    return np.stack([np.asarray(picture(seed, width=side, height=side)) for seed in range(n)])


def both(name: str, images: np.ndarray, size: int = 64) -> list[np.ndarray]:
    each = [Embedder(name, size, device=CPU, batch_size=8, backend=backend) for backend in ("torch", "openvino")]
    assert each[0].fingerprint != each[1].fingerprint
    assert [embedder.backend for embedder in each] == ["torch", "openvino"]
    return [embedder.embed(images) for embedder in each]


def test_openvino_gives_the_embeddings_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedder, "choose_dtype", lambda device: torch.float32)
    torchs, openvinos = both(DEFAULT, pictures(11))
    assert (torchs * openvinos).sum(axis=1).min() > 0.99999
    np.testing.assert_allclose(openvinos, torchs, atol=1e-4)


def test_half_precision_of_both_is_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedder, "choose_dtype", lambda device: torch.bfloat16)
    torchs, openvinos = both(DEFAULT, pictures(11))
    assert (torchs * openvinos).sum(axis=1).min() > 0.99


def test_networks_without_stage_pooling_agree_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "create_backbone", lambda name: seeded(name))
    torchs, openvinos = both("test_vit", pictures(3, 160), 160)
    assert (torchs * openvinos).sum(axis=1).min() > 0.9999


def seeded(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    return create_backbone(name, pretrained=False)


def test_networks_that_come_and_go_in_any_order_leave_signals_be() -> None:
    script = """
import os, signal, torch
from curate.networks.embedder import Embedder
got = []
signal.signal(signal.SIGUSR1, lambda *_: got.append(1))
make = lambda: Embedder("tf_efficientnet_lite0", 64, device=torch.device("cpu"), batch_size=2, backend="openvino")
first, second = make(), make()
del first
del second
os.kill(os.getpid(), signal.SIGUSR1)
assert got
"""
    done = subprocess.run([sys.executable, "-X", "faulthandler", "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, f"{done.returncode}: {done.stderr}"


def test_converting_a_network_asks_nothing_of_the_internet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # or it would be read, as it was converted before

    def refused(*_: object) -> None:
        raise AssertionError("somebody wanted to connect")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    assert Embedder(DEFAULT, 64, device=CPU, batch_size=2, backend="openvino").dim == 1408


def test_auto_takes_openvino_on_a_cpu_and_torch_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_backend("auto", CPU) == "openvino"
    assert choose_backend("auto", torch.device("cuda")) == "torch"
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert choose_backend("auto", CPU) == "torch"
    with pytest.raises(ModelError, match="not installed"):
        choose_backend("openvino", CPU)


def test_a_backend_that_cannot_be_is_an_error() -> None:
    with pytest.raises(ModelError, match="does not run on cuda"):
        choose_backend("openvino", torch.device("cuda"))
    with pytest.raises(ModelError, match="no backend 'onnx'"):
        choose_backend("onnx", CPU)


def test_a_network_that_openvino_cannot_run_is_run_by_torch_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuses(*_: object, **__: object) -> None:
        raise RuntimeError("no such operation")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # or it would be read, as it was converted before
    monkeypatch.setattr(convert.torch.jit, "trace", refuses)
    with caplog.at_level(logging.WARNING):
        assert Embedder(DEFAULT, 64, device=CPU, batch_size=2).backend == "torch"
    assert "no such operation" in caplog.text
    with pytest.raises(ModelError, match="use --backend torch"):
        Embedder(DEFAULT, 64, device=CPU, batch_size=2, backend="openvino")
