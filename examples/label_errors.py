"""Label errors of any embeddings, without a workspace. Usage: python examples/label_errors.py"""

import numpy as np
from sklearn.datasets import load_digits

import curate

digits = load_digits()
embeddings = digits.data  # (1797, 64): yours come from a network
labels = digits.target.copy()
wrong = np.random.default_rng(0).choice(len(labels), 90, replace=False)
labels[wrong] = (labels[wrong] + 1) % 10  # planted mistakes

found = curate.find_label_errors(embeddings, labels)

flagged = found["is_label_issue"]
print(found[flagged].sort_values("label_score").head(5).to_string(index=False))
print(f"{flagged.sum()} flagged; {flagged[wrong].sum()} of the {len(wrong)} planted mistakes are among them")
