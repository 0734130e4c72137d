"""The consensus of people and a model, by cleanlab's CROWDLAB.

Source
------
Goh, Tkachenko and Mueller (2022), CROWDLAB: supervised learning to infer consensus labels and quality
scores for data with multiple annotators, arXiv:2210.06812.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd

from curate.errors import AnnotationError, NotEnoughData
from curate.ingest.annotations import ARBITER
from curate.ingest.consensus import Votes, arbiter_rules, as_votes, describe, majority_verdicts

log = logging.getLogger(__name__)

MOST_CELLS = 1 << 28  # of the dense (samples, annotators) array that cleanlab takes: 2 GiB


def crowdlab(
    annotations: pd.DataFrame, pred_probs: np.ndarray, classes: Sequence[str], sample_ids: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The consensus of people and a model, and the quality of each person.

    Samples without predictions (an image that can't be read) keep their majority; the arbiter's word is
    final here too.

    Parameters
    ----------
    annotations : table ANNOTATIONS
    pred_probs : (N, C) out-of-sample probabilities, rows sum to 1
    classes : (C,) the class of each column; a class that people named and the model lacks has probability 0
    sample_ids : (N,) the sample of each row; samples without annotations are left aside

    Returns
    -------
    consensus : table CONSENSUS, sorted by sample_id; `consensus_score` is cleanlab's consensus quality,
        [0, 1], lower is worse; 1 where the arbiter spoke
    quality : annotator, quality (cleanlab's, [0, 1], lower is worse), n_annotations,
        agreement_with_consensus; worst first

    Raises
    ------
    NotEnoughData : no sample with predictions was labelled by two people
    AnnotationError : shapes that differ, or more people times samples than memory holds
    """
    if pred_probs.shape != (len(sample_ids), len(classes)):
        raise AnnotationError(f"pred_probs of shape {pred_probs.shape}", f"({len(sample_ids)}, {len(classes)})")
    predicted = pd.Index(np.asarray(sample_ids, dtype=object))
    is_predicted = predicted.get_indexer(pd.Index(annotations["sample_id"])) >= 0
    votes = as_votes(annotations[is_predicted & (annotations["annotator"] != ARBITER)], classes)
    _check_size(votes)
    rows = predicted.get_indexer(pd.Index(votes.sample_ids))
    answer = _ask_cleanlab(votes, _widen(pred_probs[rows], max(2, len(votes.classes))))
    found = answer["label_quality"]
    verdicts = majority_verdicts(annotations)
    verdicts.loc[votes.sample_ids, "label"] = votes.classes[found["consensus_label"]]
    verdicts.loc[votes.sample_ids, "consensus_score"] = found["consensus_quality_score"].clip(0, 1).to_numpy()
    verdicts.loc[votes.sample_ids, "method"] = "crowdlab"
    return describe(annotations, arbiter_rules(annotations, verdicts)), _quality(answer["annotator_stats"])


def _check_size(votes: Votes) -> None:
    if not len(votes.sample) or np.bincount(votes.sample).max() < 2:
        raise NotEnoughData("no image with a prediction was labelled by two people", do="use the majority")
    if len(votes.sample_ids) * len(votes.people) > MOST_CELLS:
        raise AnnotationError(
            f"CROWDLAB on {len(votes.sample_ids):,} images and {len(votes.people):,} people needs an array of "
            f"{len(votes.sample_ids) * len(votes.people):,} cells",
            f"at most {MOST_CELLS:,}",
            "use the majority",
        )


def _ask_cleanlab(votes: Votes, pred_probs: np.ndarray) -> dict[str, Any]:
    from cleanlab.multiannotator import get_label_quality_multiannotator

    said = np.full((len(votes.sample_ids), len(votes.people)), np.nan)
    said[votes.sample, votes.person] = votes.label
    with _same_luck(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        answer: dict[str, Any] = get_label_quality_multiannotator(
            pd.DataFrame(said, columns=pd.Index(votes.people)), pred_probs, return_detailed_quality=False, verbose=False
        )
    for warning in caught:
        log.warning("cleanlab: %s", warning.message)
    return answer


@contextmanager
def _same_luck() -> Iterator[None]:
    """cleanlab breaks the last ties by NumPy's global random state: fix it, and give it back as it was."""
    before = np.random.get_state()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002


def _widen(pred_probs: np.ndarray, n_classes: int) -> np.ndarray:
    """Columns of 0 for classes that the model lacks."""
    return np.pad(np.asarray(pred_probs, dtype=float), ((0, 0), (0, n_classes - pred_probs.shape[1])))


def _quality(stats: pd.DataFrame) -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "annotator": pd.Series(stats.index, dtype="str"),
            "quality": stats["annotator_quality"].to_numpy(dtype=float),
            "n_annotations": stats["num_examples_labeled"].to_numpy(dtype=np.int64),
            "agreement_with_consensus": stats["agreement_with_consensus"].to_numpy(dtype=float),
        }
    )
    return table.sort_values(["quality", "annotator"], ignore_index=True)
