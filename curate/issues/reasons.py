"""The evidence for a flag in one line, in words that need no glossary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from curate.issues.kinds import kind_of


def describe(flags: pd.DataFrame, samples: pd.DataFrame, pairs: pd.DataFrame) -> pd.Series:
    """One line of evidence for each row of the queue; aligned with `flags`.

    Parameters
    ----------
    flags : the rows of the queue as `curate.review.queue` makes them
    samples : schema SAMPLES
    pairs : schema PAIRS, which tells how alike two pictures are
    """
    columns = sorted({name for issue in flags["issue"].unique() for name in kind_of(issue).measured})
    samples = samples[samples["sample_id"].isin(pd.concat([flags["sample_id"], flags["nearest_id"]]).dropna())]
    facts = flags.merge(samples[["sample_id", *columns]], on="sample_id", how="left")
    facts["similarity"] = _similarity(facts, pairs)
    facts["nearest_split"] = facts["nearest_id"].map(samples.set_index("sample_id")["split"])
    facts["labels"] = facts["group"].map(_labels(facts))
    return pd.Series([_line(row) for row in facts.to_dict("records")], flags.index, dtype="object")


def _line(row: Mapping[Any, Any]) -> str:
    kind, sure = kind_of(row["issue"]), f"({row['probability']:.2f})"
    measured = [row[column] for column in kind.measured]
    if kind.proposes == "relabel":
        text = _label(row, sure)
    elif kind.keeps_one:
        text = _duplicate(row)
    elif kind.sentence and not any(map(pd.isna, measured)):
        text = kind.sentence.format(*measured, sure=sure)
    else:
        text = f"{kind.words} {sure}"
    return f"put off as unsure: {text}" if row["put_off"] else text


def _label(row: Mapping[Any, Any], sure: str) -> str:
    given = "unlabelled" if pd.isna(row["label"]) else f"labelled {row['label']}"
    if row["proposed_action"] == "relabel":
        return f"{given}, looks like {row['suggested_label']} {sure}"
    return f"{given}, which is probably wrong {sure}"


def _duplicate(row: Mapping[Any, Any]) -> str:
    if row["proposed_action"] == "keep":
        return f"keep this copy: {'it is in ' + row['split'] if row['issue'] == 'leak' else row['why']}"
    like = "same picture" if row["issue"] == "exact_duplicate" else "same shot"
    text = f"{like} as {row['nearest_id']}" if not pd.isna(row["nearest_id"]) else f"{like} as another"
    if not pd.isna(row["nearest_split"]):
        text += f" in {row['nearest_split']}"
    if not pd.isna(row["similarity"]):
        text += f" (similarity {row['similarity']:.2f})"
    return text if pd.isna(row["labels"]) else f"{text}; the copies are labelled {row['labels']}"


def _similarity(facts: pd.DataFrame, pairs: pd.DataFrame) -> pd.Series:
    """How alike each row and its `nearest_id` are; null where they are no pair."""
    ab = pairs[["sample_id_a", "sample_id_b"]].assign(similarity=pairs["agreement"])
    both = pd.concat([ab, ab.rename(columns={"sample_id_a": "sample_id_b", "sample_id_b": "sample_id_a"})])
    of_pair = both.drop_duplicates(["sample_id_a", "sample_id_b"]).set_index(["sample_id_a", "sample_id_b"])
    wanted = pd.MultiIndex.from_arrays([facts["sample_id"], facts["nearest_id"]])
    return pd.Series(of_pair["similarity"].reindex(wanted).to_numpy(), facts.index)


def _labels(facts: pd.DataFrame) -> pd.Series:
    """Group → its labels, where there is more than one."""
    differing = facts[["group", "label"]].dropna().drop_duplicates().sort_values("label")
    labels = differing.groupby("group")["label"].agg(list)
    return labels[labels.map(len) > 1].map(" and ".join)
