"""Label errors with few samples or many classes. Run: python tests/benchmarks/label_classes.py

Each class of the bench and of Fashion-MNIST is divided into 3, 5 or 10 by what its pictures look like (k-means), so
that 30 to 100 classes come in families, as those of most sets do. Labels:

    a person    the bench's first annotator names the family; which of its classes, a blurred look at the picture
    people      drawn by a small network's view, as in label_noise.py: 16% and 36% wrong
    family      a fifth names another class of the family
    uniform     a fifth names any other class
    simulated   embeddings of 256 dimensions, classes in families of five, a fifth names another class of the family
    parts       300 to 2,000 of the bench and its ten classes, the labels as in label_quality.py; means of four draws

Prints curate, and cleanlab's recipe (5-fold logistic regression, self-confidence; the best for F1 of its filters)
where it takes less than minutes. No clean label is known to anybody.
"""

from __future__ import annotations

import argparse
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from duplicate_quality import embed
from label_noise import SIZE, compared, drawn_labels, read_fashion
from label_quality import BENCH, embedded, judged, label_sets, ours
from PIL import Image
from sklearn.cluster import KMeans

Case = tuple[str, np.ndarray, np.ndarray, np.ndarray]  # name, embeddings, true and given class numbers
MOST = 3000  # samples of real pictures for which cleanlab's recipe is run, too


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fashion", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--out", type=Path, default=Path(".bench"), help="keeps the embeddings")
    parser.add_argument("--large", action="store_true", help="50,000 and 60,000 samples, too: a quarter of an hour")
    given = parser.parse_args()
    rows = []
    for cases in (simulated(given.large), of_bench(given.out), of_fashion(given.fashion, given.out, given.large)):
        for name, embeddings, truth, labels in cases:
            rows.append({"samples": name, **measured(embeddings, truth, labels)})
            print(rows[-1], flush=True)
    rows += parts(given.out)
    print(pd.DataFrame(rows).to_string(index=False, na_rep=""))


def measured(embeddings: np.ndarray, truth: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    names, given = np.char.mod("%03d", truth), np.char.mod("%03d", labels)
    if len(labels) <= MOST or embeddings.shape[1] <= 256 and len(labels) <= 10_000:
        return compared(embeddings, names, given)
    said = pd.DataFrame({"row": np.arange(len(given)), "label": given, "labeller": 0})
    table, wrong = ours(embeddings, given, said)[1], given != names
    if not wrong.any():
        return {"wrong": 0.0, "curate counts": round(float(table["label_probability"].mean()), 3)}
    return {"wrong": round(float(wrong.mean()), 3), **judged(table, wrong)}


def simulated(large: bool) -> Iterator[Case]:
    for n, n_classes in (
        (300, 30),
        (1000, 30),
        (3000, 30),
        (2000, 100),
        (10_000, 100),
        *([(50_000, 100)] if large else []),
    ):
        rng = np.random.default_rng(0)
        families = np.repeat(rng.normal(size=(n_classes // 5, 256)), 5, axis=0)
        centres = 0.3 * rng.normal(size=(n_classes, 256)) + 0.4 * families
        truth = rng.integers(0, n_classes, n)
        pictures = centres[truth] + rng.normal(size=(n, 256))
        embeddings = (pictures / np.linalg.norm(pictures, axis=1, keepdims=True)).astype(np.float16)
        yield f"simulated, {n:,} of {n_classes}", embeddings, truth, within(truth, 5, rng)


def within(truth: np.ndarray, family: int, rng: np.random.Generator) -> np.ndarray:
    """A fifth of the labels names another class of the family of so many."""
    other = truth // family * family + (truth + rng.integers(1, family, len(truth))) % family
    return np.where(rng.random(len(truth)) < 0.2, other, truth)


def of_bench(out: Path) -> Iterator[Case]:
    embeddings, ten, people = bench(out)
    thumbs = thumbnails()
    for each in (3, 5, 10):
        rng = np.random.default_rng(4)
        blurred = thumbs + rng.normal(size=thumbs.shape) * 40
        parted = [KMeans(each, n_init=1, random_state=c).fit(thumbs[ten == c]) for c in range(10)]
        seen = np.stack([parted[c].predict(blurred) for c in range(10)], axis=1)
        truth = ten * each + np.stack([parted[c].predict(thumbs) for c in range(10)], axis=1)[np.arange(len(ten)), ten]
        said = people[:, 0] * each + seen[np.arange(len(ten)), people[:, 0]]
        labels = np.where((people[:, 0] == ten) & (rng.random(len(ten)) < 0.5), truth, said)
        for n in (len(ten), 2000):
            yield f"bench, {n:,} of {10 * each}, a person", embeddings[:n], truth[:n], labels[:n]
            yield f"bench, {n:,} of {10 * each}, none wrong", embeddings[:n], truth[:n], truth[:n]


def of_fashion(folder: Path, out: Path, large: bool) -> Iterator[Case]:
    if not folder.exists():
        print(f"no Fashion-MNIST in {folder}: apt-get install dataset-fashion-mnist, or --fashion")
        return
    pictures, ten = read_fashion(folder)
    sizes = (3000, 8000, *([len(ten)] if large else []))
    some = {n: np.sort(np.random.default_rng(1).choice(len(ten), n, replace=False)) for n in sizes}
    embeddings = {n: embedded_fashion(pictures[rows], out / f"fashion-{n}-{SIZE}.npy") for n, rows in some.items()}
    flat = pictures.reshape(len(pictures), -1).astype(np.float32)
    for each in (3, 10):
        truth = np.zeros(len(ten), np.int64)
        for c in range(10):
            truth[ten == c] = c * each + KMeans(each, n_init=1, random_state=c).fit_predict(flat[ten == c])
        view, rng = seen_by_a_person(pictures, truth), np.random.default_rng(3)
        kinds = {f"people {rate}": drawn_labels(view / 2, truth, rate, rng) for rate in (0.16, 0.36)}
        kinds["family"] = within(truth, each, rng)
        other = (truth + rng.integers(1, 10 * each, len(truth))) % (10 * each)
        kinds["uniform"] = np.where(rng.random(len(truth)) < 0.2, other, truth)
        for kind, labels in kinds.items():
            for n, rows in some.items():
                yield f"Fashion, {n:,} of {10 * each}, {kind}", embeddings[n], truth[rows], labels[rows]


def parts(out: Path) -> Iterator[dict[str, Any]]:
    """Rows of the means of four draws from the bench, ten classes."""
    embeddings, ten, people = bench(out)
    for n in (300, 500, 1000, 2000):
        for kind, labels in (label_sets(people.astype(str), ten.astype(str)) | {"none wrong": ten.astype(str)}).items():
            draws = [np.random.default_rng(seed).choice(len(ten), n, replace=False) for seed in range(4)]
            found = pd.DataFrame([compared(embeddings[rows], ten.astype(str)[rows], labels[rows]) for rows in draws])
            yield {"samples": f"parts, {n:,} of 10, {kind}", **found.mean().round(3)}


# ---- pictures ------------------------------------------------------------------------------------------


def bench(out: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Embeddings, true class numbers, and (n, 3) those that people said, of the training images."""
    samples, embeddings = embedded(BENCH, out)
    train = samples["split"].eq("train").to_numpy()
    names, ten = np.unique(samples["label"].to_numpy(str)[train], return_inverse=True)
    said = pd.read_csv(BENCH / "annotations.csv").pivot(index="image", columns="annotator", values="label")
    return embeddings[train], ten, np.searchsorted(names, said.loc[samples["image"][train]].to_numpy(str))


def thumbnails() -> np.ndarray:
    """(n, 192) of the training images at 8 × 8 pixels."""
    truth = pd.read_csv(BENCH / "truth_labels.csv").sort_values("image")
    with tarfile.open(BENCH / "images.tar") as archive:
        opened = [archive.extractfile(name) for name in truth.loc[truth["split"] == "train", "image"]]
        small = [np.array(Image.open(file).convert("RGB").resize((8, 8))) for file in opened if file]
    return np.stack(small).reshape(len(small), -1).astype(float)


def embedded_fashion(pictures: np.ndarray, file: Path) -> np.ndarray:
    if not file.exists():
        blocks = np.array_split(pictures, max(1, len(pictures) // 10_000))
        np.save(file, np.concatenate([embed([np.repeat(p[:, :, None], 3, axis=2) for p in b], SIZE) for b in blocks]))
    return np.load(file)


def seen_by_a_person(pictures: np.ndarray, truth: np.ndarray, taught: int = 6000) -> np.ndarray:
    """(n, C) log probabilities of a small network that was taught so many pictures at 9 × 9 pixels."""
    small = torch.nn.functional.interpolate(
        torch.from_numpy(pictures.astype(np.float32))[:, None] / 255, (9, 9), mode="area"
    ).flatten(1)
    rows = np.random.default_rng(0).choice(len(truth), taught, replace=False)
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(81, 128), torch.nn.ReLU(), torch.nn.Linear(128, int(truth.max()) + 1))
    optimizer, told = torch.optim.Adam(network.parameters(), 3e-3), torch.from_numpy(truth[rows])
    for _ in range(200):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(small[rows]), told).backward()
        optimizer.step()
    with torch.no_grad():
        return np.asarray(network(small).log_softmax(1).numpy())


if __name__ == "__main__":
    main()
