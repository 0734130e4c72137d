"""`curate issues` and `curate check`: what was found, as a list, a file or a gate."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from curate.errors import CurateError, StageMissing, StageStale, WrongUsage
from curate.files import FORMATS, replacing
from curate.workspace import Workspace

LOOKED_AT = {"scan", "samples"}  # which pictures there are, and what is in them


def found_issues(workspace: Workspace) -> dict[str, pd.DataFrame]:
    """Every finished finder's table, by the finder's name.

    Raises
    ------
    StageMissing : no finder has run
    StageStale : some looked at other files than the last scan did: a flag may be of another picture of the same name
    """
    from curate.find import all_finders

    found = {name: workspace.read(name) for name in all_finders() if workspace.has(name)}
    if not found:
        raise StageMissing(f"no finder has run in {workspace.root}", do="curate ingest SOURCE")
    if old := [name for name in found if LOOKED_AT & set(workspace.stale_inputs(name))]:
        raise StageStale(
            f"{', '.join(old)}: found on other files than the last scan's",
            do="curate find (an ingest is still running, was interrupted, or only curate embed has run)",
        )
    return found


def count_issues(workspace: Workspace) -> pd.DataFrame:
    """`issue, flagged, scored, share`: one row per issue, most flagged first."""
    from curate.issues.table import issue_names

    rows = []
    for table in found_issues(workspace).values():
        for issue in issue_names(table):
            flagged, scored = int(table[f"is_{issue}_issue"].sum()), int(table[f"{issue}_score"].notna().sum())
            rows.append({"issue": issue, "flagged": flagged, "scored": scored, "share": flagged / max(len(table), 1)})
    return pd.DataFrame(rows).sort_values(["flagged", "issue"], ascending=[False, True], ignore_index=True)


def sample_issues(workspace: Workspace) -> pd.DataFrame:
    """One row per sample: `sample_id`, and of each issue `is_<issue>_issue` and `<issue>_score` (cleanlab's form)."""
    from curate.issues.table import issue_names

    found = workspace.read("samples")[["sample_id"]]
    for table in found_issues(workspace).values():
        columns = [name for issue in issue_names(table) for name in (f"is_{issue}_issue", f"{issue}_score")]
        found = found.merge(table[["sample_id", *columns]], on="sample_id", how="left", validate="one_to_one")
    return found


def list_issue(workspace: Workspace, issue: str, *, everything: bool = False) -> pd.DataFrame:
    """The flagged samples of one issue (or all that were scored), worst first, with the evidence."""
    from curate.issues.table import issue_names

    tables = found_issues(workspace)
    known = {name for table in tables.values() for name in issue_names(table)}
    table = tables[require_issue(tables, issue)]
    others = {f"{p}{name}{s}" for name in known if name != issue for p, s in (("is_", "_issue"), ("", "_score"))}
    shown = table if everything else table[table[f"is_{issue}_issue"]]
    shown = shown[[column for column in shown.columns if column not in others]]
    return shown.sort_values([f"{issue}_score", "sample_id"], ignore_index=True)


def require_issue(tables: dict[str, pd.DataFrame], issue: str) -> str:
    """The finder that knows `issue`; raises CurateError where none does."""
    from curate.issues.table import issue_names

    known = {name: finder for finder, table in tables.items() for name in issue_names(table)}
    if issue not in known:
        raise CurateError(f"there is no issue '{issue}'", f"one of {', '.join(sorted(known))}")
    return known[issue]


def export(rows: pd.DataFrame, out: Path) -> None:
    """Write a table as CSV, Parquet or JSON, by the ending of `out`."""
    if out.suffix not in (".csv", ".parquet"):
        raise CurateError(f"can't write '{out.suffix}' files", ".csv or .parquet", "--out issues.csv")
    with replacing(out) as temporary:
        FORMATS[out.suffix].write(rows, temporary)


def check(workspace: Workspace, limits: Iterable[str]) -> list[dict[str, Any]]:
    """Compare what is flagged with limits such as 'leak=0' or 'label=2%'.

    Returns
    -------
    One dict per limit: `issue, flagged, allowed, ok`. Without limits: leaks and unreadable files, none allowed.
    """
    counts = count_issues(workspace).set_index("issue")
    rows = []
    for limit in list(limits) or ["leak=0", "unreadable=0"]:
        issue, allowed = _parse_limit(limit)
        if issue not in counts.index:
            raise CurateError(f"there is no issue '{issue}'", f"one of {', '.join(counts.index)}")
        flagged, share = int(counts.at[issue, "flagged"]), float(counts.at[issue, "share"])
        ok = share * 100 <= float(allowed[:-1]) if allowed.endswith("%") else flagged <= float(allowed)
        rows.append({"issue": issue, "flagged": flagged, "share": round(share, 4), "allowed": allowed, "ok": ok})
    return rows


def _parse_limit(limit: str) -> tuple[str, str]:
    match = re.fullmatch(r"(\w+)=(\d+(?:\.\d+)?%?)", limit.strip())
    if not match:
        raise WrongUsage(f"'{limit}' is not a limit", "ISSUE=NUMBER or ISSUE=PERCENT%, such as leak=0 or label=2%")
    return match[1], match[2]
