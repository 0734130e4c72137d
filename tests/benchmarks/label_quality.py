"""How well label errors are found and several people's labels joined. Run: python tests/benchmarks/label_quality.py

Prints two tables. Label errors, for one annotator, the worst of three and their majority: cleanlab's recipe (5-fold
logistic regression, self-confidence), the best for F1 of cleanlab's filters, Datalab on features alone, SelfClean, and
curate, with the clean labels of the test split and without. Consensus, for two and three annotators: accuracy, and how
well what is still wrong is found. Everything on the same embeddings. `--data` names a folder made like `cifar10n-dev`;
Datalab and SelfClean run where `--datalab` and `--selfclean` name a Python that has them (tests/benchmarks/table.py).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from bench import CIFAR, embed, pixels, read_images, read_people, read_truth
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from embedding_peers import datalab, selfclean
from loop import calibration_error
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import cross_val_predict

from curate.find.labels.errors import find_label
from curate.find.labels.probe import Prediction, predict
from curate.ingest.annotators import crowdlab, majority

SIZE = 96  # pixels embedded: what curate chooses for these images
FILTERS = ("prune_by_class", "prune_by_noise_rate", "both", "confident_learning", "predicted_neq_given")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=CIFAR, help="images.tar, annotations.csv, truth_labels.csv")
    parser.add_argument("--out", type=Path, default=Path(".bench"), help="keeps the embeddings")
    parser.add_argument("--datalab", help="a Python that has cleanlab[datalab]")
    parser.add_argument("--selfclean", help="a Python that has selfclean; its licence allows no commercial use")
    given = parser.parse_args()
    for table in tables(given.data, given.out, datalab_python=given.datalab, selfclean_python=given.selfclean):
        print(table.to_string(na_rep="", index=False))


def tables(
    data: Path, out: Path, *, datalab_python: str | None = None, selfclean_python: str | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Label errors, and consensus: a row for each set of labels and each way."""
    samples, embeddings = embedded(data, out)
    people = read_people(data)
    train = samples["image"].isin(people.index).to_numpy()
    people, truth = people.loc[samples["image"][train]], samples["label"].to_numpy(str)
    rows = []
    for name, labels in label_sets(people.to_numpy(str), truth[train]).items():
        found = errors(embeddings, train, truth, labels)
        found += of_peers(embeddings[train], labels, labels != truth[train], datalab_python, selfclean_python)
        rows += [{"labels": name} | row for row in found]
    agreed = [row for n in (2, 3) for row in consensus(embeddings, train, truth, people.iloc[:, :n])]
    return pd.DataFrame(rows), pd.DataFrame(agreed)


def label_sets(people: np.ndarray, truth: np.ndarray) -> dict[str, np.ndarray]:
    """One label a picture, from (n, 3): a wrong one where there is any is the worst (as CIFAR-10N has it)."""
    random = np.random.default_rng(0).random(people.shape)
    row = np.arange(len(people))
    agree = (people[:, :, None] == people[:, None, :]).sum(axis=2)
    return {
        "one annotator": people[:, 0],
        "worst of three": people[row, (random + 9 * (people != truth[:, None])).argmax(axis=1)],
        "majority of three": people[row, (random + 9 * agree).argmax(axis=1)],
    }


def errors(embeddings: np.ndarray, train: np.ndarray, truth: np.ndarray, labels: np.ndarray) -> list[dict[str, Any]]:
    wrong, (probabilities, seconds) = labels != truth[train], cleanlab_recipe(embeddings[train], labels)
    numbers = np.unique(labels, return_inverse=True)[1]
    score = get_label_quality_scores(numbers, probabilities)
    rows = [{"by": "cleanlab's recipe", **ranked(score, wrong), "s": seconds}]
    flags = {f: find_label_issues(numbers, probabilities, filter_by=f, n_jobs=1) for f in FILTERS}
    best = max(FILTERS, key=lambda f: f1(flags[f], wrong))
    rows.append({"by": f"cleanlab's filter {best}", "F1": f1(flags[best], wrong)})
    for by, among in (("curate, train alone", train), ("curate", np.ones(len(train), bool))):
        known = truth.copy()
        known[train] = labels
        said = pd.DataFrame({"row": np.arange(among.sum()), "label": known[among], "labeller": train[among]})
        table, seconds = timed(lambda a=among, k=known, s=said: ours(embeddings[a], k[a], s)[1])  # type: ignore[misc]
        table = table[train[among]]
        rows.append({"by": by, **judged(table, wrong), "s": seconds})
    return rows


def of_peers(
    embeddings: np.ndarray,
    labels: np.ndarray,
    wrong: np.ndarray,
    datalab_python: str | None,
    selfclean_python: str | None,
) -> list[dict[str, Any]]:
    rows = []
    if datalab_python:
        (score, flag), seconds = timed(lambda: datalab(datalab_python, embeddings, labels))
        rows.append({"by": "Datalab, features only", **ranked(score, wrong), "F1": f1(flag, wrong), "s": seconds})
    if selfclean_python:
        score, seconds = timed(lambda: selfclean(selfclean_python, "LABEL_ERRORS", embeddings, labels))
        rows.append({"by": "SelfClean", **ranked(score, wrong), "s": seconds})
    return rows


def consensus(
    embeddings: np.ndarray, train: np.ndarray, truth: np.ndarray, people: pd.DataFrame
) -> list[dict[str, Any]]:
    """Accuracy of the consensus of training images; for ours, what is left wrong, found by the joint posterior."""
    votes = people.reset_index().melt("image", var_name="annotator", value_name="label")
    votes = votes.rename(columns={"image": "sample_id"}).astype("str")
    ids, truth = people.index.to_numpy(str), truth[train]
    agreed = majority(votes).set_index("sample_id").loc[ids, "label"].to_numpy(str)
    row = pd.Series(np.arange(len(ids)), ids)
    said = votes.assign(row=row.reindex(votes["sample_id"]).to_numpy(), labeller=votes["annotator"])
    (prediction, _), seconds = timed(lambda: ours(embeddings[train], agreed, said))
    recipe = cleanlab_recipe(embeddings[train], agreed)[0]
    by_model = {"CROWDLAB on cleanlab's recipe": recipe, "curate": prediction.pred_probs}
    found = {"majority": agreed}
    for by, probabilities in by_model.items():
        found[by] = crowdlab(votes, probabilities, list(prediction.classes), list(ids))[0]["label"].to_numpy(str)
    found["curate's posterior alone"] = prediction.classes[prediction.posterior.argmax(axis=1)]
    rows = []
    for by, label in found.items():
        table = find_label(pd.DataFrame({"sample_id": ids, "label": label}), prediction)
        errors_found = judged(table, label != truth) if by != "majority" and "recipe" not in by else {}
        rows.append(
            {"people": people.shape[1], "by": by, "accuracy": round((label == truth).mean(), 4), **errors_found}
        )
    return [row | {"s": seconds} if "curate" in row["by"] else row for row in rows]


def ours(embeddings: np.ndarray, labels: np.ndarray, said: pd.DataFrame) -> tuple[Prediction, pd.DataFrame]:
    prediction = predict(embeddings, pd.Series(labels), np.arange(len(labels)), annotations=said)
    return prediction, find_label(pd.DataFrame({"sample_id": np.arange(len(labels)), "label": labels}), prediction)


def cleanlab_recipe(embeddings: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, float]:
    model = LogisticRegression(max_iter=400)
    return timed(lambda: cross_val_predict(model, embeddings.astype(np.float32), labels, cv=5, method="predict_proba"))


def judged(table: pd.DataFrame, wrong: np.ndarray) -> dict[str, Any]:
    probability = table["label_probability"].to_numpy()
    return {
        **ranked(table["label_score"].to_numpy(), wrong),
        "ECE": round(calibration_error(pd.Series(probability), pd.Series(wrong)), 3),
        "estimated/true": round(probability.sum() / wrong.sum(), 2),
        "F1": f1(table["is_label_issue"].to_numpy(), wrong),
    }


def ranked(score: np.ndarray, wrong: np.ndarray) -> dict[str, Any]:
    return {"AUROC": round(roc_auc_score(wrong, -score), 3), "AP": round(average_precision_score(wrong, -score), 3)}


def f1(flag: np.ndarray, wrong: np.ndarray) -> float:
    return round(2 * (flag & wrong).sum() / (flag.sum() + wrong.sum()), 3)


def timed(work: Any) -> tuple[Any, float]:
    started = time.perf_counter()
    return work(), round(time.perf_counter() - started, 1)


def embedded(data: Path, out: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """`image`, `label` (the truth) of the images in the order of their names, and their embeddings, made once."""
    truth = read_truth(data)
    file = out / f"labels-{data.name}-{SIZE}.npy"
    if not file.exists():
        out.mkdir(parents=True, exist_ok=True)
        files = read_images(data / "images.tar")
        np.save(file, embed([pixels(files[name]) for name in truth["image"]], SIZE))
    return truth, np.load(file)


if __name__ == "__main__":
    main()
