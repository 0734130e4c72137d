"""Label errors of other kinds than the bench's, on two sets of pictures. Run: python tests/benchmarks/label_noise.py

The bench's 8,000 training pictures with the labels below, and 8,000 of Fashion-MNIST (`--fashion`, a folder with its
four files, as Debian's package dataset-fashion-mnist installs them). No clean label is known to anybody. Labels:

    people      three simulated ones, each drawn by a small network's view of their own: one, the worst, the majority
    uniform     any other class
    pairs       the next class, as where two names are mixed up
    drawn       what a probe trained on the truth takes the picture for: hard pictures are mislabelled
    none        the truth

Prints cleanlab's recipe (5-fold logistic regression, self-confidence; the best for F1 of its filters) and curate.
"""

from __future__ import annotations

import argparse
import gzip
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from bench import CIFAR, embed
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from label_quality import FILTERS, SIZE, cleanlab_recipe, embedded, f1, judged, label_sets, ours, ranked

from curate.find.labels.probe import predict

N = 8000
SEEN_BY_PEOPLE = 9  # pixels, square, of which their networks see a picture
TAUGHT = 1500  # pictures from which such a network learnt
NAMES = np.array("tshirt trouser pullover dress coat sandal shirt sneaker bag boot".split())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fashion", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--out", type=Path, default=Path(".bench"), help="keeps the embeddings")
    given = parser.parse_args()
    rows = []
    for name, (embeddings, truth, people) in sets(given.fashion, given.out).items():
        for kind, labels in cases(embeddings, truth, people):
            rows.append({"pictures": name, "labels": kind, **compared(embeddings, truth, labels)})
            print(rows[-1], flush=True)
    print(pd.DataFrame(rows).to_string(index=False, na_rep=""))


def compared(embeddings: np.ndarray, truth: np.ndarray, labels: np.ndarray, *, recipe: bool = True) -> dict[str, float]:
    """The share that is wrong, and what cleanlab's `recipe` and curate make of it."""
    wrong, numbers = labels != truth, np.unique(labels, return_inverse=True)[1]
    said = pd.DataFrame({"row": np.arange(len(labels)), "label": labels, "labeller": 0})
    table = ours(embeddings, labels, said)[1]
    if not wrong.any():
        return {"wrong": 0.0, "curate counts": round(float(table["label_probability"].mean()), 3)}
    found = {"wrong": round(float(wrong.mean()), 3)}
    if recipe:
        probabilities = cleanlab_recipe(embeddings, labels)[0]
        flags = [find_label_issues(numbers, probabilities, filter_by=way, n_jobs=1) for way in FILTERS]
        found["cleanlab AP"] = ranked(get_label_quality_scores(numbers, probabilities), wrong)["AP"]
        found["cleanlab F1"] = max(f1(flag, wrong) for flag in flags)
    return found | judged(table, wrong)


def cases(embeddings: np.ndarray, truth: np.ndarray, people: np.ndarray | None) -> Iterator[tuple[str, np.ndarray]]:
    """Names of labels, and (n,) labels."""
    names, t = np.unique(truth, return_inverse=True)
    n, rng = len(names), np.random.default_rng(5)
    if people is not None:
        yield from label_sets(people, truth).items()
    for rate in (0.05, 0.2, 0.4):
        yield f"uniform {rate}", names[np.where(rng.random(len(t)) < rate, (t + rng.integers(1, n, len(t))) % n, t)]
    for rate in (0.05, 0.2, 0.35):
        yield f"pairs {rate}", names[np.where(rng.random(len(t)) < rate, (t + 1) % n, t)]
    seen = np.log(predict(embeddings, pd.Series(truth), np.arange(len(t))).scores.clip(0.01))
    for rate, drawn in ((0.1, 0.5), (0.2, 1.0), (0.35, 1.0)):
        yield f"drawn {rate}", names[drawn_labels(drawn * seen, t, rate, rng)]
    yield "none", truth


def drawn_labels(views: np.ndarray, truth: np.ndarray, rate: float, rng: np.random.Generator) -> np.ndarray:
    """(n,) classes drawn with a probability in proportion to exp((n, C) views), the true one likelier, `rate` wrong."""
    chance = views + rng.gumbel(size=views.shape)
    own = chance[np.arange(len(truth)), truth]
    others = chance.copy()
    others[np.arange(len(truth)), truth] = -np.inf
    lead = np.quantile(others.max(axis=1) - own, 1 - rate)  # that the true class is given, so that so many still lose
    return np.where(others.max(axis=1) > own + lead, others.argmax(axis=1), truth)


# ---- pictures ------------------------------------------------------------------------------------------


def sets(fashion: Path, out: Path) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
    """Name → embeddings, truth, and what three people say where they are simulated."""
    samples, embeddings = embedded(CIFAR, out)
    train = samples["split"].eq("train").to_numpy()
    found = {"bench": (embeddings[train], samples["label"].to_numpy(str)[train], None)}
    if not fashion.exists():
        print(f"no Fashion-MNIST in {fashion}: apt-get install dataset-fashion-mnist, or --fashion")
        return found
    pictures, truth = read_fashion(fashion)
    rng = np.random.default_rng(0)
    views = np.stack([weak_view(pictures, truth, seed) for seed in range(3)])
    people = np.stack([NAMES[drawn_labels(view / 2, truth, 0.16, rng)] for view in views], axis=1)
    some = np.sort(np.random.default_rng(1).choice(len(truth), N, replace=False))
    return found | {"Fashion-MNIST": (embedded_fashion(pictures, some, out), NAMES[truth[some]], people[some])}


def read_fashion(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """The training set: (60000, 28, 28) and (60000,) uint8. Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747."""
    with (
        gzip.open(folder / "train-images-idx3-ubyte.gz") as images,
        gzip.open(folder / "train-labels-idx1-ubyte.gz") as labels,
    ):
        pictures = np.frombuffer(images.read(), np.uint8, offset=16).reshape(-1, 28, 28)
        return pictures, np.frombuffer(labels.read(), np.uint8, offset=8)


def embedded_fashion(pictures: np.ndarray, rows: np.ndarray, out: Path) -> np.ndarray:
    """(len(rows), d) embeddings of these rows, made once for so many; the same number is taken for the same rows."""
    file = out / f"fashion-{len(rows)}-{SIZE}.npy"
    if not file.exists():
        blocks = np.array_split(pictures[rows], max(1, len(rows) // 10_000))
        np.save(file, np.concatenate([embed([np.repeat(p[:, :, None], 3, axis=2) for p in b], SIZE) for b in blocks]))
    return np.asarray(np.load(file))


def weak_view(
    pictures: np.ndarray, truth: np.ndarray, seed: int, *, taught: int = TAUGHT, units: int = 64, steps: int = 150
) -> np.ndarray:
    """(n, C) log probabilities of a small network that was taught a few pictures, each of a few pixels."""
    small = torch.nn.functional.interpolate(
        torch.from_numpy(pictures.astype(np.float32))[:, None] / 255, (SEEN_BY_PEOPLE,) * 2, mode="area"
    ).flatten(1)
    rows = np.random.default_rng(seed).choice(len(truth), taught, replace=False)
    torch.manual_seed(seed)
    seen, named = torch.nn.Linear(small.shape[1], units), torch.nn.Linear(units, int(truth.max()) + 1)
    network = torch.nn.Sequential(seen, torch.nn.ReLU(), named)
    optimizer, told = torch.optim.Adam(network.parameters(), 3e-3), torch.from_numpy(truth[rows].astype(np.int64))
    for _ in range(steps):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(small[rows]), told).backward()
        optimizer.step()
    with torch.no_grad():
        return np.asarray(network(small).log_softmax(1).numpy())


if __name__ == "__main__":
    main()
