"""Label errors with few samples, and with many, few or unequal classes. Run: python tests/benchmarks/label_classes.py

Each class of the bench and of Fashion-MNIST is divided into 3, 5 or 10 by what its pictures look like (k-means), so
that 30 to 100 classes come in families, as those of most sets do. Labels:

    a person    the bench's first annotator names the family; which of its classes, a blurred look at the picture
    people      drawn by a small network's view, as in label_noise.py: 16% and 36% wrong
    family      a fifth names another class of the family
    uniform     a fifth names any other class
    simulated   embeddings of 256 dimensions, classes in families of five, a fifth names another class of the family
    parts       300 to 2,000 of the bench and its ten classes, the labels as in label_quality.py; means of four draws
    few         the ten classes joined to two or three, or two of them alone; labels of the bench's people, or of
                simulated ones, as in label_quality.py and label_noise.py
    tail        the same of ten classes, of which the smallest has a tenth or a hundredth of the largest one's samples

Prints curate, and cleanlab's recipe (5-fold logistic regression, self-confidence; the best for F1 of its filters)
where it takes less than minutes. No clean label is known to anybody.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from bench import CIFAR, pixels, read_images, read_people, read_truth
from label_noise import NAMES, compared, drawn_labels, embedded_fashion, read_fashion, sets, weak_view
from label_quality import embedded, label_sets
from PIL import Image
from sklearn.cluster import KMeans

Case = tuple[str, np.ndarray, np.ndarray, np.ndarray]  # name, embeddings, true and given class numbers
MOST = 5_000_000  # numbers of embeddings for which cleanlab's recipe is run, too
SIZES = ((300, 30), (1000, 30), (3000, 30), (2000, 100), (10_000, 100))  # simulated samples, classes
LARGE = ((50_000, 100),)
JOINED = {  # of the ten classes in order of their numbers, which of a few each becomes; -1 for those left out
    "bench": {
        "vehicles, animals": (0, 0, 1, 1, 1, 1, 1, 1, 0, 0),
        "cats, the rest": (0, 0, 0, 1, 0, 0, 0, 0, 0, 0),
        "vehicles, mammals, others": (0, 0, 2, 1, 1, 1, 2, 1, 0, 0),
        "cats, dogs": (-1, -1, -1, 0, -1, 1, -1, -1, -1, -1),
        "cars, trucks": (-1, 0, -1, -1, -1, -1, -1, -1, -1, 1),
    },
    "Fashion": {
        "shoes, the rest": (0, 0, 0, 0, 0, 1, 0, 1, 0, 1),
        "dresses, the rest": (0, 0, 0, 1, 0, 0, 0, 0, 0, 0),
        "tops, shoes, others": (0, 2, 0, 2, 0, 1, 0, 1, 2, 1),
        "shirts, coats": (-1, -1, -1, -1, 0, -1, 1, -1, -1, -1),
        "sneakers, boots": (-1, -1, -1, -1, -1, -1, -1, 0, -1, 1),
    },
}
TAILS = (10, 100)  # how many times as many samples the largest class has as the smallest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fashion", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--out", type=Path, default=Path(".bench"), help="keeps the embeddings")
    parser.add_argument("--large", action="store_true", help="50,000 and 60,000 samples, too: half an hour")
    given = parser.parse_args()
    rows = []
    for cases in (simulated(given.large), of_bench(given.out), of_fashion(given.fashion, given.out, given.large)):
        for name, embeddings, truth, labels in cases:
            rows.append({"samples": name, **measured(embeddings, truth, labels)})
            print(rows[-1], flush=True)
    rows += parts(given.out)
    rows += few_or_unequal(given.fashion, given.out)
    print(pd.DataFrame(rows).to_string(index=False, na_rep=""))


def measured(embeddings: np.ndarray, truth: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    names, given = np.char.mod("%03d", truth), np.char.mod("%03d", labels)
    return compared(embeddings, names, given, recipe=embeddings.size <= MOST)


def simulated(large: bool) -> Iterator[Case]:
    for n, n_classes in SIZES + (LARGE if large else ()):
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
    embeddings = {n: embedded_fashion(pictures, rows, out) for n, rows in some.items()}
    flat = pictures.reshape(len(pictures), -1).astype(np.float32)
    for each in (3, 10):
        truth = np.zeros(len(ten), np.int64)
        for c in range(10):
            truth[ten == c] = c * each + KMeans(each, n_init=1, random_state=c).fit_predict(flat[ten == c])
        view = weak_view(pictures, truth, 0, taught=6000, units=128, steps=200)
        rng = np.random.default_rng(3)
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


def few_or_unequal(folder: Path, out: Path) -> Iterator[dict[str, Any]]:
    """Rows of classes that were joined, or of which some have few samples, with the labels of people and at random."""
    pictures = {"bench": bench(out)}
    if (fashion := sets(folder, out).get("Fashion-MNIST")) is not None:
        embeddings, truth, said = fashion
        pictures["Fashion"] = embeddings, (truth[:, None] == NAMES).argmax(1), (said[:, :, None] == NAMES).argmax(2)
    for name, (embeddings, ten, people) in pictures.items():
        for kind, becomes in JOINED[name].items():
            joined = np.array(becomes)
            rows = np.flatnonzero(joined[ten] >= 0)
            truth, said = joined[ten[rows]], joined[people[rows]]
            said = np.where(said >= 0, said, truth[:, None])
            yield from by_all(f"{name}, {kind}", embeddings[rows], truth, said)
        for ratio in TAILS:
            rows = thinned(ten, ratio)
            yield from by_all(f"{name}, tail {ratio}", embeddings[rows], ten[rows], people[rows])


def by_all(name: str, embeddings: np.ndarray, truth: np.ndarray, people: np.ndarray) -> Iterator[dict[str, Any]]:
    """Rows of (n, d) embeddings and (n,) true classes: labels of (n, 3) people, errors at random, and none."""
    names, rng = truth.astype(str), np.random.default_rng(7)
    other = (truth + rng.integers(1, truth.max() + 1, len(truth))) % (truth.max() + 1)
    kinds = label_sets(people.astype(str), names)
    kinds |= {f"uniform {p}": np.where(rng.random(len(truth)) < p, other, truth).astype(str) for p in (0.05, 0.2)}
    for kind, labels in (kinds | {"none wrong": names}).items():
        yield {
            "samples": f"{name}, {len(names):,}, {kind}",
            **compared(embeddings, names, labels, recipe=embeddings.size <= MOST),
        }


def thinned(ten: np.ndarray, ratio: int) -> np.ndarray:
    """Rows of ten classes, of which each has fewer samples than the one before, in an order drawn once."""
    order = np.random.default_rng(3).permutation(10)
    rows = [np.flatnonzero(ten == c) for c in order]
    return np.sort(np.concatenate([some[: int(len(some) * ratio ** (-i / 9))] for i, some in enumerate(rows)]))


# ---- pictures ------------------------------------------------------------------------------------------


def bench(out: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Embeddings, true class numbers, and (n, 3) those that people said, of the training images."""
    samples, embeddings = embedded(CIFAR, out)
    train = samples["split"].eq("train").to_numpy()
    names, ten = np.unique(samples["label"].to_numpy(str)[train], return_inverse=True)
    said = read_people().loc[samples["image"][train]].to_numpy(str)
    return embeddings[train], ten, np.searchsorted(names, said)


def thumbnails() -> np.ndarray:
    """(n, 192) of the training images at 8 × 8 pixels."""
    files = read_images(CIFAR / "images.tar")
    names = read_truth().query("split == 'train'")["image"]
    small = [np.array(Image.fromarray(pixels(files[name])).resize((8, 8))) for name in names]
    return np.stack(small).reshape(len(small), -1).astype(float)


if __name__ == "__main__":
    main()
