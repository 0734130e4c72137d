"""How often `retrain` says better or worse where nothing got better or worse, and how often where something did.

Run: python tests/benchmarks/verdict_honesty.py [--comparisons 300] [--kinds halves same corrected] [--test 31 160 500]

Real pictures of the bench, labels of annotator_1 (17% wrong), preset quick, the trainer's own code; features of the
frozen backbone are taken once and looked up. `halves`: before and after learn from two random halves of the same
images. `same`: both learn from the same half, each with a seed of its own. `corrected`: the same half, its wrong labels
corrected: what the verdict is there to see. Prints the share of verdicts with its 95% interval (Clopper-Pearson).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from bench import CIFAR, embed, pixels, read_images, read_people, read_truth
from scipy.stats import beta

from curate.config import TrainOptions
from curate.experiment.compare import retrain
from curate.train.quick import QuickLearner

SIZE = 128  # pixels, as `retrain` chooses for these pictures
Manifests = tuple[pd.DataFrame, pd.DataFrame]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--comparisons", type=int, default=300)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--train", type=int, nargs="+", default=[1000], help="images that both halves are drawn from")
    parser.add_argument("--test", type=int, nargs="+", default=[31, 160, 500])
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    samples = read_samples(given.classes)
    look_up_features(samples)
    for kind in given.kinds:
        for n_train in given.train:
            for n_test in given.test:
                print(tried(samples, kind, n_train, n_test, given.comparisons, given.seed), flush=True)


def tried(samples: pd.DataFrame, kind: str, n_train: int, n_test: int, comparisons: int, seed: int) -> str:
    """Run one kind of comparison so many times; a line with what was said."""
    started, said, gains = time.perf_counter(), [], []
    for number in range(comparisons):
        rng = np.random.default_rng([seed, number, n_test])
        before, after = KINDS[kind](drawn(samples, n_train, n_test, rng), rng)
        with tempfile.TemporaryDirectory() as folder:
            options = TrainOptions(preset="quick", folds=0, image_size=SIZE, seed=int(rng.integers(1 << 30)))
            found = retrain(before, after, Path(folder), options=options)
        said.append(found.verdict)
        gains.append(found.differences["after - before"].accuracy)
    shares = [f"{word} {share(said.count(word), comparisons)}" for word in ("better", "worse")]
    either = share(comparisons - said.count("no difference shown"), comparisons)
    return (
        f"{kind:<10} train {n_train:>5} test {n_test:>5}  {shares[0]}  {shares[1]}  either {either}"
        f"  gain {100 * np.mean(gains):+.2f} ± {100 * np.std(gains):.2f} points  n={comparisons}"
        f"  {(time.perf_counter() - started) / comparisons:.2f} s each"
    )


def share(count: int, of: int) -> str:
    low = beta.ppf(0.025, count, of - count + 1) if count else 0.0
    high = beta.ppf(0.975, count + 1, of - count) if count < of else 1.0
    return f"{count / of:6.1%} [{low:.1%}, {high:.1%}]"


# ---- what is compared --------------------------------------------------------------------------------------------


def halves(chosen: pd.DataFrame, rng: np.random.Generator) -> Manifests:
    """Two random halves of the same training images, drawn one apart from the other."""
    return half(chosen, rng), half(chosen, rng)


def same(chosen: pd.DataFrame, rng: np.random.Generator) -> Manifests:
    """The same half twice."""
    first = half(chosen, rng)
    return first, first.copy()


def corrected(chosen: pd.DataFrame, rng: np.random.Generator) -> Manifests:
    """The same half, with its wrong labels and without them."""
    first = half(chosen, rng)
    return first, first.assign(label=first["truth"])


KINDS: dict[str, Callable[[pd.DataFrame, np.random.Generator], Manifests]] = {
    "halves": halves,
    "same": same,
    "corrected": corrected,
}


def half(chosen: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    train = chosen.index[chosen["split"].eq("train")]
    out = rng.choice(train, len(train) // 2, replace=False)
    return chosen.drop(index=out)


def drawn(samples: pd.DataFrame, n_train: int, n_test: int, rng: np.random.Generator) -> pd.DataFrame:
    parts = [
        samples[samples["split"].eq(split)].iloc[rng.choice(samples["split"].eq(split).sum(), n, replace=False)]
        for split, n in (("train", n_train), ("test", n_test))
    ]
    return pd.concat(parts, ignore_index=True)


# ---- the pictures ------------------------------------------------------------------------------------------------


def read_samples(n_classes: int) -> pd.DataFrame:
    """MANIFEST with the column `truth`: labels of annotator_1 in train, true ones in test."""
    truth, people = read_truth().set_index("image"), read_people()["annotator_1"]
    table = pd.DataFrame({"sample_id": truth.index, "split": truth["split"], "truth": truth["label"]}).reset_index()
    table["label"] = table["sample_id"].map(people).fillna(table["truth"])
    kept = sorted(set(table["truth"]))[:n_classes]
    table = table[table["truth"].isin(kept) & table["label"].isin(kept)].reset_index(drop=True)
    path = str(Path(__file__))  # a file that is there; no pixels are read
    return table.assign(path=path, sha256=None, group=pd.Series(None, index=table.index, dtype="str"))


def look_up_features(samples: pd.DataFrame) -> None:
    """Let the preset quick take features that were made once."""
    kept = Path(tempfile.gettempdir()) / f"curate-verdict-honesty-{SIZE}.npz"
    if not kept.exists():
        images = read_images(CIFAR / "images.tar")
        features = embed([pixels(data) for data in images.values()], SIZE)
        np.savez(kept, names=np.array(list(images)), features=features)
    with np.load(kept) as stored:
        place, features = {name: row for row, name in enumerate(stored["names"])}, stored["features"]

    def looked_up(learner: QuickLearner, images: pd.DataFrame, views: int) -> np.ndarray:
        assert views == 0
        return np.asarray(features[[place[name] for name in images["sample_id"]]])[:, None]

    QuickLearner._features = looked_up  # type: ignore[method-assign]


if __name__ == "__main__":
    main()
