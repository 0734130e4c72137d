"""How far annotators agree, whom and what they disagree about, and the label they come to together."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from curate.errors import NotEnoughData
from curate.ingest.agreement import coefficients, draws, find_patterns, interval
from curate.ingest.annotations import ARBITER
from curate.ingest.consensus import arbitration_queue, majority
from curate.ingest.crowdlab import crowdlab
from curate.ingest.pairs import confusion, per_annotator, per_pair, tables_of_pairs

__all__ = ["Agreement", "agreement", "arbitration_queue", "consensus", "crowdlab", "given_labels", "majority"]

PAIRS_IN_TEXT = 10  # of annotators in the terminal; the report has all

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Agreement:
    """The agreement report. Rates are in [0, 1], kappas and alpha at most 1 with 0 = chance; nan = not defined.

    `low` and `high` are ends of 95% bootstrap intervals over samples.

    Attributes
    ----------
    n_samples, n_shared : samples with a label, and those with labels by two people or more
    overall : statistic (agreement, conflict_rate, fleiss_kappa, krippendorff_alpha), value, low, high
    per_class : label, n_annotations; agreement, conflict_rate, kappa, each with _low and _high
    per_pair : annotator_a, annotator_b, n_samples (that both labelled), agreement, conflict_rate,
        cohen_kappa, each with _low and _high
    per_annotator : annotator, n_annotations, n_pairs (labels by others on the same samples),
        agreement (share of those that are the same)
    confusion : annotator, label (said by them), other_label (said by others on the same samples), n_pairs
    """

    n_samples: int
    n_shared: int
    overall: pd.DataFrame
    per_class: pd.DataFrame
    per_pair: pd.DataFrame
    per_annotator: pd.DataFrame
    confusion: pd.DataFrame

    @property
    def conflict_rate(self) -> float:
        """Share of shared samples on which people differ; nan where no sample is shared."""
        values = self.overall.set_index("statistic")["value"]
        return float(values["conflict_rate"])

    def to_dict(self) -> dict[str, Any]:
        """Everything as lists and dicts that JSON can hold; nan becomes None."""
        tables = ("overall", "per_class", "per_pair", "per_annotator", "confusion")
        return {
            "n_samples": self.n_samples,
            "n_shared": self.n_shared,
            "conflict_rate": None if np.isnan(self.conflict_rate) else self.conflict_rate,
            **{name: _records(getattr(self, name)) for name in tables},
        }

    def to_text(self) -> str:
        """A few lines for people."""
        lines = [f"{self.n_samples:,} images have labels, {self.n_shared:,} of them by two people or more"]
        if not self.n_shared:
            return lines[0] + ": agreement can't be told"
        lines += [_line(*row) for row in self.overall.itertuples(index=False)]
        columns = ["annotator_a", "annotator_b", "cohen_kappa", "cohen_kappa_low", "cohen_kappa_high"]
        for first, second, *values in self.per_pair[columns].head(PAIRS_IN_TEXT).itertuples(index=False):
            lines.append(_line(f"cohen_kappa of {first} and {second}", *values))
        return "\n".join(lines)


def agreement(annotations: pd.DataFrame, *, bootstraps: int = 1000, seed: int = 0) -> Agreement:
    """Measure agreement between annotators, with 95% bootstrap intervals over samples.

    The arbiter's labels are left out: they exist only where others disagree.

    Parameters
    ----------
    annotations : table ANNOTATIONS
    bootstraps : draws of each interval; 0 for none
    """
    # sorted, so that neither the order of rows nor that of names in memory can change a draw
    votes = annotations[annotations["annotator"] != ARBITER].sort_values(["sample_id", "annotator"])
    samples, ids = pd.factorize(votes["sample_id"], sort=True)
    labels, classes = pd.factorize(votes["label"], sort=True)
    people, names = pd.factorize(votes["annotator"], sort=True)
    rng = np.random.default_rng(seed)
    overall, per_class = _over_samples(samples, labels, classes, bootstraps, rng)
    tables = tables_of_pairs(samples, labels, people, len(classes))
    return Agreement(
        n_samples=len(ids),
        n_shared=int((np.bincount(samples) >= 2).sum()),
        overall=overall,
        per_class=per_class,
        per_pair=per_pair(tables, names, len(classes), bootstraps=bootstraps, rng=rng),
        per_annotator=per_annotator(tables, np.bincount(people, minlength=len(names)), names),
        confusion=confusion(tables, names, classes),
    )


def given_labels(samples: pd.DataFrame, annotations: pd.DataFrame) -> pd.Series:
    """(N,) labels before any model: the majority of the annotators where there are any, else the source's.

    Parameters
    ----------
    samples : `sample_id`, `label`
    annotations : table ANNOTATIONS, which may be empty
    """
    if annotations.empty:
        return samples["label"]
    agreed = majority(annotations).set_index("sample_id")["label"]
    return samples["sample_id"].map(agreed).fillna(samples["label"])


def consensus(
    annotations: pd.DataFrame, pred_probs: np.ndarray | None, classes: Sequence[str], sample_ids: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """CROWDLAB's consensus and each person's quality; of samples without predictions, the majority's.

    Parameters
    ----------
    annotations : table ANNOTATIONS
    pred_probs : (N, C) out-of-sample probabilities of `classes` for the N `sample_ids`; None: there is no model

    Returns
    -------
    Table CONSENSUS, sorted by sample_id, and a row for each annotator; no more than the names where nobody labelled
    the same readable image as another, or there is no model
    """
    rest = majority(annotations)
    found, quality = rest.head(0), pd.DataFrame({"annotator": sorted(set(annotations["annotator"]))})
    if pred_probs is not None:
        try:
            found, quality = crowdlab(annotations, pred_probs, list(classes), list(sample_ids))
        except NotEnoughData as reason:
            log.info("consensus by majority: %s", reason)
    rest = rest[~rest["sample_id"].isin(found["sample_id"])]
    return pd.concat([found, rest]).sort_values("sample_id", ignore_index=True), quality


def _over_samples(
    samples: np.ndarray, labels: np.ndarray, classes: pd.Index, bootstraps: int, rng: np.random.Generator
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables `overall` and `per_class`."""
    patterns = find_patterns(samples, labels, len(classes))
    overall, by_class = coefficients(patterns, patterns.times[None].astype(float))
    drawn = [coefficients(patterns, block) for block in draws(patterns.times, bootstraps, rng)]
    rows = []
    for name, value in overall.items():
        low, high = interval(np.concatenate([value[:0], *(block[name] for block, _ in drawn)]))
        rows.append((name, value[0], float(low), float(high)))
    per_class = pd.DataFrame({"label": classes, "n_annotations": np.bincount(labels, minlength=len(classes))})
    for name, value in by_class.items():
        per_class[name] = value[0]
        ends = interval(np.concatenate([value[:0], *(block[name] for _, block in drawn)]))
        per_class[f"{name}_low"], per_class[f"{name}_high"] = ends
    return pd.DataFrame(rows, columns=["statistic", "value", "low", "high"]), per_class


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    plain = table.astype(object).where(table.notna(), None)
    return plain.to_dict(orient="records")  # type: ignore[return-value]


def _line(name: Any, value: Any, low: Any, high: Any) -> str:
    return f"  {name:<44} {value:6.3f}  [{low:.3f}, {high:.3f}]"
