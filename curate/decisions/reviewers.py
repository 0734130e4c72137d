"""Double review: what two reviewers said of the same flag, and how far they agree."""

from __future__ import annotations

from typing import Any

import pandas as pd

from curate.decisions.decision import read_evidence


def verdicts_by_reviewer(history: pd.DataFrame) -> pd.DataFrame:
    """The last standing verdict of each reviewer on each flag, in the form of ANNOTATIONS.

    Parameters
    ----------
    history : every row of the ledger, as `Ledger.history` gives it

    Returns
    -------
    `sample_id` (here sample, issue and content together), `annotator` (the reviewer) and `label` (the verdict; of a
    relabel with the class). Verdicts in bulk and `unsure` judge nothing, and are left out.
    """
    stands = ~history["undone"].astype("bool") & history["action"].isin(["keep", "drop", "relabel"])
    rows = history[stands]
    rows = rows[read_evidence(rows, "bulk").isna()]
    content = rows["sha256"].astype("object")  # two contents of one name are two pictures
    flag = rows["sample_id"].astype("object") + "\n" + rows["issue"].astype("object") + ("\n" + content).fillna("")
    verdict = rows["action"].astype("object")
    said = verdict.where(rows["action"].ne("relabel"), "relabel to " + rows["label"].astype("object"))
    verdicts = pd.DataFrame({"sample_id": flag, "annotator": rows["reviewer"], "label": said}).astype("str")
    return verdicts.drop_duplicates(["sample_id", "annotator"], keep="last")


def reviewer_agreement(history: pd.DataFrame, *, bootstraps: int = 1000, seed: int = 0) -> list[dict[str, Any]]:
    """How far each pair of reviewers agrees, on the flags that both judged; empty where no flag was judged twice.

    Returns
    -------
    `annotator_a, annotator_b, n_samples` (flags), `agreement` and `cohen_kappa`, each with its 95% bootstrap
    interval `_low` and `_high`; None where a value is not defined
    """
    from curate.ingest.annotators import agreement

    verdicts = verdicts_by_reviewer(history)
    twice = verdicts["sample_id"].duplicated(keep=False)
    if not twice.any():
        return []
    pairs: list[dict[str, Any]] = agreement(verdicts[twice], bootstraps=bootstraps, seed=seed).to_dict()["per_pair"]
    return [pair for pair in pairs if pair["n_samples"]]
