"""One label per sample from several people's: by majority, and by a third person where they differ.

Source
------
Dawid and Skene (1979), Maximum likelihood estimation of observer error-rates using the EM algorithm.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse

from curate.formats.cells import text_column
from curate.ingest.annotations import ARBITER, PATH, SUGGESTED

SMOOTHING = 1.0  # votes added to each row of the confusion table, spread over the classes
STEADY = 10.0  # votes of average agreement added to each person's own, so that few votes weigh little
BLOCK = 1 << 22  # cells of a dense (samples, classes) array held at once: 32 MiB
EQUAL = 1e-9  # likelihoods closer than this are ties


@dataclass(frozen=True)
class Votes:
    """Annotations as numbers, sorted by sample and annotator."""

    sample_ids: np.ndarray  # (N,)
    classes: np.ndarray  # (C,)
    people: np.ndarray  # (A,)
    sample: np.ndarray  # (M,) row of sample_ids of each vote
    label: np.ndarray  # (M,) row of classes
    person: np.ndarray  # (M,) row of people

    def counts(self, weights: np.ndarray | None = None) -> sparse.csr_array:
        """(N, C) sparse: votes of each sample for each class, each vote times its weight (1)."""
        data = np.ones(len(self.sample)) if weights is None else weights
        shape = (len(self.sample_ids), len(self.classes))
        return sparse.coo_array((data, (self.sample, self.label)), shape).tocsr()


def as_votes(annotations: pd.DataFrame, classes: Sequence[str] = ()) -> Votes:
    """Turn a table ANNOTATIONS into numbers; `classes` come first and in their order, others after."""
    table = annotations.sort_values(["sample_id", "annotator"])
    others = sorted(set(table["label"].unique()) - set(classes))
    all_classes = pd.Index([*classes, *others], dtype="str")
    sample, sample_ids = pd.factorize(table["sample_id"], sort=True)
    person, people = pd.factorize(table["annotator"], sort=True)
    label = all_classes.get_indexer(table["label"])
    return Votes(
        sample_ids=np.asarray(sample_ids, dtype=object),
        classes=np.asarray(all_classes, dtype=object),
        people=np.asarray(people, dtype=object),
        sample=sample,
        label=label,
        person=person,
    )


def majority(annotations: pd.DataFrame) -> pd.DataFrame:
    """The label that most people chose; the arbiter's word where there is one.

    Ties go to the label that is likelier to be the true one, by one step of Dawid and Skene: a table of
    which class is said for which, estimated from the shares of the votes, and each person's word weighted
    by how far they agree with others. Ties that remain are settled by a checksum of sample and label,
    which favours no class.

    Parameters
    ----------
    annotations : table ANNOTATIONS

    Returns
    -------
    table CONSENSUS, sorted by sample_id. `consensus_score` is that likelihood: P(the label is right) by the
    votes alone, in [0, 1], lower is worse; 1 where the arbiter spoke. With one person only there is
    nothing to hold against their word, and it is near 1
    """
    return describe(annotations, majority_verdicts(annotations))


def arbitration_queue(annotations: pd.DataFrame, consensus: pd.DataFrame, sources: pd.DataFrame) -> pd.DataFrame:
    """The conflicts, for a third person to settle: open ones first, least certain consensus first.

    Returns
    -------
    image, one column per annotator, suggested (the consensus), arbiter (to fill in), path. Written as CSV,
    `read_annotations` reads it back. Whoever fills it in has the last word under the name 'arbiter'; with
    the column renamed to a name of their own they are one voice among the others. Answers already given
    stand in it, so that writing the queue anew over a filled-in one loses none
    """
    conflicts = consensus[consensus["is_conflict"] & consensus["sample_id"].isin(sources["sample_id"].unique())]
    rulings = annotations[annotations["annotator"] == ARBITER].set_index("sample_id")["label"]
    conflicts = conflicts.assign(ruling=rulings.reindex(conflicts["sample_id"]).to_numpy())
    conflicts["is_settled"] = conflicts["ruling"].notna()
    conflicts = conflicts.sort_values(["is_settled", "consensus_score", "sample_id"])
    votes = annotations[annotations["annotator"] != ARBITER]
    votes = votes[votes["sample_id"].isin(conflicts["sample_id"].unique())]
    wide = votes.pivot(index="sample_id", columns="annotator", values="label").reindex(conflicts["sample_id"])
    wide = wide.rename_axis(index="image", columns=None).reset_index()
    wide[SUGGESTED] = conflicts["label"].to_numpy()
    wide[ARBITER] = text_column(conflicts["ruling"])
    wide[PATH] = sources.set_index("sample_id")["path"].reindex(wide["image"]).to_numpy()
    return wide


def majority_verdicts(annotations: pd.DataFrame) -> pd.DataFrame:
    """By sample_id: label, consensus_score, method."""
    # where others spoke too, the arbiter's vote is no vote: it is the ruling, and follows below
    is_ruled = annotations["annotator"] == ARBITER
    others_spoke = (~is_ruled).groupby(annotations["sample_id"]).transform("any")
    votes = as_votes(annotations[~is_ruled | ~others_spoke])
    label, score = _most_votes(votes)
    verdicts = pd.DataFrame(
        {"label": votes.classes[label], "consensus_score": score, "method": "majority"},
        index=pd.Index(votes.sample_ids, name="sample_id", dtype="str"),
    )
    return arbiter_rules(annotations, verdicts)


def arbiter_rules(annotations: pd.DataFrame, verdicts: pd.DataFrame) -> pd.DataFrame:
    """Verdicts with the arbiter's word in place of the others'."""
    ruled = annotations[annotations["annotator"] == ARBITER].set_index("sample_id")["label"]
    verdicts = verdicts.copy()
    verdicts.loc[ruled.index, "label"] = ruled
    verdicts.loc[ruled.index, "consensus_score"] = 1.0
    return verdicts


def without_overruled(annotations: pd.DataFrame) -> pd.DataFrame:
    """The annotations less what others said of a sample on which the arbiter ruled."""
    is_ruling = annotations["annotator"] == ARBITER
    ruled = annotations.loc[is_ruling, "sample_id"]
    return annotations[is_ruling | ~annotations["sample_id"].isin(ruled)]


def describe(annotations: pd.DataFrame, verdicts: pd.DataFrame) -> pd.DataFrame:
    """Verdicts as a table CONSENSUS: with how many people labelled each sample and how far they agree."""
    chosen = verdicts["label"].reindex(annotations["sample_id"]).to_numpy() == annotations["label"].to_numpy()
    by_sample = annotations.assign(chosen=chosen).groupby("sample_id")
    counted = pd.DataFrame(
        {
            "n_annotations": by_sample.size(),
            "agreement": by_sample["chosen"].mean(),
            "is_conflict": by_sample["label"].nunique() > 1,
        }
    )
    columns = ["sample_id", "label", "n_annotations", "agreement", "consensus_score", "is_conflict", "method"]
    return verdicts.join(counted).sort_index().reset_index()[columns]


def _most_votes(votes: Votes) -> tuple[np.ndarray, np.ndarray]:
    """Class with most votes of each sample, (N,), and its likelihood; ties as `majority` tells."""
    counts = votes.counts()
    log_prior, log_confusion = _dawid_skene_step(counts)
    evidence = votes.counts(_reliability(votes, counts)[votes.person])
    labels, scores = np.zeros(counts.shape[0], dtype=np.intp), np.ones(counts.shape[0])
    step = max(1, BLOCK // max(1, counts.shape[1]))
    for start in range(0, counts.shape[0], step):
        block = slice(start, start + step)
        likelihood = _softmax(log_prior + evidence[block] @ log_confusion.T)
        dense = counts[block].toarray()
        likelihood_of_top = np.where(dense == dense.max(axis=1, keepdims=True), likelihood, -1.0)
        labels[block] = _first_past_the_post(likelihood_of_top, votes.sample_ids[block], votes.classes)
        scores[block] = np.take_along_axis(likelihood, labels[block, None], axis=1)[:, 0]
    return labels, scores


def _dawid_skene_step(counts: sparse.csr_array) -> tuple[np.ndarray, np.ndarray]:
    """Log share of each class, (C,), and log P(said | true), (C, C), taking shares of votes for the truth."""
    n = counts.sum(axis=1)
    shares = sparse.csr_array(counts.multiply(1 / n[:, None]))
    shared = n >= 2 if (n >= 2).any() else n >= 1  # one vote alone says nothing of confusion
    confusion = (shares[shared].T @ counts[shared]).toarray() + SMOOTHING / counts.shape[1]
    return np.log(shares.mean(axis=0)), np.log(confusion / confusion.sum(axis=1, keepdims=True))


def _reliability(votes: Votes, counts: sparse.csr_array) -> np.ndarray:
    """Weight of each person's word, (A,): log odds of being right over those of the average person.

    Supposes that people err independently and hit each wrong class alike: then two people who are right
    with p and q agree with p q + (1 - p)(1 - q)/(C - 1).
    """
    n_classes, n_people = len(votes.classes), len(votes.people)
    same = np.asarray(counts[votes.sample, votes.label]).ravel() - 1
    others = counts.sum(axis=1)[votes.sample] - 1
    mean_agreement = same.sum() / max(1.0, others.sum())
    if mean_agreement * n_classes <= 1 or n_classes < 2:
        return np.ones(n_people)  # no better than chance: nothing to tell people apart by
    agreement = np.bincount(votes.person, same, n_people) + STEADY * mean_agreement
    agreement /= np.bincount(votes.person, others, n_people) + STEADY
    mean_right = (1 + np.sqrt((n_classes - 1) * (n_classes * mean_agreement - 1))) / n_classes
    by_luck = (1 - mean_right) / (n_classes - 1)
    right = (agreement - by_luck) / max(mean_right - by_luck, EQUAL)
    floor, ceiling = 1.01 / n_classes, 0.99
    odds = [
        np.log(p * (n_classes - 1) / (1 - p)) for p in np.clip([right, np.full(n_people, mean_right)], floor, ceiling)
    ]
    return np.asarray(odds[0] / odds[1])


def _first_past_the_post(likelihood: np.ndarray, sample_ids: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Column of the largest value of each row; equal ones by checksum."""
    best = likelihood.argmax(axis=1)
    is_equal = likelihood >= likelihood.max(axis=1, keepdims=True) - EQUAL
    for row in np.flatnonzero(is_equal.sum(axis=1) > 1):
        tied = np.flatnonzero(is_equal[row])
        checksums = [zlib.crc32(f"{sample_ids[row]}\0{classes[column]}".encode()) for column in tied]
        best[row] = tied[np.argmin(checksums)]
    return best


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
