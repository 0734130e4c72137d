"""How often the forecast's 90% interval of what is left holds. Run: python tests/benchmarks/forecast_coverage.py

Real pictures and one person's labels of the bench, judged once by the probe. Each review is of a random 2,000 of the
8,000 training images; somebody who knows the truth answers the first questions, worst first. Then: is the number of
wrong labels among the flags that are left inside the interval, and how large is it beside what was expected? Prints the
coverage with its 95% interval (Clopper-Pearson).
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd
from bench import CIFAR, embed, pixels, read_images, read_people, read_truth
from forecast import verdicts
from scipy.stats import beta

from curate.decisions.decision import InForce
from curate.find.labels.errors import find_label
from curate.find.labels.probe import Prediction, predict
from curate.review.forecast import forecast
from curate.review.queue import build_queue
from curate.schema import conform, empty

ANSWERED = (0, 50, 200)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reviews", type=int, default=300)
    parser.add_argument("--images", type=int, default=2000, help="of each review")
    parser.add_argument("--annotator", default="annotator_1")
    given = parser.parse_args()
    samples, truth, prediction = judged(given.annotator)
    inside = dict.fromkeys(ANSWERED, 0)
    counts: dict[int, list[tuple[float, int]]] = {n: [] for n in ANSWERED}
    for number in range(given.reviews):
        rows = np.sort(np.random.default_rng(number).choice(len(samples), given.images, replace=False))
        for answered, (low, high, expected, left) in reviewed(
            samples.iloc[rows], truth, part_of(prediction, rows)
        ).items():
            inside[answered] += low <= left <= high
            counts[answered].append((expected, left))
    for answered in ANSWERED:
        expected, left = np.array(counts[answered]).T
        print(
            f"{answered:4} answered: covered {share(inside[answered], given.reviews)}, stated 90%;"
            f" expected {expected.mean():.0f}, left {left.mean():.0f}"
        )


def judged(annotator: str) -> tuple[pd.DataFrame, pd.Series, Prediction]:
    """SAMPLES of the training images, their true labels, and what the probe says of them."""
    images, truth = read_images(CIFAR / "images.tar"), read_truth().set_index("image")["label"]
    given = read_people()[annotator]
    names = [name for name in images if name in given.index]
    embeddings = embed([pixels(images[name]) for name in names], 96)
    table = pd.DataFrame(
        {"sample_id": names, "label": [given[name] for name in names], "status": "ok", "split": "train"}
    )
    samples = conform("samples", table.reindex(columns=empty("samples").columns))
    return samples, truth, predict(embeddings, samples["label"], np.arange(len(samples)))


def part_of(prediction: Prediction, rows: np.ndarray) -> Prediction:
    arrays = (prediction.pred_probs, prediction.scores, prediction.posterior)
    return Prediction(prediction.classes, *(array[rows] for array in arrays))


def reviewed(
    samples: pd.DataFrame, truth: pd.Series, prediction: Prediction
) -> dict[int, tuple[float, float, float, int]]:
    """Answered questions → low, high and expected of what is left, and what really is."""
    samples, pairs = samples.reset_index(drop=True), empty("near_duplicate_pairs")
    issues = {"label": find_label(samples, prediction)}
    queue = build_queue(samples, issues, pairs, InForce(empty("decisions")))
    found = {}
    for answered in ANSWERED:
        decisions = InForce(verdicts(queue.head(answered), truth))
        rest = build_queue(samples, issues, pairs, decisions)
        left = int(rest["sample_id"].map(truth).ne(rest["label"]).sum())
        seen = forecast(samples, issues, decisions, rest)
        found[answered] = (seen.low, seen.high, seen.expected, left)
    return found


def share(count: int, of: int) -> str:
    low = beta.ppf(0.025, count, of - count + 1) if count else 0.0
    high = beta.ppf(0.975, count + 1, of - count) if count < of else 1.0
    return f"{count / of:.1%} [{low:.1%}, {high:.1%}]"


if __name__ == "__main__":
    main()
