"""Files of the same bytes."""

from __future__ import annotations

import pandas as pd

from curate.find.duplicates.near import score_pairs


def find_exact_duplicate(samples: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """Flag every file whose bytes another file also holds.

    Parameters
    ----------
    samples : sample_id
    pairs : table PAIRS

    Returns
    -------
    sample_id, is_exact_duplicate_issue, exact_duplicate_score (0 = has a copy, 1 = has none), nearest_id,
    group_id
    """
    return score_pairs(samples, pairs[pairs["kind"].eq("exact")], "exact_duplicate")
