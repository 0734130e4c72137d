"""What the report says of labels: what came in, how people agree, the splits, the classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from curate.report.facts import ReportFacts
from curate.report.plots import heat_map, intervals, most_confused, stacked_bars
from curate.report.words import plain_table, records
from curate.schema import SPLITS

View = dict[str, Any]
MOST_ROWS = 20  # of a table on the page; what is more is counted
PEOPLE = 12  # heat maps of at most so many annotators; the table tells of all
# Landis and Koch (1977), The measurement of observer agreement for categorical data
KAPPA_WORDS = ((0.0, "poor"), (0.2, "slight"), (0.4, "fair"), (0.6, "moderate"), (0.8, "substantial"))
STATISTICS = {"fleiss_kappa": "Fleiss’ kappa", "krippendorff_alpha": "Krippendorff’s alpha"}


def incoming(facts: ReportFacts) -> View | None:
    """Counts of what was read, and what could not be."""
    samples = facts.samples
    if samples is None or samples.empty:
        return None
    broken = samples[samples["status"] != "ok"]
    readable = samples[samples["status"] == "ok"]
    return {
        "n": len(samples),
        "n_classes": int(samples["label"].nunique()),
        "n_unlabelled": int(samples["label"].isna().sum()),
        "size": _sizes(readable),
        "modes": readable["mode"].value_counts().head(6).to_dict(),
        "megabytes": float(samples["bytes"].sum()) / 1e6,
        "broken": records(broken.head(MOST_ROWS)),
        "n_broken": len(broken),
        "statuses": broken["status"].value_counts().to_dict(),
        "problems": _problems(facts.row_problems),
    }


def agreement(facts: ReportFacts) -> View | None:
    """How far people agree: rates, kappas with intervals, by class, by person."""
    said = facts.agreement
    if not said or not said["n_shared"]:
        return None
    overall = {row["statistic"]: row for row in said["overall"]}
    pairs = sorted(said["per_pair"], key=lambda row: -row["n_samples"])
    kappas = [{**overall[key], "name": name} for key, name in STATISTICS.items() if key in overall]
    kappas += [
        {
            "name": f"Cohen’s kappa of {row['annotator_a']} and {row['annotator_b']}",
            "value": row["cohen_kappa"],
            "low": row["cohen_kappa_low"],
            "high": row["cohen_kappa_high"],
        }
        for row in pairs[:10]
    ]
    per_class = [
        {"name": row["label"], "value": row["conflict_rate"]}
        | {"low": row["conflict_rate_low"], "high": row["conflict_rate_high"]}
        for row in sorted(said["per_class"], key=lambda row: -(row["conflict_rate"] or 0))
    ]
    return {
        "n_shared": said["n_shared"],
        "n_samples": said["n_samples"],
        "conflict": overall["conflict_rate"],
        "agreement": overall["agreement"],
        "in_words": _in_words(overall["fleiss_kappa"]["value"]),
        "kappas": intervals(kappas, unit=False, wanted=3),
        "per_class": intervals(per_class[:MOST_ROWS]),
        "n_classes": len(per_class),
        "people": _people(said, facts.annotators),
        "heat_maps": _heat_maps(said["confusion"]),
        "confused": _confused(said["confusion"]),
    }


def splits(facts: ReportFacts) -> View | None:
    """Counts per class and split, and the proof."""
    samples = facts.samples
    if samples is None or samples["split"].isna().all():
        return None
    known = [split for split in SPLITS if (samples["split"] == split).any()]
    labelled = samples[samples["label"].notna() & samples["split"].notna()]
    counts = labelled.groupby(["label", "split"]).size().unstack(fill_value=0).reindex(columns=known, fill_value=0)
    return {
        "totals": {split: int((samples["split"] == split).sum()) for split in known},
        "bars": stacked_bars(counts),
        "proof": facts.split_proof and facts.split_proof["per_split"],
        "n_straddling": facts.split_proof and facts.split_proof["n_straddling"],
    }


def classes(facts: ReportFacts) -> View | None:
    """Classes that are too small, and the class finder's table as it is."""
    balance, report = facts.balance, facts.classes
    if balance is None and report is None:
        return None
    small = [] if balance is None else balance[balance["is_small"]].to_dict("records")
    return {
        "n": 0 if balance is None else len(balance),
        "largest": None if balance is None or balance.empty else balance.iloc[0].to_dict(),
        "smallest": None if balance is None or balance.empty else balance.iloc[-1].to_dict(),
        "n_small": len(small),
        "small": small[:MOST_ROWS],
        "report": None if report is None or report.empty else plain_table(report),
    }


def _sizes(readable: pd.DataFrame) -> View | None:
    if readable.empty:
        return None
    area = readable["width"].astype(float) * readable["height"].astype(float)
    ranked = readable.iloc[area.argsort(kind="stable")]
    rows = {"smallest": ranked.iloc[0], "median": ranked.iloc[len(ranked) // 2], "largest": ranked.iloc[-1]}
    return {name: f"{int(row['width'])}×{int(row['height'])}" for name, row in rows.items()}


def _problems(problems: pd.DataFrame | None) -> View:
    if problems is None or problems.empty:
        return {"n": 0, "reasons": {}, "rows": []}
    reasons = problems["reason"].value_counts().head(8).to_dict()
    return {"n": len(problems), "reasons": reasons, "rows": records(problems.head(MOST_ROWS))}


def _in_words(kappa: float | None) -> str:
    if kappa is None:
        return ""
    return next((word for limit, word in KAPPA_WORDS if kappa <= limit), "almost perfect")


def _people(said: Mapping[str, Any], quality: pd.DataFrame | None) -> list[View]:
    known = {} if quality is None else quality.set_index("annotator").to_dict("index")
    nothing = {"quality": None, "agreement_with_consensus": None}
    rows = [{**nothing, **row, **known.get(row["annotator"], {})} for row in said["per_annotator"]]
    return sorted(rows, key=lambda row: (row["quality"] is None, row["quality"], row["annotator"]))


def _square(cells: pd.DataFrame) -> pd.DataFrame:
    """Long counts (label, other_label, n_pairs) → a square table over all labels."""
    names = sorted(set(cells["label"]) | set(cells["other_label"]))
    counts = cells.groupby(["label", "other_label"])["n_pairs"].sum().unstack(fill_value=0)
    return counts.reindex(index=names, columns=names, fill_value=0).astype("int64")


def _heat_maps(confusion: list[Mapping[str, Any]]) -> list[View]:
    """One heat map per person, rows: what they said; columns: what the others said of the same images."""
    table = pd.DataFrame(confusion)
    people = table["annotator"].drop_duplicates().sort_values().head(PEOPLE)
    return [{"title": str(name), **heat_map(_square(table[table["annotator"] == name]))} for name in people]


def _confused(confusion: list[Mapping[str, Any]]) -> list[View]:
    """The pairs of labels that people mix up most, whichever way round; both directions count once."""
    counts = _square(pd.DataFrame(confusion))
    return most_confused(pd.DataFrame(np.triu(counts, 1), counts.index, counts.columns))
