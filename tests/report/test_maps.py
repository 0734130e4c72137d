"""The embedding map: alike images close together, the same for any order of rows."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from curate.report.maps import TILES_PER_ROW, embedding_map

RNG = np.random.default_rng(0)
CLUSTER = np.repeat([0, 1, 2], 30)
EMBEDDINGS = (RNG.normal(size=(3, 16)) * 6)[CLUSTER] + RNG.normal(size=(90, 16))
IDS = [f"{n:02d}.jpg" for n in range(90)]
THUMBS = np.repeat(np.arange(90, dtype=np.uint8), 32 * 32 * 3).reshape(90, 32, 32, 3) * 2


def test_clusters_stay_together() -> None:
    points = embedding_map(EMBEDDINGS, IDS).points
    xy = points[["x", "y"]].to_numpy()
    distance = np.linalg.norm(xy[:, None] - xy[None], axis=2) + 9 * np.eye(90)
    assert (CLUSTER[distance.argmin(axis=1)] == CLUSTER).all()
    assert xy.min() == 0 and xy.max() == 1


def test_the_order_of_rows_does_not_matter() -> None:
    order = np.random.default_rng(1).permutation(90)
    one = embedding_map(EMBEDDINGS, IDS, thumbs=THUMBS, limit=50)
    other = embedding_map(EMBEDDINGS[order], [IDS[i] for i in order], thumbs=THUMBS[order], limit=50)
    assert one.points.equals(other.points) and one.atlas == other.atlas


def test_of_many_images_the_kept_ones_are_shown_up_to_half_of_the_limit() -> None:
    layout = embedding_map(EMBEDDINGS, IDS, keep=["89.jpg", "unknown.jpg", "03.jpg", *IDS], limit=10)
    shown = layout.points["sample_id"].tolist()
    assert {"89.jpg", "03.jpg"} <= set(shown)
    assert len(shown) == 10 and layout.of == 90 and shown == sorted(shown)


def test_the_atlas_holds_the_pictures_in_the_order_of_the_points() -> None:
    layout = embedding_map(EMBEDDINGS, IDS, thumbs=THUMBS)
    assert layout.atlas is not None
    sheet = np.asarray(Image.open(io.BytesIO(layout.atlas)).convert("RGB"))
    assert sheet.shape == (2 * 32, TILES_PER_ROW * 32, 3)
    for n in (0, 49, 50, 89):
        row, column = divmod(n, TILES_PER_ROW)
        tile = sheet[32 * row : 32 * row + 32, 32 * column : 32 * column + 32]
        assert abs(float(tile[8:24, 8:24].mean()) - 2 * n) < 6  # WebP is lossy


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_a_handful_of_images_is_no_error(n: int) -> None:
    points = embedding_map(EMBEDDINGS[:n].astype(np.float16), IDS[:n]).points
    assert len(points) == n and points[["x", "y"]].notna().all(axis=None)


def test_equal_embeddings_are_no_error() -> None:
    points = embedding_map(np.ones((20, 8), np.float32), IDS[:20]).points
    assert points[["x", "y"]].notna().all(axis=None)
