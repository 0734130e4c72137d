"""A workspace as pandas sees it. Usage: python examples/read_tables.py WORKSPACE"""

import sys
from pathlib import Path

import pandas as pd

workspace = Path(sys.argv[1])
samples = pd.read_parquet(workspace / "tables" / "samples.parquet")
labels = pd.read_parquet(workspace / "issues" / "label.parquet")

worst = labels[labels["is_label_issue"]].sort_values("label_score").merge(samples[["sample_id", "split"]])
columns = ["sample_id", "split", "given_label", "suggested_label", "label_probability"]
print(worst[columns].head(10).to_string(index=False))
print(f"{len(worst)} of {len(samples)} labels are flagged")
