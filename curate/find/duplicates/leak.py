"""Duplicates across splits: what a model was trained on must not be what it is tested on."""

from __future__ import annotations

import pandas as pd

from curate.find.duplicates.near import NEAR, score_pairs


def find_leak(samples: pd.DataFrame, pairs: pd.DataFrame, *, threshold: float = NEAR) -> pd.DataFrame:
    """Score every sample by its most similar twin in another split.

    Parameters
    ----------
    samples : sample_id, split; samples without a split can't leak
    pairs : table PAIRS, exact and near

    Returns
    -------
    sample_id, is_leak_issue, leak_score (1 - similarity to `nearest_id`), nearest_id, group_id
    """
    split = samples.set_index("sample_id")["split"]
    a, b = pairs["sample_id_a"].map(split), pairs["sample_id_b"].map(split)
    return score_pairs(samples, pairs[a.notna() & b.notna() & a.ne(b)], "leak", threshold=threshold)
