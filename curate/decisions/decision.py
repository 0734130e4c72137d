"""One decision: what makes it valid, and the evidence that is kept with it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, NewType

import pandas as pd

from curate.errors import LedgerError
from curate.schema import ACTIONS

Recorded = NewType("Recorded", pd.DataFrame)  # schema DECISIONS: what people decided, of the pictures there were then
InForce = NewType("InForce", pd.DataFrame)  # schema DECISIONS: what of it stands on today's files, under their names

FIELDS = ("sample_id", "sha256", "issue", "action", "label", "reviewer", "reason", "evidence")
NEEDED = ("sample_id", "issue", "action", "reviewer")
LONGEST = 100_000  # characters in one field: no verdict needs more, and a mistake is told early


def records(decisions: pd.DataFrame | Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Decisions as a list of dicts, whichever way they were given."""
    if isinstance(decisions, pd.DataFrame):
        return [{str(field): value for field, value in row.items()} for row in decisions.to_dict("records")]
    return [dict(row) for row in decisions]


def checked(decision: Mapping[str, Any], number: int) -> dict[str, str | None]:
    """One decision as text fields, nothing as None.

    Raises
    ------
    LedgerError : an unknown field or action, a needed field that is empty, a label without relabel or
        relabel without a label, text that is too long or not Unicode, evidence that is not a JSON object
    """
    where = f"decision {number}"
    unknown = sorted(set(decision) - set(FIELDS))
    if unknown:
        raise LedgerError(f"{where} has a field {unknown[0]!r}", f"only {', '.join(FIELDS)}")
    row = {field: _text(decision.get(field), f"{field} of {where}") for field in FIELDS if field != "evidence"}
    row["evidence"] = _evidence_text(decision.get("evidence"), f"evidence of {where}")
    for field in NEEDED:
        if row[field] is None:
            raise LedgerError(f"{where} has no {field}", f"{', '.join(NEEDED)} in each decision")
    if row["action"] not in ACTIONS:
        raise LedgerError(f"{where} has the action {row['action']!r}", f"one of {', '.join(ACTIONS)}")
    if (row["action"] == "relabel") != (row["label"] is not None):
        raise LedgerError(f"{where} is {row['action']!r} with the label {row['label']!r}", "a label for relabel alone")
    return row


def evidence(*, bulk: str | None = None, **facts: Any) -> str:
    """The JSON kept with a decision: what was known when it was made. Missing values are left out.

    Three facts are read again later: `probability` tells how far a finder can be trusted, `given_label`
    when a verdict on a label is out of date, and `bulk`, the rule of a decision that nobody looked at
    alone, keeps such decisions out of the measured precision.
    """
    known = {key: plain(value) for key, value in {"bulk": bulk, **facts}.items()}
    return json.dumps({k: v for k, v in known.items() if v is not None}, sort_keys=True, ensure_ascii=False)


def read_evidence(decisions: pd.DataFrame, key: str) -> pd.Series:
    """One fact of each decision's evidence, None where it holds none; aligned with `decisions`."""
    found = [json.loads(cell).get(key) if isinstance(cell, str) else None for cell in decisions["evidence"]]
    return pd.Series(found, index=decisions.index, dtype="object")


def plain(value: Any) -> Any:
    """Pandas' and NumPy's scalars as Python's; every kind of missing value as None."""
    value = value.item() if hasattr(value, "item") else value
    missing = value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and math.isnan(value))
    return None if missing else value


def _text(value: Any, where: str) -> str | None:
    value = plain(value)
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if not isinstance(value, str) or len(value) > LONGEST or "\0" in value:
        shown = str(value)[:40]
        raise LedgerError(f"{where} is {shown!r} ({type(value).__name__})", f"text of up to {LONGEST:,} characters")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise LedgerError(f"{where} is not valid Unicode: {ascii(value)[:80]}") from None
    return value


def _evidence_text(value: Any, where: str) -> str | None:
    text = evidence(**value) if isinstance(value, Mapping) else _text(value, where)
    if text is None:
        return None
    try:
        is_object = isinstance(json.loads(text), dict)
    except json.JSONDecodeError:
        is_object = False
    if not is_object:
        raise LedgerError(f"{where} is {text[:40]!r}", "a JSON object")
    return text
