"""The bench beside the checkout: real pictures, what people said of them, and the truth; and how they are embedded."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from curate.config import EmbedOptions
from curate.embed.embedder import load_embedder
from curate.images.resize import resized

BENCH = Path(__file__).parents[3] / "shared" / "bench"
CIFAR = BENCH / "cifar10n-dev"  # images.tar, samples.csv, annotations.csv, truth_labels.csv, truth_near_duplicates.csv
PHOTOS = BENCH / "photos-256.tar"


def read_images(archive: Path) -> dict[str, bytes]:
    """The files of a tar, in the order of their names."""
    with tarfile.open(archive) as opened:
        files = [(member.name, opened.extractfile(member)) for member in opened.getmembers()]
        return dict(sorted((name, file.read()) for name, file in files if file))


def unpack(archive: Path, folder: Path) -> None:
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data")


def pixels(data: bytes) -> np.ndarray:
    """(H, W, 3) uint8."""
    return np.array(Image.open(io.BytesIO(data)).convert("RGB"))


def read_people(data: Path = CIFAR) -> pd.DataFrame:
    """Labels, a row for each image and a column for each annotator."""
    return pd.read_csv(data / "annotations.csv").pivot(index="image", columns="annotator", values="label")


def read_truth(data: Path = CIFAR) -> pd.DataFrame:
    """`image`, `label`, `split` in the order of the images' names."""
    return pd.read_csv(data / "truth_labels.csv").sort_values("image", ignore_index=True)


def embed(pictures: list[np.ndarray], size: int) -> np.ndarray:
    """(n, d) float16 embeddings of n pictures (H, W, 3), as `curate embed` makes them."""
    embedder = load_embedder(EmbedOptions(image_size=size), [])
    parts = [
        embedder.embed(np.stack([resized(picture, size) for picture in pictures[start : start + 64]]))
        for start in range(0, len(pictures), 64)
    ]
    return np.concatenate(parts).astype(np.float16)
