"""A workspace as tables: what is flagged, and why. Usage: python examples/read_tables.py WORKSPACE"""

import sys
from pathlib import Path

import pandas as pd

import curate

ds = curate.open(sys.argv[1])
worst = ds.issues("label").merge(ds.samples[["sample_id", "split"]])
columns = ["sample_id", "split", "given_label", "suggested_label", "label_probability"]
print(worst[columns].head(10).to_string(index=False))
print(f"{ds.issues()['is_label_issue'].sum()} of {len(ds.samples)} labels are flagged")

# The same without curate: all that it knows is Parquet, NumPy and SQLite (docs/tables.md).
print(len(pd.read_parquet(Path(sys.argv[1]) / "issues" / "label.parquet")), "rows in issues/label.parquet")
