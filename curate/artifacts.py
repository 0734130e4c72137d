"""The names of the workspace's files that no table of the schema names."""

from __future__ import annotations

ANSWERS = "tables/arbitration_answers.csv"


AS_INGESTED = 0  # the number of the version that nobody has changed
INGESTED = "ingested"  # the manifest of that one, as it was when the version that keeps it was made
APPLIED = "versions/applied.json"  # the version that the last apply came to, and what it rested on


AGREEMENT = "tables/agreement.json"
ARBITRATION = "tables/arbitration.csv"


EMBEDDER = "embeddings/current.json"  # which embedder made what the finders read; its digest goes with its weights

SPLIT_TABLE = "tables/splits.parquet"
SPLIT_PROOF = "tables/split_proof.json"
CLASS_REPORT = "tables/classes.parquet"
ANNOTATORS = "tables/annotators.parquet"
OWN_EMBEDDINGS = "own/embeddings.npz"  # given by the user, in place of those of the scan
OWN_PRED_PROBS = "own/pred_probs.parquet"  # given by the user, in place of the probe's
OWN = {"embeddings": OWN_EMBEDDINGS, "pred_probs": OWN_PRED_PROBS}  # what a user may give, and where it is kept
REPORT = "reports/report.html"
EMBEDDED = [EMBEDDER, OWN_EMBEDDINGS]  # the files that embeddings come from
PAIRS = "neighbors/pairs.parquet"  # candidate pairs, before splits rank them
BY_PROBE = "pred_probs/probe.npz"
ACTIVE = "pred_probs/active.npz"  # the same, or pooled with what a trained network says where asked for
LABELLED = ["scan", "sources", *EMBEDDED, "annotations"]  # the files that embeddings and labels come from
TRAINER = "pred_probs/trainer.parquet"  # out of fold, by `curate retrain`
FINETUNED = "pred_probs/finetuned.parquet"  # out of fold, by networks that were trained for it
