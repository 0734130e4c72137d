"""A converted network is kept for next time: the same to the bit, and never in the way."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from embed_samples import picture

from curate.networks import create as models
from curate.networks import openvino as convert
from curate.networks.create import create_backbone
from curate.networks.embedder import Embedder

pytest.importorskip("openvino", reason="the backend openvino is not installed")

DEFAULT = "tf_efficientnet_lite0"
IMAGES = np.stack([np.asarray(picture(seed, width=64, height=64)) for seed in range(3)])


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of what is kept, empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "curate"


def made(name: str = DEFAULT) -> Embedder:
    return Embedder(name, 64, device=torch.device("cpu"), batch_size=2, backend="openvino")


def refuses(*_: object) -> None:
    raise AssertionError("converted again")


def test_what_was_kept_gives_the_same_embeddings_to_the_bit(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = made()
    assert [file.name for file in cache.iterdir()] == [f"{DEFAULT}-64px-2.npz"]
    monkeypatch.setattr(convert, "_made", refuses)
    second = made()
    assert second.fingerprint == first.fingerprint
    np.testing.assert_array_equal(second.embed(IMAGES), first.embed(IMAGES))


def test_a_network_that_was_kept_is_read_without_timm(cache: Path) -> None:
    script = """
import sys, torch
from curate.networks.embedder import Embedder
Embedder("tf_efficientnet_lite0", 64, device=torch.device("cpu"), batch_size=2, backend="openvino")
print(*sorted({"timm", "torchvision", "torch._dynamo"} & set(sys.modules)))
"""
    seen = [subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True) for _ in (1, 2)]
    assert [run.stdout.split() for run in seen] == [["timm", "torch._dynamo", "torchvision"], []]


@pytest.mark.parametrize("damage", [b"", b"no archive", None])
def test_what_is_damaged_is_made_anew(cache: Path, damage: bytes | None, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = made().embed(IMAGES)
    (file,) = cache.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    np.testing.assert_array_equal(made().embed(IMAGES), expected)
    monkeypatch.setattr(convert, "_made", refuses)
    np.testing.assert_array_equal(made().embed(IMAGES), expected)


def test_what_other_code_or_other_weights_made_is_made_anew(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made()
    monkeypatch.setattr(convert, "code_version", lambda: "another")
    monkeypatch.setattr(convert, "_made", refuses)
    with pytest.raises(AssertionError, match="converted again"):
        made()


def test_where_nothing_can_be_kept_all_else_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert made().embed(IMAGES).shape == (3, 1408)


def test_a_disk_that_is_full_is_told_as_such(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import openvino

    def full(*_: object) -> None:
        raise RuntimeError("basic_ios::clear: iostream error")

    monkeypatch.setattr(openvino, "serialize", full)
    with pytest.raises(OSError, match="could not write the converted network") as raised:
        made()
    assert raised.value.errno == errno.ENOSPC


def test_weights_of_a_hub_are_not_kept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "create_backbone", lambda name: create_backbone(name, pretrained=False))
    assert made("test_resnet").dim and not cache.exists()
