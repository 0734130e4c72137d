"""How well the stop rule foretells the rest of a review, on labels whose truth is known.

    python tests/benchmarks/forecast.py WORKSPACE truth_labels.csv

A reviewer who is always right goes through the label issues of WORKSPACE, worst first. After each stretch of
verdicts: how many of the next 50, and of all flags that are left, were expected to be right, and how many are.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from curate.decisions.decision import evidence
from curate.review.forecast import forecast
from curate.review.queue import build_queue
from curate.schema import TABLES, conform, empty

STRETCHES = (0, 20, 50, 100, 200, 500, 1000)


def verdicts(shown: pd.DataFrame, truth: pd.Series) -> pd.DataFrame:
    """DECISIONS of someone who knows the truth."""
    true = shown["sample_id"].map(truth)
    wrong = true.ne(shown["label"])
    said = [evidence(probability=row.probability, given_label=row.label) for row in shown.itertuples()]
    columns = [column.name for column in TABLES["decisions"].columns]
    table = shown.reindex(columns=columns).assign(
        decision_id=range(1, len(shown) + 1),
        action=wrong.map({True: "relabel", False: "keep"}),
        label=true.where(wrong, None),
        reviewer="truth",
        time="2026-01-01T00:00:00+00:00",
        evidence=said,
        sha256=None,
        reason=None,
    )
    return conform("decisions", table)


def main(workspace: Path, truth_file: Path) -> None:
    samples = pd.read_parquet(workspace / "tables" / "samples.parquet")
    issues = {"label": pd.read_parquet(workspace / "issues" / "label.parquet")}
    truth = pd.read_csv(truth_file).set_index("image")["label"]
    pairs = empty("near_duplicate_pairs")
    queue = build_queue(samples, issues, pairs, empty("decisions"))
    wrong = queue["sample_id"].map(truth).ne(queue["label"])
    print(f"{len(queue):,} flags, {wrong.sum():,} of them right")
    print("verdicts   next 50: expected  true   all left: expected (90% interval)      true")
    for n in (n for n in STRETCHES if n < len(queue)):
        decisions = verdicts(queue.head(n), truth)
        rest = build_queue(samples, issues, pairs, decisions)
        left = rest["sample_id"].map(truth).ne(rest["label"])
        seen = forecast(samples, issues, decisions, rest)
        interval = f"{seen.expected:6,.0f} ({seen.low:,.0f} to {seen.high:,.0f})"
        print(f"{n:8,} {seen.expected_next:18.0f} {left.head(50).sum():5} {interval:>34} {left.sum():9,}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
