"""Embeddings and labels → out-of-sample class probabilities, from a probe that takes seconds.

The probe is kernel ridge regression on one-hot labels, or on the shares of what several people said. A Gaussian
kernel compares embeddings with landmark samples (Nyström features; Williams and Seeger 2000); what the ridge would
say of a sample without it and its duplicates follows in closed form from the one fit to all (the jackknife of linear
smoothers; Allen 1974, Cook 1977), so no fold is trained. Scores become probabilities by `curate.find.labels.noise`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from curate.config import FindOptions
from curate.errors import NotEnoughData
from curate.find.labels.noise import LEAST, Annotations, as_scores, fit_noise, pooled, single_source
from curate.find.rows import blocks

if TYPE_CHECKING:
    import torch

LANDMARKS = 1536  # samples that the kernel compares with; cost grows with its square
RIDGES = (0.3, 1.0, 3.0, 10.0)  # candidates, chosen by the squared error of the left-out scores
JITTER = 1e-6  # of the kernel's largest eigenvalue, about; added to its diagonal, because landmarks may coincide
BLOCK = 8192  # rows of features held at once
KEPT = 16_384  # samples whose likeness to the landmarks is kept: 100 MB


@dataclass(frozen=True)
class Prediction:
    """Out-of-sample predictions of the classes.

    Attributes
    ----------
    classes : (C,) names, sorted
    pred_probs : (N, C) float32, P(true class | pixels), rows sum to 1; of a model that saw neither the sample's
        label nor its duplicates'
    scores : (N, C) float32, the raw scores that `pred_probs` is fitted to: the probe's are about 1 for the right class
        and 0 for the others
    posterior : (N, C) float32, P(true class | pixels, what people said of the sample)
    """

    classes: np.ndarray
    pred_probs: np.ndarray
    scores: np.ndarray
    posterior: np.ndarray


def predict(
    embeddings: np.ndarray,
    labels: pd.Series,
    groups: np.ndarray,
    *,
    options: FindOptions | None = None,
    annotations: pd.DataFrame | None = None,
) -> Prediction:
    """Predict every sample from the labels of others; unlabelled samples from all outside their group.

    Parameters
    ----------
    embeddings : (N, d) float16 or float32
    labels : (N,) class names, null where there is none
    groups : (N,) int; no sample is predicted from another of its group (duplicates, one patient)
    options : the seed, which draws the landmarks
    said : row (of these samples), label, labeller: all labels, where a sample may have several or they come from
        several sources; None: `labels`, all from one

    Raises
    ------
    NotEnoughData : fewer than two classes, or fewer than two groups with a label

    Notes
    -----
    Landmarks are drawn by the content of the embeddings, so the order of rows does not matter. Computed on
    CUDA where there is one.
    """
    options = options or FindOptions()
    y, classes = _encode(labels)
    if (n := len(np.unique(np.asarray(groups)[y >= 0]))) < 2:
        raise NotEnoughData(f"{n} labelled group of samples", "two or more", "label more images")
    labels_given = single_source(y) if annotations is None else _numbers(annotations, classes)
    kernel = fit_kernel(embeddings, _content_keys(embeddings, options.seed))
    scores = _left_out_scores(kernel, _shares(labels_given, len(y), len(classes)), np.asarray(groups))
    return _prediction(classes, scores, y, labels_given)


def annotations_of(rows: np.ndarray, annotations: pd.DataFrame) -> pd.DataFrame:
    """What was said of these (n,) rows alone, as `predict` takes it of n samples in their order."""
    place = pd.Series(np.arange(len(rows)), rows)
    annotations = annotations[annotations["row"].isin(rows)]
    return annotations.assign(row=place[annotations["row"]].to_numpy())


def with_network(
    pred_probs: pd.DataFrame, probed: Prediction, samples: pd.DataFrame, *, annotations: pd.DataFrame | None = None
) -> Prediction:
    """The probe's predictions and a trained network's, pooled, and brought to the probe's calibration.

    Each errs where the other does not: the geometric mean of both ranks better than either (a logarithmic opinion pool;
    Genest and Zidek 1986).

    Parameters
    ----------
    pred_probs : `sample_id` and a column for each class, rows sum to 1; of a network that saw neither the sample's
        label nor its duplicates'
    probed : the probe's, which stand alone for samples and classes that the network does not tell of
    samples : `sample_id` and `label`, (N,) rows, those of `probed`
    said : as for `predict`
    """
    classes, by_probe = list(probed.classes), probed.pred_probs
    known = pred_probs.set_index("sample_id").reindex(index=samples["sample_id"], columns=classes)
    pixel_probs = known.to_numpy(np.float32)
    untold = np.isnan(pixel_probs)
    left = 1 - np.where(untold, by_probe, 0).sum(axis=1, keepdims=True)  # to be shared by the classes that it knows
    both = by_probe * np.where(untold, by_probe, left * pixel_probs)
    pooled = np.sqrt(np.maximum(both, LEAST**2))  # where each rules out what the other sees, nothing would be left
    scores = as_scores(pooled / pooled.sum(axis=1, keepdims=True))
    y = class_codes(samples["label"], classes)
    return _prediction(
        probed.classes, scores, y, single_source(y) if annotations is None else _numbers(annotations, probed.classes)
    )


def with_pred_probs(
    pred_probs: np.ndarray, classes: Sequence[str], labels: pd.Series, *, annotations: pd.DataFrame | None = None
) -> Prediction:
    """A model's own predictions in the place of the probe's, brought to calibration as the probe's scores are.

    Parameters
    ----------
    pred_probs : (N, C), rows sum to 1; of a model that saw neither the sample's label nor its duplicates'
    classes : (C,) the class of each column
    labels : (N,) class names, null where there is none
    said : as for `predict`

    Raises
    ------
    NotEnoughData : fewer than two columns, or no label
    """
    order = np.argsort(np.asarray(classes, dtype=str), kind="stable")
    names = np.asarray(classes, dtype=str)[order]
    y = class_codes(labels, names)
    if len(names) < 2 or not (y >= 0).any():
        found = "no labels" if len(names) > 1 else f"predictions of the class '{names[0]}' alone"
        raise NotEnoughData(found, "labels, and predictions of two classes or more", "label some images")
    scores = as_scores(pred_probs[:, order])
    return _prediction(names, scores, y, single_source(y) if annotations is None else _numbers(annotations, names))


def class_codes(labels: pd.Series, classes: Iterable[str]) -> np.ndarray:
    """(N,) int64 place of each label among the classes, -1 where it is none of them."""
    return pd.Index(list(classes), dtype="object").get_indexer(labels.astype("object")).astype(np.int64)


def _prediction(classes: np.ndarray, scores: np.ndarray, y: np.ndarray, annotations: Annotations) -> Prediction:
    """What probe and people say together: (N, C) left-out `scores`, (N,) classes in force `y`, and all that was said.

    Do people who agree err apart, so that their agreement is strong evidence, or together (a rule misread, a label
    copied), so that it is one label? The labels can't tell, and it is between the two: the geometric mean of both.
    """
    pixel_probs, posterior = fit_noise(scores, annotations)
    if len(annotations.row) > len(np.unique(annotations.row)):
        between = np.sqrt(posterior * fit_noise(scores, pooled(annotations, y))[1])
        posterior = between / between.sum(axis=1, keepdims=True)
    return Prediction(classes, pixel_probs, scores, posterior)


def _numbers(annotations: pd.DataFrame, classes: np.ndarray) -> Annotations:
    """Labels of classes that the probe knows, as numbers."""
    label = class_codes(annotations["label"], classes)
    known = label >= 0
    return Annotations(
        annotations["row"].to_numpy()[known], label[known], pd.factorize(annotations["labeller"][known])[0]
    )


def _shares(annotations: Annotations, n: int, n_classes: int) -> np.ndarray:
    """(N, C) float32 share of a sample's labels that name each class; 0 throughout where nothing was said.

    What several people said tells a probe more than the one label in force: a tie stays a tie.
    """
    shares = np.zeros((n, n_classes), np.float32)
    np.add.at(shares, (annotations.row, annotations.label), 1)
    return shares / np.maximum(shares.sum(axis=1, keepdims=True), 1)


def _encode(labels: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """(N,) class numbers, -1 for none, and the names."""
    names = pd.Series(labels).astype("object").where(pd.Series(labels).notna(), None)
    classes = np.array(sorted(set(names.dropna())), dtype=str)
    if len(classes) < 2:
        found = f"only the class '{classes[0]}'" if len(classes) else "no labels"
        raise NotEnoughData(found, "two classes or more", "label some images of another class")
    return class_codes(names, classes), classes


def _content_keys(embeddings: np.ndarray, seed: int) -> np.ndarray:
    """(N,) uint64 that look random and depend on nothing but the embedding and the seed."""
    salt = str(seed).encode()
    rows = np.ascontiguousarray(embeddings.astype(np.float16, copy=False))
    digests = [hashlib.blake2b(row.tobytes(), digest_size=8, key=salt).digest() for row in rows]
    return np.frombuffer(b"".join(digests), dtype=np.uint64)


# ---- the probe ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kernel:
    """Features (m) whose inner products approximate a Gaussian kernel of samples, made when they are asked for.

    Those of many are made twice, a block at a time: kept, they would take as much memory as embeddings in float32.
    """

    embeddings: np.ndarray  # (N, d)
    mean: torch.Tensor  # (d,)
    landmarks: torch.Tensor  # (m, d) directions from the mean
    width: torch.Tensor  # () half the median squared distance between landmarks
    root: torch.Tensor  # (m, m) inverse of the transposed Cholesky factor of the landmarks' kernel, or a rotation of it
    made: torch.Tensor | None = None  # (N, m) kernel between all samples and the landmarks, where it is kept

    def __getitem__(self, rows: np.ndarray) -> torch.Tensor:
        """(n, m) float32 features of these rows."""
        return self.between(rows) @ self.root

    def between(self, rows: np.ndarray) -> torch.Tensor:
        """(n, m) float32 kernel between these rows and the landmarks."""
        import torch

        if self.made is not None:
            return self.made[torch.from_numpy(rows).to(self.made.device)]
        directions = _directions(self.embeddings[rows], self.mean)
        return torch.exp((directions @ self.landmarks.T - 1) / self.width)

    def kept(self) -> Kernel:
        """The same kernel, faster asked a second time."""
        return replace(self, made=self.between(np.arange(len(self.embeddings))))

    def turned(self, axes: torch.Tensor) -> Kernel:
        """The same kernel by features along these (m, m) axes."""
        return replace(self, root=self.root @ axes)


def fit_kernel(embeddings: np.ndarray, keys: np.ndarray) -> Kernel:
    """The kernel of (N, d) embeddings; those of the `LANDMARKS` smallest of their (N,) `keys` are its landmarks."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    total = sum(embeddings[part].sum(axis=0, dtype=np.float64) for part in blocks(len(embeddings)))
    mean = torch.from_numpy(np.asarray(total / len(embeddings), np.float32)).to(device)
    landmarks = _directions(embeddings[np.argsort(keys, kind="stable")[:LANDMARKS]], mean)
    between = 1 - landmarks @ landmarks.T
    width = between.median().clamp_min(1e-6)
    kernel = torch.exp(-between / width).double()
    kernel.diagonal().add_(JITTER * kernel.sum() / len(kernel))
    identity = torch.eye(len(kernel), dtype=kernel.dtype, device=device)
    root = torch.linalg.solve_triangular(torch.linalg.cholesky(kernel), identity, upper=False).T.float()
    made = Kernel(embeddings, mean, landmarks, width, root)
    return made.kept() if len(embeddings) <= KEPT else made


def _directions(embeddings: np.ndarray, mean: torch.Tensor) -> torch.Tensor:
    """(n, d) float32 unit vectors from the mean."""
    import torch

    rows = torch.from_numpy(embeddings).to(mean.device).float() - mean
    rows /= rows.norm(dim=1, keepdim=True).clamp_min(1e-12)
    return rows


def _left_out_scores(kernel: Kernel, shares: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """(N, C) scores of each sample by the ridge without its group; by the ridge with the least squared error.

    The targets are the (N, C) `shares`, as `_shares` gives them.
    """
    import torch

    device = kernel.root.device
    known: np.ndarray = shares.sum(axis=1) > 0
    share = shares[known].mean(axis=0)
    targets = np.where(known[:, None], shares - share, np.float32(0))
    gram, moment = (torch.zeros(len(kernel.root), n, device=device) for n in (len(kernel.root), shares.shape[1]))
    rows = np.flatnonzero(known)
    for some in np.split(rows, range(BLOCK, len(rows), BLOCK)):
        features = kernel[some]
        gram += features.T @ features
        moment += features.T @ torch.from_numpy(targets[some]).to(device)
    values, axes = torch.linalg.eigh(gram.double())
    kernel, moment = kernel.turned(axes.float()), axes.float().T @ moment  # one factorisation for all ridges
    penalties = [ridge * values.sum() / known.sum() for ridge in RIDGES]
    inverses = [1 / (values.clamp_min(0) + penalty).float() for penalty in penalties]
    scores = np.empty((len(RIDGES), *shares.shape), np.float32)
    for some, together in _blocks_of_groups(groups):
        features, own = kernel[some], torch.from_numpy(targets[some]).to(device)
        labelled = torch.from_numpy(known[some]).to(device)
        for found, inverse in zip(scores, inverses, strict=True):
            found[some] = _without_own(features, inverse, moment, own, labelled, together).cpu().numpy()
    errors = [float(np.square(found[known] - targets[known]).mean()) for found in scores]
    return np.asarray(scores[int(np.argmin(errors))] + share, dtype=np.float32)


def _blocks_of_groups(groups: np.ndarray) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
    """All rows, about `BLOCK` at a time and no group in two; and the groups of two or more, as places in the block."""
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=groups[order[0]] - 1))  # where each group begins
    first = np.searchsorted(starts, range(0, len(order), BLOCK))  # of each block, its first group
    begins = np.unique([*starts[first[first < len(starts)]], len(order)])
    for begin, end in pairwise(begins):
        inside = starts[(starts > begin) & (starts < end)] - begin
        yield order[begin:end], [places for places in np.split(np.arange(end - begin), inside) if len(places) > 1]


def _without_own(
    rows: torch.Tensor,
    inverse: torch.Tensor,
    moment: torch.Tensor,
    targets: torch.Tensor,
    known: torch.Tensor,
    together: list[np.ndarray],
) -> torch.Tensor:
    """(N, C) what the ridge says of each sample when its whole group is left out.

    With weights b and leverages H = X diag(inverse) Xᵀ of a group, leaving it out moves its scores by
    -H (I - H)⁻¹ (y - X b).
    """
    import torch

    fit = rows @ (inverse[:, None] * moment)
    leverage = (rows.square() @ inverse)[:, None]
    scores = torch.where(known[:, None], (fit - leverage * targets) / (1 - leverage), fit)
    for group in together:
        at = torch.from_numpy(group).to(rows.device)
        own = at[known[at]]
        if len(own) <= rows.shape[1]:
            mutual = (rows[own] * inverse) @ rows[own].T
            residual = torch.linalg.solve(torch.eye(len(own), device=rows.device) - mutual, targets[own] - fit[own])
            scores[at] = fit[at] - (rows[at] * inverse) @ (rows[own].T @ residual)
        else:  # the same by the smaller of two systems
            rest = torch.diag(1 / inverse) - rows[own].T @ rows[own]
            scores[at] = rows[at] @ torch.linalg.solve(rest, moment - rows[own].T @ targets[own])
    return scores
