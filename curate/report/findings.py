"""What the report shows of issues: the worst of each with its evidence, the map, and the decisions so far."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from curate.decisions.decision import read_evidence
from curate.issues.flags import has_probability, long_table
from curate.issues.kinds import KEEP_ONE, all_kinds, kind_of
from curate.issues.table import issue_names
from curate.report.facts import ReportFacts
from curate.report.maps import TILES_PER_ROW
from curate.report.pictures import Pictures, data_uri
from curate.report.plots import hues, stacked_bars
from curate.report.words import words
from curate.schema import ACTIONS, empty

View = dict[str, Any]
Samples = Mapping[str, Mapping[str, Any]]  # sample_id → label, split, status, error
SHOWN = 16  # pictures per issue
ENDS = ("sample_id_a", "sample_id_b")
COLOURS = 12  # classes with a colour of their own on the map


def issues(facts: ReportFacts, picture: Pictures) -> View | None:
    """Every issue: how many are flagged, how many of them are probably right, and the worst of them."""
    if not facts.issues:
        return None
    flags = _flagged(facts.issues)
    names = sorted({name for table in facts.issues.values() for name in issue_names(table)}, key=_page_order)
    present = [name for name in names if (flags["issue"] == name).any()]
    return {
        "found": _found(facts, flags, present, picture),
        "clean": [name for name in names if name not in present],
        "n_flagged": int(flags["sample_id"].nunique()),
        "n_samples": max(len(table) for table in facts.issues.values()),
        "bars": stacked_bars(flags.groupby("issue").size().rename("flagged").to_frame()),
    }


def _found(facts: ReportFacts, flags: pd.DataFrame, names: list[str], picture: Pictures) -> list[View]:
    calibrated = {name for table in facts.issues.values() for name in names if has_probability(table, name)}
    samples, decided = _by_id(facts.samples), _verdicts(facts.decisions)
    twins = _Twins(facts.pairs, samples, picture)
    found = []
    for name in names:
        rows = flags[flags["issue"] == name]
        view = {"name": name, "note": kind_of(name).note, "n": len(rows), "twins": name in KEEP_ONE}
        view["expected"] = float(rows["probability"].sum()) if name in calibrated else None
        view["items"] = twins.of(rows, name) if name in KEEP_ONE else _worst(rows, samples, picture, decided)
        found.append(view)
    return found


def the_map(facts: ReportFacts) -> View | None:
    """The embedding map's points by label, those with issues ringed."""
    layout = facts.embedding_map
    if layout is None or layout.points.empty:
        return None
    samples = _by_id(facts.samples)
    flags = _flagged(facts.issues)
    issues_of = flags.groupby("sample_id")["issue"].agg(list).to_dict()
    points = layout.points.assign(tile=range(len(layout.points)))
    points["label"] = [_label(samples, sample) for sample in points["sample_id"]]
    common = points["label"].value_counts().sort_index().sort_values(ascending=False, kind="stable").index
    named = sorted(label for label in common[:COLOURS] if label)
    groups = []
    for hue, label in zip([*hues(len(named)), None], [*named, None], strict=True):
        members = points[points["label"] == label] if label else points[~points["label"].isin(named)]
        if len(members):
            groups.append({"label": label or "other or none", "hue": hue, "points": _points(members, issues_of)})
    return {
        "groups": groups,
        "n": len(points),
        "of": layout.of,
        "n_flagged": int(points["sample_id"].isin(issues_of).sum()),
        "atlas": None if layout.atlas is None else data_uri(layout.atlas),
        "tiles_per_row": TILES_PER_ROW,
    }


def decisions(facts: ReportFacts) -> View | None:
    """Verdicts so far, by issue and by reviewer."""
    table = facts.decisions
    if table is None or table.empty:
        return None
    in_bulk = read_evidence(table, "bulk").notna()
    return {
        "n": len(table),
        "n_samples": int(table["sample_id"].nunique()),
        "n_bulk": int(in_bulk.sum()),
        "actions": list(ACTIONS),
        "by_issue": _cross(table, "issue"),
        "by_reviewer": _cross(table, "reviewer"),
        "reviewers": facts.reviewers,
        "first": table["time"].min(),
        "last": table["time"].max(),
    }


def _flagged(issues: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    flags = long_table(issues)
    return flags[flags["is_flagged"]]


def _page_order(issue: str) -> tuple[int, str]:
    known = list(all_kinds())
    return (known.index(issue) if issue in known else len(known), issue)


def _by_id(samples: pd.DataFrame | None) -> Samples:
    if samples is None:
        return {}
    return samples.set_index("sample_id")[["label", "split", "status", "error"]].to_dict("index")


def _label(samples: Samples, sample_id: str) -> str:
    label = samples.get(sample_id, {}).get("label")
    return "" if pd.isna(label) else str(label)


def _verdicts(decisions: pd.DataFrame | None) -> Mapping[tuple[str, str], str]:
    """(sample_id, issue) → the action decided."""
    if decisions is None:
        return {}
    return dict(zip(zip(decisions["sample_id"], decisions["issue"], strict=True), decisions["action"], strict=True))


def _worst(
    rows: pd.DataFrame, samples: Samples, picture: Pictures, decided: Mapping[tuple[str, str], str]
) -> list[View]:
    ranked = rows.sort_values(["probability", "score", "sample_id"], ascending=[False, True, True]).head(SHOWN)
    return [
        _item(row, samples, picture) | {"decided": decided.get((row["sample_id"], row["issue"]), "")}
        for row in ranked.to_dict("records")
    ]


def _item(row: Mapping[str, Any], samples: Samples, picture: Pictures) -> View:
    sample = samples.get(row["sample_id"], {})
    given, suggested = _label(samples, row["sample_id"]), row["suggested_label"]
    error = sample.get("error")
    return {
        "pictures": [_picture(row["sample_id"], samples, picture)],
        "given": given,
        "suggested": str(suggested) if not pd.isna(suggested) and suggested != given else "",
        "probability": row["probability"],
        "error": "" if pd.isna(error) else str(error),
    }


def _picture(sample_id: str, samples: Samples, picture: Pictures) -> View:
    split = samples.get(sample_id, {}).get("split")
    label = _label(samples, sample_id)
    return {"id": sample_id, "src": picture(sample_id), "label": label, "split": "" if pd.isna(split) else split}


class _Twins:
    """The most certain pairs of an issue. A pair is shown once on the page, under the gravest issue."""

    def __init__(self, pairs: pd.DataFrame | None, samples: Samples, picture: Pictures) -> None:
        self.pairs = empty("near_duplicate_pairs") if pairs is None else pairs
        self.samples, self.picture = samples, picture
        self.seen: set[tuple[str, str]] = set()

    def of(self, rows: pd.DataFrame, issue: str) -> list[View]:
        """Pairs whose two samples are both flagged; within an issue a sample stands in one pair only."""
        flagged = set(rows["sample_id"])
        both = self.pairs[self.pairs["sample_id_a"].isin(flagged) & self.pairs["sample_id_b"].isin(flagged)]
        both = both[self._fits(both, issue)].head(20 * SHOWN)
        items: list[View] = []
        used: set[str] = set()
        for row in both.to_dict("records"):
            a, b = row["sample_id_a"], row["sample_id_b"]
            if len(items) == SHOWN // 2:
                break
            if (a, b) in self.seen or {a, b} & used:
                continue
            self.seen.add((a, b))
            used |= {a, b}
            shown = [_picture(sample, self.samples, self.picture) for sample in (a, b)]
            items.append({"pictures": shown, "similarity": row["agreement"]})
        return items

    def _fits(self, pairs: pd.DataFrame, issue: str) -> pd.Series:
        if issue != "leak":
            return pairs["kind"] == issue.removesuffix("_duplicate")
        splits = [pairs[side].map(lambda sample: self.samples.get(sample, {}).get("split")) for side in ENDS]
        return splits[0] != splits[1]


def _points(members: pd.DataFrame, issues_of: Mapping[Any, list[str]]) -> list[View]:
    return [
        {
            "x": round(1000 * row["x"], 1),
            "y": round(1000 * row["y"], 1),
            "tile": row["tile"],
            "id": row["sample_id"],
            "issues": ", ".join(words(name) for name in issues_of.get(row["sample_id"], [])),
        }
        for row in members.to_dict("records")
    ]


def _cross(table: pd.DataFrame, column: str) -> View:
    counts = table.groupby([column, "action"]).size().unstack(fill_value=0)
    return stacked_bars(counts.reindex(columns=list(ACTIONS), fill_value=0))
