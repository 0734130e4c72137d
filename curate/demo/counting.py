"""Count what was found of what was planted."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from curate.demo.planting import COPIES, NOTICE, Planted

AGREED = "agreed_mistake"  # of both people: no conflict betrays it
BROKEN = ("truncated", "unreadable")
# planted defect → the issues that should tell of it, and the planted defects that make such a flag right
LOOKED_FOR_BY = {
    "exact_copy": (("exact_duplicate",), COPIES),
    "near_copy": (("near_duplicate", "exact_duplicate"), COPIES),
    "leak": (("leak",), ("leak",)),
    "dark": (("dark",), ("dark",)),
    "bright": (("bright",), ("bright",)),
    "blurred": (("blurry",), ("blurred",)),
    "off_topic": (("outlier",), ("off_topic", "dark", "bright", "blurred")),
}


def score(
    planted: Planted, *, scan: pd.DataFrame, consensus: pd.DataFrame, issues: Mapping[str, pd.DataFrame]
) -> pd.DataFrame:
    """Count, for each planted defect, how many were planted, found and flagged in all.

    Parameters
    ----------
    planted : what `plant` returned
    scan : table SCAN, with a row for every file
    consensus : table CONSENSUS
    issues : the finders' tables, under any names

    Returns
    -------
    DataFrame with columns defect, looked_for_by, planted, found (of the planted), flagged (samples flagged in
    the whole data set) and right (of the flagged, those with such a defect). A copy counts as found where it
    or its twin is flagged, and either flag is right.
    """
    rows = [*_mistakes(planted, consensus, issues), _left_after_consensus(planted, consensus, issues)]
    for defect, (names, right) in LOOKED_FOR_BY.items():
        rows.append(_row(planted, defect, " or ".join(names), flagged_ids(issues, *names), right))
    broken = set(scan.loc[scan["status"] != "ok", "sample_id"])
    rows += [_row(planted, defect, "scan", broken, BROKEN) for defect in BROKEN]
    return pd.DataFrame(rows)


def score_text(table: pd.DataFrame) -> str:
    """The table of `score` as text, under a line that says plainly that the defects were planted."""
    shown = table.rename(columns={"looked_for_by": "looked for by"})
    return f"{NOTICE}\n\n{shown.to_string(index=False)}"


def wrong_labels(planted: Planted, table: pd.DataFrame) -> int:
    """Count the rows of `table` (sample_id, label) whose label is not the true digit; pictures of none don't count."""
    return len(_wrong_ids(planted, table))


def flagged_ids(issues: Mapping[str, pd.DataFrame], *names: str) -> set[str]:
    """The samples that any of the tables flags for one of the issues `names`."""
    columns = [(table, f"is_{name}_issue") for table in issues.values() for name in names]
    return {
        sample
        for table, flag in columns
        if flag in table.columns
        for sample in table.loc[table[flag].astype(bool), "sample_id"]
    }


def _row(
    planted: Planted, defect: str, looked_for_by: str, flagged: set[str], right: tuple[str, ...]
) -> dict[str, object]:
    rows = planted.defects[planted.defects["defect"] == defect]
    found = rows["sample_id"].isin(flagged) | rows["twin"].isin(flagged)
    alike = planted.defects[planted.defects["defect"].isin(right)]
    carriers = set(alike["sample_id"]) | set(alike["twin"].dropna())
    return _counts(defect, looked_for_by, len(rows), int(found.sum()), flagged, carriers)


def _counts(
    defect: str, looked_for_by: str, planted: int, found: int, flagged: set[str], carriers: set[str]
) -> dict[str, object]:
    return {
        "defect": defect,
        "looked_for_by": looked_for_by,
        "planted": planted,
        "found": found,
        "flagged": len(flagged),
        "right": len(flagged & carriers),
    }


def _mistakes(planted: Planted, consensus: pd.DataFrame, issues: Mapping[str, pd.DataFrame]) -> list[dict[str, object]]:
    """A person's mistake is found where the two disagree, or where the label finder doubts what they agree on."""
    conflicts, doubted = set(consensus.loc[consensus["is_conflict"], "sample_id"]), flagged_ids(issues, "label")
    people = sorted(name for name in planted.defects["defect"].unique() if name.startswith("mistake_"))
    every = (AGREED, *people)
    rows = [_row(planted, name, "conflict or label", conflicts | doubted, every) for name in people]
    return [*rows, _row(planted, AGREED, "label", doubted, every)]


def _left_after_consensus(
    planted: Planted, consensus: pd.DataFrame, issues: Mapping[str, pd.DataFrame]
) -> dict[str, object]:
    """Labels that are still wrong once the two are brought to one: what is left for the label finder."""
    wrong, flagged = _wrong_ids(planted, consensus), flagged_ids(issues, "label")
    return _counts("wrong_consensus", "label", len(wrong), len(wrong & flagged), flagged, wrong)


def _wrong_ids(planted: Planted, table: pd.DataFrame) -> set[str]:
    truth = planted.truth.set_index("sample_id")["label"].reindex(table["sample_id"]).to_numpy()
    wrong = (table["label"].to_numpy() != truth) & pd.notna(truth) & table["label"].notna().to_numpy()
    return set(table.loc[wrong, "sample_id"])
