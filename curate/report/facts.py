"""What the report can tell of: every table and figure, each optional."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from curate.decisions.decision import InForce
from curate.report.maps import EmbeddingMap


def no_thumb(sample_id: str) -> bytes | None:
    """The default: no pictures."""
    return None


@dataclass(frozen=True)
class ReportFacts:
    """Everything the page shows. What is None or empty is left out, with a line that says how to make it.

    Attributes
    ----------
    title : name of the data set
    made : when the report is made, in words
    version : of curate
    samples : table SAMPLES, with a row for every file, readable or not
    row_problems : table ROW_PROBLEMS
    agreement : `Agreement.to_dict()` of curate.ingest.annotators
    annotators : annotator, quality, n_annotations, agreement_with_consensus, from `crowdlab`
    split_proof : `SplitProof.to_dict()` of curate.ingest.splits
    balance : `class_balance` of curate.ingest.splits
    classes : `class_report` of curate.find.classes.report, one row per class
    issues : finder → its table, with a row for every sample scored
    pairs : table PAIRS
    embedding_map : `embedding_map` of curate.report.maps
    decisions : table DECISIONS, the verdicts in force
    reviewers : `reviewer_agreement` of curate.decisions.reviewers: a mapping per pair who judged the same flags
    versions : `version.json` of each version, oldest first
    compared : the numbers of the two versions that `diff` and `comparison` tell of
    diff : `diff` of curate.apply.version: what changed between them
    comparison : `Comparison.to_dict()` of curate.experiment.compare
    predictions : sample_id, label, before, after (predicted classes), confidence (of after): the test split
    planted : what `score` of curate.demo counted; only where the defects were planted
    stages : one mapping per stage: stage, made, images, seconds, images_per_second, peak_memory_mb
    thumb : sample_id → a small JPEG, PNG or WebP of it, or None where there is no picture
    """

    title: str
    made: str
    version: str
    samples: pd.DataFrame | None = None
    row_problems: pd.DataFrame | None = None
    agreement: Mapping[str, Any] | None = None
    annotators: pd.DataFrame | None = None
    split_proof: Mapping[str, Any] | None = None
    balance: pd.DataFrame | None = None
    classes: pd.DataFrame | None = None
    issues: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    pairs: pd.DataFrame | None = None
    embedding_map: EmbeddingMap | None = None
    decisions: InForce | None = None
    reviewers: Sequence[Mapping[str, Any]] = ()
    versions: Sequence[Mapping[str, Any]] = ()
    compared: tuple[int, int] | None = None
    diff: pd.DataFrame | None = None
    comparison: Mapping[str, Any] | None = None
    predictions: pd.DataFrame | None = None
    planted: pd.DataFrame | None = None
    stages: Sequence[Mapping[str, Any]] = ()
    thumb: Callable[[str], bytes | None] = no_thumb
