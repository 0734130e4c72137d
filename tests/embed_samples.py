"""Small pictures as bytes, and an embedder that needs no network."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from curate.embed.look import File, Look, look_at


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=format, **options)
    return buffer.getvalue()


def picture(seed: int = 0, *, width: int = 60, height: int = 44) -> Image.Image:
    """A smooth colourful picture; each seed another."""
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


class FakeEmbedder:
    """The interface of `Embedder`, its embeddings a fixed projection of the pixels; counts what it embeds."""

    name, image_size, batch_size, lanes, dim = "fake", 32, 4, 1, 6

    def __init__(self, fingerprint: str = "fake-1") -> None:
        self.fingerprint, self.embedded = fingerprint, 0
        self._projection = np.random.default_rng(0).normal(size=(32 * 32 * 3, self.dim))

    def embed(self, images: np.ndarray) -> np.ndarray:
        self.embedded += len(images)
        features = np.stack([image.reshape(-1) / 255 @ self._projection for image in images])
        return (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32)


def look_or_die(files: Sequence[File]) -> list[Look]:
    """What a decoder with a fault does: the process dies of files named `bomb`. `bug` is a fault of ours."""
    if any("bomb" in file.sample_id for file in files):
        os.kill(os.getpid(), signal.SIGSEGV)
    if any("bug" in file.sample_id for file in files):
        raise ZeroDivisionError("a fault of ours")
    return look_at(files, image_size=64, max_pixels=10**6)
