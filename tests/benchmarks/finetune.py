"""What fine-tuned networks add to the probe. Run by hand: python tests/benchmarks/finetune.py

For one annotator, the worst of three and their majority (`label_quality.py`), no clean label known: label errors by the
probe alone, by networks fine-tuned in folds (`curate ingest --finetune`) pooled with it, and the consensus of three
people by each. A quarter of an hour for each set of labels on two cores without a GPU; what is finished is kept.
"""

from __future__ import annotations

import argparse
import tarfile
from pathlib import Path
from typing import Any

import label_quality
import numpy as np
import pandas as pd

from curate.config import FindOptions, TrainOptions
from curate.find.label import find_label
from curate.find.predict import Prediction, predict, with_network
from curate.ingest.annotators import crowdlab
from curate.progress import bar
from curate.train.folds import fine_tuned

SETS = ("one annotator", "worst of three", "majority of three")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SETS, default=SETS)
    parser.add_argument("--epochs", type=int, default=FindOptions.finetune_epochs)
    parser.add_argument("--out", type=Path, default=Path(".bench"), help="keeps embeddings, images and what is trained")
    given = parser.parse_args()
    people, truth, embeddings = bench(given.out)
    for name, labels in label_quality.label_sets(people.to_numpy(str), truth).items():
        if name in given.only:
            samples = pd.DataFrame({"sample_id": people.index, "label": labels, "group": None})
            samples["path"] = [str(given.out / image) for image in people.index]
            folder = given.out / f"finetune-{name.replace(' ', '-')}-{given.epochs}"
            told = fine_tuned(samples, folder, options=TrainOptions(epochs=given.epochs), progress=bar)
            print(pd.DataFrame(rows(name, samples, told, embeddings, truth, people)).to_string(index=False, na_rep=""))


def bench(out: Path) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """What three people said of the training images, their (n,) true labels and (n, d) embeddings; and the files."""
    samples, embeddings = label_quality.embedded(label_quality.BENCH, out)
    votes = pd.read_csv(label_quality.BENCH / "annotations.csv")
    people = votes.pivot(index="image", columns="annotator", values="label")
    train = samples["image"].isin(people.index).to_numpy()
    with tarfile.open(label_quality.BENCH / "images.tar") as archive:
        archive.extractall(out, filter="data")
    return people.loc[samples["image"][train]], samples["label"].to_numpy(str)[train], embeddings[train]


def rows(
    name: str,
    samples: pd.DataFrame,
    told: pd.DataFrame,
    embeddings: np.ndarray,
    truth: np.ndarray,
    people: pd.DataFrame,
) -> list[dict[str, Any]]:
    """Label errors by one label a picture; for the majority also the consensus, by all that was said."""
    found, wrong = [], samples["label"].to_numpy(str) != truth
    for by, prediction in predictions(samples, told, embeddings, None).items():
        found.append({"labels": name, "by": by, **label_quality.judged(find_label(samples, prediction), wrong)})
    if name.startswith("majority"):
        votes = people.reset_index().melt("image", var_name="annotator", value_name="label")
        votes = votes.rename(columns={"image": "sample_id"}).astype("str")
        row = pd.Series(np.arange(len(samples)), samples["sample_id"])
        said = votes.assign(row=row.reindex(votes["sample_id"]).to_numpy(), labeller=votes["annotator"])
        for by, prediction in predictions(samples, told, embeddings, said).items():
            ids = list(samples["sample_id"])
            label = crowdlab(votes, prediction.pred_probs, list(prediction.classes), ids)[0]["label"].to_numpy(str)
            found.append({"labels": "consensus of three", "by": by, "accuracy": round((label == truth).mean(), 4)})
    return found


def predictions(
    samples: pd.DataFrame, told: pd.DataFrame, embeddings: np.ndarray, said: pd.DataFrame | None
) -> dict[str, Prediction]:
    probed = predict(embeddings, samples["label"], np.arange(len(samples)), said=said)
    return {"probe": probed, "probe and networks": with_network(told, probed, samples, said=said)}


if __name__ == "__main__":
    main()
