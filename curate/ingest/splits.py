"""Which sample goes to train, val or test: stratified, grouped, seeded.

Groups are dealt out largest first, each to the split where the counts by class then come closest to the
wished ones (least chi-square); groups of one sample, which are most of a usual data set, are dealt out by
class in one go. The time grows with samples plus groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from curate.config import SplitOptions
from curate.errors import SplitError
from curate.ingest.proof import SplitProof, class_balance, split_proof
from curate.schema import SPLITS

__all__ = ["SplitProof", "class_balance", "join_groups", "make_splits", "split_proof"]

TRAIN, VAL, TEST = (SPLITS.index(name) for name in ("train", "val", "test"))
BY_NEED = (TRAIN, TEST, VAL)  # of equally good splits, the one that a small data set needs most comes first


def join_groups(*keys: Sequence[Any] | np.ndarray | pd.Series) -> np.ndarray:
    """Number the groups of samples that share a value of any key, directly or through other samples.

    Parameters
    ----------
    keys : (N,) each, one or more; a null belongs to no group

    Returns
    -------
    (N,) int: groups are numbered from 0 by their first sample
    """
    n_samples = n_nodes = len(keys[0])
    rows, nodes = [], []
    for key in keys:
        codes, values = pd.factorize(np.asarray(key, dtype=object))
        rows.append(np.flatnonzero(codes >= 0))
        nodes.append(n_nodes + codes[codes >= 0])
        n_nodes += len(values)
    edges = (np.concatenate(rows), np.concatenate(nodes))
    graph = sparse.coo_array((np.ones(len(edges[0])), edges), (n_nodes, n_nodes)).tocsr()
    component = connected_components(graph, directed=False)[1]
    return np.asarray(pd.factorize(component[:n_samples])[0], dtype=np.int64)


def make_splits(samples: pd.DataFrame, groups: np.ndarray, *, options: SplitOptions) -> pd.Series:
    """Divide samples into train, val and test so that no group straddles and each class is divided alike.

    The result depends on the ids, labels, groups and seed, not on the order of the rows. A class of which
    there are two groups or more has at least its smallest one in test; a class of one group goes where it
    fits, which is train unless it fills train.

    Parameters
    ----------
    samples : sample_id, label (samples without one are divided as a class of their own), and optionally
        split: samples that have one keep it, and their group follows them
    groups : (N,) int, the group of each sample

    Returns
    -------
    (N,) 'train', 'val' or 'test', indexed like `samples`

    Raises
    ------
    SplitError : shares that are negative or don't add up to 1, no samples, or not one group per sample
    """
    shares = checked_shares(options)
    if not len(samples) or len(groups) != len(samples):
        raise SplitError(f"{len(samples):,} samples and {len(groups):,} groups", "one group per sample")
    order = np.argsort(samples["sample_id"].to_numpy(dtype=object), kind="stable")
    deck = _gather(samples.iloc[order], np.asarray(groups)[order])
    dealer = _Dealer(deck, shares, np.random.default_rng(options.seed))
    dealer.seed_test()
    dealer.deal_large()
    dealer.deal_single()
    split = np.empty(len(samples), dtype=object)
    split[order] = np.asarray(SPLITS, dtype=object)[deck.split_of_samples(dealer.split)]
    return pd.Series(split, index=samples.index, name="split", dtype="str")


def earlier_splits(samples: pd.DataFrame, earlier: pd.DataFrame) -> pd.Series:
    """(N,) splits that the source gives, or that an earlier ingest gave; null where neither does.

    A file that is away for an ingest, or has another name after it, has its split still.

    Parameters
    ----------
    samples : `sample_id`, `sha256`, `split`
    earlier : the same of all samples that were ever split
    """
    splits = samples["split"]
    for name in ("sample_id", "sha256"):
        known = earlier.drop_duplicates(name).set_index(name)["split"]
        splits = splits.fillna(samples[name].map(known).astype("str"))
    return splits


def with_absent(splits: pd.DataFrame, earlier: pd.DataFrame) -> pd.DataFrame:
    """These splits, and the earlier ones of samples that are away; sorted by sample_id."""
    away = earlier[~earlier["sample_id"].isin(splits["sample_id"])]
    return pd.concat([splits, away]).sort_values("sample_id", ignore_index=True)


def checked_shares(options: SplitOptions) -> np.ndarray:
    """(3,) shares of train, val and test; raises SplitError where they make no whole."""
    shares = np.array([getattr(options, name) for name in SPLITS], dtype=float)
    if not (shares >= 0).all() or abs(shares.sum() - 1) > 1e-6:
        said = ", ".join(f"{name} {share:g}" for name, share in zip(SPLITS, shares, strict=True))
        raise SplitError(f"shares {said}", "numbers from 0 that add up to 1", "--split 0.7 0.15 0.15")
    return shares


@dataclass(frozen=True)
class _Deck:
    """Samples in the order of their ids, gathered into groups that are numbered in that order."""

    group: np.ndarray  # (N,) group of each sample
    label: np.ndarray  # (N,) class of each sample; the last class gathers those without a label
    given: np.ndarray  # (N,) split that the sample has already, -1 for none
    follows: np.ndarray  # (G,) first split that a sample of the group has already, -1 for none
    counts: sparse.csr_array  # (G, C + 1) samples of each group by class; the last column counts all

    def split_of_samples(self, split: np.ndarray) -> np.ndarray:
        """(N,) split of each sample when each group has its own, (G,); what was given stands."""
        return np.where(self.given >= 0, self.given, split[self.group])

    def count(self, chosen: np.ndarray) -> np.ndarray:
        """(C + 1,) the chosen samples by class, and in all."""
        n_classes = self.counts.shape[1] - 1
        return np.append(np.bincount(self.label[chosen], minlength=n_classes), chosen.sum()).astype(float)

    def of_group(self, group: int) -> tuple[np.ndarray, np.ndarray]:
        """Columns of `counts` that the group has, and their values."""
        cells = slice(*self.counts.indptr[group : group + 2])
        return self.counts.indices[cells], self.counts.data[cells]


def _gather(samples: pd.DataFrame, groups: np.ndarray) -> _Deck:
    group, values = pd.factorize(groups)
    label, classes = pd.factorize(samples["label"], sort=True)
    label = np.where(label < 0, len(classes), label)
    n, n_groups, n_columns = len(group), len(values), len(classes) + 2
    columns = np.concatenate([label, np.full(n, n_columns - 1)])
    cells = (np.ones(2 * n), (np.tile(group, 2), columns))
    names = samples["split"] if "split" in samples else np.full(n, None)
    given = pd.Index(SPLITS).get_indexer(pd.Index(names))
    follows = np.full(n_groups, len(SPLITS))
    np.minimum.at(follows, group[given >= 0], given[given >= 0])
    follows[follows == len(SPLITS)] = -1
    return _Deck(group, label, given, follows, sparse.coo_array(cells, (n_groups, n_columns)).tocsr())


class _Dealer:
    """Deals groups out to splits. Tables have a row per split with a share and the columns of `deck.counts`."""

    def __init__(self, deck: _Deck, shares: np.ndarray, rng: np.random.Generator) -> None:
        self.deck, self.split = deck, deck.follows.copy()
        self.open = [split for split in BY_NEED if shares[split] > 0]
        self.size = deck.counts[:, [-1]].toarray()[:, 0]
        self.turn = rng.permutation(len(self.split))  # order among groups that are alike
        self.wished = np.outer(shares[self.open], deck.counts.sum(axis=0))
        sample_split = deck.split_of_samples(self.split)
        self.dealt = np.array([deck.count(sample_split == split) for split in self.open])

    def seed_test(self) -> None:
        """Give test the smallest group of each class that has another to spare, rarest class first."""
        if TEST not in self.open:
            return
        row, table = self.open.index(TEST), self.deck.counts[:, :-2].tocoo()
        groups, classes = table.coords
        n_groups = np.bincount(classes, minlength=table.shape[1])
        n_left = np.full(self.dealt.shape[1], np.inf)  # groups that test leaves to the others, by class
        n_left[: len(n_groups)] = np.bincount(classes[self.split[groups] != TEST], minlength=len(n_groups))
        smallest_first = groups[np.lexsort((self.turn[groups], self.size[groups], classes))]
        candidates = np.split(smallest_first, np.cumsum(n_groups)[:-1])
        for label in np.argsort(n_groups, kind="stable"):
            to_spare = (g for g in candidates[label] if self.split[g] < 0 and self._can_spare(g, n_left))
            group = None if self.dealt[row, label] else next(to_spare, None)
            if group is not None:
                self._give(group, row)
                n_left[self.deck.of_group(group)[0]] -= 1

    def deal_large(self) -> None:
        """Deal groups of two samples or more, largest first."""
        waiting = np.flatnonzero((self.split < 0) & (self.size > 1))
        for group in waiting[np.lexsort((self.turn[waiting], -self.size[waiting]))]:
            self._give(group, self._best(group))

    def deal_single(self) -> None:
        """Deal groups of one sample: each class fills what its splits lack, and the remainder one by one."""
        label = np.zeros(len(self.split), dtype=np.intp)
        label[self.deck.group] = self.deck.label
        waiting = np.flatnonzero((self.split < 0) & (self.size == 1))
        waiting = waiting[np.lexsort((self.turn[waiting], label[waiting]))]
        remainder = []
        for groups in np.split(waiting, np.flatnonzero(np.diff(label[waiting])) + 1):
            quota = self._quota(label[groups[:1]], len(groups))
            n_dealt = int(quota.sum())
            self.split[groups[:n_dealt]] = np.repeat(self.open, quota)
            self.dealt[:, label[groups[:1]]] += quota[:, None]
            self.dealt[:, -1] += quota
            remainder.append(groups[n_dealt:])
        rest = np.concatenate(remainder)
        for group in rest[np.argsort(self.turn[rest])]:
            self._give(group, self._best(group))

    def _quota(self, column: np.ndarray, n: int) -> np.ndarray:
        """(splits,) whole numbers, at most `n` in all, in proportion to what each split lacks of the class."""
        lack = np.maximum(self.wished - self.dealt, 0)[:, column].sum(axis=1)
        return np.floor(n * lack / max(lack.sum(), 1e-12)).astype(np.intp)

    def _best(self, group: int) -> int:
        """The row whose sum of (dealt - wished)^2 / wished over classes grows least."""
        columns, n = self.deck.of_group(group)
        excess = self.dealt[:, columns] - self.wished[:, columns]
        return int(np.argmin((n * (2 * excess + n) / self.wished[:, columns]).sum(axis=1)))

    def _give(self, group: int, row: int) -> None:
        columns, n = self.deck.of_group(group)
        self.dealt[row, columns] += n
        self.split[group] = self.open[row]

    def _can_spare(self, group: int, n_left: np.ndarray) -> bool:
        return bool((n_left[self.deck.of_group(group)[0]] > 1).all())
