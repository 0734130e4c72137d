"""What retrain says where the truth is known: one person's labels against true labels, and against dropping them.

Run: python tests/benchmarks/retrain.py BENCH [--images N] [--preset quick] [--seeds 1] [--folds 5]

BENCH is the unpacked folder of cifar10n-dev (images/, annotations.csv, truth_labels.csv). `before` has the labels of
annotator_1 (17% wrong). Three versions after: every wrong label corrected; every second one corrected and the others
dropped; all wrong ones dropped. Prints the comparison and the seconds of each.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import pandas as pd

from curate.config import TrainOptions
from curate.experiment.compare import retrain


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bench", type=Path)
    parser.add_argument("--images", type=int, help="training images; default: all")
    parser.add_argument("--preset", default="auto")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--folds", type=int, default=5)
    given = parser.parse_args()
    truth = true_manifest(given.bench, given.images)
    before = truth.assign(label=first_labels(given.bench, truth))
    wrong = truth.index[before["label"] != truth["label"]]
    print(f"{len(truth):,} images, {len(wrong) / truth['split'].eq('train').sum():.1%} of the training labels wrong")
    options = TrainOptions(preset=given.preset, seeds=given.seeds, folds=given.folds)
    for name, dropped in (("all corrected", wrong[:0]), ("half dropped", wrong[1::2]), ("all dropped", wrong)):
        started = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            found = retrain(before, truth.drop(index=dropped), Path(folder), options=options)
        print(f"\n{name}: {time.perf_counter() - started:.0f} s\n{found.to_text()}")
        if len(found.pred_probs):
            print(f"out-of-fold predictions: {out_of_fold_accuracy(found.pred_probs, truth):.3f} right")


def true_manifest(bench: Path, images: int | None) -> pd.DataFrame:
    truth = pd.read_csv(bench / "truth_labels.csv").rename(columns={"image": "sample_id"})
    train, test = truth[truth["split"] == "train"], truth[truth["split"] == "test"]
    chosen = pd.concat([train.sample(n=images, random_state=0) if images else train, test])
    paths = [str(bench / name) for name in chosen["sample_id"]]
    return chosen.assign(path=paths, sha256=None, group=pd.Series(None, index=chosen.index, dtype="str"))


def first_labels(bench: Path, truth: pd.DataFrame) -> pd.Series:
    given = pd.read_csv(bench / "annotations.csv").query("annotator == 'annotator_1'").set_index("image")["label"]
    return truth["sample_id"].map(given).fillna(truth["label"])


def out_of_fold_accuracy(pred_probs: pd.DataFrame, truth: pd.DataFrame) -> float:
    guesses = pred_probs.set_index("sample_id").idxmax(axis=1)
    train = truth[truth["split"] == "train"]
    return float((train["sample_id"].map(guesses) == train["label"]).mean())


if __name__ == "__main__":
    main()
