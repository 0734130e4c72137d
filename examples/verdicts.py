"""Record a verdict and take it back. Usage: python examples/verdicts.py WORKSPACE"""

import sys

import curate

ds = curate.open(sys.argv[1])
verdicts = ds.issues("label").head(1)[["sample_id", "suggested_label"]].rename(columns={"suggested_label": "label"})
verdicts = verdicts.assign(issue="label", action="relabel", reason="looked at it")

made = ds.decide(verdicts, reviewer="me")  # durable from here
print(made.to_text())
taken_back = ds.undo(ids=made.recorded, reviewer="me")  # a new row: nothing is ever deleted
print(f"{len(taken_back)} decision taken back")
