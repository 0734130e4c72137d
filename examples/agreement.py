"""How far do three people agree? Usage: python examples/agreement.py"""

import pandas as pd

from curate.ingest.annotators import agreement, majority

said = {"ann": "cat dog cat cat dog dog", "bob": "cat dog dog cat dog cat", "cem": "cat dog cat cat cat dog"}
annotations = pd.DataFrame(
    [
        {"sample_id": f"{number}.jpg", "annotator": who, "label": label}
        for who, labels in said.items()
        for number, label in enumerate(labels.split())
    ]
)
print(agreement(annotations).to_text())
print(majority(annotations)[["sample_id", "label", "agreement", "is_conflict"]].to_string(index=False))
