"""What fine-tuned networks add to the probe. Run by hand: python tests/benchmarks/finetune.py

For one annotator, the worst of three and their majority (`label_quality.py`), no clean label known: label errors by the
probe alone, by networks fine-tuned in folds (`curate ingest --finetune`) pooled with it, and the consensus of three
people by each. A quarter to half an hour for each on two cores without a GPU; what is finished is kept.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import label_quality
import numpy as np
import pandas as pd
from bench import CIFAR, read_people, unpack

from curate.config import FindOptions, TrainOptions
from curate.experiment.folds import Teacher, fine_tuned
from curate.find.labels.errors import find_label
from curate.find.labels.probe import Prediction, annotations_of, predict, with_network
from curate.ingest.annotators import crowdlab
from curate.progress import bar

CONSENSUS = "consensus of three"
SETS = ("one annotator", "worst of three", "majority of three", CONSENSUS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SETS, default=SETS)
    parser.add_argument("--epochs", type=int, default=FindOptions.finetune_epochs)
    parser.add_argument("--out", type=Path, default=Path(".bench"), help="keeps embeddings, images and what is trained")
    given = parser.parse_args()
    people, truth, embeddings = bench(given.out)
    sets = label_quality.label_sets(people.to_numpy(str), truth)
    for name in given.only:
        labels = sets.get(name, sets["majority of three"])
        samples = pd.DataFrame({"sample_id": people.index, "sha256": None, "label": labels, "group": None})
        samples["path"] = [str(given.out / image) for image in people.index]
        said = all_said(people, samples) if name == CONSENSUS else None
        folder = given.out / f"finetune-{name.replace(' ', '-')}-{given.epochs}"
        options, teacher = TrainOptions(epochs=given.epochs), taught_by(samples, embeddings, said)
        told = fine_tuned(samples, folder, options=options, teacher=teacher, progress=bar)
        found = rows(name, samples, predictions(samples, told, embeddings, said), truth, said)
        print(pd.DataFrame(found).to_string(index=False, na_rep=""), flush=True)


def bench(out: Path) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """What three people said of the training images, their (n,) true labels and (n, d) embeddings; and the files."""
    (samples, embeddings), people = label_quality.embedded(CIFAR, out), read_people()
    train = samples["image"].isin(people.index).to_numpy()
    unpack(CIFAR / "images.tar", out)
    return people.loc[samples["image"][train]], samples["label"].to_numpy(str)[train], embeddings[train]


def all_said(people: pd.DataFrame, samples: pd.DataFrame) -> pd.DataFrame:
    """sample_id, annotator, label of all that people said, with row and labeller as `predict` takes them."""
    votes = people.reset_index().melt("image", var_name="annotator", value_name="label")
    votes = votes.rename(columns={"image": "sample_id"}).astype("str")
    row = pd.Series(np.arange(len(samples)), samples["sample_id"])
    return votes.assign(row=row.reindex(votes["sample_id"]).to_numpy(), labeller=votes["annotator"])


def taught_by(samples: pd.DataFrame, embeddings: np.ndarray, said: pd.DataFrame | None) -> Teacher:
    """The probe, and all that people said, as `curate ingest --finetune` lets networks learn from them."""
    place = pd.Index(samples["sample_id"])

    def teacher(some: pd.DataFrame) -> pd.DataFrame:
        rows = place.get_indexer(some["sample_id"])
        theirs = None if said is None else annotations_of(rows, said)
        told = predict(embeddings[rows], samples["label"].iloc[rows], np.arange(len(rows)), annotations=theirs)
        return pd.DataFrame(told.posterior, columns=told.classes)

    return teacher


def rows(
    name: str, samples: pd.DataFrame, found: dict[str, Prediction], truth: np.ndarray, said: pd.DataFrame | None
) -> list[dict[str, Any]]:
    """Label errors by one label a picture; or, where several people said something, the consensus of them."""
    if said is None:
        wrong = samples["label"].to_numpy(str) != truth
        return [
            {"labels": name, "by": by, **label_quality.judged(find_label(samples, prediction), wrong)}
            for by, prediction in found.items()
        ]
    votes, ids, accuracies = said[["sample_id", "annotator", "label"]], list(samples["sample_id"]), []
    for by, prediction in found.items():
        label = crowdlab(votes, prediction.pred_probs, list(prediction.classes), ids)[0]["label"].to_numpy(str)
        accuracies.append({"labels": name, "by": by, "accuracy": round((label == truth).mean(), 4)})
    return accuracies


def predictions(
    samples: pd.DataFrame, told: pd.DataFrame, embeddings: np.ndarray, said: pd.DataFrame | None
) -> dict[str, Prediction]:
    probed = predict(embeddings, samples["label"], np.arange(len(samples)), annotations=said)
    return {"probe": probed, "probe and networks": with_network(told, probed, samples, annotations=said)}


if __name__ == "__main__":
    main()
