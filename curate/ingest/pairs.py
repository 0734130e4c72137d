"""Who agrees with whom: every table of votes of two people, and what follows from it for pairs and persons."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import sparse

from curate.ingest.agreement import cohen, draws, interval

PAIR_COLUMNS = ["annotator_a", "annotator_b", "n_samples"] + [
    name + end for name in ("agreement", "conflict_rate", "cohen_kappa") for end in ("", "_low", "_high")
]
END_COLUMNS = ["agreement_low", "agreement_high", "cohen_kappa_low", "cohen_kappa_high"]
PAIRS_WITH_INTERVALS = 200  # with hundreds of people, only the pairs that share most get an interval


def tables_of_pairs(samples: np.ndarray, labels: np.ndarray, people: np.ndarray, n_classes: int) -> pd.DataFrame:
    """Every table of votes of two people at once, by one product of a sparse matrix with itself.

    Parameters
    ----------
    samples, labels, people : (M,) int: of each vote; one vote per sample and person

    Returns
    -------
    a, b (people, each pair in both orders), label (said by a), other_label (said by b), n (samples); sorted
    """
    width = max(1, n_classes)
    said = people.astype(np.int64) * width + labels  # who said what, as one number
    shape = (int(samples.max(initial=-1)) + 1, (int(people.max(initial=-1)) + 1) * width)
    votes = sparse.csr_array((np.ones(len(samples), dtype=np.int64), (samples, said)), shape)
    together = (votes.T @ votes).tocoo()
    row, column = together.coords
    cells = {"a": row // width, "b": column // width, "label": row % width, "other_label": column % width}
    table = pd.DataFrame({**cells, "n": together.data})
    return table[table["a"] != table["b"]].sort_values(["a", "b", "label", "other_label"], ignore_index=True)


def per_pair(
    tables: pd.DataFrame, names: pd.Index, n_classes: int, *, bootstraps: int, rng: np.random.Generator
) -> pd.DataFrame:
    """Agreement and Cohen's kappa of each pair; intervals for the pairs that share most samples."""
    once = tables[tables["a"] < tables["b"]]
    pairs = _kappas(once)
    richest = np.argsort(-pairs["n_samples"].to_numpy(), kind="stable")[:PAIRS_WITH_INTERVALS]
    cells_of = once.groupby(["a", "b"]).indices
    ends = np.full((len(pairs), 4), np.nan)
    for row in richest if bootstraps else []:
        cells = once.iloc[cells_of[pairs.index[row]]]
        shape = (n_classes, n_classes)
        table = sparse.coo_array((cells["n"].to_numpy(), (cells["label"], cells["other_label"])), shape)
        ends[row] = _intervals(table, bootstraps, rng)
    pairs[END_COLUMNS] = ends
    pairs["conflict_rate"] = 1 - pairs["agreement"]
    pairs["conflict_rate_low"] = 1 - pairs["agreement_high"]
    pairs["conflict_rate_high"] = 1 - pairs["agreement_low"]
    pairs["annotator_a"] = names[pairs.index.get_level_values("a")]
    pairs["annotator_b"] = names[pairs.index.get_level_values("b")]
    return pairs.reset_index(drop=True)[PAIR_COLUMNS]


def _kappas(tables: pd.DataFrame) -> pd.DataFrame:
    """By a, b: n_samples, agreement, cohen_kappa, for all pairs at once; `cohen` does the same for one."""
    pair = ["a", "b"]
    n = tables.groupby(pair)["n"].sum()
    same = tables["n"].where(tables["label"] == tables["other_label"], 0)
    agreement = same.groupby([tables["a"], tables["b"]]).sum() / n
    first = tables.groupby([*pair, "label"])["n"].sum()
    second = tables.groupby([*pair, "other_label"])["n"].sum().rename_axis([*pair, "label"])
    by_chance = first.mul(second, fill_value=0).groupby(pair).sum() / n**2
    kappa = (agreement - by_chance) / (1 - by_chance).where(by_chance < 1)
    return pd.DataFrame({"n_samples": n, "agreement": agreement, "cohen_kappa": kappa})


def _intervals(table: sparse.coo_array, bootstraps: int, rng: np.random.Generator) -> np.ndarray:
    """The values of END_COLUMNS for one pair."""
    drawn = [cohen(table, block) for block in draws(table.data, bootstraps, rng)]
    names = ("agreement", "cohen_kappa")
    values = np.column_stack([np.concatenate([block[name] for block in drawn]) for name in names])
    return np.stack(interval(values), axis=1).ravel()


def per_annotator(tables: pd.DataFrame, n_annotations: np.ndarray, names: pd.Index) -> pd.DataFrame:
    """How often each person says what others say of the same sample."""
    pairs = tables.groupby("a")["n"].sum().reindex(range(len(names)), fill_value=0)
    same = tables[tables["label"] == tables["other_label"]].groupby("a")["n"].sum().reindex(pairs.index, fill_value=0)
    rate = same / pairs.where(pairs > 0)
    columns = {"annotator": names, "n_annotations": n_annotations, "n_pairs": pairs, "agreement": rate}
    return pd.DataFrame(columns).reset_index(drop=True)


def confusion(tables: pd.DataFrame, names: pd.Index, classes: pd.Index) -> pd.DataFrame:
    """What each person says where others say what: annotator, label, other_label, n_pairs."""
    counted = tables.groupby(["a", "label", "other_label"], as_index=False)["n"].sum()
    return pd.DataFrame(
        {
            "annotator": names[counted["a"]],
            "label": classes[counted["label"]],
            "other_label": classes[counted["other_label"]],
            "n_pairs": counted["n"],
        }
    )
