"""Embeddings and labels → out-of-sample class probabilities, from a probe that takes seconds.

The probe is kernel ridge regression on one-hot labels: embeddings are centred and reduced to their leading
principal components, a Gaussian kernel compares them with landmark samples (Nyström features; Williams and
Seeger 2000), and each fold's weights follow in closed form from the Gram matrix of all samples less the
fold's own. Scores become probabilities by one temperature and one bias per class.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd

from curate.config import FindOptions
from curate.errors import NotEnoughData

COMPONENTS = 256  # principal components kept
LANDMARKS = 1536  # samples that the kernel compares with; cost grows with its square
RIDGES = (0.3, 1.0, 3.0, 10.0)  # candidates, chosen by held-out likelihood
BLOCK = 8192  # rows of features held at once


@dataclass(frozen=True)
class Prediction:
    """Out-of-sample predictions of the classes.

    Attributes
    ----------
    classes : (C,) names, sorted
    pred_probs : (N, C) float32, rows sum to 1; of a model that saw neither the sample nor its duplicates
    scores : (N, C) float32, the probe's raw scores: about 1 for the right class and 0 for the others
    """

    classes: np.ndarray
    pred_probs: np.ndarray
    scores: np.ndarray


def predict(
    embeddings: np.ndarray, labels: pd.Series, groups: np.ndarray, *, options: FindOptions | None = None
) -> Prediction:
    """Predict every sample from the labels of others; unlabelled samples from all.

    Parameters
    ----------
    embeddings : (N, d) float16 or float32
    labels : (N,) class names, null where there is none
    groups : (N,) int; samples of one group (duplicates, one patient) are never on both sides of a fold
    options : folds and seed

    Raises
    ------
    NotEnoughData : fewer than two classes, or fewer than two groups with a label

    Notes
    -----
    Folds and landmarks are drawn by the content of the embeddings, so the order of rows does not matter.
    """
    options = options or FindOptions()
    y, classes = _encode(labels)
    keys = _content_keys(embeddings, options.seed)
    fold = _folds(keys, np.asarray(groups), y, options.folds)
    features = _kernel_features(_reduced(embeddings), keys)
    scores = _held_out_scores(features, y, fold, len(classes))
    return Prediction(classes, _probabilities(scores, y), scores)


def _encode(labels: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """(N,) class numbers, -1 for none, and the names."""
    names = pd.Series(labels).astype("object").where(pd.Series(labels).notna(), None)
    classes = np.array(sorted(set(names.dropna())), dtype=str)
    if len(classes) < 2:
        found = f"only the class '{classes[0]}'" if len(classes) else "no labels"
        raise NotEnoughData(found, "two classes or more", "label some images of another class")
    return pd.Categorical(names, categories=list(classes)).codes.astype(np.int64), classes


def _content_keys(embeddings: np.ndarray, seed: int) -> np.ndarray:
    """(N,) uint64 that look random and depend on nothing but the embedding and the seed."""
    salt = str(seed).encode()
    rows = np.ascontiguousarray(embeddings.astype(np.float16))
    digests = [hashlib.blake2b(row.tobytes(), digest_size=8, key=salt).digest() for row in rows]
    return np.frombuffer(b"".join(digests), dtype=np.uint64)


def _folds(keys: np.ndarray, groups: np.ndarray, y: np.ndarray, count: int) -> np.ndarray:
    """(N,) fold of each sample: groups are dealt out class by class in the order of their keys."""
    table = pd.DataFrame({"group": groups, "key": keys, "y": y}).sort_values(["key", "y"])
    first = table.groupby("group", sort=False).first()  # one key and class per group
    if (n := int((first["y"] >= 0).sum())) < 2:
        raise NotEnoughData(f"{n} labelled group of samples", "two or more", "label more images")
    first = first.sort_values(["y", "key"])
    dealt = pd.Series(np.arange(len(first)) % count, index=first.index)
    return dealt.loc[groups].to_numpy()


def _reduced(embeddings: np.ndarray) -> np.ndarray:
    """(N, k) float32: centred, of length one, in the leading principal components, of length one again."""
    rows = embeddings.astype(np.float32)
    rows -= rows.mean(axis=0)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    _, axes = np.linalg.eigh(rows.T @ rows)
    reduced = rows @ axes[:, ::-1][:, : min(COMPONENTS, len(rows))]
    return np.asarray(reduced / np.maximum(np.linalg.norm(reduced, axis=1, keepdims=True), 1e-12))


def _kernel_features(rows: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """(N, m) float32 features whose inner products approximate a Gaussian kernel of the rows."""
    landmarks = rows[np.argsort(keys, kind="stable")[:LANDMARKS]]
    between = 1 - landmarks @ landmarks.T
    width = float(np.median(between))  # half the median squared distance of unit vectors
    kernel = np.exp(-between / max(width, 1e-6)).astype(np.float64)
    values, vectors = np.linalg.eigh(kernel)
    kept = values > values[-1] * 1e-6
    root = (vectors[:, kept] / np.sqrt(values[kept])).astype(np.float32)
    features = np.empty((len(rows), root.shape[1]), np.float32)
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK]
        features[start : start + BLOCK] = np.exp((block @ landmarks.T - 1) / max(width, 1e-6)) @ root
    return features


def _held_out_scores(features: np.ndarray, y: np.ndarray, fold: np.ndarray, n_classes: int) -> np.ndarray:
    """(N, C) scores of each sample by the ridge whose fold left it out; the ridge with the best likelihood."""
    targets = np.eye(n_classes, dtype=np.float32)[np.maximum(y, 0)]
    share = targets[y >= 0].mean(axis=0)
    targets = np.where((y >= 0)[:, None], targets - share, 0).astype(np.float32)
    parts = {f: _moments(features, targets, (fold == f) & (y >= 0)) for f in np.unique(fold)}
    gram, moment = (sum(part[i] for part in parts.values()) for i in (0, 1))
    scale = float(np.trace(gram)) / max(int((y >= 0).sum()), 1)
    best, best_loss = np.zeros_like(targets), np.inf
    for ridge in RIDGES:
        scores = np.empty_like(targets)
        for f, (own_gram, own_moment) in parts.items():
            weights = _solve(gram - own_gram, ridge * scale, moment - own_moment)
            scores[fold == f] = features[fold == f] @ weights
        loss = _loss(scores + share, y)
        if loss < best_loss:
            best, best_loss = scores + share, loss
    return np.asarray(best, dtype=np.float32)


def _moments(features: np.ndarray, targets: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    some = features[chosen]
    return some.T @ some, some.T @ targets[chosen]


def _solve(gram: np.ndarray, ridge: float, moment: np.ndarray) -> np.ndarray:
    import torch

    matrix = torch.from_numpy(gram + ridge * np.eye(len(gram), dtype=gram.dtype))
    return torch.cholesky_solve(torch.from_numpy(moment), torch.linalg.cholesky(matrix)).numpy()


def _loss(scores: np.ndarray, y: np.ndarray) -> float:
    known = y >= 0
    return float(-np.log(_probabilities(scores, y)[known, y[known]] + 1e-12).mean())


def _probabilities(scores: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(N, C) float32: softmax of the scores under the temperature and biases most likely to give the labels."""
    import torch

    known = torch.from_numpy(np.flatnonzero(y >= 0))
    z, labels = torch.from_numpy(scores).double(), torch.from_numpy(y)[known]
    slope = torch.tensor(5.0, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(scores.shape[1], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([slope, bias], max_iter=50, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(z[known] * slope + bias, labels) + 1e-4 * bias.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    with torch.no_grad():
        return (z * slope + bias).softmax(dim=1).float().numpy()
