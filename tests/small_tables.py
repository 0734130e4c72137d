"""Small tables for the tests of review and apply, typed as the schema wants them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from curate.decisions.decision import evidence
from curate.schema import TABLES, conform, empty, validate

USUAL = {"label": "cat", "split": "train", "width": 32.0, "height": 32.0, "bytes": 900.0, "mode": "RGB", "status": "ok"}


def make_samples(rows: Mapping[str, Mapping[str, object]] | Sequence[str]) -> pd.DataFrame:
    """SAMPLES from sample_id → what is unusual about it. Each has a content of its own but where told."""
    given = rows if isinstance(rows, Mapping) else {sample_id: {} for sample_id in rows}
    columns = [column.name for column in TABLES["samples"].columns]
    table = pd.DataFrame(
        [
            {**USUAL, "sample_id": name, "path": f"/data/{name}", "sha256": sha(f"content of {name}"), **unusual}
            for name, unusual in given.items()
        ]
    ).reindex(columns=columns)
    return validate("samples", conform("samples", table))


def sha(content: str) -> str:
    """A stand-in for a SHA-256 that reads well in a failing test."""
    return content.replace(" ", "_").ljust(64, ".")


def flag_table(issue: str, rows: Mapping[str, Mapping[str, object]]) -> pd.DataFrame:
    """A finder's table from sample_id → `p` (flagged at 0.5 and above) and evidence."""
    records = []
    for sample_id, facts in rows.items():
        p = float(facts.get("p", 0.9))  # type: ignore[arg-type]
        rest = {name: value for name, value in facts.items() if name != "p"}
        flag = {f"is_{issue}_issue": p >= 0.5, f"{issue}_score": 1 - p, f"{issue}_probability": p}
        records.append({"sample_id": sample_id, **flag, **rest})
    return pd.DataFrame(records)


def make_pairs(*pairs: tuple[str, str, float, str]) -> pd.DataFrame:
    """PAIRS from (a, b, similarity, kind)."""
    if not pairs:
        return empty("near_duplicate_pairs")
    table = pd.DataFrame(pairs, columns=["sample_id_a", "sample_id_b", "similarity", "kind"])
    return table.assign(between="train-train", agreement=table["similarity"], cosine=table["similarity"])


def make_decisions(samples: pd.DataFrame, *rows: tuple[str, ...], bulk: str | None = None) -> pd.DataFrame:
    """DECISIONS in force from (sample_id, issue, action[, label]), made on these samples as they are."""
    known = samples.set_index("sample_id")
    records = [
        {
            "decision_id": number,
            "sample_id": row[0],
            "sha256": known["sha256"].get(row[0]),
            "issue": row[1],
            "action": row[2],
            "label": row[3] if len(row) > 3 else None,
            "reviewer": "ann",
            "time": "2026-01-01T00:00:00+00:00",
            "reason": None,
            "evidence": evidence(given_label=known["label"].get(row[0]), bulk=bulk),
        }
        for number, row in enumerate(rows, start=1)
    ]
    columns = [column.name for column in TABLES["decisions"].columns]
    return validate("decisions", conform("decisions", pd.DataFrame(records, columns=columns)))
