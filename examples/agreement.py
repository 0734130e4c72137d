"""How far do three people agree? Usage: python examples/agreement.py"""

import pandas as pd

import curate

votes = pd.DataFrame(  # a row for each sample, a column for each person
    {
        "ann": ["cat", "dog", "cat", "cat", "dog", "dog"],
        "bob": ["cat", "dog", "dog", "cat", "dog", "cat"],
        "cem": ["cat", "dog", "cat", "cat", "cat", "dog"],
    }
)
print(curate.agreement(votes).to_text())
print(curate.consensus(votes)[["sample_id", "label", "agreement", "is_conflict"]].to_string(index=False))
