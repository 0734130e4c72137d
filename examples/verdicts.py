"""Record a verdict and take it back. Usage: python examples/verdicts.py WORKSPACE"""

import sys

import pandas as pd

from curate.decisions.ledger import Ledger
from curate.workspace import Workspace

workspace = Workspace(sys.argv[1])
sample = workspace.read("samples").iloc[0]
verdict = {"sample_id": sample["sample_id"], "sha256": sample["sha256"], "issue": "label", "action": "keep"}

with Ledger(workspace.ledger) as ledger:
    [number] = ledger.add(pd.DataFrame([{**verdict, "reviewer": "me", "reason": "looked at it"}]))  # durable from here
    print(ledger.current()[["decision_id", "sample_id", "action", "reviewer"]].to_string(index=False))
    ledger.undo([number], reviewer="me")  # a new row: nothing is ever deleted
    print(f"{len(ledger.current())} decisions in force")
