"""The tables of all finders as one long table of flags, with a probability for each."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from curate.issues.groups import name_groups
from curate.issues.kinds import KEEP_ONE, LEAK_BESIDE_TEST, kind_of
from curate.issues.table import issue_names

EVIDENCE = ("suggested_label", "nearest_id", "group_id")
COLUMNS = ("sample_id", "issue", "score", "probability", "is_flagged", *EVIDENCE)


def probability(table: pd.DataFrame, issue: str) -> pd.Series:
    """P(the flag is right) of each row, in [0, 1].

    The finder's own `<issue>_probability` where it has one. Else 1 - score: as monotone as the score, and no
    more than a first guess, which the verdicts then correct (`curate.review.calibrate`).
    """
    guess = 1.0 - table[f"{issue}_score"].astype("float64")
    if f"{issue}_probability" in table:
        guess = table[f"{issue}_probability"].astype("float64").fillna(guess)
    return guess.fillna(0.0).clip(0.0, 1.0)


def has_probability(table: pd.DataFrame, issue: str) -> bool:
    """Whether the finder itself gives probabilities."""
    return f"{issue}_probability" in table


def long_table(issues: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The flags of all finders, one row per sample and issue: COLUMNS, sorted by issue and sample.

    Evidence is null where a finder gives none. Of duplicates and leaks also the twins and the other members of
    the group are there, flagged or not: which copy to keep is chosen among all.

    Parameters
    ----------
    issues : finder → its table (`sample_id`, `is_<issue>_issue`, `<issue>_score`, evidence)
    """
    parts = [_one_issue(table, issue) for table in issues.values() for issue in issue_names(table)]
    if not parts:
        dtypes = {"score": "float64", "probability": "float64", "is_flagged": "bool"}
        return pd.DataFrame({name: pd.Series(dtype=dtypes.get(name, "object")) for name in COLUMNS})
    return pd.concat(parts, ignore_index=True).sort_values(["issue", "sample_id"], ignore_index=True)


def _one_issue(table: pd.DataFrame, issue: str) -> pd.DataFrame:
    columns: dict[str, pd.Series | str] = {
        "sample_id": table["sample_id"].astype("object"),
        "issue": issue,
        "score": table[f"{issue}_score"].astype("float64").fillna(1.0),
        "probability": probability(table, issue),
        "is_flagged": table[f"is_{issue}_issue"].astype("bool"),
    }
    for name in EVIDENCE:
        values = table[name].astype("object") if name in table else pd.Series(None, table.index, dtype="object")
        columns[name] = values.where(values.notna(), None)
    rows = pd.DataFrame(columns)
    flagged = rows[rows["is_flagged"]]
    if issue not in KEEP_ONE:
        return flagged
    mates = rows["group_id"].notna() & rows["group_id"].isin(flagged["group_id"])
    return rows[rows["is_flagged"] | mates | rows["sample_id"].isin(flagged["nearest_id"].dropna())]


def open_flags(samples: pd.DataFrame, issues: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """All flags on readable samples that a person can settle, with `group`, `impact`, `sha256`, `label`, `split`."""
    asked = {finder: table for finder, table in issues.items() if any(kind_of(i).is_asked for i in issue_names(table))}
    flags = long_table(asked)
    flags["impact"] = flags["issue"].map({i: kind_of(i).impact for i in flags["issue"].unique()}).astype("float64")
    flags = flags[flags["impact"] > 0].merge(samples[["sample_id", "sha256", "label", "split"]], on="sample_id")
    flags["group"] = name_groups(flags)
    leaks = flags["issue"].eq("leak")
    touches_test = flags["split"].eq("test").groupby(flags["group"].fillna(flags["sample_id"])).transform("any")
    flags.loc[leaks & ~touches_test, "impact"] *= LEAK_BESIDE_TEST
    return flags
