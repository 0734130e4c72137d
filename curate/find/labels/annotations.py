"""All labels of a data set as one table: who or what gave each."""

from __future__ import annotations

import numpy as np
import pandas as pd

from curate.ingest.consensus import without_overruled

COLUMNS = ["row", "label", "labeller"]


def labels_by_source(samples: pd.DataFrame, annotations: pd.DataFrame) -> pd.DataFrame:
    """Each annotator's label, or the arbiter's; of samples that nobody annotated, the one of their split.

    Splits are sources of their own, because the labels of one may be cleaner than those of another.

    Parameters
    ----------
    samples : `sample_id`, `label`, `split`, (N,) rows
    annotations : table ANNOTATIONS, which may be empty

    Returns
    -------
    `row` (in `samples`), `label`, `labeller`; any number of rows for a sample
    """
    given = samples.assign(row=np.arange(len(samples)), labeller="split " + samples["split"].fillna(""))
    given = given.loc[samples["label"].notna(), [*COLUMNS, "sample_id"]]
    if annotations.empty:
        return given[COLUMNS]
    votes = without_overruled(annotations).merge(given[["row", "sample_id"]], on="sample_id")
    votes["labeller"] = "annotator " + votes["annotator"]
    return pd.concat([votes, given[~given["sample_id"].isin(votes["sample_id"])]], ignore_index=True)[COLUMNS]
