"""What the report says of the outcome: did the data get better, what changed, where the model still fails."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from curate.evaluate.scores import MCNEMAR
from curate.evaluate.scores import verdict as told_by
from curate.report.facts import ReportFacts
from curate.report.pictures import Pictures
from curate.report.plots import dumbbells, heat_map, intervals
from curate.report.words import plain_table, when

View = dict[str, Any]
ARMS = {"before": "before", "after": "after", "control": "as many removed at random"}
ANSWERS = {
    "better": ("good", "Yes", "The model trained on the cleaned data is better."),
    "worse": ("bad", "No", "The model trained on the cleaned data is worse."),
    "no difference shown": ("", "Can’t tell yet", "The difference is within what chance does on this test split."),
}
FAILURES = 24  # pictures of failures on the page
MOST = 12  # lines of a list
FIGURES = r"\s*\([^()]*\d[^()]*\)"  # scores in a reason, which would make each one different


def outcome(facts: ReportFacts, picture: Pictures) -> View | None:
    """Before, after and control: figures with intervals, per class, confusion matrices, failures."""
    told = facts.comparison
    if not told:
        return None
    arms = {arm: told["arms"][arm] for arm in ARMS if arm in told["arms"]}
    difference = told["differences"]["after - before"]
    return {
        "verdict": verdict(difference),
        "compared": facts.compared,
        "later": _later(facts),
        "difference": {"test": MCNEMAR, **difference},  # runs of an earlier curate don't name the test
        "beside_control": told["differences"].get("after - control"),
        "arms": arms,
        "names": ARMS,
        "n_test": told["n_test"],
        "preset": told["preset"],
        "notes": told["notes"],
        "accuracy": intervals([_accuracy_row(arm, scores, told["n_test"]) for arm, scores in arms.items()]),
        "per_class": dumbbells(_per_class(arms)),
        "heat_maps": {arm: heat_map(_confusion(told["classes"], arms[arm])) for arm in ("before", "after")},
        "failures": _failures(facts.predictions, picture),
    }


def verdict(difference: Mapping[str, Any]) -> View:
    """Whether the data got better, in one word and one sentence, by the rule of `curate.evaluate.scores.verdict`."""
    word = told_by(difference["accuracy_interval"], difference["p_value"], difference.get("exchange_p"))
    return dict(zip(("tone", "answer", "sentence"), ANSWERS[word], strict=True))


def _later(facts: ReportFacts) -> int | None:
    """The number of the latest version where that is not the one that was judged."""
    latest = max((version["version"] for version in facts.versions), default=None)
    return None if facts.compared is None or latest == facts.compared[1] else latest


def wilson(accuracy: float, n: int, *, z: float = 1.96) -> tuple[float, float]:
    """The 95% interval of a share seen among `n` (Wilson 1927); it stays inside [0, 1] and holds for small `n`."""
    middle = (accuracy + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(accuracy * (1 - accuracy) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def versions(facts: ReportFacts) -> View | None:
    """The versions, and what changed between the two that are compared."""
    if not facts.versions and facts.diff is None:
        return None
    rows = [
        {"version": version["version"], "parent": version["parent"], "made": when(version["made"]), **version["counts"]}
        for version in facts.versions
    ]
    return {
        "versions": plain_table(pd.DataFrame(rows)) if rows else None,
        "compared": facts.compared,
        "diff": None if facts.diff is None else _diff(facts.diff),
        "n_changed": 0 if facts.diff is None else int(facts.diff["sample_id"].nunique()),
    }


def _diff(diff: pd.DataFrame) -> View:
    """Counts by kind of change, the commonest relabellings and reasons, and the first rows."""
    relabelled = diff[diff["change"] == "relabelled"].groupby(["label_before", "label_after"], dropna=False).size()
    commonest = relabelled.sort_values(ascending=False, kind="stable").head(MOST)
    reasons = diff.loc[diff["change"] == "removed", "reason"].str.replace(FIGURES, "", regex=True).value_counts()
    shared = reasons[reasons > 1].head(MOST)
    return {
        "changes": diff["change"].value_counts().sort_index().to_dict(),
        "relabelled": [{"before": before, "after": after, "n": int(n)} for (before, after), n in commonest.items()],
        "reasons": {str(reason): int(n) for reason, n in shared.items()},
        "other_reasons": int(reasons.sum() - shared.sum()),
        "rows": plain_table(diff.dropna(axis=1, how="all"), rows=50),
    }


def _accuracy_row(arm: str, scores: Mapping[str, Any], n_test: int) -> View:
    low, high = wilson(scores["accuracy"], n_test)
    return {"name": ARMS[arm], "value": scores["accuracy"], "low": low, "high": high}


def _per_class(arms: Mapping[str, Any]) -> list[View]:
    before = {row["class"]: row for row in arms["before"]["per_class"]}
    return [
        {"name": str(row["class"]), "before": before[row["class"]]["f1"], "after": row["f1"]}
        for row in arms["after"]["per_class"]
        if row["support"]
    ]


def _confusion(classes: list[str], scores: Mapping[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(scores["confusion"], index=classes, columns=classes)


def _failures(predictions: pd.DataFrame | None, picture: Pictures) -> list[View]:
    """Test images that the model after still gets wrong, the most confident mistakes first."""
    if predictions is None:
        return []
    wrong = predictions[predictions["after"] != predictions["label"]]
    ranked = wrong.sort_values(["confidence", "sample_id"], ascending=[False, True]).head(FAILURES)
    return [
        {
            "picture": {"id": row["sample_id"], "src": picture(row["sample_id"])},
            "label": row["label"],
            "predicted": row["after"],
            "was_right": row["before"] == row["label"],
            "confidence": row["confidence"],
        }
        for row in ranked.to_dict("records")
    ]
