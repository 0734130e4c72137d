"""The whole loop on real images with real human labels, scored against the truth. Run: python tests/benchmarks/loop.py

Reads the bench beside the checkout (cifar10n-dev), keeps everything under --out, prints one table. Truth is
used for scoring alone. `--annotators 1` makes the single-label set, 2 the double annotation, 3 all.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from bench import CIFAR, unpack
from sklearn.metrics import average_precision_score, roc_auc_score

BUDGETS = (300, 1000, 3000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(".bench"))
    parser.add_argument("--annotators", type=int, default=2, choices=(1, 2, 3))
    parser.add_argument("--no-retrain", action="store_true")
    given = parser.parse_args()
    rows = measured(given.out, given.annotators, retrain=not given.no_retrain)
    print(pd.DataFrame(rows, columns=["what", "figure"]).to_string(index=False))


def measured(out: Path, annotators: int, *, retrain: bool = True) -> list[tuple[str, str]]:
    """What was measured, and the figure."""
    data = unpacked(out / "cifar10n-dev")
    workspace = out / f"ws-{annotators}-{int(time.time())}"
    rows = [*ingest(data, workspace, annotators), *score_labels(data, workspace), *score_pairs(data, workspace)]
    return [*rows, *clean_and_retrain(workspace)] if retrain else rows


def unpacked(folder: Path) -> Path:
    """The images and tables of the bench, unpacked once."""
    if not (folder / "images").is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        unpack(CIFAR / "images.tar", folder)
    for table in CIFAR.glob("*.csv"):
        (folder / table.name).write_bytes(table.read_bytes())
    return folder


def curate(*arguments: str | Path) -> tuple[float, float]:
    """Run one command as a user would. Returns wall seconds and peak memory in MB."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "curate", *map(str, arguments)]
    process = subprocess.Popen(command, stdout=sys.stderr)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return time.perf_counter() - started, usage.ru_maxrss / 1024


def ingest(data: Path, workspace: Path, annotators: int) -> list[tuple[str, str]]:
    votes = pd.read_csv(data / "annotations.csv")
    wanted = [f"annotator_{i + 1}" for i in range(annotators)]
    file = workspace.with_name(f"{workspace.name}-annotations.csv")
    votes[votes["annotator"].isin(wanted)].to_csv(file, index=False)
    seconds, memory = curate("ingest", data / "samples.csv", "--annotations", file, "-w", workspace)
    n = len(pd.read_csv(data / "samples.csv"))
    return [("ingest", f"{seconds:.1f} s, {n / seconds:.0f} img/s, {memory:,.0f} MB peak")]


def truth_of(data: Path) -> pd.DataFrame:
    truth = pd.read_csv(data / "truth_labels.csv")
    return truth.rename(columns={"image": "sample_id", "label": "true"})[["sample_id", "true"]]


def score_labels(data: Path, workspace: Path) -> list[tuple[str, str]]:
    """Agreement, consensus accuracy, and how well wrong labels are ranked and counted."""
    import json

    from curate.ingest.annotators import majority

    agreement = json.loads((workspace / "tables" / "agreement.json").read_text())
    votes = pd.read_parquet(workspace / "tables" / "annotations.parquet")
    final = pd.read_parquet(workspace / "tables" / "consensus.parquet").merge(truth_of(data), on="sample_id")
    simple = majority(votes).merge(truth_of(data), on="sample_id")
    label = pd.read_parquet(workspace / "issues" / "label.parquet").merge(final, on="sample_id", suffixes=("", "_c"))
    wrong = label["label"].ne(label["true"])
    flagged, probability = label["is_label_issue"], label["label_probability"]
    hit = (flagged & wrong).sum()
    return [
        *(
            (row["statistic"], f"{row['value']:.4f} ({row['low']:.4f} to {row['high']:.4f})")
            for row in agreement["overall"]
            if row["value"] is not None
        ),
        *(
            (f"kappa {row['annotator_a']}, {row['annotator_b']}", f"{row['cohen_kappa']:.4f}")
            for row in agreement["per_pair"]
        ),
        ("consensus accuracy, majority", f"{simple['label'].eq(simple['true']).mean():.4f}"),
        (f"consensus accuracy, {final['method'].iloc[0]}", f"{final['label'].eq(final['true']).mean():.4f}"),
        ("label errors in the consensus", f"{wrong.sum():,} of {len(label):,}"),
        ("label errors AUROC", f"{roc_auc_score(wrong, 1 - label['label_score']):.4f}"),
        ("label errors AP", f"{average_precision_score(wrong, 1 - label['label_score']):.4f}"),
        ("label errors F1 of the flag", f"{2 * hit / max(flagged.sum() + wrong.sum(), 1):.4f}"),
        ("label errors estimated / true", f"{probability.sum() / max(wrong.sum(), 1):.3f}"),
        ("label errors ECE", f"{calibration_error(probability, wrong):.4f}"),
    ]


def calibration_error(probability: pd.Series, right: pd.Series) -> float:
    """Expected calibration error over ten bins of equal width."""
    bin_of = np.minimum((probability * 10).astype(int), 9)
    gaps = pd.DataFrame({"p": probability, "y": right.astype(float)}).groupby(bin_of).mean()
    return float(((gaps["p"] - gaps["y"]).abs() * bin_of.value_counts(normalize=True).sort_index()).sum())


def score_pairs(data: Path, workspace: Path) -> list[tuple[str, str]]:
    """Recall of the pairs that people judged the same shot, among the first test-train pairs returned."""
    truth = pd.read_csv(data / "truth_near_duplicates.csv")
    truth = truth[truth["judgment"].eq("near") & truth["between"].eq("test-train")]
    wanted = {frozenset(pair) for pair in zip(truth["image_a"], truth["image_b"], strict=True)}
    pairs = pd.read_parquet(workspace / "issues" / "near_duplicate_pairs.parquet")
    pairs = pairs[pairs["between"].eq("test-train")]
    ranked = [frozenset(pair) for pair in zip(pairs["sample_id_a"], pairs["sample_id_b"], strict=True)]
    return [
        (f"near pairs among first {n:,}", f"{len(wanted & set(ranked[:n])) / len(wanted):.3f} of {len(wanted)}")
        for n in BUDGETS
    ]


def clean_and_retrain(workspace: Path) -> list[tuple[str, str]]:
    """What a hurried person does: accept the surest suggestions, then train before, after and control."""
    import json

    curate(
        "decide", "--issue", "label", "--above", "0.8", "--action", "relabel", "--reviewer", "bench", "-w", workspace
    )
    curate("apply", "-w", workspace)
    seconds, memory = curate("retrain", "-w", workspace)
    run = sorted((workspace / "runs").glob("*/run.json"))[-1]
    found = json.loads(run.read_text())
    arms = found["metrics"]["arms"] if "metrics" in found else found["arms"]
    rows = [(f"test accuracy, {name}", f"{arm['accuracy']:.4f}") for name, arm in arms.items()]
    return [*rows, ("retrain", f"{seconds:.1f} s, {memory:,.0f} MB peak")]


if __name__ == "__main__":
    main()
