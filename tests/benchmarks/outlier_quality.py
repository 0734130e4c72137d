"""How well intruders are told from the bench images. Run: python tests/benchmarks/outlier_quality.py --faces FILE

Mixes handwritten digits (scikit-learn), faces, crops of photographs and drawings into the 10,000 CIFAR images of the
bench, and one class into another; FILE is `skimage/data/lfw_subset.npy` of the scikit-image wheel.
Prints AUROC / average precision of each score, what is flagged, and seconds. Beside ours stand the mean distance to
the 10 and to the 500 nearest of all samples and, where `--selfclean` names a Python that has it, SelfClean.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from bench import CIFAR, PHOTOS, pixels, read_images, read_truth
from embedding_peers import selfclean
from PIL import Image, ImageDraw
from sklearn.datasets import load_digits
from sklearn.metrics import average_precision_score, roc_auc_score

from curate.config import EmbedOptions
from curate.embed.embedder import load_embedder
from curate.find.neighbors import Neighbors, nearest
from curate.find.outlier import find_outlier
from curate.images.resize import resized

SIZE = 96  # pixels embedded: what curate chooses for these images
COUNTS = (10, 500)  # neighbours; cleanlab takes 10
SCORES = ("outlier_score", "typicality_score", "neighbor_score", "isolation_forest_score")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(".bench"), help="keeps the embeddings")
    parser.add_argument("--faces", type=Path, required=True, help="(200, 25, 25) grey, the first hundred are faces")
    parser.add_argument("--times", type=int, default=0, help="instead, time the finder on this many samples")
    parser.add_argument("--selfclean", help="a Python that has selfclean; its licence allows no commercial use")
    given = parser.parse_args()
    embedded = embeddings_of_all(given.out, given.faces)
    if given.times:
        print(time_of(embedded["bench"], given.times))
        return
    print(table(embedded, given.selfclean).to_string(index=False))


def table(embedded: dict[str, np.ndarray], selfclean_python: str | None = None) -> pd.DataFrame:
    """One row for each mix."""
    return pd.DataFrame([score(*mix, selfclean_python) for mix in mixes(embedded)])


def mixes(embedded: dict[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Name, what belongs, what does not."""
    bench, label = embedded["bench"], embedded["label"]

    def some(kind: str, n: int, seed: int = 0) -> np.ndarray:
        rows = bench[label == kind] if kind in label else embedded[kind]
        return rows[np.random.default_rng([seed, n]).permutation(len(rows))[:n]]

    yield (
        "100 digits, 100 faces, 100 crops",
        bench,
        np.concatenate([some(kind, 100) for kind in ("digits", "faces", "crops")]),
    )
    for seed in range(3):
        scattered = [some("digits", 8, seed), some("faces", 8, seed), some("crops", 7, seed)]
        yield f"23 scattered, seed {seed}", bench, np.concatenate(scattered)
    yield "100 digits, 100 crops", bench, np.concatenate([some("digits", 100), some("crops", 100)])
    yield (
        "100 digits, 100 crops, 100 texts",
        bench,
        np.concatenate([some(k, 100) for k in ("digits", "crops", "texts")]),
    )
    yield "among 500: 10 digits, 10 crops", bench[::20], np.concatenate([some("digits", 10), some("crops", 10)])
    yield "cats: 40 ships", bench[label == "cat"], some("ship", 40)
    yield "cars: 40 trucks", bench[label == "automobile"], some("truck", 40)
    yield "digits: 30 crops, 30 CIFAR", embedded["digits"], np.concatenate([some("crops", 30), some("frog", 30)])


def score(name: str, base: np.ndarray, intruders: np.ndarray, selfclean_python: str | None) -> dict[str, object]:
    embeddings = np.concatenate([base, intruders])
    truth = np.arange(len(embeddings)) >= len(base)
    neighbors = nearest(embeddings, 500)
    found, seconds = _found(embeddings, neighbors)
    row: dict[str, object] = {"mix": name}
    for k in COUNTS:
        row[f"{k} neighbours"] = _quality(truth, 1 - neighbors.D[:, :k].mean(axis=1))
    if selfclean_python:
        theirs = selfclean(selfclean_python, "OFF_TOPIC_SAMPLES", embeddings, np.zeros(len(embeddings)))
        row["SelfClean"] = _quality(truth, 1 - theirs)
    row |= {column.removesuffix("_score"): _quality(truth, 1 - found[column]) for column in SCORES}
    flagged = found["is_outlier_issue"].to_numpy()
    row["flagged right"], row["wrong"] = int((flagged & truth).sum()), int((flagged & ~truth).sum())
    row["groups"], row["s"] = found["group_id"].nunique(), round(seconds, 1)
    return row


def time_of(bench: np.ndarray, n: int) -> str:
    """Seconds on `n` samples: the bench over and over, a little moved each time."""
    noise = np.random.default_rng(0).normal(scale=0.004, size=(n, bench.shape[1])).astype(np.float32)
    rows = bench[np.arange(n) % len(bench)] + noise
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    one = Neighbors(np.ones((n, 1), np.float32), np.roll(np.arange(n, dtype=np.int32), 1)[:, None], "not searched", 0.0)
    return f"{n:,} × {bench.shape[1]}: {_found(rows.astype(np.float16), one)[1]:.1f} s"


def _found(embeddings: np.ndarray, neighbors: Neighbors) -> tuple[pd.DataFrame, float]:
    samples = pd.DataFrame({"sample_id": [f"{i:07d}" for i in range(len(embeddings))], "label": None})
    started = time.perf_counter()
    return find_outlier(samples, embeddings, neighbors), time.perf_counter() - started


def _quality(truth: np.ndarray, badness: np.ndarray | pd.Series) -> str:
    return f"{roc_auc_score(truth, badness):.3f} / {average_precision_score(truth, badness):.2f}"


def embeddings_of_all(out: Path, faces: Path) -> dict[str, np.ndarray]:
    """Embeddings of the bench images, with their labels, and of each kind of intruder; made once."""
    file = out / f"outliers-{SIZE}.npz"
    if not file.exists():
        out.mkdir(parents=True, exist_ok=True)
        embedder = load_embedder(EmbedOptions(image_size=SIZE), [])
        pictures, labels = bench_pictures()
        kinds = {"bench": pictures, "digits": digits(), "faces": small_grey(faces), "crops": crops(), "texts": texts()}
        embedded = {
            kind: embedder.embed(np.stack([resized(p, SIZE) for p in some])).astype(np.float16)
            for kind, some in kinds.items()
        }
        np.savez(file, label=labels, **embedded)
    return dict(np.load(file))


def bench_pictures() -> tuple[list[np.ndarray], np.ndarray]:
    files, truth = read_images(CIFAR / "images.tar"), read_truth().set_index("image")["label"]
    return [pixels(data) for data in files.values()], truth[list(files)].to_numpy(str)


def small_grey(faces: Path) -> list[np.ndarray]:
    return _enlarged((np.load(faces, allow_pickle=False)[:100] * 255).clip(0, 255).astype(np.uint8))


def digits() -> list[np.ndarray]:
    return _enlarged((load_digits().images * 15.9).astype(np.uint8))


def _enlarged(small: np.ndarray) -> list[np.ndarray]:
    return [np.array(Image.fromarray(d).resize((32, 32), Image.Resampling.BICUBIC).convert("RGB")) for d in small]


def crops(side: int = 64) -> list[np.ndarray]:
    """One random crop of each photograph, brought to 32 pixels."""
    random, found = np.random.default_rng(0), []
    for photo in map(pixels, read_images(PHOTOS).values()):
        top, left = (random.integers(0, size - side + 1) for size in photo.shape[:2])
        piece = Image.fromarray(photo[top : top + side, left : left + side])
        found.append(np.array(piece.resize((32, 32), Image.Resampling.BICUBIC)))
    return found


def texts() -> list[np.ndarray]:
    random, found = np.random.default_rng(0), []
    for _ in range(150):
        page = Image.new("RGB", (64, 64), tuple(random.integers(180, 256, 3).tolist()))
        for line in range(5):
            words = "".join(random.choice(list("abcdefghij klmnop"), 10))
            ImageDraw.Draw(page).text((2, 2 + 12 * line), words, fill=tuple(random.integers(0, 80, 3).tolist()))
        found.append(np.array(page.resize((32, 32), Image.Resampling.BICUBIC)))
    return found


if __name__ == "__main__":
    main()
