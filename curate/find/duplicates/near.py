"""Pairs and groups of pictures that show the same shot: found by embedding and thumbnail, verified on pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from curate.find.neighbors import Neighbors
from curate.schema import conform

if TYPE_CHECKING:
    from curate.find.duplicates.candidates import Candidates
    from curate.find.rows import Rows

NEAR = 0.7  # agreement from which a pair is taken for the same shot
REPEATED = 0.9  # of a pair's similarity is left for each closer twin that either of the two has
WORTH_A_LOOK = 0.25  # evidence from which a candidate pair is laid over pixel by pixel
LINKED, LINKED_SHARE = 50, 0.02  # contents that near pairs may link: so many, or that share of all
VERIFIED_PER_SAMPLE = 3  # at most, so that cost stays linear where all pictures are alike


def duplicate_pairs(
    samples: pd.DataFrame, embeddings: np.ndarray, neighbors: Neighbors, thumbs: np.ndarray
) -> pd.DataFrame:
    """Rank pairs of samples by how surely they are the same picture.

    Parameters
    ----------
    samples : sample_id, sha256 and optionally split, (N,) rows
    embeddings : (N, d) float16 or float32, L2-normalised
    neighbors : nearest by embedding
    thumbs : (N, 32, 32, 3) uint8

    Returns
    -------
    Table PAIRS, most similar first. `exact` are files of the same bytes (agreement 1; each copy is paired with
    the first by name in each split, not with all others); `near` are all candidates that were compared pixel
    by pixel, also those below `NEAR`, so that the threshold can be moved without computing again.
    """
    pairs = pd.concat([_exact(samples), _near(samples, embeddings, neighbors, thumbs)], ignore_index=True)
    return rank_pairs(pairs, samples)


def rank_pairs(pairs: pd.DataFrame, samples: pd.DataFrame) -> pd.DataFrame:
    """Complete PAIRS from their `agreement`: which splits they join, their `similarity`, and their order.

    A picture with one twin is told by one pair, one with thirty by four hundred. So that the first pairs tell of
    as many pictures as can be, `similarity` is the agreement less a tenth for each closer twin that either of the
    two has between the same splits. Exact copies keep 1.
    """
    order = [False, True, True]
    pairs = pairs.assign(between=between(pairs, samples))
    pairs = pairs.sort_values(["agreement", "sample_id_a", "sample_id_b"], ascending=order, ignore_index=True)
    both = pd.concat([_directed(pairs, "a", "b"), _directed(pairs, "b", "a")]).sort_index(kind="stable")
    both = both[pairs["kind"].eq("near").reindex(both.index)]
    closer = both.fillna({"between": ""}).groupby(["from", "between"]).cumcount().groupby(level=0).sum()
    left = REPEATED ** closer.reindex(pairs.index, fill_value=0)
    pairs = pairs.assign(similarity=pairs["agreement"] * left)
    ranked = pairs.sort_values(["similarity", "sample_id_a", "sample_id_b"], ascending=order)
    return conform("near_duplicate_pairs", ranked)


def flagged(pairs: pd.DataFrame, threshold: float = NEAR) -> pd.DataFrame:
    """The pairs taken for the same picture: exact ones, and near ones from the threshold on."""
    return pairs[pairs["kind"].eq("exact") | pairs["agreement"].ge(threshold)]


def duplicate_groups(samples: pd.DataFrame, pairs: pd.DataFrame, *, threshold: float = NEAR) -> np.ndarray:
    """Number the groups of duplicates, (N,) int; a sample without duplicates is a group of its own.

    The sample with the most similar pairs becomes the centre of a group, and takes those of its partners that
    have no group yet; then the next. So every member resembles its centre, and groups do not chain.
    """
    ids = samples["sample_id"].to_numpy()
    links = flagged(pairs, threshold)
    both = pd.concat([_directed(links, "a", "b"), _directed(links, "b", "a")])
    weight = both.groupby("from")["agreement"].sum().rename("weight").reset_index()
    partners = both.groupby("from")["to"].agg(list)
    centre: dict[str, str] = {}
    for sample in weight.sort_values(["weight", "from"], ascending=[False, True])["from"]:
        if sample not in centre:
            centre |= {member: sample for member in [sample, *partners[sample]] if member not in centre}
    names = np.array([centre.get(sample, sample) for sample in ids], dtype=object)
    return np.asarray(pd.factorize(names)[0], dtype=np.int64)


def linked_groups(samples: pd.DataFrame, pairs: pd.DataFrame, *, threshold: float = NEAR) -> np.ndarray:
    """Number what splits and folds may not part, (N,) int: samples that flagged pairs join, directly or through others.

    Where all pictures are alike, chains of pairs would join them all and leave nothing to divide. So near pairs are
    taken from the most similar on, and one that would link more contents than `LINKED` and `LINKED_SHARE` allow is
    passed over: single linkage, by Kruskal's algorithm with a limit.

    Parameters
    ----------
    samples : sample_id, (N,) rows
    pairs : table PAIRS of these samples; the result does not depend on the order of either
    threshold : agreement from which a near pair is flagged
    """
    links = flagged(pairs, threshold).assign(is_near=lambda table: table["kind"].eq("near"))
    links = links.sort_values(
        ["is_near", "agreement", "sample_id_a", "sample_id_b"], ascending=[True, False, True, True]
    )
    rows = pd.Index(samples["sample_id"])
    a, b = (rows.get_indexer(links[f"sample_id_{side}"]).tolist() for side in "ab")
    most = max(LINKED, LINKED_SHARE * len(rows))
    above, contents = list(range(len(rows))), [1] * len(rows)  # a tree for each group; how many contents it has

    def top(row: int) -> int:
        while above[row] != row:
            above[row] = row = above[above[row]]
        return row

    for one, other, is_near in zip(map(top, a), map(top, b), links["is_near"], strict=True):
        both = contents[one] + contents[other] if is_near else max(contents[one], contents[other])
        if one != other and (both <= most or not is_near):
            above[other], contents[one] = one, both
    return np.asarray(pd.factorize(np.array([top(row) for row in range(len(rows))]))[0], dtype=np.int64)


def find_near_duplicate(samples: pd.DataFrame, pairs: pd.DataFrame, *, threshold: float = NEAR) -> pd.DataFrame:
    """Score every sample by its most similar near pair.

    Returns
    -------
    sample_id, is_near_duplicate_issue, near_duplicate_score (1 - agreement with `nearest_id`; 1 where no
    candidate came near), nearest_id, group_id
    """
    return score_pairs(samples, pairs[pairs["kind"].eq("near")], "near_duplicate", threshold=threshold)


def score_pairs(samples: pd.DataFrame, pairs: pd.DataFrame, issue: str, *, threshold: float = NEAR) -> pd.DataFrame:
    """One row per sample from the pairs that count for `issue`: its best partner, and its group."""
    both = pd.concat([_directed(pairs, "a", "b"), _directed(pairs, "b", "a")])
    both = both.sort_values(["agreement", "to"], ascending=[False, True]).drop_duplicates("from").set_index("from")
    ids = samples["sample_id"]
    agreement = ids.map(both["agreement"]).astype("float64").fillna(0.0)
    is_issue = agreement.ge(threshold)
    groups = pd.Series(duplicate_groups(samples, pairs, threshold=threshold), index=samples.index)
    shared = groups.duplicated(keep=False)
    names = groups.map(ids.groupby(groups).min())
    return pd.DataFrame(
        {
            "sample_id": ids,
            f"is_{issue}_issue": is_issue,
            f"{issue}_score": 1 - agreement,
            "nearest_id": ids.map(both["to"]).where(is_issue, None),
            "group_id": names.where(shared & is_issue, None),
        }
    ).reset_index(drop=True)


def _directed(pairs: pd.DataFrame, one: str, other: str) -> pd.DataFrame:
    renamed = {f"sample_id_{one}": "from", f"sample_id_{other}": "to"}
    kept = pairs.columns.intersection(["agreement", "between"])
    return pairs.rename(columns=renamed)[["from", "to", *kept]]


def _exact(samples: pd.DataFrame) -> pd.DataFrame:
    """Every file of bytes that others hold too, paired with the first by name in each split."""
    pairs = _members(samples).merge(_standins(samples), on="sha256", suffixes=("_a", "_b"))
    pairs = pairs[pairs["sample_id_a"].ne(pairs["sample_id_b"])]
    return _in_order(pairs.assign(agreement=1.0, kind="exact", cosine=1.0))


def _members(samples: pd.DataFrame) -> pd.DataFrame:
    return samples[["sample_id", "sha256"]]


def _standins(samples: pd.DataFrame) -> pd.DataFrame:
    """The first file by name of each content in each split: they stand for its other copies there."""
    return samples.sort_values("sample_id").drop_duplicates(["sha256", "split"])[["sample_id", "sha256"]]


def _in_order(pairs: pd.DataFrame) -> pd.DataFrame:
    """The alphabetically first sample as `a`, each pair once."""
    a, b = pairs["sample_id_a"], pairs["sample_id_b"]
    ordered = pairs.assign(sample_id_a=a.where(a.lt(b), b), sample_id_b=b.where(a.lt(b), a))
    return ordered.drop_duplicates(["sample_id_a", "sample_id_b"])[
        ["sample_id_a", "sample_id_b", "agreement", "kind", "cosine"]
    ]


def _near(samples: pd.DataFrame, embeddings: np.ndarray, neighbors: Neighbors, thumbs: np.ndarray) -> pd.DataFrame:
    """Candidates that are not the same bytes, compared pixel by pixel; one file stands for its exact copies."""
    from curate.find.duplicates.candidates import distinct_neighbors
    from curate.find.rows import Rows

    rows, content = _contents(samples)
    nearest = distinct_neighbors(embeddings, neighbors, rows, content)
    hashes = samples["sha256"].iloc[rows]
    rank = np.argsort(hashes.argsort().to_numpy())
    found, agreed = _verified(Rows(embeddings, rows), Rows(thumbs, rows), nearest, rank)
    near = pd.DataFrame(
        {
            "sha256_a": hashes.to_numpy()[found.a],
            "sha256_b": hashes.to_numpy()[found.b],
            "agreement": agreed,
            "kind": "near",
            "cosine": found.cosine.astype(np.float64),
        }
    )
    members, standins = _members(samples), _standins(samples)
    sides = [_joined(near, members, standins), _joined(near, standins, members)]
    return _in_order(pd.concat(sides, ignore_index=True))


def _verified(embeddings: Rows, thumbs: Rows, nearest: Neighbors, rank: np.ndarray) -> tuple[Candidates, np.ndarray]:
    """The pairs of contents that are worth it, and each one's agreement: of pixels, framed or not, or of embeddings."""
    from curate.find.duplicates.borders import without_borders
    from curate.find.duplicates.candidates import best_of_each, find_candidates
    from curate.find.duplicates.verify import agreements, agreements_of_embeddings, look_alikes, sure_cosine

    bare, framed = without_borders(thumbs)
    sure = sure_cosine(embeddings, rank)
    found = find_candidates(embeddings, bare, nearest, rank, least=WORTH_A_LOOK, sure=sure)
    found = found[best_of_each(found, VERIFIED_PER_SAMPLE) | (found.cosine >= sure)]
    look_alike = look_alikes(embeddings, bare, rank, near=NEAR)
    agreed = agreements(bare, found, look_alike)
    some = np.flatnonzero(framed[found.a] | framed[found.b])
    agreed[some] = np.maximum(agreed[some], agreements(thumbs, found[some], look_alike))
    return found, np.maximum(agreed, agreements_of_embeddings(found.cosine, sure, NEAR))


def _contents(samples: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """The row of the first file by name of each content, ascending; and the (N,) number of each row's content."""
    ordered = samples[["sha256", "sample_id"]].reset_index(drop=True).sort_values(["sha256", "sample_id"])
    order, is_first = ordered.index.to_numpy(), ~ordered["sha256"].duplicated().to_numpy()
    rows = np.sort(order[is_first])
    first = np.empty(len(order), np.int64)  # of each row, the first file of its content
    first[order] = order[is_first][np.cumsum(is_first) - 1]
    return rows, np.searchsorted(rows, first)


def _joined(near: pd.DataFrame, one: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """Pairs of contents as pairs of the files that hold them."""
    pairs = near.merge(one.rename(columns={"sha256": "sha256_a", "sample_id": "sample_id_a"}), on="sha256_a")
    return pairs.merge(other.rename(columns={"sha256": "sha256_b", "sample_id": "sample_id_b"}), on="sha256_b")


def between(pairs: pd.DataFrame, samples: pd.DataFrame) -> pd.Series:
    """The two splits of each pair, sorted: `test-train`; null where either has none."""
    split = samples.set_index("sample_id")["split"]
    a, b = (pairs[side].map(split) for side in ("sample_id_a", "sample_id_b"))
    known = a.notna() & b.notna()
    both = [None if not k else "-".join(sorted((x, y))) for k, x, y in zip(known, a, b, strict=True)]
    return pd.Series(both, index=pairs.index, dtype="object")
